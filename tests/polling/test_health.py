"""A device's time-outs, its demotion, and what it costs its bus while it is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.modbus.point import Table
from gateway.polling.health import (
    FAILURES_GARBLED,
    FAILURES_SILENT,
    FIRST_TIMEOUT_S,
    MAX_PROBE_INTERVAL_S,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    PROBE_SHARE,
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
