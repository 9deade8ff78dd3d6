"""Incidents in the store: one row each however often they are found, each loss counted once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.centre.store import fleet, layout
from gateway.centre.store.incident_text import incident_text, loss_text
from gateway.centre.store.jobs import FoundIncident, FoundLoss, Incidents, Settled
from gateway.centre.store.queries import Span
from gateway.correlation.verdict import (
    Cause,
    Drop,
    Group,
    GroupKind,
    HeldBy,
    Incident,
    Loss,
    Proof,
)
from gateway.host.reboot import Confidence
from tests.centre.history import History, at

LOSS = Loss(
    gateway="pump-7",
    session=11,
    node="a",
    proxy="10.0.0.1",
    software="gateway 0.3",
    labels=(("feeder", "north"), ("floor", 2)),
    opened_ns=at(0),
    lost_ns=at(100),
    returned_ns=None,
    cause=Cause.UNKNOWN,
    confidence=Confidence.NONE,
    held_by=HeldBy.UNKNOWN,
    pending=True,
    proofs=(Proof(at(100), 5, "centre", "silent for 50 s", False), Proof(None, 0, "host", "x")),
)
INCIDENT = Incident(
    identity="20270115T080140-4f2a",
    started_ns=at(100),
    ended_ns=None,
    cause=Cause.UNKNOWN,
    confidence=Confidence.NONE,
    quiet=False,
    losses=(LOSS,),
    groups=(Group(GroupKind.FEEDER, "feeder=north", 1, 4),),
    drop=Drop(at(99), at(101), None, 12, 11),
)
BACK = replace(
    LOSS, returned_ns=at(130), cause=Cause.POWER_CUT, confidence=Confidence.PROBABLE,
    held_by=HeldBy.DOWN, pending=False,
)  # fmt: skip


def found(incident: Incident, *, settled: bool = False) -> Incidents:
    """Return the job that stores an incident."""
    pending = sum(loss.pending for loss in incident.losses)
    head = FoundIncident(
        incident.identity, incident.started_ns, incident.ended_ns, incident.cause.value,
        incident.confidence.value, incident.quiet, len(incident.losses), pending,
        incident_text(incident), settled,
    )  # fmt: skip
    rows = [
        FoundLoss(
            loss.gateway, loss.session, incident.identity, loss.lost_ns, loss.returned_ns,
            loss.cause.value, loss.pending, loss_text(loss), settled,
        )
        for loss in incident.losses
    ]  # fmt: skip
    return Incidents(incidents=[head], losses=rows)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "s.sqlite")
    yield made
    made.close()


def _stored(node: History, identity: str = INCIDENT.identity) -> Incident | None:
    db = layout.open_reader(node.path)
    try:
        return fleet.incident(db, identity)
    finally:
        db.close()


def test_an_incident_comes_back_as_it_was(node: History) -> None:
    """Every field, the proofs and the drop included."""
    node.ask(found(INCIDENT))
    assert _stored(node) == INCIDENT
    assert _stored(node, "another") is None


def test_a_better_verdict_replaces_the_first(node: History) -> None:
    """Same identity, one row; the loss is not there twice when it moves to another incident."""
    node.ask(found(INCIDENT))
    better = replace(INCIDENT, cause=Cause.POWER_CUT, ended_ns=at(130), losses=(BACK,))
    node.ask(found(better))
    assert _stored(node) == better
    moved = replace(better, identity="other")
    job = found(moved)
    job.gone = [INCIDENT.identity]
    node.ask(job)
    assert _stored(node) is None
    assert _stored(node, "other") == moved


def test_what_is_settled_counts_once(node: History) -> None:
    """Once as a cause, once as a gap when it is back; never again, also in another incident."""
    first = found(INCIDENT)
    node.ask(first)
    assert first.settled == []
    late = found(INCIDENT, settled=True)
    node.ask(late)
    assert late.settled == [Settled("unknown", incident=True), Settled("unknown")]
    back = found(replace(INCIDENT, losses=(BACK,), cause=Cause.POWER_CUT), settled=True)
    node.ask(back)
    assert back.settled == [Settled(gap_s=30.0)]
    again = found(replace(INCIDENT, identity="other", losses=(BACK,)))
    node.ask(again)
    assert again.settled == []


def test_incidents_of_a_span_are_those_that_touch_it(node: History) -> None:
    """Newest first; one that is not over touches everything after it began."""
    over = replace(INCIDENT, identity="over", started_ns=at(10), ended_ns=at(20), losses=())
    node.ask(found(over))
    node.ask(found(INCIDENT))
    db = layout.open_reader(node.path)
    try:

        def names(low: float, high: float) -> list[str]:
            return [row.identity for row in fleet.incidents(db, Span(at(low), at(high)))]

        assert names(0, 1000) == [INCIDENT.identity, "over"]
        assert names(15, 50) == ["over"]
        assert names(500, 1000) == [INCIDENT.identity]
        (row,) = fleet.incidents(db, Span(at(500), at(600)))
        assert (row.lost, row.pending, row.groups) == (1, 1, INCIDENT.groups)
        assert fleet.losses(db, "pump-7", Span(at(0), at(200))) == ((INCIDENT.identity, LOSS),)
        assert fleet.losses(db, "pump-8", Span(at(0), at(200))) == ()
    finally:
        db.close()


def test_words_of_a_later_version_are_unknown(node: History) -> None:
    """An older centre can still show what a newer one found."""
    job = found(INCIDENT)
    job.incidents = [replace(job.incidents[0], cause="gremlins", confidence="felt")]
    node.ask(job)
    stored = _stored(node)
    assert stored is not None
    assert (stored.cause, stored.confidence) == (Cause.UNKNOWN, Confidence.NONE)
