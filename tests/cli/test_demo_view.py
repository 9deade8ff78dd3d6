"""Pins that the demo's screen fits the terminal and that a pipe gets plain lines."""

import io
from dataclasses import replace

import pytest

from gateway.cli.demo_view import RESET, DeviceLine, Screen, Snapshot, cut, plain, render

NOW = Snapshot(
    elapsed_s=61.0,
    connected=True,
    sessions=1,
    requests=400,
    replies=399,
    unanswered=1,
    bus_busy=0.613,
    readings=4000,
    bad_readings=0,
    sent_bytes=22_000,
    acked_records=398,
    stored_readings=3990,
    backlog_records=2,
    latency_p50_s=0.0123,
    latency_p99_s=0.0305,
    round_trip_s=None,
    agent_rss=30 * 2**20,
    centre_rss=41 * 2**20,
    devices=(DeviceLine("main-meter", "eastron-sdm630", ((230.26, "V"),)),),
)


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_rates_come_from_two_snapshots() -> None:
    """A rate is what grew divided by the time between."""
    before = replace(NOW, elapsed_s=59.0, readings=3800)
    text = "\n".join(render(NOW, before, colour=False))
    assert "100.0/s" in text
    assert "01:01" in text
    assert "5.5 bytes a reading" in text
    assert "230.3 V" in text
    assert "\x1b" not in text


def test_a_pipe_gets_one_plain_line_per_snapshot() -> None:
    """No escape code and no cursor movement reach a file."""
    out = io.StringIO()
    screen = Screen(out)
    screen.show(NOW)
    screen.show(NOW)
    screen.close()
    assert out.getvalue() == 2 * (plain(NOW) + "\n")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_is_redrawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second drawing starts by moving up over the first; no line is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "30")
    out = Terminal()
    screen = Screen(out)
    screen.show(NOW)
    first = out.getvalue()
    screen.show(NOW)
    screen.close()
    second = out.getvalue()[len(first) :]
    assert f"\x1b[{first.count(chr(10))}F" in second
    assert second.endswith("\x1b[?25h")


def test_cut_counts_letters_not_colours() -> None:
    """A colour code takes no room, and a cut line ends its colour."""
    assert cut("\x1b[1mabcdef\x1b[0m", 3) == "\x1b[1mabc" + RESET
    assert cut("abc", 3) == "abc"
