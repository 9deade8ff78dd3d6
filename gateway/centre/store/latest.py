"""What is known last of each gateway: its host's values, its backlog, its newest reading.

Owns the table `latest` and the memory in front of it. What comes with records costs an assignment;
it is decoded and written in groups in the order of the table, every `EVERY_S`, within transactions
that are made anyway. It may be that old, and after a kill that much is missing: nothing that is
acked depends on it. Written by the writer thread; `seen` may be read from another.
"""

import sqlite3

from gateway.centre.store import looks
from gateway.centre.store.looks import Layout
from gateway.reading import TICK_NS
from gateway.wire.message import Backlog

EVERY_S = 10.0
GROUP = 200
"""Gateways written in one transaction: a few pages, for they are neighbours."""


class Seen:
    """One gateway. `host_ns`: when the host's values were read; ``None``: not known."""

    __slots__ = (
        "backlog",
        "backlog_ns",
        "bodies",
        "dbm",
        "host_ns",
        "levels",
        "reading_ns",
        "route",
        "undervoltage",
        "volts",
    )

    def __init__(self) -> None:
        self.reading_ns: int | None = None
        self.backlog: Backlog | None = None
        self.backlog_ns = 0
        self.host_ns: int | None = None
        self.volts: float | None = None
        self.undervoltage: bool | None = None
        self.route = ""
        self.dbm: float | None = None
        self.levels: dict[str, float | None] = {}
        self.bodies: dict[int, tuple[int, int, bytes, Layout]] = {}
        """Strips not decoded yet: block → (tick, offset, body, layout)."""

    def decode(self) -> None:
        """Take the newest row of each strip of the host's."""
        bodies, self.bodies = self.bodies, {}
        found = []
        for t, offset_ns, body, layout in bodies.values():
            rows = looks.decode(t, body, layout)
            if rows:
                found.append((rows[-1].t * TICK_NS + offset_ns, rows[-1]))
        for at_ns, raw in sorted(found, key=_time):
            if self.host_ns is not None and at_ns < self.host_ns:
                continue  # an older one that came late
            self.host_ns = at_ns
            self.levels.update(raw.levels)
            if raw.route is not None:  # a block of the host itself, or a trace
                self.route = raw.route or self.route
                self.volts, self.undervoltage = raw.volts, raw.undervoltage
        self.dbm = looks.level_of(self.levels, self.route)


class Latest:
    """All gateways that this process heard of. `due(now)` tells when to `write`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._seen: dict[int, Seen] = {}
        self._dirty: set[int] = set()
        self._writing: list[int] = []
        self._group: list[int] = []
        self._next = 0.0

    # What comes in

    def reading(self, gateway: int, at_ns: int) -> None:
        """Note the source time of a reading."""
        seen = self._of(gateway)
        if seen.reading_ns is None or at_ns > seen.reading_ns:
            seen.reading_ns = at_ns
            self._dirty.add(gateway)

    def strip(
        self, gateway: int, block: int, t: int, offset_ns: int, body: bytes, layout: Layout
    ) -> None:
        """Note rows of a block of the host's, of the boot that runs."""
        bodies = self._of(gateway).bodies
        held = bodies.get(block)
        if held is None or t >= held[0] or offset_ns != held[1]:
            bodies[block] = (t, offset_ns, body, layout)
            self._dirty.add(gateway)

    def backlog(self, gateway: int, backlog: Backlog, at_ns: int) -> None:
        """Note what a gateway said of its backlog."""
        seen = self._of(gateway)
        seen.backlog, seen.backlog_ns = backlog, at_ns
        self._dirty.add(gateway)

    def seen(self, gateway: int) -> Seen | None:
        """Return what is known of a gateway in this process."""
        return self._seen.get(gateway)

    def _of(self, gateway: int) -> Seen:
        seen = self._seen.get(gateway)
        if seen is None:
            seen = self._seen[gateway] = Seen()
        return seen

    # What goes out

    def due(self, now: float) -> bool:
        """Tell whether `write` has something to do."""
        return bool(self._writing) or (now >= self._next and bool(self._dirty))

    def write(self, now: float) -> None:
        """Write one group in the transaction that is open."""
        if not self._writing:
            self._writing = sorted(self._dirty, reverse=True)
            self._dirty.clear()
            self._next = now + EVERY_S
        self._group = self._writing[-GROUP:]
        del self._writing[-GROUP:]
        self._db.executemany(_UPSERT, [self._row(gateway) for gateway in reversed(self._group)])

    def write_all(self) -> None:
        """Write everything, before the file is closed."""
        while self.due(self._next):
            self.write(self._next)

    def undone(self) -> None:
        """The transaction of the last group was undone: write that group again."""
        self._dirty.update(self._group)
        self._group = []

    def _row(self, gateway: int) -> tuple[object, ...]:
        seen = self._seen[gateway]
        if seen.bodies:
            seen.decode()
        backlog = seen.backlog
        return (
            gateway,
            seen.reading_ns,
            seen.host_ns,
            seen.volts,
            seen.undervoltage,
            seen.route,
            seen.dbm,
            seen.backlog_ns or None,
            None if backlog is None else backlog.records,
            None if backlog is None else backlog.size,
        )


# What this process does not know (it has just started, or the gateway was another's) stays.
_HOST = ", ".join(
    f"{name} = CASE WHEN excluded.host_ns IS NULL THEN {name} ELSE excluded.{name} END"
    for name in ("volts", "undervoltage", "route", "dbm")
)
_UPSERT = (
    "INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway) DO UPDATE SET"
    " reading_ns = coalesce(excluded.reading_ns, reading_ns),"
    f" {_HOST}, host_ns = coalesce(excluded.host_ns, host_ns),"
    " backlog_records = CASE WHEN excluded.backlog_ns IS NULL THEN backlog_records"
    " ELSE excluded.backlog_records END,"
    " backlog_bytes = CASE WHEN excluded.backlog_ns IS NULL THEN backlog_bytes"
    " ELSE excluded.backlog_bytes END,"
    " backlog_ns = coalesce(excluded.backlog_ns, backlog_ns)"
)


def _time(found: tuple[int, looks.Raw]) -> int:
    return found[0]
