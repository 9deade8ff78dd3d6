"""Boottime to wall time: the best anchor of a boot gives the offset when readings are read, the
centre's own clock when they are aged.

Owns the choice. Stored records are never rewritten; a boot whose clock was never
synchronised is bounded by what the centre saw, and said to be so.
"""

import sqlite3
from dataclasses import dataclass

from gateway.reading import TICK_NS
from gateway.wire.message import ClockSource

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Offset:
    """Wall minus boottime of a boot. `source`: ``ptp ntp rtc``, ``centre`` (the wall clock is the
    centre's, late by the time the message was under way) or ``none``. `error_us` -1: unknown."""

    wall_minus_boottime_ns: int
    source: str
    error_us: int

    def wall_ns(self, ticks: int) -> int:
        """Return the wall time of a source time."""
        return ticks * TICK_NS + self.wall_minus_boottime_ns

    def ticks(self, wall_ns: int) -> int:
        """Return the source time of a wall time."""
        return (wall_ns - self.wall_minus_boottime_ns) // TICK_NS


UNKNOWN = Offset(0, "none", -1)


def boot_offset(db: sqlite3.Connection, boot: int | None) -> Offset:
    """Return the offset of a boot: PTP before NTP before RTC, then the least stated error, then
    the newest; without any, what the centre measured at `Hello`."""
    if boot is None:
        return UNKNOWN
    row = db.execute(
        "SELECT wall_ns - boottime_ns, source, error_us FROM anchor WHERE boot = ? AND source > 0"
        " ORDER BY source DESC, CASE WHEN error_us < 0 THEN 1 << 60 ELSE error_us END,"
        " boottime_ns DESC LIMIT 1",
        (boot,),
    ).fetchone()
    if row is not None:
        return Offset(row[0], ClockSource(row[1]).name.lower(), row[2])
    return _seen(db, boot)


def latest_offset(db: sqlite3.Connection, boot: int | None) -> Offset:
    """Return the offset by which readings are aged: no clock of a gateway makes them older.

    What the centre measured at `Hello` is late by the message's way at most. A gateway whose
    battery-backed clock says 2000 would else lose its readings on arrival.
    """
    if boot is None:
        return UNKNOWN
    seen = _seen(db, boot)
    said = boot_offset(db, boot)
    trusted = said.source in ("ptp", "ntp") and seen.source != "centre"
    return said if trusted or seen is UNKNOWN else seen


def _seen(db: sqlite3.Connection, boot: int) -> Offset:
    """Return what the centre's own clock says of a boot: exact to a message's way if it was
    connected, else a bound."""
    row = db.execute("SELECT offset_ns FROM boot WHERE id = ?", (boot,)).fetchone()
    if row is not None and row[0] is not None:
        return Offset(row[0], "centre", -1)
    # Never connected while it ran: it ended before the gateway's next boot was first seen.
    row = db.execute(
        "SELECT (SELECT min(n.first_ns) FROM boot n WHERE n.gateway = b.gateway"
        " AND n.id <> b.id AND n.offset_ns IS NOT NULL AND n.first_ns >= b.first_ns),"
        " (SELECT max((SELECT t + span FROM strip WHERE stream = s.id ORDER BY t DESC LIMIT 1))"
        " FROM stream s JOIN epoch e ON e.id = s.epoch WHERE e.boot = b.id) FROM boot b"
        " WHERE b.id = ?",
        (boot,),
    ).fetchone()
    if row is None or row[0] is None or row[1] is None:
        return UNKNOWN
    return Offset(row[0] - row[1] * TICK_NS - _SECOND_NS, "none", -1)
