"""The newest reading of every point of a gateway, with its quality.

Owns the walk to the end of each stream; `store.readings` has the readings of a span. Bounded: the
newest epochs, the last strips of each of their streams.
"""

import sqlite3
from dataclasses import dataclass

from gateway.centre.store.queries import Offsets, gateway_pk
from gateway.centre.store.strips import unpack
from gateway.errors import RemoteProtocolError
from gateway.host.sample import TRACE_SOURCE
from gateway.reading import Cause, Schema
from gateway.wire.packing import DECIMALS
from gateway.wire.rows import decode_schema

EPOCHS = 4
LAST = 4
"""Strips looked at of each stream: strips may overlap."""
MAX_STREAMS = 1000
_CAUSES = {int(cause): cause for cause in Cause}


@dataclass(frozen=True, slots=True)
class Latest:
    """One point's newest reading. `value` is ``None`` when its quality is bad."""

    device: str
    point: str
    unit: str
    period_s: float
    time_ns: int
    value: object
    quality: str
    cause: str


def latest(db: sqlite3.Connection, name: str) -> tuple[Latest, ...]:
    """Return the newest reading of each point, by device and point. Raises: UnknownGatewayError."""
    offsets = Offsets(db)
    schemas: dict[int, Schema | None] = {}
    found: dict[tuple[str, str], Latest] = {}
    for stream, schema, block, boot in db.execute(
        "SELECT s.id, s.schema, s.block, e.boot FROM stream s JOIN epoch e ON e.id = s.epoch"
        " WHERE e.id IN (SELECT id FROM epoch WHERE gateway = ? ORDER BY id DESC LIMIT ?)"
        " ORDER BY e.id DESC, s.id LIMIT ?",
        (gateway_pk(db, name), EPOCHS, MAX_STREAMS),
    ).fetchall():
        if schema not in schemas:
            schemas[schema] = _schema(db, schema)
        known = schemas[schema]
        if known is None or block >= len(known.blocks):
            continue
        source = known.blocks[block]
        last = _last_row(db, stream)
        if last is None or source.source == TRACE_SOURCE:
            continue
        t, values, causes = last
        time_ns = offsets.of(boot).wall_ns(t)
        for index, point in enumerate(source.points[: len(values)]):
            key = source.source, point.name
            if key in found and found[key].time_ns >= time_ns:
                continue
            value, cause = values[index], _cause(causes, index)
            factor = DECIMALS.get(point.type, 1)
            if factor != 1 and type(value) is int:
                value = value / factor
            found[key] = Latest(
                source.source,
                point.name,
                point.unit,
                source.period_s,
                time_ns,
                value,
                cause.quality.name.lower(),
                "" if cause is Cause.NONE else cause.name.lower(),
            )
    return tuple(found[key] for key in sorted(found))


def _schema(db: sqlite3.Connection, pk: int) -> Schema | None:
    row = db.execute("SELECT body FROM schema WHERE id = ?", (pk,)).fetchone()
    try:
        return None if row is None else decode_schema(row[0])
    except RemoteProtocolError:
        return None


def _last_row(db: sqlite3.Connection, stream: int) -> tuple[int, list[object], object] | None:
    newest: tuple[int, list[object], object] | None = None
    for t, body in db.execute(
        "SELECT t, body FROM strip WHERE stream = ? ORDER BY t DESC, seq DESC LIMIT ?",
        (stream, LAST),
    ).fetchall():
        for dt, values, causes in unpack(body):
            if newest is None or t + dt > newest[0]:
                newest = t + dt, values, causes
    return newest


def _cause(causes: object, index: int) -> Cause:
    if causes is None:
        return Cause.NONE
    number = causes[index] if isinstance(causes, list) and index < len(causes) else causes
    return _CAUSES.get(number, Cause.UNKNOWN) if isinstance(number, int) else Cause.UNKNOWN
