"""The seeded short form of `tests.soak.loss`: nothing is lost but what is stated."""

from pathlib import Path

from tests.soak import loss


def test_nothing_is_lost_or_stored_twice(tmp_path: Path) -> None:
    """Real daemons, killed and cut off: the store holds each reading exactly once."""
    verdict = loss.run(loss.SHORT, tmp_path)
    assert verdict.given > 300
    assert verdict.duplicated == 0
    assert verdict.outside == []
    assert verdict.uncovered == []
