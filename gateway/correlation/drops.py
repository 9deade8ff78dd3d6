"""Drops of `ws_active_connections` beyond the usual churn.

Owns when a fall of the gauge counts, where it starts and when it is over; and the dips that only
`ws_connection_total` shows, because everybody was back before the next sample. Linear in the
samples: what is usual is kept in a window of fixed size.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil

from gateway.correlation.evidence import Sample
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import Drop

WINDOW = 300
"""Samples that say what is usual: five minutes of the centre's own."""
SPREADS = 5.0
"""How many times the usual spread a fall must be, to be a drop."""
LEVEL = 15
"""As many samples near one value are a level: what falls from it is a drop of its own."""
CHURN = 4.0
"""A drop no deeper than so many limits may be churn: it is told, and is usual from then on."""
HELD = 60
"""Seconds a sample speaks for: a centre writes one a minute when nothing changes."""
LEAST_HIDDEN = 2
"""A dip that no sample shows counts from this many sessions."""
_SIGMA = 1.4826
"""One sigma of normal noise in MADs."""


class _Usual:
    """Median and spread of the last `WINDOW` values."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._sorted: list[int] = []

    def add(self, value: int) -> None:
        """Take a value, forget the oldest."""
        if len(self._order) == WINDOW:
            self._sorted.pop(bisect_left(self._sorted, self._order.popleft()))
        self._order.append(value)
        insort(self._sorted, value)

    def become(self, values: Iterable[int]) -> None:
        """Forget everything but these."""
        self._order = deque(values)
        self._sorted = sorted(self._order)

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def median(self) -> int:
        """The level; not of an empty window."""
        return self._sorted[len(self._sorted) // 2]

    @property
    def spread(self) -> float:
        """One sigma: half the distance of the quartiles is the MAD of symmetric noise."""
        values = self._sorted
        if not values:
            return 0.0
        return _SIGMA * (values[len(values) * 3 // 4] - values[len(values) // 4]) / 2


class _Open:
    """A drop that is not over. `whole`: the gauge at which it is; `saved`: what was usual before;
    `seen`: its samples, for a small one may be churn that was not known yet."""

    __slots__ = ("before", "bottom", "bottom_ns", "limit", "saved", "seen", "started_ns", "whole")

    def __init__(self, started_ns: int, saved: _Usual, limit: float, sample: Sample) -> None:
        self.started_ns = started_ns
        self.saved = saved
        self.before = saved.median
        self.limit = limit
        self.whole = ceil(self.before - limit / 2)
        self.bottom, self.bottom_ns = sample.active, sample.at_ns
        self.seen = deque([sample.active], maxlen=WINDOW // 4)

    def follow(self, sample: Sample) -> None:
        """See a sample while the drop lasts."""
        self.seen.append(sample.active)
        if sample.active < self.bottom:
            self.bottom, self.bottom_ns = sample.active, sample.at_ns

    def usual(self) -> _Usual:
        """Return what is usual when it is over."""
        if self.before - self.bottom <= CHURN * self.limit:
            for value in self.seen:
                self.saved.add(value)
        return self.saved

    def close(self, recovered_ns: int | None) -> Drop:
        """Return it as it was."""
        return Drop(self.started_ns, self.bottom_ns, recovered_ns, self.before, self.bottom)


class _Gauge:
    """Follows the gauge. Without a level (while it falls or rises) nothing new begins."""

    def __init__(self) -> None:
        self._usual = _Usual()
        self._lately: deque[int] = deque(maxlen=LEVEL)
        self._recent: deque[Sample] = deque(maxlen=4 * LEVEL)
        self._least = 1.0
        self._open: list[_Open] = []
        self._behind: deque[int] = deque(maxlen=WINDOW)
        """What the gauge was since the last drop began and without a level."""

    def see(self, sample: Sample) -> Iterator[Drop]:
        """Take the next sample; yield the drops that are over with it."""
        while self._open and sample.active >= self._open[-1].whole:
            over = self._open.pop()
            self._usual = over.usual()
            self._least = self._open[-1].limit if self._open else 1.0
            yield over.close(sample.at_ns)
        limit = max(self._least, SPREADS * self._usual.spread)
        if self._usual and self._usual.median - sample.active >= limit:
            self._begin(sample, limit)
        else:
            if self._open:
                self._open[-1].follow(sample)
            if self._usual:
                self._usual.add(sample.active)
            else:
                self._settle(sample.active)
        self._lately.append(sample.active)
        self._recent.append(sample)
        self._level(limit)

    def left(self) -> Iterator[Drop]:
        """Yield the drops that are not over, the innermost first."""
        while self._open:
            yield self._open.pop().close(None)

    def _begin(self, sample: Sample, limit: float) -> None:
        """A drop began behind the last sample that was at the level still."""
        level = self._usual.median
        started = next((s for s in reversed(self._recent) if s.active >= level), self._recent[-1])
        self._open.append(_Open(started.at_ns, self._usual, limit, sample))
        self._usual = _Usual()
        self._lately.clear()
        self._behind.clear()
        self._least = limit

    def _settle(self, active: int) -> None:
        """Take a whole window without a level as usual, noise and all: a fleet that has become
        smaller, or less quiet, must not hide what falls next."""
        self._behind.append(active)
        if len(self._behind) == WINDOW:
            self._usual.become(self._behind)
            self._behind.clear()

    def _level(self, limit: float) -> None:
        """Take what the gauge has stood at for a while as the level: at first, in a drop, and when
        the fleet has grown."""
        values = self._lately
        if len(values) < LEVEL or max(values) - min(values) >= max(2.0, limit):
            return
        if not self._usual or sorted(values)[LEVEL // 2] - self._usual.median >= limit:
            self._usual.become(values)


def find_drops(series: Iterable[Sample]) -> tuple[Drop, ...]:
    """Return the drops in order of their start. The order of the samples means nothing."""
    samples = _in_order(series)
    gauge = _Gauge()
    found = [drop for sample in _each_second(samples) for drop in gauge.see(sample)]
    found += gauge.left()
    found.sort(key=_start)
    found += _hidden(samples, found)
    return tuple(sorted(found, key=_start))


def _start(drop: Drop) -> tuple[int, int, bool]:
    return drop.started_ns, drop.bottom_ns, drop.hidden


def _in_order(series: Iterable[Sample]) -> list[Sample]:
    """Return one sample for each instant; of two for the same, the lower."""
    found: dict[int, Sample] = {}
    for sample in series:
        known = found.get(sample.at_ns)
        if known is None or _rank(sample) < _rank(known):
            found[sample.at_ns] = sample
    return [found[at_ns] for at_ns in sorted(found)]


def _rank(sample: Sample) -> tuple[int, int]:
    return sample.active, -1 if sample.opened_total is None else sample.opened_total


def _each_second(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the samples and the seconds between them: a centre stores what changes, and what is
    usual is counted in seconds. A sample speaks for `HELD` seconds at most."""
    for sample, following in pairwise(samples):
        yield sample
        seconds = min(HELD, (following.at_ns - sample.at_ns - 1) // SECOND_NS)
        for second in range(1, seconds + 1):
            at_ns = sample.at_ns + second * SECOND_NS
            yield Sample(at_ns, sample.active, sample.opened_total)
    yield from samples[-1:]


def _hidden(samples: Sequence[Sample], visible: Sequence[Drop]) -> Iterator[Drop]:
    """Yield the dips between two samples: more sessions ended than the gauge fell."""
    usual = _Usual()
    waiting: Drop | None = None
    place = known_s = 0
    for before, sample in pairwise(samples):
        closed = _closed(before, sample)
        if closed is None:
            continue
        limit = max(LEAST_HIDDEN, SPREADS * usual.spread)
        counts = known_s >= LEVEL and closed - (usual.median if usual else 0) >= limit
        usual.add(closed)
        known_s += min(HELD, (sample.at_ns - before.at_ns) // SECOND_NS)
        while place < len(visible) and _end(visible[place]) < before.at_ns:
            place += 1
        seen = place < len(visible) and visible[place].started_ns <= sample.at_ns
        if not counts or seen or before.active == 0:
            continue
        bottom = max(0, before.active - closed)
        drop = Drop(before.at_ns, sample.at_ns, sample.at_ns, before.active, bottom, True)
        if waiting is not None and waiting.recovered_ns == before.at_ns:
            drop = _joined(waiting, drop)
        elif waiting is not None:
            yield waiting
        waiting = drop
    if waiting is not None:
        yield waiting


def _closed(before: Sample, sample: Sample) -> int | None:
    """Return how many sessions ended between two samples; ``None``: not known, or the counter
    began anew with its process."""
    if before.opened_total is None or sample.opened_total is None:
        return None
    opened = sample.opened_total - before.opened_total
    return None if opened < 0 else max(0, opened - (sample.active - before.active))


def _end(drop: Drop) -> int:
    """Return until when a drop explains what ends: back to whole, or its bottom."""
    return drop.bottom_ns if drop.recovered_ns is None else drop.recovered_ns


def _joined(first: Drop, second: Drop) -> Drop:
    """One dip across two intervals: of each, as many sessions ended."""
    ended = (first.before - first.bottom) + (second.before - second.bottom)
    bottom = max(0, first.before - ended)
    return Drop(first.started_ns, second.bottom_ns, second.recovered_ns, first.before, bottom, True)
