"""Pins that the model is worth something: each deliberate mistake is caught by the machine."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.wire.histories import random_history
from tests.wire.machine import of
from tests.wire.model import Broken, Design
from tests.wire.mutants import MUTANTS

EXAMPLES = 3000
"""Examples the machine may take to catch a mutant. Derandomised, but not the same in every run:
Hypothesis also draws constants of the modules that happen to be imported. The slowest mutant needs
about 200 on average."""
HISTORIES = 100
"""The same for seeded histories; the slowest to be caught needs about ten."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_machine_catches_the_mutant(mutant: type[Design]) -> None:
    """Hypothesis finds a history in which this mistake breaks a promise."""
    with pytest.raises((Broken, AssertionError)):
        run_state_machine_as_test(
            of(mutant),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                print_blob=False,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_seeded_history_catches_the_mutant(mutant: type[Design]) -> None:
    """A world with this mistake breaks a promise within a bounded number of seeded histories."""
    for seed in range(HISTORIES):
        try:
            random_history(seed, 400, mutant())
        except Broken:
            return
    pytest.fail(f"{mutant.__name__} survived {HISTORIES} histories")


def test_there_are_at_least_ten() -> None:
    """The promise is ten mutants."""
    assert len(MUTANTS) >= 10
