"""What an analysis found against what the store holds: only the difference is written.

Owns when a verdict is settled, which losses of long ago are looked at again, and what of the start
of a span is left alone. Reads only; the writer does the writing (`incidents`).
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.centre.store import incidents
from gateway.centre.store.incident_text import incident_text, loss_text
from gateway.centre.store.jobs import FoundIncident, FoundLoss
from gateway.correlation.report import Report
from gateway.correlation.verdict import Incident, Loss
from gateway.event import EventKind
from gateway.host.reboot import RebootClass

GUARD_NS = 900_000_000_000
"""What begins within this of a span's start may have begun before it, and within this of the end of
a span of long ago go on behind it: it keeps its verdict."""
CALM_NS = 60_000_000_000
"""A verdict stands this long after the gateway is back, so that its records have come."""
SETTLE_NS = 900_000_000_000
"""A verdict is counted at the latest this long after the loss, pending or not."""
REBOOT_NS = 120_000_000_000
"""A boot's class is counted this long after it was heard of, unless nothing can revise it."""
AGAIN_NS = 600_000_000_000
WINDOWS = 4
"""Losses of long ago are looked at again this often, and so many windows of them at a time."""
_FINAL_RULE = 7
"""`host.reboot`: only a class of this rule or a later one is ever revised."""
REBOOTS = "reboots"
"""The mark: the last event whose boot is counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be written."""

    incidents: tuple[FoundIncident, ...]
    losses: tuple[FoundLoss, ...]
    gone: tuple[str, ...]
    gone_losses: tuple[tuple[str, int], ...]
    open: int
    """Losses that are not settled yet, or whose gateway is back and whose records are coming."""


def difference(db: sqlite3.Connection, report: Report, now_ns: int) -> Difference:
    """Compare a report with the store."""
    low = report.from_ns + GUARD_NS
    high = report.to_ns if report.to_ns >= now_ns else report.to_ns - GUARD_NS
    stored, counted = _stored_incidents(db, low, high)
    known, marked = _stored_losses(db, low, high)
    keys = {(loss.gateway, loss.session) for one in report.incidents for loss in one.losses}
    taken = [incident for incident in report.incidents if low <= incident.started_ns <= high]
    found = [_incident(incident, now_ns) for incident in taken]
    rows = [_loss(incident, loss, now_ns) for incident in taken for loss in incident.losses]
    names = {incident.identity for incident in report.incidents}
    return Difference(
        tuple(
            one
            for one in found
            if stored.get(one.identity) != _incident_key(one)
            or (one.settled and not counted.get(one.identity))
        ),
        tuple(
            one
            for one in rows
            if known.get((one.gateway, one.session)) != _loss_key(one)
            or _uncounted(one, marked.get((one.gateway, one.session), 0))
        ),
        tuple(name for name in stored if name not in names),
        tuple(key for key in known if key not in keys),
        sum(
            not settled(loss, now_ns) or _awaited(loss, now_ns)
            for incident in taken
            for loss in incident.losses
        ),
    )


def settled(loss: Loss, now_ns: int) -> bool:
    """Tell whether a loss may be counted: nothing more is expected, or it has taken too long."""
    if now_ns - loss.lost_ns >= SETTLE_NS:
        return True
    return not loss.pending and now_ns - (loss.returned_ns or loss.lost_ns) >= CALM_NS


def _awaited(loss: Loss, now_ns: int) -> bool:
    """Tell whether a gateway that came back late may still tell its side any moment."""
    back_ns = loss.returned_ns
    return loss.pending and back_ns is not None and now_ns - back_ns < SETTLE_NS


def _incident(incident: Incident, now_ns: int) -> FoundIncident:
    return FoundIncident(
        identity=incident.identity,
        started_ns=incident.started_ns,
        ended_ns=incident.ended_ns,
        cause=incident.cause.value,
        confidence=incident.confidence.value,
        quiet=incident.quiet,
        lost=len(incident.losses),
        pending=sum(loss.pending for loss in incident.losses),
        body=incident_text(incident),
        settled=all(settled(loss, now_ns) for loss in incident.losses),
    )


def _loss(incident: Incident, loss: Loss, now_ns: int) -> FoundLoss:
    return FoundLoss(
        gateway=loss.gateway,
        session=loss.session,
        incident=incident.identity,
        lost_ns=loss.lost_ns,
        returned_ns=loss.returned_ns,
        cause=loss.cause.value,
        pending=loss.pending,
        body=loss_text(loss),
        settled=settled(loss, now_ns),
    )


def _incident_key(one: FoundIncident) -> tuple[object, ...]:
    return (
        one.started_ns, one.ended_ns, one.cause, one.confidence, int(one.quiet), one.lost,
        one.pending, one.body,
    )  # fmt: skip


def _loss_key(one: FoundLoss) -> tuple[object, ...]:
    return (one.incident, one.lost_ns, one.returned_ns, one.cause, int(one.pending), one.body)


def _uncounted(one: FoundLoss, bits: int) -> bool:
    if one.settled and not bits & incidents.CAUSE:
        return True
    return one.returned_ns is not None and not one.pending and not bits & incidents.GAP


def _stored_incidents(
    db: sqlite3.Connection, low: int, high: int
) -> tuple[dict[str, tuple[object, ...]], dict[str, int]]:
    rows = db.execute(
        "SELECT identity, counted, started_ns, ended_ns, cause, confidence, quiet, lost, pending,"
        " body FROM incident WHERE started_ns BETWEEN ? AND ?",
        (low, high),
    ).fetchall()
    return {row[0]: row[2:] for row in rows}, {row[0]: row[1] for row in rows}


def _stored_losses(
    db: sqlite3.Connection, low: int, high: int
) -> tuple[dict[tuple[str, int], tuple[object, ...]], dict[tuple[str, int], int]]:
    rows = db.execute(
        "SELECT gateway, session, counted, incident, lost_ns, returned_ns, cause, pending, body"
        " FROM loss WHERE lost_ns BETWEEN ? AND ?",
        (low, high),
    ).fetchall()
    return {row[:2]: row[3:] for row in rows}, {row[:2]: row[2] for row in rows}


# What is looked at again


class Again:
    """Losses of before the span whose gateway is back and whose verdict still waits for it."""

    def __init__(self) -> None:
        self._looked: dict[tuple[str, int], int] = {}

    def windows(self, db: sqlite3.Connection, before_ns: int, now_ns: int) -> list[tuple[int, int]]:
        """Return the spans to analyse again, `GUARD_NS` wider on either side than their losses."""
        rows = db.execute(
            "SELECT o.gateway, o.session, o.lost_ns FROM loss o WHERE o.lost_ns < ? AND o.pending"
            " AND EXISTS (SELECT 1 FROM gateway g JOIN session s ON s.id = g.session"
            " WHERE g.name = o.gateway AND s.opened_ns >= o.lost_ns) ORDER BY o.lost_ns",
            (before_ns,),
        ).fetchall()
        self._looked = {key: at for key, at in self._looked.items() if now_ns - at < AGAIN_NS}
        spans: list[tuple[int, int]] = []
        for gateway, session, lost_ns in rows:
            if (gateway, session) in self._looked:
                continue
            low, high = lost_ns - 2 * GUARD_NS, lost_ns + 2 * GUARD_NS
            if spans and low <= spans[-1][1]:
                spans[-1] = (spans[-1][0], high)
            elif len(spans) == WINDOWS:
                break
            else:
                spans.append((low, high))
            self._looked[gateway, session] = now_ns
        return spans


# Reboots


@dataclass(frozen=True, slots=True)
class Reboots:
    """How many boots of each class count from now on, the event to mark (``None``: the mark
    stands), and how many boots wait."""

    counts: Counter[str]
    mark: int | None
    waiting: int


def reboots(db: sqlite3.Connection, now_ns: int) -> Reboots:
    """Return the boots that were told since the mark and whose class is final."""
    last = incidents.mark(db, REBOOTS)
    newest = db.execute("SELECT max(id) FROM event").fetchone()[0] or 0
    if last is None:
        return Reboots(Counter(), newest, 0)
    counts: Counter[str] = Counter()
    told = list(_classified(db, last))
    for place, (pk, (rule, received_ns, name)) in enumerate(told):
        # Not before it was heard of either: then the clock was set back.
        if rule >= _FINAL_RULE and 0 <= now_ns - received_ns < REBOOT_NS:
            return Reboots(counts, pk - 1 if pk - 1 > last else None, len(told) - place)
        counts[name] += 1
    return Reboots(counts, newest if newest > last else None, 0)


def _classified(db: sqlite3.Connection, last: int) -> Iterator[tuple[int, tuple[int, int, str]]]:
    """Yield (event, (rule, received, class)) of the boots told since an event, each with the class
    it was revised to."""
    rows = db.execute(
        "SELECT id, gateway, epoch, received_ns, kind, fields FROM event WHERE id > ?"
        " AND kind IN (?, ?) ORDER BY id",
        (last, EventKind.BOOT_CLASSIFIED, EventKind.BOOT_REVISED),
    ).fetchall()
    revised: dict[tuple[object, object], str] = {}
    for _, gateway, epoch, _, kind, fields in rows:
        if kind == EventKind.BOOT_REVISED:
            revised[gateway, epoch] = fields
    for pk, gateway, epoch, received_ns, kind, fields in rows:
        if kind == EventKind.BOOT_CLASSIFIED:
            better = revised.get((gateway, epoch))
            said = json.loads(better or fields)
            rule = said.get("rule")
            # A revision is the last word.
            final = better is not None or not isinstance(rule, int)
            yield pk, (0 if final else rule, received_ns, reboot_class(said.get("class")))


def reboot_class(word: object) -> str:
    """Return a class as a label: a closed set, whatever a stranger sends."""
    try:
        return RebootClass(str(word)).value
    except ValueError:
        return RebootClass.UNCLEAN_UNKNOWN.value


def states(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many gateways are connected and how many are known and are not."""
    known, connected = db.execute(
        "SELECT (SELECT count(*) FROM gateway), (SELECT count(*) FROM session s JOIN gateway g"
        " ON g.session = s.id WHERE s.closed_ns IS NULL)"
    ).fetchone()
    return {"connected": connected, "lost": known - connected}


def parts(items: Sequence[object], size: int) -> Iterable[Sequence[object]]:
    """Yield a sequence in parts."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
