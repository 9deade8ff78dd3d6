"""The host's own readings of a gateway as looks: what its supply, carrier and radio were.

Owns the way from strips of the sources ``host`` and ``host.trace`` (`docs/host.md`) to `Look`s.
Walks only the ranges it is asked for. A reading with a cause (suspect, no answer) is not known.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgpack

from gateway.centre.store.strips import unpack
from gateway.correlation.evidence import Look
from gateway.errors import RemoteProtocolError
from gateway.host.sample import SOURCE, TRACE_SOURCE
from gateway.reading import TICK_NS
from gateway.wire.rows import decode_schema

MAX_STRIPS = 400
"""Strips read of one stream in one range: an hour of looks a second."""
MAX_LINKS = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the values stand in a block of the host's. Each an index, ``None``: not in it.

    `links`: (interface, index of its carrier, index of its level).
    """

    volts: int | None
    low: int | None
    route: int | None
    links: tuple[tuple[str, int, int | None], ...]
    trace: bool


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of one block, before the blocks of one instant are put together."""

    t: int
    volts: float | None = None
    undervoltage: bool | None = None
    route: str | None = None
    carriers: tuple[tuple[str, bool | None], ...] = ()
    levels: tuple[tuple[str, float | None], ...] = ()
    trace: bool = False


Range = tuple[int, int]
"""Ticks, both ends included."""


class Layouts:
    """The host's blocks in every schema of a store, each schema decoded once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[int, Mapping[int, Layout]] = {}

    def of(self, schema: int) -> Mapping[int, Layout]:
        """Return the layouts of a schema's blocks of the host, by number of the block."""
        found = self._known.get(schema)
        if found is None:
            row = self._db.execute("SELECT body FROM schema WHERE id = ?", (schema,)).fetchone()
            found = self._known[schema] = {} if row is None else layouts(row[0])
        return found


def layouts(body: bytes) -> dict[int, Layout]:
    """Return where a schema has the host's values."""
    try:
        blocks = decode_schema(body).blocks
    except RemoteProtocolError:
        return {}
    found = {}
    for number, block in enumerate(blocks):
        if block.source not in (SOURCE, TRACE_SOURCE):
            continue
        at = {point.name: index for index, point in enumerate(block.points)}
        links: list[tuple[str, int, int | None]] = []
        for name, index in at.items():
            interface, dot, what = name.rpartition(".")
            if dot and what == "carrier" and len(links) < MAX_LINKS:
                level = at.get(f"{interface}.signal_min", at.get(f"{interface}.signal"))
                links.append((interface, index, level))
        volts = at.get("supply_min_v", at.get("supply_v"))
        found[number] = Layout(
            volts,
            at.get("undervoltage"),
            at.get("default_route"),
            tuple(links),
            block.source == TRACE_SOURCE,
        )
    return found


def raw_looks(
    db: sqlite3.Connection, stream: int, span: int, layout: Layout, ranges: Sequence[Range]
) -> Iterator[Raw]:
    """Yield a stream's rows within ranges that do not overlap."""
    for low, high in ranges:
        strips = db.execute(
            "SELECT t, body FROM strip WHERE stream = ? AND t BETWEEN ? AND ? ORDER BY t LIMIT ?",
            (stream, low - span, high, MAX_STRIPS),
        ).fetchall()
        for t, body in strips:
            yield from (raw for raw in decode(t, body, layout) if low <= raw.t <= high)


def decode(t: int, body: bytes, layout: Layout) -> list[Raw]:
    """Return the rows of a strip that begins at tick `t`."""
    try:
        rows = unpack(body)
    except (ValueError, TypeError, IndexError, msgpack.UnpackException):
        return []
    return [raw_of(t + dt, values, causes, layout) for dt, values, causes in rows]


def raw_of(t: int, values: list[object], causes: object, layout: Layout) -> Raw:
    """Return a row of tick `t` as what it says of the host."""

    def good(index: int | None) -> object:
        if index is None or index >= len(values):
            return None
        if causes is None:
            return values[index]
        if isinstance(causes, list):
            return values[index] if index < len(causes) and causes[index] == 0 else None
        return None

    return Raw(
        t,
        _number(good(layout.volts)),
        _truth(good(layout.low)),
        _text(good(layout.route)),
        tuple((name, _truth(good(index))) for name, index, _ in layout.links),
        tuple((name, _number(good(level))) for name, _, level in layout.links if level is not None),
        layout.trace,
    )


def put_together(boot_id: str, raws: Iterable[Raw]) -> list[Look]:
    """Return looks in order of time: blocks of one instant are one look, and carrier and level
    are those of the interface that had the default route last."""
    by_time: dict[int, Raw] = {}
    for raw in raws:
        before = by_time.get(raw.t)
        by_time[raw.t] = raw if before is None else _joined(before, raw)
    route = ""
    result = []
    for t in sorted(by_time):
        raw = by_time[t]
        route = raw.route or route
        result.append(
            Look(
                boot_id,
                t * TICK_NS,
                raw.volts,
                raw.undervoltage,
                level_of(dict(raw.levels), route),
                dict(raw.carriers).get(route),
                route,
            )
        )
    return result


def level_of(levels: Mapping[str, float | None], route: str) -> float | None:
    """Return the level of the interface in use, or of the only radio there is."""
    if route in levels:
        return levels[route]
    known = [level for level in levels.values() if level is not None]
    return known[0] if len(known) == 1 and not route else None


def _joined(a: Raw, b: Raw) -> Raw:
    return replace(
        a,
        volts=b.volts if a.volts is None else a.volts,
        undervoltage=b.undervoltage if a.undervoltage is None else a.undervoltage,
        route=b.route if a.route is None else a.route,
        carriers=a.carriers + b.carriers,
        levels=a.levels + b.levels,
        trace=a.trace and b.trace,
    )


def _number(value: object) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else None  # type: ignore[arg-type]


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
