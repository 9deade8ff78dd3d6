"""When to record an anchor: one instant on both clocks, so that source times get a wall time.

Owns the rule (at the start, at first sync, on each step, hourly); never reads a clock.
"""

from dataclasses import dataclass

from gateway.wire.message import ClockReading, ClockSource

STEP_NS = 100_000_000
"""A jump of the wall clock against boottime that is a step and not a slew (NTP slews 0.5 ms/s)."""
PERIOD_NS = 3600 * 1_000_000_000
TICK_S = 1.0
"""How often the clocks are compared."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one comparison found. `step_ns`: 0 unless the wall clock was stepped."""

    record: bool
    step_ns: int = 0


class Anchors:
    """Compares the two clocks; `compare` is called every `TICK_S`."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._anchored: ClockReading | None = None

    def compare(self, reading: ClockReading) -> Verdict:
        """Say whether `reading` is to be recorded, and whether the clock was stepped."""
        offset = reading.wall_ns - reading.boottime_ns
        last, anchored = self._offset_ns, self._anchored
        self._offset_ns = offset
        if last is None or anchored is None:
            self._anchored = reading
            return Verdict(True)
        step = offset - last if abs(offset - last) > STEP_NS else 0
        drifted = abs(offset - (anchored.wall_ns - anchored.boottime_ns)) > STEP_NS
        synced = reading.source is not ClockSource.NONE and anchored.source is ClockSource.NONE
        due = reading.boottime_ns - anchored.boottime_ns >= PERIOD_NS
        if step or drifted or synced or due:
            self._anchored = reading
            return Verdict(True, step)
        return Verdict(False)
