"""The deck keeps the rules of the draw: what runs together, what alone, what a seed repeats."""

from types import SimpleNamespace
from typing import Any

import pytest

from hil import capability
from hil.deck import CARDS, Deck
from hil.fleet import NODES, PROXIES, Kind, ids, plan
from hil.injector import Injector, Scope
from hil.machine import board_of

SEEDS = range(12)


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are the same on a machine that can do everything."""
    monkeypatch.setattr("hil.injector.missing", lambda need: None)


def planned(agents: int, drivers: int) -> Any:
    """A stack that is laid out and not built: nothing is injected here."""
    fleet = plan(agents, drivers)
    boxes = {
        m.gateway: SimpleNamespace(member=m, machine=SimpleNamespace(board=board_of(m.number)))
        for m in fleet.where(kind=Kind.AGENT)
    }
    return SimpleNamespace(
        fleet=fleet,
        boxes=boxes,
        proxies={name: SimpleNamespace(name=name) for name in PROXIES},
        nodes={name: SimpleNamespace(name=name) for name in NODES},
        network=SimpleNamespace(agent=lambda number: f"gw{number}", drivers="drivers", core="core"),
        wire=lambda gateway: None,
        name_of=lambda gateway: f"{gateway}.hil",
    )


def touched(injector: Injector) -> set[str]:
    """Return whom a fault may hit."""
    expected = injector.expected()
    return {*expected.gateways, *expected.side_effects}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_is_dealt_once(seed: int) -> None:
    """A fleet of the bench's size has room for every kind; none is lost in the shuffle."""
    deck = Deck(planned(8, 24), seed)
    names = sorted(one.name for round_ in deck.rounds() for one in round_)
    assert len(names) == len(CARDS)
    assert deck.left_out == []


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_a_round_hit_different_gateways(seed: int) -> None:
    """So that each loss has one true cause."""
    for round_ in Deck(planned(8, 24), seed, copies=2).rounds():
        hit = [name for one in round_ for name in touched(one)]
        assert len(hit) == len(set(hit)), [one.name for one in round_]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_hits_everybody_runs_alone(seed: int) -> None:
    """A node's fault has a round to itself, a proxy's leaves its proxy's gateways alone."""
    stack = planned(8, 24)
    for round_ in Deck(stack, seed, copies=2).rounds():
        scopes = [one.scope for one in round_]
        assert Scope.FLEET not in scopes or len(round_) == 1
        assert scopes.count(Scope.PROXY) <= 1


def test_raw_evidence_is_for_real_agents() -> None:
    """A driver has no host: supply, radio, adapter, boot and clock never hit one."""
    raw = {
        "power_sag_then_cut",
        "feeder_power_cut",
        "wifi_fades",
        "adapter_unplugged",
        "agent_killed",
        "orderly_reboot",
        "watchdog",
        "wrong_clock",
    }
    stack = planned(8, 24)
    agents = set(ids(stack.fleet.where(kind=Kind.AGENT)))
    for seed in SEEDS:
        for one in (one for round_ in Deck(stack, seed).rounds() for one in round_):
            if one.name in raw:
                assert touched(one) <= agents, one.name


def test_a_seed_repeats_the_run() -> None:
    """Two decks of one seed deal the same faults to the same gateways; another seed does not."""

    def dealt(seed: int) -> list[list[tuple[str, tuple[str, ...]]]]:
        rounds = Deck(planned(8, 24), seed).rounds()
        return [[(one.name, one.expected().gateways) for one in round_] for round_ in rounds]

    assert dealt(5) == dealt(5)
    assert dealt(5) != dealt(6)


def test_what_the_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that cannot be injected is left out with the reason and the cure."""

    def missing(need: capability.Capability) -> str | None:
        return "needs root" if need is capability.Capability.NFT else None

    monkeypatch.setattr("hil.injector.missing", missing)
    deck = Deck(planned(8, 24), 1)
    names = {one.name for round_ in deck.rounds() for one in round_}
    assert "half_open" not in names
    assert ("half_open", "needs root") in deck.left_out
