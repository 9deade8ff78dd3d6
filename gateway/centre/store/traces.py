"""The host's looks as the analysis needs them: what changed before every session that ended.

Owns what is left out: a look that says what the one before said (within `VOLTS` and `DBM`) is not
made into a value, unless another one follows it that does say something new, so that every change
keeps its two ends. A fleet's day holds twenty million looks, nearly all of them alike.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import sub
from typing import Any

import msgpack

from gateway.centre.store import looks
from gateway.centre.store.looks import MAX_STRIPS, Layout, Range
from gateway.correlation.evidence import Look
from gateway.reading import TICK_NS

VOLTS = 0.02
DBM = 3.0
STRONG_DBM, STRONG_STEP = -70.0, 10.0
"""Less than this is no change: a radio that stands still wavers by a dB or two, and a strong one
explains nothing whatever it does."""
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
            look, route = look_of(t, values, causes, route, ticks * TICK_NS / 1e9)
            found.append(look)
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

    def look_of(
        self, t: int, values: list[object], causes: object, route: str, span_s: float
    ) -> tuple[Look, str]:
        """Return a row as a look, and the route in force behind it (`route`: before it)."""
        if causes is not None:
            raw = looks.raw_of(t, values, causes, self._layout)
            route = raw.route or route
            look = looks.put_together(self._boot_id, [replace(raw, route=route)])[0]
            return replace(look, span_s=span_s), route
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
            span_s,
        )
        return look, route


def _at(values: list[object], index: int | None) -> object:
    return None if index is None else values[index]


def _telling(
    strips: Sequence[tuple[int, bytes]], low: int, high: int, layout: Layout, step: int
) -> Iterator[tuple[int, list[object], object, int]]:
    """Yield (tick, values, causes, ticks since the run began) at the ends of every run of rows
    that say the same, each within `step` of the one before."""
    likeness = _likeness(layout)
    alike, width = likeness.alike, likeness.width
    kept: Any = None
    held: tuple[int, list[object], object, int] | None = None
    began = last = 0
    for start, body in strips:
        try:
            row: Any
            rows = msgpack.unpackb(body)
            first, end = start + rows[0][0], start + rows[-1][0]
            fresh = kept is None and len(rows) > 1 and len(rows[0]) == 2
            if fresh and low <= first <= high and len(rows[0][1]) >= width:
                kept, began, last = rows[0][1], first, first
                yield first, kept, None, 0
                rows = rows[1:]
                first = start + rows[0][0]
            if (
                kept is not None
                and low <= first
                and end <= high
                and first - last <= step
                and likeness.all_alike(rows, kept, step)
            ):
                held, last = (end, rows[-1][1], None, end - began), end
                continue
            for row in rows:
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


class _Likeness:
    """Tells whether rows without causes say the same of supply and links."""

    def __init__(self, layout: Layout) -> None:
        indices = [layout.low, layout.route, *(carrier for _, carrier, _ in layout.links)]
        self._exact = [index for index in indices if index is not None]
        self._levels = [level for _, _, level in layout.links if level is not None]
        self._volts = [] if layout.volts is None else [layout.volts]
        self.width = 1 + max((*self._exact, *self._levels, *self._volts), default=0)
        """How many values a row must have."""

    def alike(self, a: Any, b: Any) -> bool:
        """Compare one row's values with those kept. Raises: TypeError for what is no number."""
        for index in self._exact:
            if a[index] != b[index]:
                return False
        return all(_near(a[i], a[i], b[i], VOLTS) for i in self._volts) and all(
            _same_level(a[i], a[i], b[i]) for i in self._levels
        )

    def all_alike(self, rows: Any, kept: Any, step: int) -> bool:
        """Compare a strip's rows with those kept, column by column. ``False`` may also mean that
        they must be looked at one by one."""
        count = len(rows)
        if set(map(len, rows)) != {2}:
            return False
        times = [row[0] for row in rows]
        if count > 1 and max(map(sub, times[1:], times)) > step:
            return False
        columns = list(zip(*[row[1] for row in rows], strict=True))
        if len(columns) < self.width:
            return False
        for index in self._exact:
            if columns[index].count(kept[index]) != count:
                return False
        for index, near in (
            *((i, _near_volts) for i in self._volts),
            *((i, _same_level) for i in self._levels),
        ):
            column = columns[index]
            if None in column:
                if kept[index] is not None or column.count(None) != count:
                    return False
            elif not near(min(column), max(column), kept[index]):
                return False
        return True


def _near(low: Any, high: Any, kept: Any, step: float) -> bool:
    """Tell whether everything from `low` to `high` is within `step` of what was kept."""
    if low is None or kept is None:
        return low is kept
    return bool(high - kept < step and kept - low < step)


def _near_volts(low: Any, high: Any, kept: Any) -> bool:
    return _near(low, high, kept, VOLTS)


def _same_level(low: Any, high: Any, kept: Any) -> bool:
    if low is None or kept is None:
        return low is kept
    strong = min(low, kept) >= STRONG_DBM
    return _near(low, high, kept, STRONG_STEP if strong else DBM)


@lru_cache(maxsize=512)
def _likeness(layout: Layout) -> _Likeness:
    return _Likeness(layout)
