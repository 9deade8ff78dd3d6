"""Pins the window in simulated time: use of the link and latency of live messages.

The figures are exact (no clock, no noise): a bound here is not a timed assertion.
"""

import random

import pytest

from gateway.wire.window import MIN_WINDOW, TARGET_S, Window
from tests.wire.link_model import Path, run, steady

MBIT = 1e6 / 8


@pytest.mark.parametrize(
    ("mbit", "rtt", "use", "p99"),
    [
        (1, 0.0, 0.95, 0.100),
        (1, 0.05, 0.95, 0.100),
        (5, 0.0, 0.95, 0.050),
        (5, 0.05, 0.95, 0.075),
        (50, 0.0, 0.95, 0.050),
        (50, 0.05, 0.95, 0.075),
    ],
)
def test_a_steady_link(mbit: int, rtt: float, use: float, p99: float) -> None:
    """The link is used and live stays fast; one-way latency to COMMIT, which takes 2 ms."""
    outcome = run(steady(mbit * MBIT, rtt), 30.0)
    assert outcome.use > use
    assert outcome.latency(0.99) < p99


@pytest.mark.parametrize("rtt", [0.0, 0.05])
def test_an_unthrottled_link(rtt: float) -> None:
    """At 200 MB/s and 2 ms commits far more than 300,000 readings/s x 4 bytes pass."""
    outcome = run(steady(200e6, rtt), 5.0)
    assert outcome.bytes_per_s > 10e6
    assert outcome.latency(0.99) < 0.060


def test_the_round_trip_grows() -> None:
    """80 ms more: the base is found anew and the link is used again."""
    path = Path(lambda _: 5 * MBIT, lambda t: 0.0 if t < 20 else 0.08, lambda _: 0.002)
    outcome = run(path, 40.0, skip_s=22.0)
    assert outcome.use > 0.95
    assert outcome.latency(0.99) < 0.100


def test_the_round_trip_shrinks() -> None:
    """80 ms less: no standing queue is left behind."""
    path = Path(lambda _: 5 * MBIT, lambda t: 0.08 if t < 20 else 0.0, lambda _: 0.002)
    outcome = run(path, 60.0, skip_s=22.0)
    assert outcome.use > 0.95
    assert outcome.latency(0.99) < 0.060


def test_the_rate_drops() -> None:
    """50 to 5 Mbit/s: the queue of the moment drains within two seconds and does not return."""
    path = Path(lambda t: (50 if t < 20 else 5) * MBIT, lambda _: 0.02, lambda _: 0.002)
    outcome = run(path, 40.0, skip_s=22.0)
    assert outcome.use > 0.95
    assert outcome.latency(0.99) < 0.075


def test_the_rate_rises() -> None:
    """5 to 50 Mbit/s is noticed within two seconds."""
    path = Path(lambda t: (5 if t < 20 else 50) * MBIT, lambda _: 0.02, lambda _: 0.002)
    assert run(path, 40.0, skip_s=22.0).use > 0.95


@pytest.mark.parametrize("commit_s", [0.05, 0.1, 0.2])
def test_slow_commits_do_not_starve_the_link(commit_s: float) -> None:
    """Acks that come in bursts make most delays longer than the least; the window allows for it."""
    path = steady(5 * MBIT, 0.02, commit_s)
    assert run(path, 60.0).use > 0.75


def test_rare_commit_stalls() -> None:
    """One commit in a thousand takes 250 ms: that costs hardly more than the stalls themselves."""
    rng = random.Random(1)
    path = Path(
        lambda _: 5 * MBIT, lambda _: 0.02, lambda _: 0.25 if rng.random() < 0.001 else 0.003
    )
    outcome = run(path, 120.0)
    assert outcome.use > 0.90
    assert outcome.latency(0.9) < 0.075


def test_live_alone_keeps_what_is_known() -> None:
    """Supply-limited samples do not lower the rate that a drain has shown."""
    window = Window(1 << 20, 0.0)
    now = 0.0
    for _ in range(50):
        flights = [window.sent(8192, now) for _ in range(max(1, window.room() // 8192))]
        now += 0.02
        window.acked(flights, now)
    known = window.rate
    assert known > 300_000
    for _ in range(100):
        flight = window.sent(500, now)
        now += 0.1
        window.acked([flight], now)
    assert window.rate == known
    assert window.size >= MIN_WINDOW


def test_before_the_first_ack() -> None:
    """Nothing is known, and two messages of the default size may go."""
    window = Window(1 << 20, 0.0)
    assert (window.rate, window.base) == (0.0, 0.0)
    assert window.room() == 2 * window.body()
    window.limit = 10_000
    assert window.room() == 10_000
    assert TARGET_S == 0.02


def test_refused_messages_are_not_in_flight() -> None:
    """A refused message frees its bytes and teaches nothing."""
    window = Window(1 << 20, 0.0)
    window.dropped(window.sent(5000, 0.0))
    assert window.in_flight == 0
    assert window.rate == 0.0


def test_acks_of_one_commit_count_as_one() -> None:
    """Acks at the same instant are no evidence of fast commits."""
    window = Window(1 << 20, 0.0)
    now = 0.0
    for _ in range(20):
        first, second = window.sent(4000, now), window.sent(4000, now)
        now += 0.1
        window.acked([first], now)
        window.acked([second], now)
    assert window.size > window.rate * 0.15


def test_acks_that_a_stall_held_back_are_no_rate() -> None:
    """Bytes sent long ago and acked at once after a stall do not make the link look fast."""
    window = Window(1 << 20, 0.0)
    now = 0.0
    for _ in range(100):
        flights = [window.sent(5000, now) for _ in range(2)]
        now += 0.016
        window.acked(flights, now)
    known = window.rate
    first, *held = [window.sent(5000, now + 0.001 * n) for n in range(5)]
    now += 0.080
    window.acked([first], now)
    late = window.sent(5000, now)
    for flight in held:
        window.acked([flight], now + 0.002)
    window.acked([late], now + 0.004)
    assert window.rate < 1.2 * known
