"""Pins exactly once: the real `Sender` and `Receiver`, a spool model and a store model over a link
that drops, delays, duplicates, reorders and cuts, with crashes, power cuts, restored and cloned
cards."""

from hypothesis import HealthCheck, settings

from tests.wire.histories import random_history
from tests.wire.machine import Sessions

Sessions.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestSessions = Sessions.TestCase


def test_random_histories_keep_every_promise() -> None:
    """300 seeded histories of 400 weighted steps: exactly once, empty spools, no conflict."""
    stored = duplicates = 0
    for seed in range(300):
        world = random_history(seed, 400)
        stored += len(world.stored)
        duplicates += world.duplicates
    assert stored > 5000, "the histories must get records through, or they show nothing"
    assert duplicates > 100, "the histories must make duplicates, or deduping is not shown"
