"""The hypothesis state machine over a `World`; `test_model` and `test_mutants` run it."""

import random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.wire.histories import STEPS
from tests.wire.model import Design, World

PEACE = [name for name, (weight, _) in STEPS.items() if weight >= 60]
TROUBLE = [name for name, (weight, _) in STEPS.items() if weight < 60]


class Sessions(RuleBasedStateMachine):
    """Hypothesis chooses what happens; the world's own promises are the assertions."""

    design: type[Design] = Design

    def __init__(self) -> None:
        super().__init__()
        self.world = World(0, self.design())

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.world = World(seed, self.design())

    @rule(seed=st.integers(0, 2**16), count=st.integers(1, 40), clone=st.booleans())
    def peace(self, seed: int, count: int, clone: bool) -> None:
        """Let both agents work for a while, the chosen one most."""
        rng = random.Random(seed)
        weights = [STEPS[name][0] for name in PEACE]
        for name in rng.choices(PEACE, weights, k=count):
            STEPS[name][1](self.world, self.world.agents[clone ^ (rng.random() < 0.1)])

    @rule(name=st.sampled_from(TROUBLE), clone=st.booleans())
    def trouble(self, name: str, clone: bool) -> None:
        STEPS[name][1](self.world, self.world.agents[clone])

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @invariant()
    def no_conflict(self) -> None:
        assert self.world.conflicts == 0

    def teardown(self) -> None:
        self.world.settle()


def of(design: type[Design]) -> type[Sessions]:
    """Return the machine for a world of this design."""
    return type(f"Sessions{design.__name__}", (Sessions,), {"design": design})
