"""The host's looks as the analysis needs them: what changed before every session that ended.

Owns what is left out: a look that says what the one before said (within `VOLTS` and `DBM`) is not
made into a value, unless another one follows it that does say something new, so that every change
keeps its two ends. A fleet's day holds twenty million looks, nearly all of them alike.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import msgpack

from gateway.centre.store import looks
from gateway.centre.store.looks import MAX_STRIPS, Layout, Range
from gateway.correlation.evidence import Look
from gateway.reading import TICK_NS

VOLTS = 0.02
DBM = 1.0
"""Less than this is no change."""
STEP = 3_000_000_000 // TICK_NS
"""Rows of a trace further apart than this are not one run: what was between is not known."""


def trace_looks(
    db: sqlite3.Connection,
    boot_id: str,
    stream: int,
    span: int,
    layout: Layout,
    ranges: Sequence[Range],
) -> list[Look]:
    """Return what changed in a trace within ranges that do not overlap, in order of time."""
    found: list[Look] = []
    route, look_of = "", _Maker(boot_id, layout).look_of
    for low, high in ranges:
        strips = _strips(db, stream, span, low, high)
        for t, values, causes, ticks in _telling(strips, low, high, layout, STEP):
            look, route = look_of(t, values, causes, route)
            found.append(replace(look, span_s=ticks * TICK_NS / 1e9) if ticks else look)
    return found


def thin(
    db: sqlite3.Connection, stream: int, span: int, layout: Layout, ranges: Sequence[Range]
) -> Iterator[looks.Raw]:
    """Yield what changed in a stream of aggregates."""
    for low, high in ranges:
        strips = _strips(db, stream, span, low, high)
        for t, values, causes, _ in _telling(strips, low, high, layout, high - low):
            yield looks.raw_of(t, values, causes, layout)


def _strips(
    db: sqlite3.Connection, stream: int, span: int, low: int, high: int
) -> list[tuple[int, bytes]]:
    return db.execute(
        "SELECT t, body FROM strip WHERE stream = ? AND t BETWEEN ? AND ? ORDER BY t LIMIT ?",
        (stream, low - span, high, MAX_STRIPS),
    ).fetchall()


class _Maker:
    """Makes looks from the rows of one trace."""

    def __init__(self, boot_id: str, layout: Layout) -> None:
        self._boot_id, self._layout = boot_id, layout
        self._carriers = {name: carrier for name, carrier, _ in layout.links}
        self._levels = {name: level for name, _, level in layout.links if level is not None}

    def look_of(self, t: int, values: list[object], causes: object, route: str) -> tuple[Look, str]:
        """Return a row as a look, and the route in force behind it (`route`: before it)."""
        if causes is not None:
            raw = looks.raw_of(t, values, causes, self._layout)
            route = raw.route or route
            look = looks.put_together(self._boot_id, [replace(raw, route=route)])[0]
            return look, route
        layout = self._layout
        volts, low = _at(values, layout.volts), _at(values, layout.low)
        said = _at(values, layout.route)
        route = said if type(said) is str and said else route
        level = _at(values, self._levels.get(route))
        if level is None and not route and len(self._levels) == 1:
            level = _at(values, next(iter(self._levels.values())))
        carrier = _at(values, self._carriers.get(route))
        look = Look(
            self._boot_id,
            t * TICK_NS,
            volts if type(volts) is float else float(volts) if type(volts) is int else None,
            low if type(low) is bool else None,
            level if type(level) is float else float(level) if type(level) is int else None,
            carrier if type(carrier) is bool else None,
            route,
        )
        return look, route


def _at(values: list[object], index: int | None) -> object:
    return None if index is None else values[index]


def _telling(
    strips: Sequence[tuple[int, bytes]], low: int, high: int, layout: Layout, step: int
) -> Iterator[tuple[int, list[object], object, int]]:
    """Yield (tick, values, causes, ticks since the run began) at the ends of every run of rows
    that say the same, each within `step` of the one before."""
    alike, width = _comparison(layout), _width(layout)
    kept: Any = None
    held: tuple[int, list[object], object, int] | None = None
    began = last = 0
    for start, body in strips:
        try:
            row: Any
            for row in msgpack.unpackb(body):
                t, values = start + row[0], row[1]
                if t < low or t > high:
                    continue
                plain = len(row) == 2 and len(values) >= width
                near, last = t - last <= step, t
                if plain and near and kept is not None and (values == kept or alike(values, kept)):
                    held = (t, values, None, t - began)
                    continue
                if held is not None:
                    yield held
                    held = None
                kept, began = values if plain else None, t
                yield t, values, None if plain else row[2] if len(row) > 2 else 0, 0
        except (ValueError, TypeError, IndexError, msgpack.UnpackException):
            continue  # what is no strip says nothing
    if held is not None:
        yield held


def _width(layout: Layout) -> int:
    """Return how many values a row must have."""
    links = [index for _, *both in layout.links for index in both]
    indices = [layout.volts, layout.low, layout.route, *links]
    return 1 + max((index for index in indices if index is not None), default=0)


def _comparison(layout: Layout) -> Callable[[Any, Any], bool]:
    """Return what tells whether two rows without causes say the same of supply and links."""
    indices = [layout.low, layout.route, *(carrier for _, carrier, _ in layout.links)]
    exact = [index for index in indices if index is not None]
    measured = [(level, DBM) for _, _, level in layout.links if level is not None]
    if layout.volts is not None:
        measured.append((layout.volts, VOLTS))
    of_exact = itemgetter(*exact) if exact else len

    def alike(a: Any, b: Any) -> bool:
        if of_exact(a) != of_exact(b):
            return False
        for index, least in measured:
            x, y = a[index], b[index]
            if x is None or y is None:
                if x is not y:
                    return False
            elif abs(x - y) >= least:
                return False
        return True

    return alike
