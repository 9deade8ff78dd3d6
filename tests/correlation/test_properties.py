"""What must hold for any world: order, delay, duplicates and wrong clocks change nothing; less
evidence never makes another cause. `tests/soak/correlation.py` has the long form."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.correlation.verdict import Cause
from tests.correlation import worlds
from tests.correlation.laws import (
    Told,
    contradictions,
    disordered,
    drawn_world,
    late_clocks,
    report_of,
    verdicts,
    without,
    without_each,
)
from tests.correlation.removal import poorer
from tests.correlation.worlds import fleet, strike

SHORT = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


@SHORT
@given(SEEDS)
def test_order_delay_and_duplicates_change_no_verdict(seed: int) -> None:
    """Any order, any delay of delivery, anything twice: the same report."""
    rng = random.Random(seed)
    world = drawn_world(rng)
    assert report_of(disordered(world, rng)) == report_of(world)


@SHORT
@given(SEEDS)
def test_a_clock_off_by_hours_moves_nothing_to_another_incident(seed: int) -> None:
    """Anchors from before the first synchronisation, hours or years off: the same incidents."""
    rng = random.Random(seed)
    world = drawn_world(rng)
    assert _members(late_clocks(world, rng)) == _members(world)


def _members(world: worlds.World) -> list[tuple[str, Cause, tuple[str, ...]]]:
    return [
        (one.identity, one.cause, tuple(loss.gateway for loss in one.losses))
        for one in report_of(world).incidents
    ]


@SHORT
@given(SEEDS, st.floats(min_value=0.0, max_value=1.0))
def test_less_evidence_never_makes_another_cause(seed: int, share: float) -> None:
    """Whatever is taken away: the same cause, no surer, or unknown."""
    rng = random.Random(seed)
    world = drawn_world(rng)
    assert contradictions(verdicts(world), verdicts(without(world, rng, share))) == []


@pytest.mark.parametrize(
    "fault", [*worlds.LOCAL, *worlds.OF_A_PROXY, *worlds.OF_A_NODE], ids=lambda one: one.__name__
)
def test_no_single_piece_of_evidence_hides_another_cause(fault: worlds.Fault) -> None:
    """Each piece of one struck gateway's evidence is taken away in turn."""
    world = fleet(12)
    some = world.gateways[5:6]
    if fault in worlds.OF_A_PROXY:
        some = [one for one in world.gateways if one.proxy == worlds.PROXIES[1]]
    elif fault in worlds.OF_A_NODE:
        some = [one for one in world.gateways if one.node == "a"]
    strike(world, fault, some, 400.0)
    full = verdicts(world)
    for less in without_each(world, some[0].name):
        assert contradictions(full, less) == []


def test_all_causes_are_in_the_worlds() -> None:
    """The properties are tested on every cause but those that need a fault of the centre's own."""
    found = set()
    for fault in (*worlds.LOCAL, *worlds.OF_A_PROXY, *worlds.OF_A_NODE):
        world = fleet()
        found.add(strike(world, fault, world.gateways[1::2], 400.0).cause)
    assert set(Cause) - found == {
        Cause.UNKNOWN,
        Cause.REPLACED,
        Cause.CENTRE_ERROR,
        Cause.CENTRE_REFUSED,
    }


def test_a_later_fault_does_not_speak_for_an_earlier_cut() -> None:
    """A reload, then a lost adapter; without the sessions that came back at once, the adapter's
    failures to connect do not make the reload a proxy's death."""
    world = fleet(12)
    some = [one for one in world.gateways if one.proxy == worlds.PROXIES[1]]
    strike(world, worlds.proxy_reloaded, some, 400.0)
    strike(world, worlds.adapter_gone, some[:2], 1200.0)
    full = verdicts(world)
    away = {one.name for one in some[:-1]}
    told = [
        poorer(one, lambda: True, 1 if one.gateway in away else None) for one in world.evidence()
    ]
    back_ns = min(
        sorted(session.opened_ns for session in one.sessions)[1]
        for one in world.evidence()
        if one.gateway in away
    )
    less = verdicts(Told(world, told, back_ns))
    assert len(less) == len(some)
    assert contradictions(full, less) == []
