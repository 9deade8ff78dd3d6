"""Which process has a serial port open, as far as /proc lets us see.

Owns the walk through /proc/*/fd; never touches the port. Root sees every process, others their own.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

MAX_COMMAND = 80


@dataclass(frozen=True, slots=True)
class Owner:
    """A process and how it was started."""

    pid: int
    command: str


def port_owner(port: str, proc: Path = Path("/proc")) -> Owner | None:
    """Return who has `port` open, ``None`` when nobody is seen (or it is only us)."""
    device = os.path.realpath(port)
    for directory in sorted(proc.glob("[0-9]*")):
        if directory.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            for fd in (directory / "fd").iterdir():
                if os.readlink(fd) == device:
                    return Owner(int(directory.name), _command(directory))
    return None


def _command(directory: Path) -> str:
    with contextlib.suppress(OSError):
        raw = (directory / "cmdline").read_bytes()
        return raw.replace(b"\0", b" ").decode("utf-8", "replace").strip()[:MAX_COMMAND]
    return "?"
