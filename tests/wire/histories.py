"""The things that can happen to a `World`, as named steps for hypothesis, mutants and soak."""

import random
from collections.abc import Callable

from tests.wire.model import Agent, Broken, Design, World

Step = Callable[[World, Agent], object]

STEPS: dict[str, tuple[int, Step]] = {
    "make rows": (300, lambda w, a: a.make(event=False)),
    "make event": (40, lambda w, a: a.make(event=True)),
    "deliver up": (500, lambda w, a: w.deliver_up(a)),
    "deliver down": (500, lambda w, a: w.deliver_down(a)),
    "centre commits": (200, lambda w, a: w.commit()),
    "agent commits": (60, lambda w, a: a.commit(flush=True)),
    "agent writes, no flush": (20, lambda w, a: a.commit(flush=False)),
    "connect": (120, lambda w, a: a.connect()),
    "cut": (15, lambda w, a: a.cut()),
    "drop up": (5, lambda w, a: _link(w, a, "drop", "up")),
    "drop down": (8, lambda w, a: _link(w, a, "drop", "down")),
    "duplicate up": (5, lambda w, a: _link(w, a, "duplicate", "up")),
    "duplicate down": (5, lambda w, a: _link(w, a, "duplicate", "down")),
    "swap up": (5, lambda w, a: _link(w, a, "swap", "up")),
    "swap down": (5, lambda w, a: _link(w, a, "swap", "down")),
    "evict": (6, lambda w, a: a.evict()),
    "kill agent": (8, lambda w, a: a.die(power=False)),
    "power cut": (8, lambda w, a: a.die(power=True)),
    "stop agent": (6, lambda w, a: a.stop()),
    "boot": (120, lambda w, a: None if a.running else a.boot()),
    "kill centre": (8, lambda w, a: w.crash_centre()),
    "wait a second": (20, lambda w, a: w.advance(1.0)),
    "wait a minute": (6, lambda w, a: w.advance(61.0)),
    "image": (6, lambda w, a: w.image(a)),
    "restore image": (
        4,
        lambda w, a: w.swap_card(a, w.rng.randrange(len(w.images))) if w.images else None,
    ),
    "new card": (2, lambda w, a: w.swap_card(a, None)),
}
"""Name → (how often, what)."""


def _restore(world: World, agent: Agent) -> None:
    if world.images:
        world.swap_card(agent, world.rng.randrange(len(world.images)))


def _link(world: World, agent: Agent, verb: str, direction: str) -> None:
    link = world.links.get(agent.instance)
    if link is not None:
        getattr(link, verb)(getattr(link, direction))


def random_history(seed: int, steps: int, design: Design | None = None) -> World:
    """Run one history of weighted random steps and settle it. Raises: Broken."""
    rng = random.Random(seed)
    world = World(seed, design)
    names = list(STEPS)
    weights = [STEPS[name][0] for name in names]
    for name in rng.choices(names, weights, k=steps):
        agent = world.agents[rng.random() < 0.25]
        STEPS[name][1](world, agent)
        if world.conflicts:
            raise Broken(f"{world.conflicts} key conflicts")
    world.settle()
    return world
