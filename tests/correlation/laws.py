"""The laws of the analysis, as functions: worlds drawn from a seed, and what may happen to them.

Owns what the property tests and their long form share. Faults of one world strike disjoint
gateways, or the same one long after another.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from gateway.correlation.analysis import analyse
from gateway.correlation.evidence import Anchor, GatewayEvidence
from gateway.correlation.report import Report
from gateway.correlation.verdict import Cause
from gateway.host.reboot import Confidence
from tests.correlation import worlds
from tests.correlation.removal import each, poorer
from tests.correlation.worlds import Gateway, World, fleet, ns, strike

END = 4000.0
ROUND_S = 600.0
_SURE = tuple(reversed(Confidence))
Verdicts = dict[tuple[str, int], tuple[Cause, Confidence]]


class Told(World):
    """A world whose evidence was changed."""

    def __init__(
        self, world: World, evidence: list[GatewayEvidence], until_ns: int | None = None
    ) -> None:
        super().__init__(world.gateways, world.truths, list(world.notes))
        self._evidence = evidence
        self.until_ns = until_ns
        """From then on sessions are missing: who was connected is not known. ``None``: none are."""

    def evidence(self) -> list[GatewayEvidence]:
        return self._evidence


def drawn_world(rng: random.Random, rounds: int = 3) -> World:
    """Return a fleet with faults drawn at random, several at once and one after the other."""
    world = fleet(rng.randrange(8, 25), unwatched=rng.randrange(0, 5))
    for turn in range(rounds):
        at = 300.0 + turn * ROUND_S + rng.uniform(0.0, 60.0)
        if rng.random() < 0.25:
            _of_many(world, rng, at)
            continue
        free = list(world.gateways)
        for _ in range(rng.randrange(1, 5)):
            fault = rng.choice(worlds.LOCAL)
            some = _some(free, rng)
            if not some:
                continue
            some = [one for one in some if one.watched or fault in UNWATCHED]
            if some:
                strike(world, fault, some, at + rng.uniform(0.0, 20.0))
            free = [one for one in free if one not in some]
    return world


UNWATCHED = (
    worlds.half_open,
    worlds.reconfigured,
    worlds.firewall,
    worlds.names_gone,
    worlds.certificate_expired,
    worlds.proxy_idle,
)
"""What strikes a gateway without a host to look at."""


def _of_many(world: World, rng: random.Random, at: float) -> None:
    fault = rng.choice((*worlds.OF_A_PROXY, *worlds.OF_A_NODE))
    if fault in worlds.OF_A_PROXY:
        proxy = rng.choice(worlds.PROXIES)
        some = [one for one in world.gateways if one.proxy == proxy]
    else:
        node = rng.choice(worlds.NODES)
        some = [one for one in world.gateways if one.node == node]
    strike(world, fault, some, at)


def _some(free: list[Gateway], rng: random.Random) -> list[Gateway]:
    """Return one gateway, a few, or a feeder's."""
    if not free:
        return []
    draw = rng.random()
    if draw < 0.5:
        return [rng.choice(free)]
    if draw < 0.8:
        feeder = rng.choice(free).labels["feeder"]
        return [one for one in free if one.labels["feeder"] == feeder]
    return rng.sample(free, min(len(free), rng.randrange(2, 4)))


def report_of(world: World) -> Report:
    """Analyse a world."""
    return analyse(world.evidence(), world.notes, (), ns(100.0), ns(END), ns(END))


def verdicts(world: World) -> Verdicts:
    """Return each loss's cause and confidence; not of losses from when on sessions are missing: a
    session that nobody knows of is another world, not less evidence of this one."""
    until_ns = world.until_ns if isinstance(world, Told) else None
    return {
        (loss.gateway, loss.session): (loss.cause, loss.confidence)
        for incident in report_of(world).incidents
        for loss in incident.losses
        if until_ns is None or loss.lost_ns < until_ns
    }


def contradictions(full: Verdicts, less: Verdicts) -> list[str]:
    """Return every loss whose verdict with less evidence is another cause, or surer. A loss that
    is not seen any more has no verdict; one that was not there before may not appear."""
    found = []
    for key, (cause, sure) in less.items():
        if key not in full:
            found.append(f"{key} was no loss, now {cause}")
            continue
        before, was = full[key]
        same = cause is before and _SURE.index(sure) <= _SURE.index(was)
        if not same and cause is not Cause.UNKNOWN:
            found.append(f"{key} was {before} ({was}), now {cause} ({sure})")
    return found


def disordered(world: World, rng: random.Random) -> World:
    """Return the same evidence in another order, late, and partly twice."""
    told = []
    for one in world.evidence():
        late_ns = rng.randrange(0, 10**13)
        events = [replace(seen, received_ns=seen.received_ns + late_ns) for seen in one.events]
        told.append(
            GatewayEvidence(
                one.gateway,
                _shuffled(one.sessions, rng),
                _shuffled(one.boots, rng),
                _shuffled([*events, *rng.sample(one.events, len(one.events) // 2)], rng),
                _shuffled(one.looks, rng),
            )
        )
    rng.shuffle(told)
    result = Told(world, told)
    result.notes = list(_shuffled(world.notes, rng))
    return result


def _shuffled(values: "list[object] | tuple[object, ...]", rng: random.Random) -> tuple:  # type: ignore[type-arg]
    """Return values in another order, some of them twice."""
    again = rng.sample(list(values), len(values) // 3)
    mixed = [*values, *again]
    rng.shuffle(mixed)
    return tuple(mixed)


def late_clocks(world: World, rng: random.Random) -> World:
    """Return the same world with clocks that were hours or years off before their first
    synchronisation, whatever source they claim."""
    told = []
    for one in world.evidence():
        boots = []
        for boot in one.boots:
            off_ns = rng.choice((-1, 1)) * rng.randrange(3600, 10**8) * worlds.S
            about_ns = ns(0.0) if boot.offset_ns is None else boot.offset_ns
            wrong = Anchor(rng.randrange(0, 10**12), about_ns + off_ns, rng.randrange(0, 4), 1000)
            wrong = replace(wrong, wall_ns=wrong.wall_ns + wrong.boottime_ns)
            boots.append(replace(boot, anchors=(wrong, *boot.anchors)))
        told.append(replace(one, boots=tuple(boots)))
    return Told(world, told)


def without(world: World, rng: random.Random, share: float) -> World:
    """Return the world with a share of all evidence taken away, and some gateways not back."""
    told, missing = [], []
    for one in world.evidence():
        size = None
        if len(one.sessions) > 1 and rng.random() < share / 2:
            size = rng.randrange(1, len(one.sessions))
            missing.append(sorted(session.opened_ns for session in one.sessions)[size])
        told.append(poorer(one, lambda: rng.random() >= share, size))
    result = Told(world, told, min(missing, default=None))
    result.notes = [note for note in world.notes if rng.random() >= share]
    return result


def without_each(world: World, gateway: str) -> Iterator[Verdicts]:
    """Yield the verdicts with each single piece of one gateway's evidence taken away."""
    whole = world.evidence()
    place = next(index for index, one in enumerate(whole) if one.gateway == gateway)
    opened = sorted(session.opened_ns for session in whole[place].sessions)
    for less in each(whole[place]):
        left = len(less.sessions)
        until_ns = opened[left] if left < len(opened) else None
        yield verdicts(Told(world, [*whole[:place], less, *whole[place + 1 :]], until_ns))
