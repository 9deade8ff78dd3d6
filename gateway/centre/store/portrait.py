"""One gateway as its page shows it: sessions, boots, losses, supply and radio over time.

Owns typed, bounded queries; read-only, for threads off the loop. Over a long span the host's values
are picked evenly, so that the answer takes the same time whatever the span.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.centre.store import fleet, looks
from gateway.centre.store.fleet import FleetRow
from gateway.centre.store.queries import Offsets, Span, gateway_pk
from gateway.correlation.verdict import Loss
from gateway.event import EventKind
from gateway.reading import TICK_NS

MAX_SESSIONS = 50
MAX_BOOTS = 32
MAX_LOSSES = 50
POINTS = 400
"""Instants of the host's values that a span is shown with."""
HOST_PERIOD_NS = 10_000_000_000
_MAX_EPOCHS = 64


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session. `side`, `cause`: as in `centre.ending`, ``""`` while it is open.

    `silent_s`: age of its last message when it ended; `round_trip_s`: the last one measured.
    """

    session: int
    node: str
    opened_ns: int
    closed_ns: int | None
    side: str
    cause: str
    code: int | None
    reason: str
    remote: str
    proxy: str
    silent_s: float | None = None
    round_trip_s: float | None = None


@dataclass(frozen=True, slots=True)
class BootRow:
    """Why a boot, or a start of the daemon within it, happened. `at_ns`: when the agent said so.

    `revised`: judged again once more was known.
    """

    at_ns: int
    reboot: str
    confidence: str
    evidence: str
    revised: bool


@dataclass(frozen=True, slots=True)
class HostPoint:
    """The host at one instant. ``None``: not known."""

    at_ns: int
    volts: float | None
    undervoltage: bool | None
    dbm: float | None
    carrier: bool | None


@dataclass(frozen=True, slots=True)
class GatewayPage:
    """Everything of one gateway; lists newest first, `host` oldest first. `losses`: with the
    identity of their incident."""

    row: FleetRow
    first_seen_ns: int
    sessions: tuple[SessionRow, ...]
    boots: tuple[BootRow, ...]
    losses: tuple[tuple[str, Loss], ...]
    host: tuple[HostPoint, ...]


def gateway_page(db: sqlite3.Connection, name: str, span: Span | None) -> GatewayPage:
    """Return one gateway's page; `span` bounds what is shown over time, not the lists. ``None``:
    without the host's values.

    Raises: UnknownGatewayError.
    """
    gateway = gateway_pk(db, name)
    first_ns = db.execute("SELECT first_ns FROM gateway WHERE id = ?", (gateway,)).fetchone()[0]
    return GatewayPage(
        fleet.fleet_row(db, name),
        first_ns,
        _sessions(db, gateway),
        _boots(db, gateway),
        fleet.losses(db, name, Span(0, (1 << 63) - 1), MAX_LOSSES),
        () if span is None else host(db, name, span),
    )


def _sessions(db: sqlite3.Connection, gateway: int) -> tuple[SessionRow, ...]:
    rows = db.execute(
        "SELECT id, node, opened_ns, closed_ns, coalesce(side, ''), coalesce(cause, ''), code,"
        " coalesce(reason, ''), remote, proxy, json_extract(evidence, '$.last_message_age_s'),"
        " json_extract(evidence, '$.round_trip_s') FROM session WHERE gateway = ?"
        " ORDER BY opened_ns DESC LIMIT ?",
        (gateway, MAX_SESSIONS),
    ).fetchall()
    return tuple(SessionRow(*row) for row in rows)


def _boots(db: sqlite3.Connection, gateway: int) -> tuple[BootRow, ...]:
    offsets = Offsets(db)
    found: list[BootRow] = []
    for kind, t, received_ns, fields, boot in db.execute(
        "SELECT v.kind, v.t, v.received_ns, v.fields, e.boot FROM event v"
        " LEFT JOIN epoch e ON e.id = v.epoch WHERE v.gateway = ? AND v.kind IN (?, ?)"
        " ORDER BY v.id DESC LIMIT ?",
        (gateway, EventKind.BOOT_CLASSIFIED, EventKind.BOOT_REVISED, MAX_BOOTS),
    ).fetchall():
        said = json.loads(fields)
        offset = offsets.of(boot)
        found.append(
            BootRow(
                received_ns if t is None or offset.source == "none" else offset.wall_ns(t),
                str(said.get("class", "")),
                str(said.get("confidence", "")),
                str(said.get("evidence", "")),
                kind == EventKind.BOOT_REVISED,
            )
        )
    return tuple(found)


def host(db: sqlite3.Connection, name: str, span: Span) -> tuple[HostPoint, ...]:
    """Return the host's values over a span, at most about `POINTS` of them, oldest first."""
    offsets, layouts = Offsets(db), looks.Layouts(db)
    result: list[HostPoint] = []
    epochs = db.execute(
        "SELECT id, boot FROM epoch WHERE gateway = ? ORDER BY id DESC LIMIT ?",
        (gateway_pk(db, name), _MAX_EPOCHS),
    ).fetchall()
    by_boot: dict[int | None, list[looks.Raw]] = {}
    for epoch, boot in epochs:
        offset = offsets.of(boot)
        low, high = offset.ticks(span.from_ns), offset.ticks(span.to_ns)
        streams = [
            _Stream(stream, width, layout, low, high)
            for stream, schema, block, width in db.execute(
                "SELECT id, schema, block, span FROM stream WHERE epoch = ?", (epoch,)
            ).fetchall()
            if (layout := layouts.of(schema).get(block)) is not None and not layout.trace
        ]
        by_boot.setdefault(boot, []).extend(_picked(db, streams))
    for boot, raws in by_boot.items():
        offset = offsets.of(boot)
        result += [
            HostPoint(
                offset.wall_ns(look.source_time_ns // TICK_NS),
                look.volts,
                look.undervoltage,
                look.dbm,
                look.carrier,
            )
            for look in looks.put_together("", raws)
        ]
    return tuple(sorted(result, key=lambda point: point.at_ns))


@dataclass(frozen=True, slots=True)
class _Stream:
    pk: int
    width: int
    layout: looks.Layout
    low: int
    high: int


def _picked(db: sqlite3.Connection, streams: Sequence[_Stream]) -> Iterator[looks.Raw]:
    """Yield the rows of an epoch's streams, or, over a long span, of `POINTS` instants of it."""
    bounds = [bound for stream in streams if (bound := _bounds(db, stream)) is not None]
    if not bounds:
        return
    low, high = min(bound[0] for bound in bounds), max(bound[1] for bound in bounds)
    part = max(1, (high - low) // POINTS)
    for stream in streams:
        if part <= HOST_PERIOD_NS // TICK_NS:
            within = [(low, high)]
            yield from looks.raw_looks(db, stream.pk, stream.width, stream.layout, within)
            continue
        for t in range(low, high + 1, part):
            raw = _first_from(db, stream.pk, stream.layout, t)
            if raw is None or raw.t > high:
                break
            yield raw


def _bounds(db: sqlite3.Connection, stream: _Stream) -> tuple[int, int] | None:
    """Return the ticks of the first and the last row within a stream's range."""
    first, last = db.execute(
        "SELECT (SELECT t FROM strip WHERE stream = ?1 AND t >= ?2 ORDER BY t LIMIT 1),"
        " (SELECT t + span FROM strip WHERE stream = ?1 AND t <= ?3 ORDER BY t DESC LIMIT 1)",
        (stream.pk, stream.low - stream.width, stream.high),
    ).fetchone()
    if first is None or last is None:
        return None
    return max(stream.low, first), min(stream.high, last)


def _first_from(
    db: sqlite3.Connection, stream: int, layout: looks.Layout, t: int
) -> looks.Raw | None:
    """Return the first row at or after a tick: the same instant in every block of the host's."""
    for clause in ("t <= ? ORDER BY t DESC", "t > ? ORDER BY t"):
        row = db.execute(
            f"SELECT t, body FROM strip WHERE stream = ? AND {clause} LIMIT 1", (stream, t)
        ).fetchone()
        rows = [] if row is None else looks.decode(row[0], row[1], layout)
        for raw in rows:
            if raw.t >= t:
                return raw
    return None
