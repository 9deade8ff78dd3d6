"""Schemas and the payloads of records, as values and as bytes.

Owns the encodings of `docs/protocol.md` §Schemas and §Records: a schema is announced once and known
by its digest, a ROWS payload then holds nothing but native MessagePack values. Never keeps state
except `RowsBatch`, which gathers rows into one payload.
How values are packed is in `packing`.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import cast

import msgpack

from gateway.errors import RemoteProtocolError
from gateway.event import Event, Scalar
from gateway.reading import TICK_NS, Cause, Row, Schema, SchemaBlock, SchemaPoint, Value
from gateway.wire import strict
from gateway.wire.limits import (
    DIGEST_SIZE,
    MAX_ARRAY,
    MAX_BLOCKS,
    MAX_EPOCH,
    MAX_NAME,
    MAX_POINTS,
    MAX_SCHEMA_BODY,
    MAX_SEQ,
    MAX_SID,
    MAX_STRING_VALUE,
    MAX_TICKS,
    MAX_UNIT,
)
from gateway.wire.message import ClockReading, ClockSource, Gap
from gateway.wire.packing import DECIMALS, RowsPacker
from gateway.wire.record import HEADER_SIZE, MAX_PAYLOAD

TYPES = ("f32", "f64", "i64", "bool", "str", *DECIMALS)
"""What a point's values are packed as."""
_ACCEPTED: dict[str, frozenset[type]] = {
    "f32": frozenset((float, int, type(None))),
    "f64": frozenset((float, int, type(None))),
    "i64": frozenset((int, type(None))),
    "bool": frozenset((bool, type(None))),
    "str": frozenset((str, type(None))),
    **dict.fromkeys(DECIMALS, frozenset((float, int, type(None)))),
}
_KNOWN_CAUSES = {int(cause): cause for cause in Cause}
_ROW_OVERHEAD = 20
"""Upper bound of a row's bytes besides its values: header, block, dt, list header, causes."""


def _double(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


# --- schemas ------------------------------------------------------------------------------------


def encode_schema(schema: Schema) -> bytes:
    """Return the bytes of a schema: ``[[source, period_s, [[name, unit, type]...]]...]``.

    Raises: ValueError when it breaks a limit (too many points for one schema: use one per bus).
    """
    data = _double(
        [
            [b.source, float(b.period_s), [[p.name, p.unit, p.type] for p in b.points]]
            for b in schema.blocks
        ]
    )
    try:
        decode_schema(data)
    except RemoteProtocolError as error:
        raise ValueError(f"schema cannot be announced: {error}") from error
    return data


def decode_schema(data: bytes) -> Schema:
    """Read a schema. Raises: RemoteProtocolError."""
    if len(data) > MAX_SCHEMA_BODY:
        raise RemoteProtocolError(
            f"schema of {len(data)} bytes, limit {MAX_SCHEMA_BODY}", strict.TOO_BIG
        )
    blocks = strict.array(strict.unpack(data, "schema"), "schema", 0, MAX_BLOCKS)
    return Schema(tuple(_decode_block(block) for block in blocks))


def _decode_block(value: object) -> SchemaBlock:
    block = strict.array(value, "schema block", 3, MAX_ARRAY)
    points = strict.array(block[2], "schema points", 1, MAX_POINTS)
    return SchemaBlock(
        strict.text(block[0], "schema source", MAX_NAME),
        strict.number(block[1], "schema period_s", 1e9),
        tuple(_decode_point(point) for point in points),
    )


def _decode_point(value: object) -> SchemaPoint:
    point = strict.array(value, "schema point", 3, MAX_ARRAY)
    kind = strict.text(point[2], "point type", 8)
    if kind not in TYPES:
        raise RemoteProtocolError(f"point type {kind!r}: none of {' '.join(TYPES)}", 1007)
    return SchemaPoint(
        strict.text(point[0], "point name", MAX_NAME),
        strict.text(point[1], "point unit", MAX_UNIT),
        kind,
    )


def schema_digest(data: bytes) -> bytes:
    """Return what a schema is known by: the first 8 bytes of SHA-256 over its encoding."""
    return sha256(data).digest()[:DIGEST_SIZE]


# --- ROWS ---------------------------------------------------------------------------------------


def pack_rows(sid: int, rows: Sequence[Row], schema: Schema) -> bytes:
    """Pack rows once; `RowsPacker` is the form for many."""
    return RowsPacker(sid, schema).pack(rows)


class RowsBatch:
    """Gathers rows of one (sid, schema) until the driver takes them or a payload is full.

    The driver calls `take` `uplink.batch_s` after the first `add` (at once when that is 0).
    """

    __slots__ = ("_packer", "_rows", "_size", "readings")

    def __init__(self, sid: int, schema: Schema) -> None:
        self._packer = RowsPacker(sid, schema)
        self._rows: list[Row] = []
        self._size = 0
        self.readings = 0
        """Readings gathered and not taken."""

    def add(self, rows: Iterable[Row]) -> list[tuple[int, bytes]]:
        """Gather rows; return (readings, payload) of every payload that became full."""
        full = []
        for row in rows:
            size = _ROW_OVERHEAD + sum(
                9 if type(v) is not str else 5 + 4 * len(v) for v in row.values
            )
            if row.causes is not None:
                size += len(row.causes) + 3
            if self._rows and (
                self._size + size > MAX_PAYLOAD - 32 or len(self._rows) >= MAX_ARRAY
            ):
                full.extend(self.take())
            self._rows.append(row)
            self._size += size
            self.readings += len(row.values)
        return full

    def take(self) -> list[tuple[int, bytes]]:
        """Return what was gathered as at most one (readings, payload) and start anew."""
        if not self._rows:
            return []
        result = [(self.readings, self._packer.pack(self._rows))]
        self._rows = []
        self._size = self.readings = 0
        return result


def rows_sid(data: bytes, at: int = HEADER_SIZE) -> int | None:
    """Return the sid of a ROWS record, whose payload starts `at`, without decoding it; ``None`` if
    it has none."""
    room = len(data) - at
    if room < 2 or not 0x93 <= data[at] <= 0x9F:
        return None
    head = data[at + 1]
    if head < 0x80:
        return head
    if head == 0xCC and room > 2:
        return data[at + 2]
    if head == 0xCD and room > 3:
        return data[at + 2] << 8 | data[at + 3]
    return None


def unpack_rows(payload: bytes | memoryview, schema: Schema) -> list[Row]:
    """Read a ROWS payload strictly. Raises: RemoteProtocolError."""
    head = strict.unpack(payload, "ROWS")
    strict.array(head, "ROWS", 3, MAX_ARRAY)
    strict.integer(head[0], "sid", 0, MAX_SID)
    time = strict.integer(head[1], "t0", -MAX_TICKS, MAX_TICKS)
    rows = []
    for item in strict.array(head[2], "rows", 1, MAX_ARRAY):
        row = strict.array(item, "row", 3, MAX_ARRAY)
        time = strict.integer(row[1], "dt", -MAX_TICKS, MAX_TICKS) + time
        index = strict.integer(row[0], "block", 0, len(schema.blocks) - 1)
        rows.append(_unpack_row(row, index, time * TICK_NS, schema.blocks[index].points))
    return rows


def _unpack_row(
    row: list[object], block: int, source_time_ns: int, points: tuple[SchemaPoint, ...]
) -> Row:
    values = strict.array(row[2], "values", len(points), len(points))
    for i, (value, point) in enumerate(zip(values, points, strict=True)):
        kind = type(value)
        if kind not in _ACCEPTED[point.type]:
            raise RemoteProtocolError(
                f"{point.name}: {kind.__name__} for a point of type {point.type}", 1007
            )
        if kind is str:
            strict.text(value, point.name, MAX_STRING_VALUE)
        elif kind is int and point.type in DECIMALS:
            values[i] = cast(int, value) / DECIMALS[point.type]
    causes = _unpack_causes(row[3], len(points)) if len(row) > 3 else None
    if causes is None and None in values:
        raise RemoteProtocolError(f"block {block}: nil without a cause", 1007)
    return Row(block, source_time_ns, cast(tuple[Value, ...], tuple(values)), causes)


def _unpack_causes(value: object, count: int) -> tuple[Cause, ...] | None:
    if value is None:
        return None
    if type(value) is int:
        return (_cause(value),) * count
    return tuple(_cause(item) for item in strict.array(value, "causes", count, count))


def _cause(value: object) -> Cause:
    number = strict.integer(value, "cause", 0, 255)
    return _KNOWN_CAUSES.get(number, Cause.UNKNOWN)


# --- the other payloads -------------------------------------------------------------------------


def pack_event(event: Event) -> bytes:
    """Return the payload ``[t, kind, {field: scalar}]``."""
    return _double([event.source_time_ns // TICK_NS, str(event.kind), dict(event.fields)])


def unpack_event(payload: bytes | memoryview) -> tuple[int, str, tuple[tuple[str, Scalar], ...]]:
    """Return (source_time_ns, kind, fields); a kind this version does not know is kept.

    Raises: RemoteProtocolError.
    """
    event = strict.array(strict.unpack(payload, "EVENT"), "EVENT", 3, MAX_ARRAY)
    return (
        strict.integer(event[0], "EVENT time", -MAX_TICKS, MAX_TICKS) * TICK_NS,
        strict.text(event[1], "EVENT kind", MAX_NAME),
        strict.pairs(event[2], "EVENT fields"),
    )


def pack_gap(gap: Gap) -> bytes:
    """Return the payload ``[epoch, from, to, reason, t_from, t_to, readings]``."""
    return _double(
        [
            gap.epoch,
            gap.first,
            gap.last,
            int(gap.reason),
            gap.from_ns // TICK_NS,
            gap.to_ns // TICK_NS,
            gap.readings,
        ]
    )


def unpack_gap(payload: bytes | memoryview) -> Gap:
    """Read a GAP payload. Raises: RemoteProtocolError."""
    gap = strict.array(strict.unpack(payload, "GAP"), "GAP", 7, MAX_ARRAY)
    first = strict.integer(gap[1], "GAP from", 1)
    return Gap(
        strict.integer(gap[0], "GAP epoch", 0, MAX_EPOCH),
        first,
        strict.integer(gap[2], "GAP to", first, MAX_SEQ),
        strict.integer(gap[3], "GAP reason", 0, 255),
        strict.integer(gap[4], "GAP t_from", -MAX_TICKS, MAX_TICKS) * TICK_NS,
        strict.integer(gap[5], "GAP t_to", -MAX_TICKS, MAX_TICKS) * TICK_NS,
        strict.integer(gap[6], "GAP readings", -1),
    )


def pack_anchor(anchor: ClockReading) -> bytes:
    """Return the payload ``[boottime_ns, wall_ns, source, error_us]``."""
    return _double([anchor.boottime_ns, anchor.wall_ns, int(anchor.source), anchor.error_us])


def unpack_anchor(payload: bytes | memoryview) -> ClockReading:
    """Read an ANCHOR payload. Raises: RemoteProtocolError."""
    return clock_reading(strict.unpack(payload, "ANCHOR"), "ANCHOR")


def clock_reading(value: object, what: str) -> ClockReading:
    """Check a clock reading as it stands in ANCHOR, `Hello` and `Heartbeat`."""
    clock = strict.array(value, what, 4, MAX_ARRAY)
    return ClockReading(
        strict.integer(clock[0], f"{what} boottime_ns", 0),
        strict.integer(clock[1], f"{what} wall_ns", 0),
        ClockSource(strict.integer(clock[2], f"{what} source", 0, max(ClockSource))),
        strict.integer(clock[3], f"{what} error_us", -1),
    )


def pack_end() -> bytes:
    """Return the payload of END: an empty array."""
    return b"\x90"
