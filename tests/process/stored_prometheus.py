"""Prometheus on paper: what a server answers that scraped told values at told times.

Owns its rules of staleness as the manual has them ("Staleness"): a value counts for 5 minutes, or
until the target's scrape failed. Knows the few questions that `prometheus_series` asks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.process.prometheus import Labels, Prometheus, Series

S = 1_000_000_000
LOOK_BACK_NS = 300 * S


@dataclass
class StoredPrometheus(Prometheus):
    """`scrapes`: for each metric and node (time, value), ``None``: the scrape failed. `up`: when
    Prometheus itself was scraping, by default at every time of a scrape."""

    scrapes: dict[str, dict[str, list[tuple[int, float | None]]]]
    up: Sequence[int] | None = None
    name: str = "http://paper"
    warnings: list[str] = field(default_factory=list)
    asked: list[tuple[str, int, int, int]] = field(default_factory=list)

    def range(self, query: str, from_ns: int, to_ns: int, step_ns: int) -> list[Series]:
        self.asked.append((query, from_ns, to_ns, step_ns))
        assert (to_ns - from_ns) // step_ns < 11_000, "Prometheus refuses this"
        steps = range(from_ns, to_ns + 1, step_ns)
        if query == "count(up)":
            return _kept([Series((), tuple(self._up(steps)))])
        return _kept(
            [
                Series(_labels(node), tuple(_values(stored, steps)))
                for node, stored in self.scrapes.get(query.split("{")[0], {}).items()
            ]
        )

    def instant(self, query: str, at_ns: int) -> list[Series]:
        metric, _, back = query.rstrip("]").partition("[")
        assert back == "10m"
        return _kept(
            [
                Series(
                    _labels(node),
                    tuple(
                        (at, value)
                        for at, value in stored
                        if value is not None and at_ns - 600 * S < at <= at_ns
                    ),
                )
                for node, stored in self.scrapes.get(metric.split("{")[0], {}).items()
            ]
        )

    def _up(self, steps: range) -> list[tuple[int, float]]:
        if self.up is None:
            known = [
                at for nodes in self.scrapes.values() for one in nodes.values() for at, _ in one
            ]
        else:
            known = list(self.up)
        return _values([(at, 1.0) for at in sorted(set(known))], steps)


def _labels(node: str) -> Labels:
    return (("instance", node), ("job", "centre"))


def _kept(series: list[Series]) -> list[Series]:
    return [one for one in series if one.points]


def _values(stored: Sequence[tuple[int, float | None]], steps: range) -> list[tuple[int, float]]:
    found = []
    for step in steps:
        before = [(at, value) for at, value in stored if step - LOOK_BACK_NS < at <= step]
        if before and before[-1][1] is not None:
            found.append((step, before[-1][1]))
    return found


def told(
    *values: float | None, from_s: int = 0, every_s: int = 1
) -> list[tuple[int, float | None]]:
    """Return one scrape after the other; NaN is a value of its own."""
    return [
        ((from_s + place * every_s) * S, math.nan if value != value else value)
        for place, value in enumerate(values)
    ]
