"""Logging set-up: one line a record, the journal's priority in front under systemd.

Owns the root handler of a daemon and the format; modules own a logger each and write fixed text
and ``key=value``. Never logs secrets: that is the callers' duty and `tests` watch it.
"""

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

LEVELS = ("debug", "info", "warning", "error")

# sd-daemon(3): "<N>" in front of a line is its syslog priority.
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class JournalFormatter(logging.Formatter):
    """``<6>gateway.agent.uplink: text``: the journal adds the time. Every line of a traceback gets
    the prefix, else the journal would file the rest as notices."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITY.get(record.levelno, 2 if record.levelno > logging.ERROR else 5)
        text = f"{record.name}: {super().format(record)}"
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


class TerminalFormatter(logging.Formatter):
    """``2026-11-23T08:15:00.123Z INFO gateway.agent.uplink: text``, in UTC."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the record's time in UTC with milliseconds."""
        utc = datetime.fromtimestamp(record.created, UTC)
        return f"{utc:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


def goes_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether `stream` is the journal's: systemd names its device and inode
    (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        device, inode = environment.get("JOURNAL_STREAM", "").split(":")
        stat = os.fstat(stream.fileno())
        return (stat.st_dev, stat.st_ino) == (int(device), int(inode))
    except (ValueError, OSError):
        return False


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Make the root logger write to `stream` (default stderr) from `level` on; replaces what
    was there."""
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    journal = goes_to_journal(target, os.environ)
    handler.setFormatter(JournalFormatter() if journal else TerminalFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Each frame at DEBUG is wanted of ourselves, not of the libraries.
    for library in ("websockets", "asyncio", "pymodbus", "pymodbus.logging"):
        logging.getLogger(library).setLevel(max(logging.INFO, logging.getLevelName(level.upper())))
