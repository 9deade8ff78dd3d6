"""How much may be in flight: a window steered by ack delay.

Owns the estimates of rate and base delay and what follows from them. The window is

    rate x (base delay + target)

`rate` is the windowed maximum of delivery rates: bytes acked between two moments over the time
between them (Cheng, Cardwell: draft-cheng-iccrg-delivery-rate-estimation). `base` is the smallest
ack delay of late. The target is the queue we allow ourselves, 20 ms: LEDBAT's idea (RFC 6817),
whose 100 ms would be too much for live readings. While the link has room, delay stays at `base`, a
sample of the rate exceeds the estimate, and the window grows (at most doubling per round trip)
until the queue holds the target.

An ack delay includes the centre's commit. Commits every `c` seconds make most delays longer than
the minimum by up to `c`, so the smallest of the last gaps between acks raises the target when it is
larger. One slow commit changes no minimum, and one late ack no rate.

Our own queue hides the base delay. Every `PROBE_INTERVAL_S`, and at once when acks stay late (the
path may have become longer), the window is cut to half of what the base allows until a round trip
has passed, and the smallest delay seen meanwhile becomes the base.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

TARGET_S = 0.020
MIN_WINDOW = 6 * 1024
"""Two of the smallest messages: one on the wire, one being acked."""
MIN_BODY = 3 * 1024
DEFAULT_BODY = 8 * 1024
"""Bytes of a backlog message until the link is known to be faster or slower."""
BODY_S = 0.010
"""Seconds of the link's time that one backlog message may take: a live one waits behind it."""
RATE_MEMORY_S = 2.0
"""Rates older than this, or than `RATE_ROUNDS` ack delays, are forgotten."""
RATE_ROUNDS = 8
PROBE_INTERVAL_S = 10.0
LATE_PROBE_INTERVAL_S = 1.0
GAPS = 4
"""Gaps between acks whose smallest is taken for the commit interval."""
MAX_GAP_S = 0.250


class Flight(NamedTuple):
    """A message in flight, and how much had been delivered when it left."""

    size: int
    sent_at: float
    delivered: int
    delivered_at: float
    acked_sent_at: float
    """When the message left whose ack was the latest when this one left."""
    filling: bool
    """The window was nearly full: what this message measures is the link, not our supply."""


class Window:
    """The window of one session. Sizes are bytes of messages, both lanes."""

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        """What the centre allows."""
        self.size = 2 * DEFAULT_BODY
        """Bytes that may be in flight before the backlog waits."""
        self.in_flight = 0
        self._base: float | None = None
        self._rates: deque[tuple[float, float]] = deque()  # (when, rate), rates descending
        self._delivered = 0
        self._delivered_at = now
        self._acked_sent_at = now
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._acked_at = now
        self._late_acks = 0
        self._probed_at = now
        self._probe: float | None = None  # the smallest delay of the probe under way
        self._probe_acks = 0

    @property
    def rate(self) -> float:
        """Bytes per second the path is known to carry; 0.0 while unknown."""
        return self._rates[0][1] if self._rates else 0.0

    @property
    def base(self) -> float:
        """Seconds an ack takes without a queue; 0.0 while unknown."""
        return self._base or 0.0

    def room(self) -> int:
        """Return the bytes the backlog may send now."""
        return min(self.size, self.limit) - self.in_flight

    def body(self) -> int:
        """Return how long a backlog message should be at most, as sent."""
        fast = int(self.rate * BODY_S) if self._rates else DEFAULT_BODY
        return max(MIN_BODY, min(fast, self.size // 2, self.limit // 4))

    def sent(self, size: int, now: float) -> Flight:
        """Note a message that leaves now."""
        if self.in_flight == 0:
            self._delivered_at = self._acked_at = self._acked_sent_at = now
        self.in_flight += size
        filling = self.in_flight >= min(self.size, self.limit) * 0.6
        return Flight(size, now, self._delivered, self._delivered_at, self._acked_sent_at, filling)

    def dropped(self, flight: Flight) -> None:
        """Note that a message was refused: it is not in flight, and says nothing."""
        self.in_flight -= flight.size

    def acked(self, flights: Sequence[Flight], now: float) -> None:
        """Note the messages (at least one) that one ack completed."""
        size = sum(flight.size for flight in flights)
        self.in_flight -= size
        self._delivered += size
        newest = max(flights, key=_sent_at)
        delay = max(now - newest.sent_at, 1e-6)
        gap = now - self._acked_at
        if gap > 0.001:  # the acks of one commit come together
            self._gaps.append(min(gap, MAX_GAP_S))
        self._acked_at = self._delivered_at = now
        self._learn_base(newest, delay, now)
        late = delay > self.base + 1.5 * self._target()
        self._late_acks = self._late_acks + 1 if late else 0
        # The longer of the two: acks that a stall held back come faster than anything was sent.
        took = max(now - newest.delivered_at, newest.sent_at - newest.acked_sent_at, 1e-6)
        rate = (self._delivered - newest.delivered) / took
        self._acked_sent_at = newest.sent_at
        if newest.filling or rate > self.rate:
            self._learn_rate(rate, delay, now)
        self._resize(size, now)

    def _target(self) -> float:
        return max(TARGET_S, min(self._gaps, default=0.0))

    def _learn_base(self, newest: Flight, delay: float, now: float) -> None:
        if self._base is None or delay < self._base:
            self._base = delay
        if self._probe is not None and newest.sent_at >= self._probed_at:
            self._probe = min(self._probe, delay)
            self._probe_acks += 1
            if self._probe_acks >= 2:
                self._base = self._probe
                self._probe = None
                self._probed_at = now
                self._late_acks = 0
                self.size = int(self.rate * (self._base + self._target()))
        elif self._probe is None:
            age = now - self._probed_at
            if age >= PROBE_INTERVAL_S or (self._late_acks >= 2 and age >= LATE_PROBE_INTERVAL_S):
                self._probe = float("inf")
                self._probe_acks = 0
                self._probed_at = now

    def _learn_rate(self, rate: float, delay: float, now: float) -> None:
        rates = self._rates
        if self._late_acks >= 2:  # a queue stands: what was measured before is no longer true
            rates.clear()
        horizon = now - max(RATE_MEMORY_S, RATE_ROUNDS * delay)
        while rates and rates[0][0] < horizon:
            rates.popleft()
        while rates and rates[-1][1] <= rate:
            rates.pop()
        rates.append((now, rate))

    def _resize(self, acked: int, now: float) -> None:
        if self._probe is not None:
            self.size = max(MIN_WINDOW, int(self.rate * self.base / 2))
            return
        goal = int(self.rate * (self.base + self._target()))
        self.size = max(MIN_WINDOW, min(goal, self.size + acked, self.limit))


def _sent_at(flight: Flight) -> float:
    return flight.sent_at
