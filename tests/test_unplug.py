"""The short form of `tests.soak.unplug`: an adapter that goes away and comes back."""

from pathlib import Path

from tests.soak.unplug import SHORT_S, pull, show
from tests.two_buses import two_buses


def test_an_adapter_that_comes_back(tmp_path: Path) -> None:
    """Bad readings with their cause while it is away, good ones within 2 s of its return, an event
    for each, and another bus that never notices."""
    with two_buses(tmp_path) as rig:
        outcome = pull(rig, SHORT_S)
    show(outcome)
    assert outcome.good, outcome
