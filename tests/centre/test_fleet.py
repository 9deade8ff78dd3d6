"""The fleet as the page shows it: rows, filters, order, counts; unknown is never good."""

import sqlite3
from collections.abc import Iterator

import pytest

from gateway.centre.store.fleet import (
    Filters,
    FleetPage,
    Page,
    fleet,
    fleet_row,
    labels,
)
from gateway.centre.store.jobs import Progress
from gateway.centre.store.layout import open_reader
from gateway.centre.store.queries import UnknownGatewayError
from gateway.wire.message import Backlog
from tests.centre.history import Box, History, at


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("fleet") / "s.sqlite"
    node = History(path)
    north, south = (("label.feeder", "north"),), (("label.feeder", "south"), ("label.x", "1"))
    good, low = Box("good", labels=north), Box("low", labels=north)
    weak, gone = Box("weak", labels=south), Box("gone")
    for number, box in enumerate((good, low, weak, gone)):
        node.come(box, number)
    node.look(good, 50, 5.0, -60)
    node.look(low, 50, 4.25, -60, low=True)
    node.look(weak, 50, None, -95, low=None)
    node.look(gone, 40, 4.0, -99, low=True)
    for box in (good, low, weak, gone):
        node.send(box, 60)
    node.ask(
        Progress(gateway=weak.pk, epoch=weak.epoch, next_seq=9, offset_ns=at(weak.booted),
                 waiting=Backlog(5000, 700_000, 0), wall_ns=at(70))
    )  # fmt: skip
    node.go(gone, 65, "network", "reset")
    node.close()
    reader = open_reader(path)
    yield reader
    reader.close()


def _names(page: FleetPage) -> list[str]:
    return [row.gateway for row in page.rows]


def test_a_row_tells_how_a_gateway_is(db: sqlite3.Connection) -> None:
    """State, since when, supply, radio, backlog, newest reading, version, labels."""
    row = fleet_row(db, "low")
    assert (row.connected, row.since_ns, row.cause, row.node) == (True, at(1), "", "a")
    assert (row.volts, row.undervoltage, row.dbm, row.route) == (4.25, True, -60.0, "wlan0")
    assert (row.host_ns, row.reading_ns, row.software) == (at(50), at(50), "gateway 0.3")
    assert (row.backlog_records, row.backlog_bytes) == (0, 0)
    assert row.labels == (("feeder", "north"),)
    gone = fleet_row(db, "gone")
    assert (gone.connected, gone.since_ns, gone.side, gone.cause) == (
        False, at(65), "network", "reset",
    )  # fmt: skip
    weak = fleet_row(db, "weak")
    assert (weak.volts, weak.undervoltage) == (None, None)
    with pytest.raises(UnknownGatewayError):
        fleet_row(db, "nobody")


def test_counts_are_those_of_the_whole_list(db: sqlite3.Connection) -> None:
    """Paging does not change them; troubles are counted of connected gateways only."""
    page = fleet(db, Filters(), Page(offset=1, limit=2))
    assert _names(page) == ["good", "low"]
    assert (page.gateways, page.matching, page.connected) == (4, 4, 3)
    assert (page.undervoltage, page.radio, page.backlog) == (1, 1, 1)


def test_filters_narrow_and_combine(db: sqlite3.Connection) -> None:
    """By name, state, trouble and labels; a stranger's words filter to nothing or are inert."""

    def names(**filters: object) -> list[str]:
        return _names(fleet(db, Filters(**filters), Page()))  # type: ignore[arg-type]

    assert names(text="O") == ["gone", "good", "low"]
    assert names(state="lost") == ["gone"]
    assert names(state="connected", text="o") == ["good", "low"]
    assert names(trouble="undervoltage") == ["low"]
    assert names(trouble="radio") == names(trouble="backlog") == ["weak"]
    assert names(labels=(("feeder", "north"),)) == ["good", "low"]
    assert names(labels=(("feeder", "south"), ("x", "1"))) == ["weak"]
    assert names(labels=(('x"; DROP TABLE gateway', "1"),)) == []
    assert names(state="' OR 1", trouble="?") == ["gone", "good", "low", "weak"]
    assert fleet(db, Filters(text="zzz"), Page()) == FleetPage((), 4, 0, 0, 0, 0, 0)


def test_orders_put_what_needs_a_look_first(db: sqlite3.Connection) -> None:
    """Unknown comes last where the lowest is first."""

    def names(order: str) -> list[str]:
        return _names(fleet(db, Filters(), Page(order=order)))

    assert names("name") == names("anything") == ["gone", "good", "low", "weak"]
    assert names("since") == ["gone", "weak", "low", "good"]
    assert names("dbm") == ["gone", "weak", "good", "low"]
    assert names("volts") == ["gone", "low", "good", "weak"]
    assert names("backlog")[0] == "weak"


def test_labels_in_use_are_counted(db: sqlite3.Connection) -> None:
    """What a filter can offer."""
    assert labels(db) == {"feeder": (("north", 2), ("south", 1)), "x": (("1", 1),)}
