"""Pins that a missing system program can hide a test on a laptop but never in CI."""

import pytest

from tests import system
from tests.system import Program


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name for something that is nowhere and that apt-get cannot bring."""
    monkeypatch.setitem(system.PROGRAMS, "absent", Program(lambda: None, None))
    return "absent"


def test_missing_program_skips_on_a_laptop(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CI the test is skipped."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        system.need(absent)


def test_missing_program_fails_in_ci(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI the test fails, so that no requirement goes untested in silence."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        system.need(absent)


def test_present_program_is_returned() -> None:
    """A program that is here comes back as a path."""
    assert system.need("make").startswith("/")


def test_aliases_point_at_entries() -> None:
    """Every alias leads to an entry of the table."""
    assert set(system.ALIASES.values()) <= set(system.PROGRAMS)
