"""Pins how the process that has a port is found."""

import os
from pathlib import Path

from gateway.process.port_owner import Owner, port_owner


def process(proc: Path, pid: int, *files: str, command: bytes = b"a\0b\0") -> None:
    """A process with open files below a /proc of our own."""
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(command)
    for number, name in enumerate(files):
        (proc / str(pid) / "fd" / str(number)).symlink_to(name)


def test_the_process_that_has_it_open_is_named(tmp_path: Path) -> None:
    """Also when it was asked for by another path that leads to the same device."""
    device = tmp_path / "ttyUSB0"
    device.touch()
    (tmp_path / "by-id").symlink_to(device)
    process(tmp_path / "proc", 17, "/dev/null")
    process(tmp_path / "proc", 42, "/dev/null", str(device), command=b"gateway\0run\0")
    assert port_owner(str(tmp_path / "by-id"), tmp_path / "proc") == Owner(42, "gateway run")


def test_nobody_and_ourselves_are_no_owner(tmp_path: Path) -> None:
    """Without a process that has it, or with only our own, there is nothing to say."""
    process(tmp_path / "proc", os.getpid(), "/dev/ttyX")
    process(tmp_path / "proc", 3, "/dev/null")
    (tmp_path / "proc" / "7").mkdir()  # its fds are not ours to see
    assert port_owner("/dev/ttyX", tmp_path / "proc") is None
