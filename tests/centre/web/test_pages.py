"""What the pages make of the store: counts, curves, newest readings, news; and of odd addresses."""

import asyncio
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import ClientSession

from gateway.centre.store.layout import open_reader, open_writer
from gateway.centre.web import curves, readout
from gateway.centre.web.fleet_page import wish
from gateway.centre.web.news import Lookout, counts, totals
from gateway.centre.web.shelf import Shelf
from gateway.process.clock import Clock
from tests.centre.history import Box, at
from tests.centre.web.serving import serving
from tests.page_fleet import (
    AWAY_S,
    DEPLOY_S,
    END_S,
    FADING,
    FEEDER_S,
    HOUR,
    LOW,
    RADIO_S,
    PageFleet,
    play,
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> PageFleet:
    fleet = play(tmp_path_factory.mktemp("fleet") / "store.sqlite", every_s=60.0)
    fleet.history.close()
    return fleet


@pytest.fixture
def db(told: PageFleet) -> Iterator[sqlite3.Connection]:
    reader = open_reader(told.history.path)
    yield reader
    reader.close()


def test_the_counts_are_the_fleets(db: sqlite3.Connection) -> None:
    """What the tiles show."""
    assert dict(counts(totals(db))) == {
        "gateways": 24,
        "connected": 23,
        "lost": 1,
        "undervoltage": 1,
        "radio": 0,
        "backlog": 1,
    }


def test_a_dip_is_never_thinned_away(db: sqlite3.Connection) -> None:
    """A drop of seconds shows on a plot of hours; a node that is silent has no sessions."""
    points = dict(curves.connections(db, at(0), at(END_S)))
    least = min(value for value in points.values() if value is not None)
    assert least == 0 and max(v for v in points.values() if v is not None) == 24
    at_feeder = [v for t, v in points.items() if at(FEEDER_S + 60) < t < at(FEEDER_S + 700)]
    assert at_feeder and set(at_feeder) == {20.0}
    assert list(points.values())[-1] == 23
    later = curves.connections(db, at(END_S + 600), at(END_S + 1200))
    assert {value for _, value in later} <= {0.0}


def test_a_sag_shows_and_a_silence_is_a_hole(db: sqlite3.Connection) -> None:
    """Supply and radio of those whose story is told."""
    vitals = curves.vitals(db, LOW, at(0), at(END_S))
    spans = [((a - at(0)) / 1e9, (b - at(0)) / 1e9) for a, b in vitals.low]
    assert [round(a / HOUR, 1) for a, _ in spans] == [2.2, 5.7]
    assert min(v for _, v in vitals.volts if v is not None) < 4.9
    vitals = curves.vitals(db, "nord-05", at(0), at(END_S))
    assert min(v for _, v in vitals.volts if v is not None) < 4.6
    times = [t for t, _ in vitals.volts]
    assert max(b - a for a, b in pairwise(times)) > 600e9
    faded = dict(curves.vitals(db, FADING, at(0), at(END_S)).levels)["wlan0"]
    assert min(v for t, v in faded if v is not None and t < at(RADIO_S)) < -80
    assert [name for name, _ in curves.vitals(db, FADING, at(0), at(END_S)).levels] == ["wlan0"]
    assert curves.vitals(db, LOW, at(-50), at(-40)).volts == []


def test_the_newest_reading_of_every_point(db: sqlite3.Connection) -> None:
    """Across boots: of one point the newest, with unit and quality; what failed says why."""
    found = {(one.device, one.point): one for one in readout.latest(db, "nord-05")}
    assert ("host.trace", "supply_v") not in found
    meter = found["main-meter", "voltage_l1"]
    assert (meter.unit, meter.quality, meter.cause) == ("V", "good", "")
    assert isinstance(meter.value, float) and 227 < meter.value < 232
    assert abs(meter.time_ns - at(END_S - 0.3)) < 1e8
    hot = found["host", "cpu_temperature"]
    assert (hot.value, hot.quality, hot.cause) == (None, "bad", "null_pattern")


async def test_news_name_who_came_who_went_and_what_was_found(tmp_path: Path) -> None:
    """The first look only counts; the same look again tells nothing."""
    fleet = await asyncio.to_thread(play, tmp_path / "store.sqlite", 3600.0)
    node = fleet.history
    lookout = Lookout(Shelf(node.path, Clock()), node.clock)
    first = await lookout.look()
    assert dict(first.counts)["gateways"] == 24 and not first.gateways and not first.more
    assert (await lookout.look()).gateways == ()
    new = Box("new")
    await asyncio.to_thread(node.come, new, END_S - 1)
    await asyncio.to_thread(node.go, fleet.boxes["nord-01"], END_S - 1)
    await asyncio.sleep(1.1)  # older counts are shared
    told = await lookout.look()
    assert set(told.gateways) == {"new", "nord-01"} and not told.incidents and not told.more
    assert dict(told.counts)["connected"] == 23
    # Closed with an instant of long ago, as after a centre was killed.
    await asyncio.to_thread(node.go, fleet.boxes["nord-02"], END_S - 3600)
    await asyncio.sleep(1.1)
    assert (await lookout.look()).more
    incident = next(iter(fleet.incidents.values()))
    await asyncio.to_thread(node.close)
    db = open_writer(node.path)
    db.execute("UPDATE incident SET pending = 9 WHERE identity = ?", (incident.identity,))
    db.close()
    assert (await lookout.look()).incidents == (incident.identity,)


@pytest.mark.parametrize(
    "query",
    [
        "?page=99999",
        "?page=-1",
        "?page=1e9",
        "?page=²",
        "?order=drop%20table",
        "?state=%00",
        "?hours=9999999999999999999999",
        "?q=%27%22%3E%3Cscript%3E&label.x=%27",
        "?label.=1&label.site=nord&label.site=sued",
        "?q=%F0%9F%92%A9" + "x" * 3000,
    ],
)
async def test_an_odd_address_is_a_page_all_the_same(told: PageFleet, query: str) -> None:
    """Nonsense in the address is left out or found nowhere; it never breaks or becomes markup."""
    async with (
        serving(told.history.path, told.history.clock) as site,
        ClientSession() as client,
    ):
        for path in ("/", "/incidents", "/gateways/nord-05"):
            async with client.get(f"http://127.0.0.1:{site.port}{path}{query}") as answer:
                text = await answer.text()
                assert answer.status == 200, text
                assert "<script>" not in text


def test_an_address_says_what_is_wanted_and_back() -> None:
    """What a list was narrowed to survives every link on it."""
    query = {"q": "a b", "state": "lost", "label.site": "nord", "order": "dbm", "hours": "24"}
    wanted = wish(query)
    assert wanted.address() == "/?q=a+b&state=lost&order=dbm&hours=24&label.site=nord"
    assert wanted.address({"state": ""}, page=3).endswith("label.site=nord&page=3")
    assert wanted.narrowed and not wish({"page": "2", "order": "since"}).narrowed


async def test_a_store_in_trouble_is_a_page_that_says_so(tmp_path: Path) -> None:
    """No store, or one that takes too long: 503, and nothing else breaks."""
    path = tmp_path / "store.sqlite"
    open_writer(path).close()
    async with serving(path, Clock()) as site, ClientSession() as client:
        base = f"http://127.0.0.1:{site.port}"
        async with client.get(base) as answer:
            assert answer.status == 200 and "No gateway ever came in" in await answer.text()
        for name in tmp_path.glob("store.sqlite*"):
            name.unlink()
        await asyncio.sleep(1.1)
        async with client.get(base) as answer:
            assert answer.status == 503 and "Gateways are served" in await answer.text()


async def test_a_query_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    """Nobody keeps a thread of the centre for ever."""

    class Hasty(Clock):
        """A clock on which ten seconds pass with every look."""

        at_s = 0.0

        def now(self) -> float:
            self.at_s += 11.0
            return self.at_s

    path = tmp_path / "store.sqlite"
    open_writer(path).close()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await Shelf(path, Hasty()).ask(lambda db: db.execute(endless).fetchone())


async def test_those_who_ask_the_same_share_an_answer(tmp_path: Path) -> None:
    """A hundred pages that hear the same news cost one query; one that fails is asked again."""
    path = tmp_path / "store.sqlite"
    open_writer(path).close()
    shelf, asked = Shelf(path, Clock()), 0

    def query(_: sqlite3.Connection) -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise sqlite3.OperationalError("busy")
        return asked

    with pytest.raises(sqlite3.OperationalError):
        await shelf.share("a", query)
    answers = await asyncio.gather(*(shelf.share("a", query) for _ in range(100)))
    assert set(answers) == {2}
    for number in range(200):
        await shelf.share(number, query)
    assert len(shelf._answers) <= 64


def test_the_story_is_told_as_meant() -> None:
    """The generator's own instants stand in the order the tests rely on."""
    assert 0 < DEPLOY_S < FEEDER_S < RADIO_S < AWAY_S < END_S
