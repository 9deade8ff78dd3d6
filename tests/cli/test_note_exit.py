"""`gateway note-exit` and `gateway mark-stop`: what systemd calls around a stop."""

import json
import os
from pathlib import Path

import pytest

from gateway.agent.boots import Boots, Instant, read_state
from gateway.cli.main import main
from gateway.host.boot_evidence import BootEvidence, ExitNote, exit_note
from gateway.host.reboot import Phase
from gateway.process.clock import HostFiles


def test_note_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$SERVICE_RESULT and its companions, where the next start looks for them."""
    monkeypatch.setenv("SERVICE_RESULT", "watchdog")
    monkeypatch.setenv("EXIT_CODE", "killed")
    monkeypatch.setenv("EXIT_STATUS", "ABRT")
    assert main(["note-exit", "--runtime-directory", str(tmp_path)]) == 0
    assert exit_note((tmp_path / "exit.json").read_bytes()) == ExitNote(
        *("watchdog", "killed", "ABRT")
    )


def test_note_exit_without_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, no traceback."""
    assert main(["note-exit", "--runtime-directory", str(tmp_path / "no")]) == 1
    assert capsys.readouterr().err.startswith("gateway note-exit: ")


@pytest.mark.parametrize(
    ("says", "phase"),
    [("stopping", Phase.SYSTEM_STOPPING), ("running", Phase.RUNNING)],
)
def test_mark_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, phase: Phase
) -> None:
    """Only while the system itself is stopping; a `systemctl` that says so is put in the path."""
    tool = tmp_path / "bin/systemctl"
    tool.parent.mkdir()
    answer = f'case "$1" in list-jobs) echo "1 kexec.target start waiting";; *) echo {says};; esac'
    tool.write_text(f"#!/bin/sh\n{answer}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    boots = Boots(tmp_path)
    boots.begin(BootEvidence(HostFiles().boot_id().hex()), Instant(1, 2, True))
    boots.close()
    assert main(["mark-stop", "--state-directory", str(tmp_path)]) == 0
    state = read_state(tmp_path)
    assert state is not None and state.memory.phase is phase
    assert state.memory.target == ("kexec" if says == "stopping" else "")
    json.loads((tmp_path / "state.json").read_text())
