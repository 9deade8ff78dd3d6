"""Which faults, on whom, in which order, which together: drawn from a seed.

Owns the rules of the draw: faults at the same time hit disjoint gateways, what hits a proxy stands
beside faults of the other proxy's gateways only, what hits a centre node stands alone, and no two
of the same cause stand together. A fault that the machine cannot do is left out and named. Nothing
here waits or breaks anything.
"""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from hil.boards import Board
from hil.fleet import NODES, OPERATORS, PROXIES, Kind, Member
from hil.injector import Injector, Scope
from hil.injectors import boot, centre, clock, link, network, power, proxy
from hil.stack import Stack

TOGETHER = 3
"""Faults of one round, at most."""


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of fault. `deal` makes it for some of the free members, ``None`` when none fits."""

    name: str
    scope: Scope
    deal: Callable[[Stack, random.Random, Sequence[Member]], Injector | None]


def _box(
    make: Callable[..., Injector], fits: Callable[[Board], bool] = lambda board: True
) -> Callable[[Stack, random.Random, Sequence[Member]], Injector | None]:
    """Deal a fault of one real agent whose board `fits`."""

    def deal(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
        agents = [m for m in free if m.kind is Kind.AGENT]
        chosen = [m for m in agents if fits(stack.boxes[m.gateway].machine.board)]
        return make(stack.boxes[rng.choice(chosen).gateway]) if chosen else None

    return deal


def _one_supply(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
    agents = [m for m in free if m.kind is Kind.AGENT]
    if not agents:
        return None
    return power.PowerSagThenCut([stack.boxes[rng.choice(agents).gateway]])


def _feeder(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
    """A feeder has to be whole: all its real agents free."""
    ours = stack.fleet.where(kind=Kind.AGENT)
    feeders = {m.label("feeder") for m in ours}
    whole = sorted(
        feeder for feeder in feeders if all(m in free for m in ours if m.label("feeder") == feeder)
    )
    if not whole:
        return None
    feeder = rng.choice(whole)
    members = [m for m in ours if m.label("feeder") == feeder]
    return power.FeederPowerCut([stack.boxes[m.gateway] for m in members])


def _path(
    make: Callable[[Stack, Sequence[Member]], Injector],
) -> Callable[[Stack, random.Random, Sequence[Member]], Injector | None]:
    """Deal a fault in the path that some gateways of one operator share."""

    def deal(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
        operator = rng.choice(OPERATORS)
        fitting = [m for m in free if not m.quiet and m.label("operator") == operator]
        if not fitting:
            return None
        return make(stack, rng.sample(fitting, min(len(fitting), rng.randint(1, 3))))

    return deal


def _fading(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
    fitting = [m for m in free if not m.quiet]
    if not fitting:
        return None
    return network.LinkFades(stack, rng.choice(fitting), rng.getrandbits(32))


def _idle(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
    quiet = [m for m in free if m.quiet]
    return proxy.NginxIdle(stack, quiet) if len(quiet) >= 2 else None


def _certificate(stack: Stack, rng: random.Random, free: Sequence[Member]) -> Injector | None:
    name, operator = rng.choice(PROXIES), rng.choice(OPERATORS)
    behind = [m for m in free if m.proxy == name and not m.quiet]
    behind = [m for m in behind if m.label("operator") == operator]
    if not behind:
        return None
    return proxy.CertificateExpired(stack, name, rng.sample(behind, min(3, len(behind))))


CARDS = (
    Card("power_sag_then_cut", Scope.GATEWAY, _one_supply),
    Card("feeder_power_cut", Scope.GATEWAY, _feeder),
    Card("wifi_fades", Scope.GATEWAY, _box(link.WifiFades, lambda board: board is not Board.PC)),
    Card("adapter_unplugged", Scope.GATEWAY, _box(link.AdapterUnplugged)),
    Card("agent_killed", Scope.GATEWAY, _box(boot.AgentKilled)),
    Card("orderly_reboot", Scope.GATEWAY, _box(boot.OrderlyReboot)),
    Card(
        "watchdog",
        Scope.GATEWAY,
        _box(boot.WatchdogReset, lambda board: board is not Board.PI_4),
    ),
    Card("wrong_clock", Scope.GATEWAY, _box(clock.WrongClock)),
    Card("half_open", Scope.GATEWAY, _path(network.HalfOpen)),
    Card("firewall_resets", Scope.GATEWAY, _path(network.FirewallResets)),
    Card("names_gone", Scope.GATEWAY, _path(network.NamesGone)),
    Card("link_fades", Scope.GATEWAY, _fading),
    Card("nginx_idle", Scope.GATEWAY, _idle),
    Card("nginx_reload", Scope.PROXY, lambda stack, rng, free: proxy.NginxReload(stack)),
    Card(
        "proxy_killed",
        Scope.PROXY,
        lambda stack, rng, free: proxy.ProxyKilled(stack, rng.choice(PROXIES)),
    ),
    Card("certificate_expired", Scope.PROXY, _certificate),
    Card(
        "centre_killed",
        Scope.FLEET,
        lambda stack, rng, free: centre.CentreKilled(stack, rng.choice(NODES)),
    ),
    Card(
        "centre_drained",
        Scope.FLEET,
        lambda stack, rng, free: centre.CentreDrained(stack, rng.choice(NODES)),
    ),
)


class Deck:
    """Every card `copies` times, shuffled, dealt in rounds. `only`: the faults to deal, ``None``
    for all. `left_out`: (fault, reason)."""

    def __init__(
        self, stack: Stack, seed: int, copies: int = 1, only: Collection[str] | None = None
    ) -> None:
        self._stack = stack
        self._rng = random.Random(seed)
        self._cards = [card for card in CARDS if only is None or card.name in only] * copies
        self._rng.shuffle(self._cards)
        self.left_out: list[tuple[str, str]] = []

    def rounds(self) -> Iterator[tuple[Injector, ...]]:
        """Yield what is to be injected at the same time, until the deck is empty."""
        while self._cards:
            round_ = self._round()
            if round_:
                yield round_

    def _round(self) -> tuple[Injector, ...]:
        """Deal the first card, and what fits beside it."""
        first = self._cards.pop(0)
        free = set(self._stack.fleet)
        injector = self._deal(first, free)
        if injector is None:
            return ()
        dealt = [injector]
        if first.scope is Scope.FLEET:
            return tuple(dealt)
        free -= self._touched(injector)
        size = self._rng.randint(1, TOGETHER)
        for card in [card for card in self._cards if card.scope is Scope.GATEWAY]:
            if len(dealt) >= size:
                break
            beside = card.deal(self._stack, self._rng, _ordered(free))
            if beside is None or beside.missing() is not None:
                continue
            # Two of the same cause at the same instant: nobody could say that they are two.
            if self._touched(beside) <= free and not any(_alike(one, beside) for one in dealt):
                self._cards.remove(card)
                dealt.append(beside)
                free -= self._touched(beside)
        return tuple(dealt)

    def _deal(self, card: Card, free: set[Member]) -> Injector | None:
        """Make the fault of a card, or note why not."""
        injector = card.deal(self._stack, self._rng, _ordered(free))
        reason = "nobody it fits" if injector is None else injector.missing()
        if reason is not None:
            self.left_out.append((card.name, reason))
            return None
        return injector

    def _touched(self, injector: Injector) -> set[Member]:
        expected = injector.expected()
        names = {*expected.gateways, *expected.side_effects}
        return {member for member in self._stack.fleet if member.gateway in names}


def _alike(one: Injector, other: Injector) -> bool:
    """Say whether two faults ought to be found as the same cause."""
    causes = [{found.cause, *found.also} for found in (one.expected(), other.expected())]
    return bool(causes[0] & causes[1])


def _ordered(members: set[Member]) -> list[Member]:
    """Return members in an order that a seed repeats."""
    return sorted(members, key=lambda member: member.gateway)
