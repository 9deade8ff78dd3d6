"""Curves for the plots, thinned where they are read: connections, supply, radio.

Owns the thinning. What is drawn is the least of each step of time: a dip is never thinned away.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.centre.store.looks import Layouts
from gateway.centre.store.queries import Offsets, gateway_pk
from gateway.centre.store.series import SILENT_NS
from gateway.centre.store.strips import unpack

STEPS = 480
"""Steps of a plot: more are not seen on a screen."""
MAX_STRIPS = 20_000
HOLE_NS = 120_000_000_000
"""A silence of the host's readings that is shown as a hole."""
Points = list[tuple[int, float | None]]


def connections(db: sqlite3.Connection, from_ns: int, to_ns: int) -> Points:
    """Return the least number of connections of each step, summed over the nodes."""
    step = max(1_000_000_000, (to_ns - from_ns) // STEPS)
    nodes: dict[str, dict[int, tuple[int, int]]] = {}
    for node, at, least, last_ns in db.execute(
        "SELECT node, (at_ns - ?1) / ?3, min(active), max(at_ns) FROM connection"
        " WHERE at_ns BETWEEN ?1 AND ?2 GROUP BY 1, 2",
        (from_ns - SILENT_NS, to_ns, step),
    ):
        nodes.setdefault(node, {})[at] = least, last_ns
    if not nodes:
        return []
    count = (to_ns - from_ns + SILENT_NS) // step + 1
    first = SILENT_NS // step
    sums = [0] * count
    begins = count
    for known in nodes.values():
        begins = min(begins, *known)
        for at, value in enumerate(_filled(known, from_ns - SILENT_NS, step, count)):
            sums[at] += value
    return [
        (from_ns - SILENT_NS + at * step, float(sums[at]))
        for at in range(max(first, begins), count)
    ]


def _filled(
    known: dict[int, tuple[int, int]], start_ns: int, step: int, count: int
) -> Iterator[int]:
    """Yield a node's value for each step; one that is silent does not run and has none."""
    value, last_ns = 0, -SILENT_NS
    for at in range(count):
        if at in known:
            value, last_ns = known[at]
        elif start_ns + at * step - last_ns > SILENT_NS:
            value = 0
        yield value


@dataclass(frozen=True, slots=True)
class Vitals:
    """A gateway's supply and radio. `low`: (from, to) of each time of under-voltage; `levels`: by
    interface, the most important first."""

    volts: Points
    low: tuple[tuple[int, int], ...]
    levels: tuple[tuple[str, Points], ...]


def vitals(db: sqlite3.Connection, name: str, from_ns: int, to_ns: int) -> Vitals:
    """Return supply and radio of a span. Raises: UnknownGatewayError."""
    layouts, offsets = Layouts(db), Offsets(db)
    volts: list[tuple[int, float]] = []
    low: list[tuple[int, bool]] = []
    levels: dict[str, list[tuple[int, float]]] = {}
    for stream, width, schema, block, boot in db.execute(
        "SELECT s.id, s.span, s.schema, s.block, e.boot FROM epoch e JOIN stream s"
        " ON s.epoch = e.id WHERE e.gateway = ?",
        (gateway_pk(db, name),),
    ).fetchall():
        layout = layouts.of(schema).get(block)
        if layout is None:
            continue
        offset = offsets.of(boot)
        links = [
            (levels.setdefault(name, []), at) for name, _, at in layout.links if at is not None
        ]
        first, last = offset.ticks(from_ns), offset.ticks(to_ns)
        for t, body in db.execute(
            "SELECT t, body FROM strip WHERE stream = ? AND t BETWEEN ? AND ?"
            " ORDER BY t DESC LIMIT ?",
            (stream, first - width, last, MAX_STRIPS),
        ).fetchall():
            for dt, values, causes in unpack(body):
                if not first <= t + dt <= last:
                    continue
                at_ns = offset.wall_ns(t + dt)
                if (value := _good(values, causes, layout.volts)) is not None:
                    volts.append((at_ns, value))
                if (value := _good(values, causes, layout.low)) is not None:
                    low.append((at_ns, value is True))
                for points, at in links:
                    if (value := _good(values, causes, at)) is not None:
                        points.append((at_ns, value))
    ordered = sorted(
        (interface for interface in levels if levels[interface]),
        key=lambda interface: -len(levels[interface]),
    )
    return Vitals(
        thin(volts, from_ns, to_ns),
        tuple(_times_of(sorted(low))),
        tuple((interface, thin(levels[interface], from_ns, to_ns)) for interface in ordered[:2]),
    )


def _good(values: list[object], causes: object, index: int | None) -> float | None:
    """Return a number (or a truth) that has no cause against it."""
    if index is None or index >= len(values):
        return None
    if causes is not None and (
        type(causes) is not list or index >= len(causes) or causes[index] != 0
    ):
        return None
    value = values[index]
    return value if isinstance(value, int | float) else None


def thin(points: Iterable[tuple[int, float]], from_ns: int, to_ns: int) -> Points:
    """Return the lowest point of each step, in order of time."""
    step = max(1, (to_ns - from_ns) // STEPS)
    least: dict[int, tuple[int, float]] = {}
    for point in points:
        at = (point[0] - from_ns) // step
        known = least.get(at)
        if known is None or (point[1], point[0]) < (known[1], known[0]):
            least[at] = point
    return [least[at] for at in sorted(least)]


def _times_of(seen: list[tuple[int, bool]]) -> Iterator[tuple[int, int]]:
    """Yield (from, to) of each run of looks that said under-voltage; a silence ends it."""
    begun = last = None
    for at_ns, low in seen:
        if begun is not None and last is not None and (not low or at_ns - last > HOLE_NS):
            yield begun, min(at_ns, last + HOLE_NS) if not low else last
            begun = None
        if low:
            begun, last = at_ns if begun is None else begun, at_ns
    if begun is not None and last is not None:
        yield begun, last
