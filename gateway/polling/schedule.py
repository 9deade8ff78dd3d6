"""When each group of points is due: fixed grids that neither drift nor burst.

Owns due times and the counting of polls that were left out. A group is due at ``start + n *
interval`` for whole n, whatever happened before: a late poll does not shift the next, and a stall
is followed by one poll, not by all those missed. Never asks a clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

EARLY = 0.02
"""A group this fraction of its interval before its time is polled along with one that is due."""
MAX_EARLY_S = 0.05


@dataclass(slots=True)
class Grid:
    """The due times of one group: `number` counts intervals since `start`."""

    interval_s: float
    start: float
    number: int = 0

    @property
    def due(self) -> float:
        return self.start + self.number * self.interval_s

    def advance(self, now: float) -> int:
        """Move to the first due time after `now`; return how many were passed over unpolled.

        The poll that is being made now stands for the due time it was asked at.
        """
        passed = floor((now - self.start) / self.interval_s + 1e-9) - self.number
        passed = max(0, passed)
        self.number += passed + 1
        return passed


class DeviceSchedule:
    """The groups of one device; those due together are polled together.

    All grids start at the same instant, so that groups whose intervals are multiples meet.
    """

    def __init__(self, intervals: Sequence[float], start: float) -> None:
        self.grids = [Grid(interval, start) for interval in intervals]
        self.skipped = 0
        """Due times at which no poll could be made: the bus was busy or the poll before it was
        still pending."""

    @property
    def due(self) -> float:
        """Return when the first group is due."""
        return min(grid.due for grid in self.grids)

    def take(self, now: float) -> tuple[int, ...]:
        """Return the groups to poll now (indices) and move them on."""
        taken = []
        for index, grid in enumerate(self.grids):
            early = min(EARLY * grid.interval_s, MAX_EARLY_S)
            if grid.due <= now + early:
                self.skipped += grid.advance(max(now, grid.due))
                taken.append(index)
        return tuple(taken)
