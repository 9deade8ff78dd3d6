"""When a heartbeat is due, and what its clock says.

Owns the schedule of the agent's `Heartbeat` and the arithmetic of clock offsets. Liveness itself
is the WebSocket's ping (RFC 6455 §5.5.2), the driver's business.
"""

from gateway.wire.message import ClockReading


class HeartbeatSchedule:
    """Beats `interval_s` apart without drift; a beat that was missed is not made up for."""

    __slots__ = ("_interval_s", "due_at")

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self.due_at: float | None = now + interval_s if interval_s > 0 else None
        """When the next is due; ``None``: the centre wants none."""

    def beat(self, now: float) -> bool:
        """Return whether a heartbeat is due, and if so schedule the next."""
        if self.due_at is None or now < self.due_at:
            return False
        missed = int((now - self.due_at) / self._interval_s)
        self.due_at += (missed + 1) * self._interval_s
        return True


def boot_offset_ns(clock: ClockReading, received_wall_ns: int, round_trip_s: float) -> int:
    """Return wall − boottime of an agent by the centre's clock.

    `round_trip_s` is the last ping's; half of it is taken for the way here (NTP's assumption,
    RFC 5905 §8), so the error is at most the other half.
    """
    return received_wall_ns - round(round_trip_s * 5e8) - clock.boottime_ns
