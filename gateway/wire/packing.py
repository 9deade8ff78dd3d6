"""How the values of rows become bytes, fast.

Owns the ROWS payload's writing side (`rows` reads it).

Points of type ``f32`` are packed as float32, ``f64`` as float64. A packer of the msgpack library
packs every float alike, so a block that mixes both is spliced from runs of each. Type ``d1`` to
``d9`` is a decimal fraction with that many places (a scaled integer register): packed as the
integer, 23.4 as 234, which is shorter than any float and exact.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import cast

import msgpack

from gateway.reading import TICK_NS, Cause, Row, Schema, SchemaPoint, Value

DECIMALS = {f"d{places}": 10**places for places in range(1, 10)}
"""Types of scaled integers: the factor from value to integer."""


class RowsPacker:
    """Packs rows of one (sid, schema) into ROWS payloads. Not for two threads at once."""

    __slots__ = ("_double", "_plans", "_single", "sid")

    def __init__(self, sid: int, schema: Schema) -> None:
        self.sid = sid
        self._single = msgpack.Packer(use_single_float=True)
        self._double = msgpack.Packer()
        self._plans = tuple(_plan(block.points) for block in schema.blocks)

    def pack(self, rows: Sequence[Row]) -> bytes:
        """Return the payload ``[sid, t0, [[block, dt, [values], causes?]...]]``."""
        previous = t0 = rows[0].source_time_ns // TICK_NS
        packed_rows: list[tuple[object, ...]] = []
        spliced = False
        for row in rows:
            ticks = row.source_time_ns // TICK_NS
            values: Sequence[Value] = row.values
            plan = self._plans[row.block]
            if plan is not None:
                values, doubles = plan.scale(values)
                spliced |= doubles
            if row.causes is None:
                packed_rows.append((row.block, ticks - previous, values))
            else:
                packed_rows.append((row.block, ticks - previous, values, _causes(row.causes)))
            previous = ticks
        if spliced:
            return self._splice(t0, packed_rows)
        packed: bytes = self._single.pack((self.sid, t0, packed_rows))
        return packed

    def _splice(self, t0: int, rows: list[tuple[object, ...]]) -> bytes:
        single, double = self._single.pack, self._double.pack
        parts = [b"\x93", single(self.sid), single(t0), _array_header(len(rows))]
        for row in rows:
            plan = self._plans[cast(int, row[0])]
            if plan is None:
                parts.append(single(row))
                continue
            values = cast(Sequence[Value], row[2])
            parts += (_array_header(len(row)), single(row[0]), single(row[1]))
            parts.append(_array_header(len(values)))
            for wide, start, stop in plan.runs:
                parts.extend(map(double if wide else single, values[start:stop]))
            parts.extend(map(single, row[3:]))
        return b"".join(parts)


class _Plan:
    """How to pack a block that is not all float32, integers, bools and texts."""

    __slots__ = ("_factors", "_has_f64", "runs")

    def __init__(self, points: tuple[SchemaPoint, ...]) -> None:
        self._factors = tuple(DECIMALS.get(point.type) for point in points)
        self._has_f64 = any(point.type == "f64" for point in points)
        wide = [p.type == "f64" or p.type in DECIMALS for p in points]
        self.runs = _runs(wide)

    def scale(self, values: Sequence[Value]) -> tuple[Sequence[Value], bool]:
        """Return the values with decimals as integers, and whether any must be a float64."""
        factors = self._factors
        doubles = self._has_f64
        result: list[Value] = []
        for value, factor in zip(values, factors, strict=True):
            if factor is not None and type(value) is float:
                scaled = value * factor
                if -1e15 < scaled < 1e15 and abs((whole := round(scaled)) - scaled) < 1e-5:
                    result.append(whole)
                    continue
                doubles = True
            elif factor is not None and value is not None:
                result.append(cast(int, value) * factor)
                continue
            result.append(value)
        return result, doubles


def _plan(points: tuple[SchemaPoint, ...]) -> _Plan | None:
    return _Plan(points) if any(p.type == "f64" or p.type in DECIMALS for p in points) else None


def _runs(wide: list[bool]) -> tuple[tuple[bool, int, int], ...]:
    """Return (wide, start, stop) of the runs of points that one packer packs."""
    runs = []
    start = 0
    for flag, group in groupby(wide):
        stop = start + len(list(group))
        runs.append((flag, start, stop))
        start = stop
    return tuple(runs)


def _causes(causes: tuple[Cause, ...]) -> int | list[int]:
    first = causes[0]
    if all(cause is first for cause in causes):
        return int(first)
    return [int(cause) for cause in causes]


def _array_header(length: int) -> bytes:
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2, "big")
