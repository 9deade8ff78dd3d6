"""What is stored of an epoch, and what is lost of it: interval arithmetic.

Owns the bookkeeping both sides agree on (`docs/protocol.md` §Epochs). Intervals are inclusive
ranges of seqs; a normal list is ascending, disjoint and has no two that touch.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.wire.message import Interval


def normalise(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same seqs as a normal list."""
    result: list[Interval] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return result


def of_seqs(seqs: Iterable[int]) -> list[Interval]:
    """Return ascending seqs as a normal list."""
    result: list[Interval] = []
    first = last = 0
    for seq in seqs:
        if first and seq == last + 1:
            last = seq
            continue
        if first:
            result.append((first, last))
        first = last = seq
    if first:
        result.append((first, last))
    return result


def subtract(intervals: Iterable[Interval], taken: Sequence[Interval]) -> list[Interval]:
    """Return what of `intervals` (normal) is not in `taken` (normal)."""
    result = []
    for first, last in intervals:
        position = first
        for low, high in taken[bisect_left(taken, first, key=_last) :]:
            if low > last:
                break
            if low > position:
                result.append((position, low - 1))
            position = high + 1
        if position <= last:
            result.append((position, last))
    return result


def count(intervals: Iterable[Interval]) -> int:
    """Return how many seqs there are."""
    return sum(last - first + 1 for first, last in intervals)


def _last(interval: Interval) -> int:
    return interval[1]


class IntervalSet:
    """A set of seqs that grows and shrinks, kept as a normal list."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        normal = normalise(intervals)
        self._firsts = [first for first, _ in normal]
        self._lasts = [last for _, last in normal]

    def __iter__(self) -> Iterator[Interval]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Return the number of intervals, not of seqs."""
        return len(self._firsts)

    def __contains__(self, seq: int) -> bool:
        index = bisect_right(self._firsts, seq) - 1
        return index >= 0 and seq <= self._lasts[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]

    @property
    def last(self) -> int:
        """The highest seq; 0 when empty."""
        return self._lasts[-1] if self._lasts else 0

    def add(self, first: int, last: int) -> list[Interval]:
        """Add a range; return the parts of it that are new."""
        low = bisect_left(self._lasts, first - 1)  # the first that touches or follows
        high = bisect_right(self._firsts, last + 1)  # behind the last that touches
        new = subtract([(first, last)], self._slice(low, high))
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
        return new

    def discard(self, first: int, last: int) -> None:
        """Remove a range, whether there or not."""
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        rest = subtract(self._slice(low, high), [(first, last)])
        self._firsts[low:high] = [a for a, _ in rest]
        self._lasts[low:high] = [b for _, b in rest]

    def missing(self, first: int, last: int) -> list[Interval]:
        """Return the parts of a range that are not in the set."""
        return subtract([(first, last)], self.within(first, last))

    def within(self, first: int, last: int) -> list[Interval]:
        """Return the intervals that reach into a range, whole."""
        return self._slice(bisect_left(self._lasts, first), bisect_right(self._firsts, last))

    def _slice(self, low: int, high: int) -> list[Interval]:
        """Return some of the intervals; a copy of all would cost an epoch with many holes dear."""
        return list(zip(self._firsts[low:high], self._lasts[low:high], strict=True))


@dataclass(frozen=True, slots=True)
class Loss:
    """What the centre can say about an epoch whose agent may still hold some of it.

    `lost`: seqs that existed and that neither side has. `tail_from`: the epoch ended without END,
    so records from this seq on may have existed, how many is unknown; ``None``: it ended cleanly or
    is still being written.
    """

    lost: tuple[Interval, ...]
    tail_from: int | None


def loss(
    have: Iterable[Interval],
    end_seq: int | None,
    listed: tuple[int, Sequence[Interval]] | None,
    *,
    current: bool,
) -> Loss:
    """Judge an epoch at `Hello`.

    `have`: stored seqs and those a stored GAP covers. `end_seq`: the seq of END if stored.
    `listed`: (next_seq, available) as the agent said, ``None`` if it did not list the epoch (and
    its list was complete): it holds nothing of it. `current`: the epoch is being written now.

    The answer never grows when it is asked again after what was available has been stored: the
    centre replaces its earlier answer.
    """
    stored = normalise(have)
    next_seq, available = listed if listed is not None else (1, ())
    top = max(next_seq - 1, stored[-1][1] if stored else 0, end_seq or 0)
    known = normalise([*stored, *available])
    lost = subtract([(1, top)], known) if top else []
    closed = current or (end_seq is not None and end_seq == top)
    return Loss(tuple(lost), None if closed else top + 1)
