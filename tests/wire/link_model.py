"""A link, a centre that commits in groups and an agent with a full backlog, in simulated time.

Owns the numbers behind `tests/bench/wire.py`'s table and `test_window.py`. The link is a FIFO that
serialises at `rate` bytes a second and delays by `rtt`/2 each way; the centre commits whatever has
arrived in one commit at a time of `commit_s` + size/`store_rate`, then acks.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.wire.window import Flight, Window


@dataclass
class Outcome:
    """What one run gave. `use`: backlog and live bytes delivered over what the link carries."""

    use: float
    bytes_per_s: float
    latencies: list[float] = field(repr=False)

    def latency(self, quantile: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


@dataclass
class Path:
    """The path as a function of time, so that it can step."""

    rate: Callable[[float], float]
    rtt: Callable[[float], float]
    commit: Callable[[float], float]
    store_rate: float = 50e6


def steady(rate: float, rtt: float, commit_s: float = 0.002) -> Path:
    """A path that does not change."""
    return Path(lambda _: rate, lambda _: rtt, lambda _: commit_s)


def run(
    path: Path,
    seconds: float,
    *,
    limit: int = 1024 * 1024,
    live_size: int = 700,
    live_every_s: float = 0.1,
    skip_s: float = 2.0,
) -> Outcome:
    """Drain an endless backlog for `seconds`; figures leave out the first `skip_s`."""
    window = Window(limit, 0.0)
    events: list[tuple[float, int, str, object]] = []
    count = 0
    link_free = 0.0
    arrived: deque[tuple[Flight, bool]] = deque()
    committing = False
    latencies: list[float] = []
    delivered = 0

    def at(when: float, kind: str, what: object = None) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (when, count, kind, what))

    def send(size: int, live: bool, now: float) -> None:
        nonlocal link_free
        flight = window.sent(size, now)
        wire = size + 30 + 52 * (1 + size // 1448)
        link_free = max(link_free, now) + wire / path.rate(now)
        at(link_free + path.rtt(now) / 2, "arrive", (flight, live))

    at(0.0, "live")
    now = 0.0
    while events and now < seconds:
        now, _, kind, what = heapq.heappop(events)
        if kind == "live":
            send(live_size, True, now)
            at(now + live_every_s, "live")
        elif kind == "arrive":
            arrived.append(what)  # type: ignore[arg-type]
            if now >= skip_s:
                delivered += what[0].size + 30 + 52 * (1 + what[0].size // 1448)  # type: ignore
        elif kind == "committed":
            committing = False
            flights = []
            for flight, live in what:  # type: ignore[attr-defined]
                flights.append(flight)
                if live and flight.sent_at >= skip_s:
                    latencies.append(now - flight.sent_at)
            at(now + path.rtt(now) / 2, "ack", flights)
        elif kind == "ack":
            window.acked(what, now)  # type: ignore[arg-type]
        if arrived and not committing:
            committing = True
            batch = list(arrived)
            arrived.clear()
            size = sum(flight.size for flight, _ in batch)
            at(now + path.commit(now) + size / path.store_rate, "committed", batch)
        while window.room() >= window.body() // 2:
            send(min(window.body(), max(window.room(), 1024)), False, now)
    span = seconds - skip_s
    carried = path.rate(seconds) * span
    return Outcome(delivered / carried, delivered / span, latencies)
