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
from gateway.wire.limits import MAX_ARRAY
from gateway.wire.record import HEADER_SIZE, Record

MAX_SPAN = 3600 * 1_000_000_000 // TICK_NS
"""Ticks one strip may span: a query looks this far back for a strip that reaches into its range."""
_LIMIT = 1 << 61


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
                ):
                    return False
                time += row[1]  # from the row before it
                if not -_LIMIT < time < _LIMIT:
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
            times = cast(list[int], [row[1] for row in rows])
            low, high = min(times), max(times)
            if high - low <= MAX_SPAN:
                yield _strip(pack, sid, block, seq, low, high, rows)
                continue
            rows.sort(key=_time)
            start = 0
            for at in range(1, len(rows) + 1):
                base = _time(rows[start])
                if at == len(rows) or _time(rows[at]) - base > MAX_SPAN:
                    part = rows[start:at]
                    yield _strip(pack, sid, block, seq, base, _time(part[-1]), part)
                    start = at


def _time(row: list[object]) -> int:
    return cast(int, row[1])


def _strip(
    pack: Callable[[object], bytes],
    sid: int,
    block: int,
    seq: int,
    low: int,
    high: int,
    rows: list[list[object]],
) -> Strip:
    for row in rows:
        row[1] = _time(row) - low
        del row[0]
    return Strip(sid, block, low, seq, high - low, len(rows), pack(rows))


def unpack(body: bytes) -> list[tuple[int, list[object], object]]:
    """Return (dt, values, causes or ``None``) of every row of a body."""
    return [(row[0], row[1], row[2] if len(row) > 2 else None) for row in msgpack.unpackb(body)]
