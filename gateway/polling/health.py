"""How one device answers: its learnt time-out, its retries, and what it may cost when it is gone.

Owns the per-device breaker. A device that does not answer is *demoted*: it is only probed, at
intervals that grow and that keep what it costs below `PROBE_SHARE` of the bus's time. Never asks a
clock and never talks to a device.
"""

from collections import deque
from dataclasses import dataclass

PROBE_SHARE = 0.02
"""A demoted device costs its bus at most this share of its time."""
FIRST_TIMEOUT_S = 0.5
"""For a device that has never answered."""
MIN_TIMEOUT_S = 0.1
MAX_TIMEOUT_S = 1.0
TIMEOUT_FACTOR = 4.0
"""Times the longest turnaround seen lately (as Victron's dbus-modbus-client does)."""
TURNAROUNDS_KEPT = 64
PROBE_GROWTH = 1.5
MAX_PROBE_INTERVAL_S = 60.0
"""Unless `PROBE_SHARE` asks for more."""
FAILURES_SILENT = 2
"""Failed polls in a row after which a silent device is demoted; one if it has never answered."""
FAILURES_GARBLED = 10
"""The same where something came back, but nothing that could be read."""
BUSY_RETRIES = 4
BUSY_PAUSE_S = 0.05
"""First pause before a busy device is asked again; doubles."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A device went down or came up. `down_s`: how long it had been down when it came up."""

    down: bool
    down_s: float = 0.0


class DeviceHealth:
    """The breaker of one device. `timeout_s`: the configured one, which nothing learnt changes."""

    def __init__(self, timeout_s: float | None, retries: int) -> None:
        self._configured = timeout_s
        self._retries = retries
        self._turnarounds: deque[float] = deque(maxlen=TURNAROUNDS_KEPT)
        self._failures = 0
        self._probe_interval_s = 0.0
        self._probe_at = 0.0
        self._down_since = 0.0
        self.demoted = False
        self.ever_answered = False

    @property
    def turnaround_s(self) -> float | None:
        """The median turnaround lately; ``None`` before the first answer."""
        if not self._turnarounds:
            return None
        return sorted(self._turnarounds)[len(self._turnarounds) // 2]

    def timeout_s(self, attempt: int = 0) -> float:
        """Return how long to wait for the first character; a retry waits twice as long."""
        if self._configured is not None:
            return self._configured
        if not self._turnarounds:
            learnt = FIRST_TIMEOUT_S
        else:
            learnt = max(MIN_TIMEOUT_S, TIMEOUT_FACTOR * max(self._turnarounds))
        return float(min(MAX_TIMEOUT_S, learnt * 2**attempt))

    @property
    def retries(self) -> int:
        """How often a failed transaction is repeated; a probe and a first try are made once."""
        return 0 if self.demoted or not self.ever_answered else self._retries

    def may_ask(self, now: float) -> bool:
        """Say whether to poll now: always, unless the device is demoted and no probe is due."""
        return not self.demoted or now >= self._probe_at

    def answered(self, turnaround_s: float | None, now: float) -> Transition | None:
        """Note an answer (an exception is one, with no turnaround worth learning)."""
        if turnaround_s is not None:
            self._turnarounds.append(max(0.0, turnaround_s))
        self.ever_answered = True
        self._failures = 0
        if not self.demoted:
            return None
        self.demoted = False
        self._probe_interval_s = 0.0
        return Transition(False, now - self._down_since)

    def failed(self, now: float, cost_s: float, *, silent: bool) -> Transition | None:
        """Note a poll to which nothing readable came back and which took `cost_s` of the bus."""
        self._failures += 1
        if self.demoted:
            self._probe_interval_s *= PROBE_GROWTH
            self._next_probe(now, cost_s)
            return None
        limit = FAILURES_SILENT if silent else FAILURES_GARBLED
        if self._failures < (limit if self.ever_answered or not silent else 1):
            return None
        self.demoted = True
        self._down_since = now
        self._next_probe(now, cost_s)
        return Transition(True)

    def _next_probe(self, now: float, cost_s: float) -> None:
        least = cost_s / PROBE_SHARE
        wanted = min(self._probe_interval_s, MAX_PROBE_INTERVAL_S)
        self._probe_interval_s = max(least, wanted)
        self._probe_at = now + self._probe_interval_s

    def forget(self, now: float) -> None:
        """Probe at the next chance: the port came back, so the device may have too."""
        self._failures = 0
        if self.demoted:
            self._probe_at = now
            self._probe_interval_s = 0.0
