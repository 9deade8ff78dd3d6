"""What an analysis changes in the store: the difference only, what is settled, what waits."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.centre.store import findings
from gateway.centre.store.findings import GUARD_NS, Again, Difference, Reboots, difference, reboots
from gateway.centre.store.jobs import FoundIncident, FoundLoss, Incidents, Settled
from gateway.centre.store.layout import open_reader
from gateway.correlation.report import Report
from gateway.correlation.verdict import Cause, Incident
from gateway.event import EventKind
from tests.centre.history import Box, History, at
from tests.centre.test_incidents import BACK, INCIDENT, LOSS

MINUTE = 60_000_000_000


@pytest.fixture
def node(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "s.sqlite")
    yield made
    made.close()


@pytest.fixture
def db(node: History) -> Iterator[sqlite3.Connection]:
    reader = open_reader(node.path)
    yield reader
    reader.close()


def _report(*incidents: Incident, low: float = -7200, high: float = 7200) -> Report:
    return Report(at(low), at(high), (), incidents, 1, 1)


def _store(node: History, found: Difference) -> list[Settled]:
    job = Incidents(
        incidents=[FoundIncident(*_values(one)) for one in found.incidents],
        losses=[FoundLoss(*_values(one)) for one in found.losses],
        gone=found.gone,
        gone_losses=found.gone_losses,
    )
    node.ask(job)
    return job.settled


def _values(one: FoundIncident | FoundLoss) -> list[object]:
    return [getattr(one, name) for name in type(one).__slots__]


def test_only_the_difference_is_written(node: History, db: sqlite3.Connection) -> None:
    """The same report again asks for nothing; a better one for what is better."""
    now = at(105)
    first = difference(db, _report(INCIDENT), now)
    assert [one.identity for one in first.incidents] == [INCIDENT.identity]
    assert (len(first.losses), first.open, first.gone) == (1, 1, ())
    assert _store(node, first) == []
    assert difference(db, _report(INCIDENT), now) == Difference((), (), (), (), 1)
    better = replace(INCIDENT, cause=Cause.POWER_CUT, losses=(BACK,))
    second = difference(db, _report(better), now)
    assert [one.cause for one in second.incidents] == ["power_cut"]
    assert [one.cause for one in second.losses] == ["power_cut"]


def test_what_is_none_any_more_goes(node: History, db: sqlite3.Connection) -> None:
    """An incident that joined another one, a loss that turned out to be none."""
    other = replace(LOSS, gateway="pump-8", session=12)
    _store(node, difference(db, _report(replace(INCIDENT, losses=(LOSS, other))), at(105)))
    joined = replace(INCIDENT, identity="joined", started_ns=at(50))
    found = difference(db, _report(joined), at(105))
    assert (found.gone, found.gone_losses) == ((INCIDENT.identity,), (("pump-8", 12),))
    _store(node, found)
    assert node_rows(db, "SELECT identity FROM incident") == [("joined",)]
    assert node_rows(db, "SELECT gateway, incident FROM loss") == [("pump-7", "joined")]


def test_the_start_of_a_span_keeps_its_verdicts(node: History, db: sqlite3.Connection) -> None:
    """What began before the span is seen in part: neither rewritten nor removed."""
    _store(node, difference(db, _report(INCIDENT), at(105)))
    low = 100 - GUARD_NS / 1e9 + 1
    cut_off = replace(INCIDENT, identity="cut-off", started_ns=at(100.5))
    inside = difference(db, _report(cut_off, low=low), at(7000))
    assert (inside.incidents, inside.gone) == ((), ())
    assert difference(db, _report(low=low), at(7000)) == Difference((), (), (), (), 0)


def test_the_end_of_a_span_of_long_ago_keeps_its_verdicts(
    node: History, db: sqlite3.Connection
) -> None:
    """What begins just before its end goes on behind it: neither shrunk nor removed."""
    other = replace(LOSS, gateway="pump-8", session=12, lost_ns=at(103))
    whole = replace(INCIDENT, losses=(LOSS, other))
    _store(node, difference(db, _report(whole), at(8000)))
    seen = difference(db, _report(INCIDENT, high=101), at(90_000))
    assert seen == Difference((), (), (), (), 0)
    assert difference(db, _report(high=101), at(90_000)) == Difference((), (), (), (), 0)
    inside = difference(db, _report(INCIDENT, high=101 + GUARD_NS / 1e9), at(90_000))
    assert [one.lost for one in inside.incidents] == [1]


@pytest.mark.parametrize(
    ("loss", "now", "settled"),
    [
        (LOSS, at(100) + 14 * MINUTE, False),
        (LOSS, at(100) + 15 * MINUTE, True),
        (BACK, at(130) + MINUTE - 1, False),
        (BACK, at(130) + MINUTE, True),
        (replace(LOSS, pending=False), at(100) + MINUTE, True),
        (replace(BACK, pending=True), at(130) + MINUTE, False),
    ],
    ids=["away", "away too long", "just back", "back", "sure without it", "its records to come"],
)
def test_when_a_verdict_is_settled(loss: findings.Loss, now: int, settled: bool) -> None:
    """A minute after everything is known, or a quarter of an hour after the loss."""
    assert findings.settled(loss, now) is settled


def test_a_settled_verdict_is_counted_though_nothing_changed(
    node: History, db: sqlite3.Connection
) -> None:
    """Time alone settles; what improves after that changes the page and no counter."""
    _store(node, difference(db, _report(INCIDENT), at(105)))
    late = difference(db, _report(INCIDENT), at(100) + 15 * MINUTE)
    assert _store(node, late) == [Settled("unknown", incident=True), Settled("unknown")]
    assert difference(db, _report(INCIDENT), at(100) + 16 * MINUTE).losses == ()
    better = replace(INCIDENT, cause=Cause.POWER_CUT, losses=(BACK,))
    assert _store(node, difference(db, _report(better), at(2000))) == [Settled(gap_s=30.0)]


def test_a_gateway_that_is_back_late_keeps_the_centre_looking(db: sqlite3.Connection) -> None:
    """Counted it is, but its records may come any moment; not for ever."""
    late = replace(LOSS, returned_ns=at(5000))
    one = replace(INCIDENT, losses=(late,))
    assert difference(db, _report(one), at(5010)).open == 1
    assert difference(db, _report(one), at(5000) + 15 * MINUTE).open == 0
    assert difference(db, _report(INCIDENT), at(5010)).open == 0


def test_a_loss_of_long_ago_is_looked_at_again_when_its_gateway_is_back(
    node: History, db: sqlite3.Connection
) -> None:
    """Not while it is away, once when it came, then after ten minutes while it still waits."""
    box = Box("pump-7")
    node.come(box, 0, number=11)
    node.go(box, 100)
    _store(node, difference(db, _report(INCIDENT), at(105)))
    again, before = Again(), at(80_000)
    assert again.windows(db, before, at(90_000)) == []
    node.come(box, 90_000)
    around = [(at(100) - 2 * GUARD_NS, at(100) + 2 * GUARD_NS)]
    assert again.windows(db, at(50), at(90_010)) == []
    assert again.windows(db, before, at(90_010)) == around
    assert again.windows(db, before, at(90_020)) == []
    assert again.windows(db, before, at(90_700)) == around
    assert Again().windows(db, before, at(90_010)) == around


def test_windows_join_and_are_few(node: History, db: sqlite3.Connection) -> None:
    """A hundred old losses are a few spans, the oldest first; the others come next."""
    rows = []
    for number in range(40):
        box = Box(f"pump-{number:03}")
        node.come(box, 0)
        node.go(box, 10)
        node.come(box, 500_000)
        lost_ns = at(1000 + 10_000 * (number // 4))
        rows.append(replace(LOSS, gateway=box.name, session=number, lost_ns=lost_ns))
    one = replace(INCIDENT, losses=tuple(rows))
    _store(node, difference(db, _report(one, high=400_000), at(400_000)))
    again, found = Again(), []
    for _ in range(4):
        spans = again.windows(db, at(450_000), at(500_010))
        assert len(spans) <= findings.WINDOWS
        found += spans
    assert [low for low, _ in found] == [
        at(1000 + 10_000 * number) - 2 * GUARD_NS for number in range(10)
    ]


def test_reboots_are_counted_by_their_last_class(node: History, db: sqlite3.Connection) -> None:
    """A class that may be revised waits two minutes for it; the others count at once."""
    box = Box("pump-7")
    node.come(box, 0)
    assert reboots(db, at(0)).counts == Counter()
    node.tell(box, 1, EventKind.BOOT_CLASSIFIED, **{"class": "orderly_reboot", "rule": 3})
    node.tell(box, 2, EventKind.DEVICE_DOWN, device="m")
    node.send(box, 10)
    node.ask(Incidents(marks=[(findings.REBOOTS, 0)]))
    assert reboots(db, at(11)) == Reboots(Counter(orderly_reboot=1), 2, 0)
    node.ask(Incidents(marks=[(findings.REBOOTS, 2)]))
    assert reboots(db, at(12)) == Reboots(Counter(), None, 0)
    node.reboot(box, 100)
    node.come(box, 120)
    node.tell(box, 121, EventKind.BOOT_CLASSIFIED, **{"class": "unclean_unknown", "rule": 12})
    node.send(box, 122)
    assert reboots(db, at(130)) == Reboots(Counter(), None, 1)
    node.tell(box, 140, EventKind.BOOT_REVISED, **{"class": "power_cut", "rule": 11})
    node.send(box, 141)
    assert reboots(db, at(142)) == Reboots(Counter(power_cut=1), 4, 0)
    node.ask(Incidents(marks=[(findings.REBOOTS, 4)]))
    other = Box("pump-8")
    node.come(other, 150)
    node.tell(other, 151, EventKind.BOOT_CLASSIFIED, **{"class": "gremlins", "rule": 12})
    node.send(other, 152)
    assert reboots(db, at(160)) == Reboots(Counter(), None, 1)
    assert reboots(db, at(300)) == Reboots(Counter(unclean_unknown=1), 5, 0)


def test_a_new_centre_counts_reboots_from_now_on(node: History, db: sqlite3.Connection) -> None:
    """A store of before the counters does not fill them with its history."""
    box = Box("pump-7")
    node.come(box, 0)
    node.tell(box, 1, EventKind.BOOT_CLASSIFIED, **{"class": "power_cut", "rule": 8})
    node.send(box, 2)
    assert reboots(db, at(3)) == Reboots(Counter(), 1, 0)


def test_a_clock_set_back_holds_no_reboot_up(node: History, db: sqlite3.Connection) -> None:
    """A boot that was heard of in the future is not waited for until then, nor are those behind."""
    box = Box("pump-7")
    node.come(box, 0)
    node.ask(Incidents(marks=[(findings.REBOOTS, 0)]))
    node.tell(box, 1, EventKind.BOOT_CLASSIFIED, **{"class": "power_cut", "rule": 8})
    node.send(box, 7200)
    assert reboots(db, at(60)) == Reboots(Counter(power_cut=1), 1, 0)


def node_rows(db: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    return db.execute(sql).fetchall()
