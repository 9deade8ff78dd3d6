"""A device's time-outs, its demotion, and what it costs its bus while it is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.modbus.point import Table
from gateway.polling.health import (
    EARLY_COST_S,
    EARLY_S,
    FAILURES_GARBLED,
    FAILURES_SILENT,
    FIRST_TIMEOUT_S,
    FRESH_S,
    MAX_PROBE_INTERVAL_S,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    PROBE_SHARE,
    PROBES_SHARE,
    SLOW_KEPT,
    DeviceHealth,
    Transition,
)

ANY = (Table.INPUT, 0, 9)


def answered(health: DeviceHealth, turnaround_s: float, now: float) -> Transition | None:
    """Let the device answer."""
    health.replied(ANY, turnaround_s)
    return health.answered(now)


def test_timeout_follows_the_turnaround() -> None:
    """Four times the longest turnaround lately, within bounds; a retry waits twice as long."""
    health = DeviceHealth(None, retries=1)
    assert health.timeout_s(ANY) == FIRST_TIMEOUT_S and health.retries == 0
    answered(health, 0.002, 0.0)
    assert health.timeout_s(ANY) == MIN_TIMEOUT_S and health.retries == 1
    answered(health, 0.060, 1.0)
    assert health.timeout_s(ANY) == pytest.approx(0.24)
    assert health.timeout_s(ANY, 1) == pytest.approx(0.48)
    answered(health, 5.0, 2.0)
    assert health.timeout_s(ANY, 3) == MAX_TIMEOUT_S
    for _ in range(100):
        answered(health, 0.01, 3.0)
    assert health.timeout_s(ANY) == MIN_TIMEOUT_S and health.turnaround_s == 0.01


def test_configured_timeout_stands() -> None:
    """A time-out from the config is never changed by what is learnt."""
    health = DeviceHealth(2.5, retries=3)
    answered(health, 0.001, 0.0)
    assert health.timeout_s(ANY) == health.timeout_s(ANY, 2) == 2.5


def test_silent_device_is_demoted_and_comes_back() -> None:
    """A device that answered before goes down after two silent polls and comes up with one
    answer."""
    health = DeviceHealth(None, retries=1)
    answered(health, 0.01, 0.0)
    for _ in range(FAILURES_SILENT - 1):
        assert health.failed(1.0, 0.3, silent=True) is None
    transition = health.failed(2.0, 0.3, silent=True)
    assert transition is not None and transition.down
    assert not health.may_ask(2.0 + 0.3 / PROBE_SHARE - 0.01)
    assert health.may_ask(2.0 + 0.3 / PROBE_SHARE)
    up = answered(health, 0.01, 50.0)
    assert up is not None and not up.down and up.down_s == 48.0
    assert health.may_ask(50.0)


def test_one_failure_is_no_demotion() -> None:
    """A single lost poll, or an answer in between, leaves the device as it is."""
    health = DeviceHealth(None, retries=1)
    answered(health, 0.01, 0.0)
    for number in range(100):
        assert health.failed(number, 0.3, silent=True) is None
        answered(health, 0.01, number + 0.5)
    assert not health.demoted


def test_garbled_answers_need_more() -> None:
    """A device that answers badly on a noisy bus is kept longer than one that is silent."""
    health = DeviceHealth(None, retries=1)
    downs = [health.failed(n, 0.05, silent=False) for n in range(FAILURES_GARBLED)]
    assert downs[-1] is not None and not any(downs[:-1])


def test_port_return_probes_at_once() -> None:
    """When the adapter is back, a demoted device is asked at its next due time."""
    health = DeviceHealth(None, retries=1)
    health.failed(0.0, 0.5, silent=True)
    assert health.demoted and not health.may_ask(1.0)
    health.forget(1.0)
    assert health.may_ask(1.0)


@given(st.floats(0.01, 2.0), st.floats(0.01, 30.0), st.booleans(), st.lists(st.floats(0.5, 1.5)))
def test_costs_at_most_its_share(
    cost: float, interval: float, ever: bool, spread: list[float]
) -> None:
    """Over any time from its demotion on, probes take at most 2 % of the bus."""
    health = DeviceHealth(None, retries=1)
    if ever:
        answered(health, 0.01, 0.0)
        health.failed(0.0, cost, silent=True)
    now = 0.0
    health.failed(now, cost, silent=True)
    assert health.demoted
    began, used, probes = now, 0.0, 0
    last = now
    gaps: list[float] = []
    while now < began + 3600:
        now += interval
        if health.may_ask(now):
            spent = cost * spread[probes % len(spread)] if spread else cost
            used += spent
            gaps.append(now - last)
            last = now
            now += spent
            health.failed(now, spent, silent=True)
            probes += 1
            assert used - spent <= PROBE_SHARE * (now - began)
    assert probes >= 3600 / (max(MAX_PROBE_INTERVAL_S, 2 * cost / PROBE_SHARE) + interval) - 2
    if not spread:
        assert used <= PROBE_SHARE * 1.001 * (now - began) + cost


def test_slow_block_keeps_its_own_timeout() -> None:
    """A block's own long turnaround counts for it alone, after any number of fast answers of
    others, and fades once it answers faster."""
    slow = (Table.INPUT, 100, 120)
    health = DeviceHealth(None, retries=1)
    health.replied(slow, 0.2)
    for _ in range(1000):
        health.replied(ANY, 0.005)
    assert health.timeout_s(ANY) == MIN_TIMEOUT_S
    assert health.timeout_s(slow) == pytest.approx(0.8)
    assert health.patient_timeout_s(ANY) == FIRST_TIMEOUT_S
    assert health.patient_timeout_s(slow) == MAX_TIMEOUT_S
    for _ in range(100):
        health.replied(slow, 0.005)
    assert health.timeout_s(slow) == MIN_TIMEOUT_S
    for number in range(10 * SLOW_KEPT):
        health.replied((Table.INPUT, number, number), 0.5)
    assert len(health._slow) <= SLOW_KEPT
    assert DeviceHealth(0.3, retries=1).patient_timeout_s(ANY) == 0.3


@given(st.floats(0.005, 4.0), st.floats(0.05, 5.0), st.integers(1, 40), st.booleans())
def test_early_probes_are_paid_back(
    cost_s: float, interval_s: float, absent: int, before: bool
) -> None:
    """In the first half minute after a start or the port's return a device is probed early, for a
    bounded time; over ten minutes it costs 2 % and one probe at most, and many absent ones a fifth
    together."""
    health = DeviceHealth(None, retries=1)
    now = 0.0
    if before:
        answered(health, 0.01, 0.0)
        health.failed(0.0, cost_s, silent=True)
        now = 1000.0
    share = PROBES_SHARE / absent
    health.forget(now)
    began, used_s, early = now, 0.0, 0
    while now < began + FRESH_S:
        if health.may_ask(now):
            used_s += cost_s
            now += cost_s
            early += now <= began + EARLY_S
            health.failed(now, cost_s, silent=True, share=share)
        now += interval_s
    assert used_s <= min(PROBE_SHARE, 2 * share) * FRESH_S + 2 * cost_s
    assert early * cost_s <= EARLY_COST_S + 2 * cost_s
    if cost_s <= 0.5 and interval_s <= 1.0 and absent <= 2:
        assert early >= 4
