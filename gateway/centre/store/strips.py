"""Strips: rows of one stream that came together, as one value of the store.

Owns the regrouping of ROWS payloads by (sid, block) and the bytes of a strip's body. Never touches
the database. A body is MessagePack ``[[dt, [values], causes?]...]``, dt in ticks from the strip's
`t`; values are kept as sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import msgpack

from gateway.reading import TICK_NS
from gateway.wire.limits import MAX_ARRAY, MAX_TICKS
from gateway.wire.record import HEADER_SIZE, Record

MAX_SPAN = 3600 * 1_000_000_000 // TICK_NS
"""Ticks one strip may span: a query looks this far back for a strip that reaches into its range."""
BODY = 900
"""Bytes aimed at for a body: more than a quarter of a page would take a page of its own."""
_SCALARS = frozenset((float, int, bool, str, type(None)))
"""Types of a value; anything else, nested as deep as it likes, is no reading."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of one (sid, block). `t`: ticks of the oldest row, `seq`: of the first record."""

    sid: int
    block: int
    t: int
    seq: int
    span: int
    rows: int
    body: bytes


class Regrouper:
    """Regroups the records of one epoch. Not for two threads at once."""

    def __init__(self) -> None:
        self._single = msgpack.Packer(use_single_float=True)
        self._double = msgpack.Packer()
        self._groups: dict[tuple[int, int], tuple[int, list[list[object]]]] = {}
        self._exact = True
        self.newest = -1

    def add(self, record: Record) -> bool:
        """Take a ROWS record; ``False``: its payload is none (and nothing of it was taken)."""
        payload = record.data[HEADER_SIZE:]
        try:
            head = msgpack.unpackb(payload, max_array_len=MAX_ARRAY)
            sid, time, rows = head[0], head[1], head[2]
            if type(sid) is not int or type(time) is not int or type(rows) is not list:
                return False
            times = []
            for row in rows:
                if (
                    type(row[0]) is not int
                    or type(row[1]) is not int
                    or type(row[2]) is not list
                    or not 0 <= row[0] <= MAX_ARRAY
                    or not _SCALARS.issuperset(map(type, row[2]))
                    or not (len(row) == 3 or _are_causes(row[3]))
                ):
                    return False
                time += row[1]  # from the row before it
                if not -MAX_TICKS <= time <= MAX_TICKS:
                    return False
                times.append(time)
        except (ValueError, TypeError, IndexError, KeyError, msgpack.UnpackException):
            return False
        # float32 holds what was sent exactly when packing it again gives the same bytes.
        if self._exact and self._single.pack(head) != payload:
            self._exact = False
        groups = self._groups
        for row, t in zip(rows, times, strict=True):
            row[1] = t
            del row[4:]  # elements of a later version, of whatever form
            key = (sid, row[0])
            group = groups.get(key)
            if group is None:
                groups[key] = (record.seq, [row])
            else:
                group[1].append(row)
            if t > self.newest:
                self.newest = t
        return True

    def strips(self) -> Iterator[Strip]:
        """Return and forget what was gathered."""
        pack: Callable[[object], bytes] = self._single.pack if self._exact else self._double.pack
        groups, self._groups, self._exact = self._groups, {}, True
        for (sid, block), (seq, rows) in groups.items():
            rows.sort(key=_time)
            most = max(1, BODY // (5 * len(cast(list[object], rows[0][2])) + 6))
            start = 0
            while start < len(rows):
                base = _time(rows[start])
                stop = _end_of_strip(rows, start, base, most)
                part = rows[start:stop]
                span = _time(part[-1]) - base
                for row in part:
                    row[1] = _time(row) - base
                    del row[0]
                yield Strip(sid, block, base, seq, span, len(part), pack(part))
                start = stop


def _end_of_strip(rows: list[list[object]], start: int, base: int, most: int) -> int:
    """Return where the strip that begins at `start` ends.

    Never between two rows of one time: (stream, t, seq) is the key.
    """
    stop = min(start + most, len(rows))
    while _time(rows[stop - 1]) - base > MAX_SPAN:
        stop -= 1
    last = _time(rows[stop - 1])
    while stop < len(rows) and _time(rows[stop]) == last:
        stop += 1
    return stop


def _are_causes(causes: object) -> bool:
    if type(causes) is list:
        return {int}.issuperset(map(type, causes))
    return causes is None or type(causes) is int


def _time(row: list[object]) -> int:
    return cast(int, row[1])


def unpack(body: bytes) -> list[tuple[int, list[object], object]]:
    """Return (dt, values, causes or ``None``) of every row of a body."""
    return [(row[0], row[1], row[2] if len(row) > 2 else None) for row in msgpack.unpackb(body)]
