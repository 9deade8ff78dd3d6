"""Whether the wall clock is right, and what keeps it so.

Owns the two questions a machine without a clock of its own must be asked: systemd-timesyncd's
mark, else the kernel's error bound (adjtimex(2), the test systemd's timedated makes). Reading
adjtimex fails under ProtectClock=; then the clock counts as not synchronised.
"""

import os
import struct
from collections.abc import Callable

from gateway.process.clock import Clock, HostFiles
from gateway.wire.message import ClockReading, ClockSource

MARK = "/run/systemd/timesync/synchronized"
MAX_ERROR_US = 16_000_000
"""timedated's ntp_synced(): the kernel's bound grows past 16 s when nobody disciplines it."""
UNKNOWN_ERROR = -1

_TIMEX = struct.Struct("@Illll")  # modes, offset, freq, maxerror, esterror


def kernel_max_error_us() -> int | None:
    """Ask adjtimex for the error bound without changing anything; ``None``: not allowed to."""
    import ctypes  # a megabyte that only machines without systemd-timesyncd pay

    buffer = ctypes.create_string_buffer(256)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    error: int = _TIMEX.unpack_from(buffer.raw)[3]
    return error


class TimeSync:
    """Answers from the host, or from the evidence a bench puts below another root."""

    def __init__(
        self,
        clock: Clock,
        files: HostFiles,
        max_error_us: Callable[[], int | None] = kernel_max_error_us,
    ) -> None:
        self._clock = clock
        self._files = files
        self._max_error_us = max_error_us
        self.synced = False
        self.error_us = UNKNOWN_ERROR
        self.refresh()

    def refresh(self) -> None:
        """Ask again. Call every few seconds; the answers stay in `synced` and `error_us`."""
        error = self._max_error_us()
        known = error is not None and error < MAX_ERROR_US
        self.synced = known or os.path.exists(self._files.path(MARK))
        self.error_us = error if error is not None and known else UNKNOWN_ERROR

    def reading(self) -> ClockReading:
        """Return this instant on both clocks."""
        source = ClockSource.NTP if self.synced else ClockSource.NONE
        # The wall clock is read between two readings of the other: their middle is its instant.
        before = self._clock.boottime_ns()
        wall = self._clock.wall_ns()
        after = self._clock.boottime_ns()
        return ClockReading((before + after) // 2, wall, source, self.error_us)
