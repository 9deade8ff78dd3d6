"""Readings of one point over a time range, in order of time, in bounded steps.

Owns the walk through the strips of every epoch that holds the point. Times are wall times by each
boot's best anchor, applied here and nowhere stored.
"""

import heapq
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.centre.store.queries import Offsets, Span, gateway_pk
from gateway.centre.store.strips import unpack
from gateway.errors import RemoteProtocolError
from gateway.reading import TICK_NS, Cause
from gateway.wire.packing import DECIMALS
from gateway.wire.rows import decode_schema

PAGE = 64
"""Strips of one step."""
_CAUSES = {int(cause): cause for cause in Cause}


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading. `time_source` says whose clock `time_ns` rests on (`times.Offset`)."""

    time_ns: int
    source_time_ns: int
    value: object
    quality: str
    cause: str
    time_source: str


@dataclass(frozen=True, slots=True)
class _Stream:
    pk: int
    span: int
    index: int
    factor: int
    """What an integer is divided by: 1, or a power of ten (types ``d1`` to ``d9``)."""


def readings(
    db: sqlite3.Connection, name: str, point: str, span: Span
) -> Iterator[list[StoredReading]]:
    """Yield pages of the readings of ``device.point``, boot by boot, oldest first.

    No statement stays open between two pages. Raises: UnknownGatewayError.
    """
    gateway = gateway_pk(db, name)
    places = _places(db, gateway, point)
    offsets = Offsets(db)
    epochs = db.execute(
        "SELECT id, boot FROM epoch WHERE gateway = ? ORDER BY boot, id", (gateway,)
    ).fetchall()
    for epoch, boot in epochs:
        offset = offsets.of(boot)
        low, high = offset.ticks(span.from_ns), offset.ticks(span.to_ns)
        streams = [
            _Stream(pk, width, *places[schema, block])
            for pk, schema, block, width in db.execute(
                "SELECT id, schema, block, span FROM stream WHERE epoch = ?", (epoch,)
            ).fetchall()
            if (schema, block) in places
        ]
        rows = heapq.merge(*(_rows(db, stream, low, high) for stream in streams), key=_ticks)
        page: list[StoredReading] = []
        for ticks, value, cause in rows:
            page.append(
                StoredReading(
                    offset.wall_ns(ticks),
                    ticks * TICK_NS,
                    value,
                    cause.quality.name.lower(),
                    cause.name.lower(),
                    offset.source,
                )
            )
            if len(page) >= 1000:
                yield page
                page = []
        if page:
            yield page


def _ticks(row: tuple[int, object, Cause]) -> int:
    return row[0]


def _places(
    db: sqlite3.Connection, gateway: int, point: str
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return (schema, block) → index of the point in the block, and what divides its integers."""
    places = {}
    for pk, body in db.execute(
        "SELECT DISTINCT c.id, c.body FROM epoch e JOIN binding b ON b.epoch = e.id"
        " JOIN schema c ON c.id = b.schema WHERE e.gateway = ?",
        (gateway,),
    ).fetchall():
        try:
            schema = decode_schema(body)
        except RemoteProtocolError:
            continue
        for number, block in enumerate(schema.blocks):
            for index, item in enumerate(block.points):
                if f"{block.source}.{item.name}" == point:
                    places[pk, number] = index, DECIMALS.get(item.type, 1)
    return places


def _rows(
    db: sqlite3.Connection, stream: _Stream, low: int, high: int
) -> Iterator[tuple[int, object, Cause]]:
    """Yield (ticks, value, cause) of one stream in order of time; strips may overlap."""
    waiting: list[tuple[int, int, object, Cause]] = []
    count = 0
    at = (low - stream.span, -1)
    while True:
        strips = db.execute(
            "SELECT t, seq, body FROM strip WHERE stream = ? AND (t, seq) > (?, ?) AND t <= ?"
            " ORDER BY t, seq LIMIT ?",
            (stream.pk, *at, high, PAGE),
        ).fetchall()
        for t, seq, body in strips:
            while waiting and waiting[0][0] < t:
                ticks, _, value, cause = heapq.heappop(waiting)
                yield ticks, value, cause
            for dt, values, causes in unpack(body):
                if low <= t + dt <= high and stream.index < len(values):
                    count += 1  # keeps the heap from comparing values
                    value = values[stream.index]
                    if stream.factor != 1 and type(value) is int:
                        value = value / stream.factor
                    heapq.heappush(waiting, (t + dt, count, value, _cause(causes, stream.index)))
            at = (t, seq)
        if len(strips) < PAGE:
            break
    while waiting:
        ticks, _, value, cause = heapq.heappop(waiting)
        yield ticks, value, cause


def _cause(causes: object, index: int) -> Cause:
    """Return a reading's cause as `docs/protocol.md` packs it: absent, one for all, a list."""
    if causes is None:
        return Cause.NONE
    number = causes[index] if isinstance(causes, list) and index < len(causes) else causes
    return _CAUSES.get(number, Cause.UNKNOWN) if isinstance(number, int) else Cause.UNKNOWN
