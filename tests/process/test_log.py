"""The two formats, and how the journal is recognised."""

import io
import logging
import os
import re
from pathlib import Path

import pytest

from gateway.process import log


@pytest.fixture(autouse=True)
def _root_logger_restored():  # type: ignore[no-untyped-def]
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("websockets", "asyncio", "pymodbus", "pymodbus.logging")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, kept in levels.items():
        logging.getLogger(name).setLevel(kept)


def test_terminal_lines_have_utc_time_and_level() -> None:
    """A line on a terminal carries time, level and logger."""
    stream = io.StringIO()
    log.set_up("info", stream)
    logging.getLogger("gateway.agent.uplink").info("session opened session=%d", 7)
    logging.getLogger("gateway.agent.uplink").debug("not shown")
    expected = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO gateway.agent.uplink: session opened"
    assert re.fullmatch(expected + r" session=7\n", stream.getvalue())


def test_journal_lines_carry_the_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of a traceback has its priority, and the libraries' debug text stays out."""
    with (tmp_path / "journal").open("w+") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        log.set_up("debug", stream)
        logging.getLogger("websockets.client").debug("a frame")
        logging.getLogger("gateway.x").warning("slow")
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("gateway.x").exception("failed")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[0] == "<4>gateway.x: slow"
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines[1:])


@pytest.mark.parametrize("value", ["", "1", "a:b", "0:0"])
def test_other_streams_are_not_the_journal(value: str) -> None:
    """Without a matching $JOURNAL_STREAM the stream is a terminal or a file."""
    assert not log.goes_to_journal(io.StringIO(), {"JOURNAL_STREAM": value})
