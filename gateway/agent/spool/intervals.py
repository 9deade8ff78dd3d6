"""Sets of seq as sorted, disjoint, inclusive intervals.

Owns the arithmetic of what is held and what is acked; an ack list costs 2 numbers per interval
however many records it covers. Never knows what a seq stands for. Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from gateway.wire.message import Interval


class Intervals:
    """A mutable set of non-negative integers, kept as intervals; touching intervals are merged."""

    __slots__ = ("_first", "_last")

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in intervals:
            self.add(first, last)

    def __bool__(self) -> bool:
        return bool(self._first)

    def __iter__(self) -> Iterator[Interval]:
        return iter(list(zip(self._first, self._last, strict=True)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return self._first == other._first and self._last == other._last

    def __repr__(self) -> str:
        return f"Intervals({list(self)})"

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._first, seq) - 1
        return at >= 0 and seq <= self._last[at]

    def copy(self) -> "Intervals":
        """Return an independent copy."""
        twin = Intervals()
        twin._first = self._first.copy()
        twin._last = self._last.copy()
        return twin

    def pairs(self) -> tuple[Interval, ...]:
        """Return the intervals, ascending."""
        return tuple(zip(self._first, self._last, strict=True))

    def count(self) -> int:
        """Return how many numbers are in the set."""
        return sum(self._last) - sum(self._first) + len(self._first)

    def fragments(self) -> int:
        """Return how many intervals the set takes."""
        return len(self._first)

    @property
    def first(self) -> int:
        """The smallest member. Raises: IndexError when empty."""
        return self._first[0]

    @property
    def last(self) -> int:
        """The largest member. Raises: IndexError when empty."""
        return self._last[-1]

    def add(self, first: int, last: int) -> None:
        """Put first..last (inclusive) into the set; nothing when last < first."""
        if last < first:
            return
        if not self._first or first > self._last[-1] + 1:  # the usual case: appended at the end
            self._first.append(first)
            self._last.append(last)
            return
        low = bisect_left(self._last, first - 1)
        high = bisect_right(self._first, last + 1)
        if low < high:
            first = min(first, self._first[low])
            last = max(last, self._last[high - 1])
        self._first[low:high] = [first]
        self._last[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Take first..last (inclusive) out of the set."""
        if last < first:
            return
        low = bisect_left(self._last, first)
        high = bisect_right(self._first, last)
        if low >= high:
            return
        firsts: list[int] = []
        lasts: list[int] = []
        if self._first[low] < first:
            firsts.append(self._first[low])
            lasts.append(first - 1)
        if self._last[high - 1] > last:
            firsts.append(last + 1)
            lasts.append(self._last[high - 1])
        self._first[low:high] = firsts
        self._last[low:high] = lasts

    def update(self, intervals: Iterable[Interval]) -> None:
        """Put every interval into the set."""
        for first, last in intervals:
            self.add(first, last)

    def subtract(self, intervals: Iterable[Interval]) -> None:
        """Take every interval out of the set."""
        for first, last in intervals:
            self.remove(first, last)

    def within(self, first: int, last: int) -> "Intervals":
        """Return the members that lie in first..last (inclusive)."""
        low = bisect_left(self._last, first)
        high = bisect_right(self._first, last)
        part = Intervals()
        if low < high and first <= last:
            part._first = self._first[low:high]
            part._last = self._last[low:high]
            part._first[0] = max(part._first[0], first)
            part._last[-1] = min(part._last[-1], last)
        return part

    def common(self, other: "Intervals") -> "Intervals":
        """Return the members that are in both sets."""
        both = Intervals()
        for first, last in zip(self._first, self._last, strict=True):
            part = other.within(first, last)
            both._first += part._first
            both._last += part._last
        return both
