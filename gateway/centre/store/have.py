"""Which seqs of an epoch are stored: sorted, disjoint, inclusive intervals.

Owns the merging and remembers which intervals the ledger table does not show yet. Never touches
the database.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from gateway.wire.message import Interval


class Have:
    """The intervals of one epoch. Not for two threads."""

    __slots__ = ("_firsts", "_lasts", "changed", "gone")

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        ordered = sorted(intervals)
        self._firsts = [first for first, _ in ordered]
        self._lasts = [last for _, last in ordered]
        self.changed: set[int] = set()
        self.gone: set[int] = set()

    @property
    def top(self) -> int:
        """The highest seq stored, 0 if none."""
        return self._lasts[-1] if self._lasts else 0

    def intervals(self) -> list[Interval]:
        """Return the intervals, ascending."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    def add(self, first: int, last: int) -> None:
        """Count `first` to `last` as stored, whatever of it already is."""
        firsts, lasts = self._firsts, self._lasts
        low = bisect_right(firsts, first)
        if low and lasts[low - 1] >= first - 1:
            low -= 1
        high = bisect_right(firsts, last + 1)
        if low < high:
            merged = (min(first, firsts[low]), max(last, lasts[high - 1]))
            self.gone.update(firsts[low:high])
        else:
            merged = (first, last)
        firsts[low:high] = [merged[0]]
        lasts[low:high] = [merged[1]]
        self.gone.discard(merged[0])
        self.changed -= self.gone
        self.changed.add(merged[0])

    def take_changes(self) -> tuple[list[Interval], list[int]]:
        """Return (intervals to write, first seqs to delete) since the last call."""
        written = []
        for first in self.changed:
            written.append((first, self._lasts[bisect_right(self._firsts, first) - 1]))
        gone = list(self.gone)
        self.changed, self.gone = set(), set()
        return written, gone


def runs(seqs: Sequence[int]) -> list[Interval]:
    """Coalesce seqs into intervals; they need not be sorted."""
    if not seqs:
        return []
    if seqs[-1] - seqs[0] + 1 == len(seqs) and all(b - a == 1 for a, b in itertools.pairwise(seqs)):
        return [(seqs[0], seqs[-1])]
    result: list[Interval] = []
    for seq in sorted(set(seqs)):
        if result and result[-1][1] == seq - 1:
            result[-1] = (result[-1][0], seq)
        else:
            result.append((seq, seq))
    return result
