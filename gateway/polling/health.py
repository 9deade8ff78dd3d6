"""How one device answers: its learnt time-out, its retries, and what it may cost when it is gone.

Owns the per-device breaker. A device that does not answer is *demoted*: it is only probed, at
intervals that grow and that keep what it costs below `PROBE_SHARE` of the bus's time. After a start
or the return of the port there are a few early probes: meters boot later than the gateway. Never
asks a clock and never talks to a device.
"""

from collections import deque
from dataclasses import dataclass

from gateway.polling.blocks import Range

PROBE_SHARE = 0.02
"""A demoted device costs its bus at most this share of its time, over any `FRESH_S`."""
PROBES_SHARE = 0.2
"""And all demoted devices of a bus together at most this share."""
FRESH_S = 600.0
"""After a start or the return of the port; early probes are paid back within it."""
EARLY_S = 30.0
EARLY_INTERVAL_S = 5.0
EARLY_COST_S = 3.0
"""A device that is silent in the first `EARLY_S` is probed this often, for at most this much of the
bus's time (six first time-outs)."""
FRESH_SHARE = 0.015
"""`PROBE_SHARE` less what the early probes cost: 3 s + 1.5 % of 600 s = 2 % of 600 s."""
FIRST_TIMEOUT_S = 0.5
"""For a device that has never answered."""
MIN_TIMEOUT_S = 0.1
MAX_TIMEOUT_S = 1.0
TIMEOUT_FACTOR = 4.0
"""Times the longest turnaround seen lately (as Victron's dbus-modbus-client does)."""
TURNAROUNDS_KEPT = 64
SLOW_KEPT = 256
SLOW_DECAY = 0.9
"""How fast a block's own longest turnaround is forgotten, each time that it answers faster."""
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
        self._slow: dict[Range, float] = {}
        """Longest turnaround of the blocks that need more than `MIN_TIMEOUT_S`."""
        self._failures = 0
        self._probe_interval_s = 0.0
        self._probe_at = 0.0
        self._down_since = 0.0
        self._fresh_since: float | None = None
        self._early_s = 0.0
        self.demoted = False
        self.ever_answered = False

    @property
    def turnaround_s(self) -> float | None:
        """The median turnaround lately; ``None`` before the first answer."""
        if not self._turnarounds:
            return None
        return sorted(self._turnarounds)[len(self._turnarounds) // 2]

    def timeout_s(self, block: Range, attempt: int = 0) -> float:
        """Return how long to wait for the first character of `block`; a retry waits twice as long.

        A block may be slower than the others and read more rarely: its own turnarounds count too.
        """
        if self._configured is not None:
            return self._configured
        if not self._turnarounds:
            learnt = FIRST_TIMEOUT_S
        else:
            longest = max(*self._turnarounds, self._slow.get(block, 0.0))
            learnt = max(MIN_TIMEOUT_S, TIMEOUT_FACTOR * longest)
        return float(min(MAX_TIMEOUT_S, learnt * 2**attempt))

    def patient_timeout_s(self, block: Range) -> float:
        """Return how long to wait for a block that has not answered in the usual time."""
        usual_s = self.timeout_s(block, 1)
        return usual_s if self._configured is not None else max(FIRST_TIMEOUT_S, usual_s)

    @property
    def retries(self) -> int:
        """How often a failed transaction is repeated; a probe and a first try are made once."""
        return 0 if self.demoted or not self.ever_answered else self._retries

    def may_ask(self, now: float) -> bool:
        """Say whether to poll now: always, unless the device is demoted and no probe is due."""
        return not self.demoted or now >= self._probe_at

    def replied(self, block: Range, turnaround_s: float) -> None:
        """Learn from the turnaround of a good reply."""
        turnaround_s = max(0.0, turnaround_s)
        self._turnarounds.append(turnaround_s)
        slowest = max(turnaround_s, self._slow.pop(block, 0.0) * SLOW_DECAY)
        if slowest * TIMEOUT_FACTOR > MIN_TIMEOUT_S:
            if len(self._slow) >= SLOW_KEPT:
                del self._slow[next(iter(self._slow))]
            self._slow[block] = slowest

    def answered(self, now: float) -> Transition | None:
        """Note an answer; an exception is one."""
        self.ever_answered = True
        self._failures = 0
        if not self.demoted:
            return None
        self.demoted = False
        self._probe_interval_s = 0.0
        return Transition(False, now - self._down_since)

    def failed(
        self, now: float, cost_s: float, *, silent: bool, share: float = PROBES_SHARE
    ) -> Transition | None:
        """Note a poll to which nothing readable came back and which took `cost_s` of the bus.

        `share`: this device's part of `PROBES_SHARE`.
        """
        self._failures += 1
        if self.demoted:
            self._probe_interval_s *= PROBE_GROWTH
            self._next_probe(now, cost_s, share)
            return None
        limit = FAILURES_SILENT if silent else FAILURES_GARBLED
        if self._failures < (limit if self.ever_answered or not silent else 1):
            return None
        self.demoted = True
        self._down_since = now
        self._next_probe(now, cost_s, share)
        return Transition(True)

    def _next_probe(self, now: float, cost_s: float, share: float) -> None:
        fresh_s = now - self._fresh_since if self._fresh_since is not None else FRESH_S
        self._early_s += cost_s
        if fresh_s < EARLY_S and self._early_s + cost_s <= EARLY_COST_S:
            self._probe_interval_s = 0.0
            self._probe_at = now + max(EARLY_INTERVAL_S, cost_s / share)
            return
        least = cost_s / min(share, PROBE_SHARE if fresh_s >= FRESH_S else FRESH_SHARE)
        wanted = min(self._probe_interval_s, MAX_PROBE_INTERVAL_S)
        self._probe_interval_s = max(least, wanted)
        self._probe_at = now + self._probe_interval_s

    def forget(self, now: float) -> None:
        """Probe at the next chance: the port is open (again), the device may be there too."""
        self._failures = 0
        self._fresh_since = now
        self._early_s = 0.0
        if self.demoted:
            self._probe_at = now
            self._probe_interval_s = 0.0
