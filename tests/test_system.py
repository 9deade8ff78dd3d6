"""Pins that a missing system program can hide a test on a laptop but never in CI."""

import contextlib
import subprocess

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


@pytest.mark.parametrize("root", [True, False])
def test_missing_program_is_installed_where_that_is_allowed(
    root: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root it is fetched, CI or not, and asked for once; anyone else is told how to get it."""
    here: list[str] = []
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        here.append("/bin/fetched")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(system.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(system.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(system.subprocess, "run", run)
    monkeypatch.setattr(system, "_no_daemons", contextlib.nullcontext)
    found = Program(lambda: here[0] if here else None, "fetched-package")
    monkeypatch.setitem(system.PROGRAMS, "fetched", found)
    if root:
        assert system.need("fetched") == "/bin/fetched"
        assert len(asked) == 1 and asked[0][-1] == "fetched-package"
    else:
        with pytest.raises(pytest.skip.Exception, match="apt-get install fetched-package"):
            system.need("fetched")
        assert not asked


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
