"""`ws_active_connections` out of Prometheus: several nodes, one series of samples.

Owns which questions are asked, the step, and what a missing value means. Every node is asked for
by itself and summed here, because a sum made there cannot say whose part of it went missing:

- A node that is missing while Prometheus was scraping counts as 0: it was down (its target's
  series end with a staleness marker at the first failed scrape). `missing` says who and when.
- Where Prometheus itself has nothing at all (`count(up)` is empty too) there is no sample. A
  server that never has `up` is taken to have been scraping.
- `ws_connection_total` is added up node by node over restarts, as `increase()` does it, but
  without its extrapolation: an exact number of connections between two samples.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from gateway.correlation.evidence import Sample
from gateway.errors import PrometheusError
from gateway.process.prometheus import MAX_POINTS, Labels, Prometheus, Series

GAUGE = "ws_active_connections"
COUNTER = "ws_connection_total"
DEFAULT_QUERY = GAUGE
MAX_SAMPLES = 250_000
"""Samples of the whole time looked at; a longer time is looked at in larger steps."""
MAX_ANSWER_POINTS = 200_000
"""Points of all series that one request asks for."""
USUAL_SCRAPE_NS = 15_000_000_000
MAX_QUERY = 4000
MAX_ACTIVE = 1e9
_MS = 1_000_000
_S = 1_000_000_000
_LOOK_BACK = ("10m", 600 * _S)


@dataclass(frozen=True, slots=True)
class Missing:
    """A node without values from `from_ns` (its last step with one) to `to_ns` (the next one;
    ``None``: until the end); `active` was its last value."""

    node: str
    from_ns: int
    to_ns: int | None
    active: int


@dataclass(frozen=True, slots=True)
class Connections:
    """The series, oldest first. `scrape_ns` ``None``: not known. `counted`: with
    `ws_connection_total` beside it, else only dips that last until a scrape are seen."""

    samples: tuple[Sample, ...]
    nodes: tuple[str, ...]
    step_ns: int
    scrape_ns: int | None
    counted: bool
    missing: tuple[Missing, ...] = ()
    warnings: tuple[str, ...] = ()


def connections(prometheus: Prometheus, query: str, from_ns: int, to_ns: int) -> Connections:
    """Read the series. Raises: PrometheusError, also when there is nothing."""
    if not query.strip() or len(query) > MAX_QUERY:
        raise PrometheusError(
            f"--query is {'empty' if not query.strip() else f'{len(query)} characters long'}, "
            f"1 to {MAX_QUERY} are possible; leave it out for {DEFAULT_QUERY}"
        )
    selector = selector_of(query)
    scrape_ns, nodes = _scrape(prometheus, selector, from_ns, to_ns)
    # Steps shorter than the unknown interval of a short time cost little and miss nothing.
    unknown_ns = min(USUAL_SCRAPE_NS, max(_S, (to_ns - from_ns) // 2000))
    step_ns = step(to_ns - from_ns, scrape_ns or unknown_ns)
    totals = _Totals(selector is not None and is_plain(query))
    counter = None if selector is None else COUNTER + selector[len(GAUGE) :]
    most = min(MAX_POINTS, max(100, MAX_ANSWER_POINTS // max(1, nodes)))
    for first, last in pieces(from_ns, to_ns, step_ns, most):
        gauges = prometheus.range(query, first, last, step_ns)
        counters = [] if counter is None else prometheus.range(counter, first, last, step_ns)
        alive = prometheus.range("count(up)", first, last, step_ns)
        totals.add(range(first, last + 1, step_ns), gauges, counters, alive)
    if not totals.nodes:
        raise PrometheusError(
            f"{prometheus.name}: {query!r} has no value in the time looked at; does this "
            "Prometheus scrape the centre, and is the name right? Or look further back (--since)"
        )
    return Connections(
        tuple(totals.samples),
        tuple(sorted(node.name for node in totals.nodes.values())),
        step_ns,
        scrape_ns,
        totals.counted,
        totals.gone(),
        tuple(prometheus.warnings),
    )


def selector_of(query: str) -> str | None:
    """Return the one selector of `ws_active_connections` in a query; ``None``: none, or several."""
    found = list(re.finditer(rf"(?<![\w:]){GAUGE}(?![\w:])", query))
    if len(found) != 1:
        return None
    rest = query[found[0].end() :]
    # A matcher's value is a string in which a brace is nothing special.
    matchers = re.match(
        r"""\s*\{(?:[^{}"'`]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)*\}""", rest
    )
    return GAUGE + (matchers[0].strip() if matchers else "")


def is_plain(query: str) -> bool:
    """Tell whether a query is nothing but that selector: a series for each node."""
    return re.sub(r"\s", "", query) == re.sub(r"\s", "", selector_of(query) or "")


def step(span_ns: int, scrape_ns: int) -> int:
    """Return the step: the scrape interval, unless that gives more than `MAX_SAMPLES`."""
    least = math.ceil(span_ns / MAX_SAMPLES / _MS) * _MS
    return max(scrape_ns // _MS * _MS, least, _MS)


def pieces(from_ns: int, to_ns: int, step_ns: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) step of each request; steps are whole multiples, so that the same time
    always has the same samples."""
    first = from_ns // step_ns * step_ns
    while first <= to_ns:
        last = min(first + (most - 1) * step_ns, to_ns // step_ns * step_ns)
        yield first, last
        first = last + step_ns


def _scrape(
    prometheus: Prometheus, selector: str | None, from_ns: int, to_ns: int
) -> tuple[int | None, int]:
    """Return the scrape interval as the stored points show it, and how many nodes there are."""
    if selector is None:
        return None, 1
    text, back_ns = _LOOK_BACK
    intervals: list[int] = []
    nodes = 1
    # The series may have ended long ago, or the interval may have been changed meanwhile.
    for at_ns in sorted({to_ns, (from_ns + to_ns) // 2, min(to_ns, from_ns + back_ns)}):
        series = prometheus.instant(f"{selector}[{text}]", at_ns)
        intervals += [_interval(one) for one in series if len(one.points) > 1]
        nodes = max(nodes, len(series))
    return min(intervals, default=None), nodes


def _interval(series: Series) -> int:
    times = [at_ns for at_ns, _ in series.points]
    between = median(later - earlier for earlier, later in pairwise(times))
    # Scrapes jitter by milliseconds; intervals are configured in whole tenths at the least.
    return max(_S // 10, round(between / (_S // 10)) * (_S // 10))


@dataclass(slots=True)
class _Node:
    """What is known of one node's series up to now. `lacking`: where its value went missing."""

    name: str
    active: int | None = None
    at_ns: int = 0
    total: float | None = None
    lacking: Missing | None = None


@dataclass(slots=True)
class _Totals:
    """Adds the nodes up, piece by piece. `by_node`: the counter's series match the gauge's."""

    by_node: bool
    samples: list[Sample] = field(default_factory=list)
    nodes: dict[Labels, _Node] = field(default_factory=dict)
    counted: bool = False
    _counters: dict[Labels, float] = field(default_factory=dict)
    _opened: int = 0
    _has_up: bool = False
    _missing: list[Missing] = field(default_factory=list)

    def add(
        self,
        steps: range,
        gauges: list[Series],
        counters: list[Series],
        alive: list[Series],
    ) -> None:
        """Take the answers for some steps, which follow those taken before."""
        values = {one.labels: dict(one.points) for one in gauges}
        opened = {one.labels: dict(one.points) for one in counters}
        scraping = {at_ns for one in alive for at_ns, _ in one.points}
        self.counted = self.counted or bool(opened)
        self._has_up = self._has_up or bool(scraping)
        for at_ns in steps:
            present = {
                labels: round(points[at_ns])
                for labels, points in values.items()
                if 0 <= points.get(at_ns, -1) <= MAX_ACTIVE  # false for NaN
            }
            self._count(at_ns, opened, present)
            if not present and (not self.nodes or (self._has_up and at_ns not in scraping)):
                continue  # not begun yet, or nobody was looking
            self._note(at_ns, present)
            total = self._opened if self.counted else None
            self.samples.append(Sample(at_ns, sum(present.values()), total))

    def _count(
        self, at_ns: int, opened: dict[Labels, dict[int, float]], present: dict[Labels, int]
    ) -> None:
        """Add what `ws_connection_total` of every node rose by since its last value."""
        for labels, points in opened.items():
            value = points.get(at_ns, math.nan)
            if not math.isfinite(value) or value < 0:
                continue
            before = self._counters.get(labels)
            self._counters[labels] = value
            if before is not None:
                self._opened += round(value - before if value >= before else value)
            elif self.samples and self.by_node:
                # Seen for the first time in the middle: a node that is new, or newly scraped, of
                # whose past only the sessions that it has now are of any concern.
                self._opened += round(min(value, present.get(labels, 0)))

    def _note(self, at_ns: int, present: dict[Labels, int]) -> None:
        """Remember who is there and who went missing."""
        for labels, active in present.items():
            node = self.nodes.setdefault(labels, _Node(_name(labels)))
            if node.lacking is not None:
                lack = node.lacking
                self._missing.append(Missing(lack.node, lack.from_ns, at_ns, lack.active))
                node.lacking = None
            node.active, node.at_ns = active, at_ns
        for labels, node in self.nodes.items():
            if labels not in present and node.lacking is None and node.active is not None:
                node.lacking = Missing(node.name, node.at_ns, None, node.active)

    def gone(self) -> tuple[Missing, ...]:
        """Return when nodes were missing, in order of time."""
        still = [node.lacking for node in self.nodes.values() if node.lacking is not None]
        return tuple(sorted([*self._missing, *still], key=lambda one: (one.from_ns, one.node)))


def _name(labels: Labels) -> str:
    """Return how people know a node: its instance, else all labels."""
    known = dict(labels)
    if "instance" in known:
        return known["instance"]
    return ",".join(f"{name}={value}" for name, value in labels) or "all"
