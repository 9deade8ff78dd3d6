"""Which seqs of an epoch are stored, and what of it the ledger table does not show yet.

Owns the changes only: the arithmetic is `wire.ledger`'s, which the model of the protocol proves.
Never touches the database.
"""

from collections.abc import Iterable

from gateway.wire.ledger import IntervalSet
from gateway.wire.message import Interval


class Have(IntervalSet):
    """The intervals of one epoch. Not for two threads."""

    __slots__ = ("_changed", "_gone")

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        super().__init__(intervals)
        self._changed: set[int] = set()
        self._gone: set[int] = set()

    def add(self, first: int, last: int) -> list[Interval]:
        """Count `first` to `last` as stored; return the parts of it that are new."""
        if self._lasts and first == self._lasts[-1] + 1:  # one more at the end: by far the most
            self._lasts[-1] = last
            self._changed.add(self._firsts[-1])
            return [(first, last)]
        touching = self.within(first - 1, last + 1)
        new = super().add(first, last)
        if new:
            gone = {low for low, _ in touching}
            start = min(first, touching[0][0]) if touching else first
            gone.discard(start)
            self._gone |= gone
            self._gone.discard(start)
            self._changed -= gone
            self._changed.add(start)
        return new

    def take_changes(self) -> tuple[list[Interval], list[int]]:
        """Return (intervals to write, first seqs to delete) since the last call."""
        written = [interval for first in self._changed for interval in self.within(first, first)]
        gone = list(self._gone)
        self._changed.clear()
        self._gone.clear()
        return written, gone
