"""Pins the live table: gathering of updates, layout, ages, colours, the plain form."""

import re
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.paint import RED, YELLOW, columns, size, span, value_text
from gateway.cli.watch_view import Board, plain, screen
from gateway.process.control_messages import (
    BusState,
    DeviceState,
    LinkState,
    PointState,
    Reply,
    SerialState,
    SpoolState,
    Status,
)

UP = LinkState(True, 3.0, 7, "connected")
BUS = BusState("b", "/dev/x", 9600, True, busy=0.125, transactions=40)


def point(name: str, value: float | None, **more: object) -> PointState:
    """A good reading half a second old, polled each second."""
    fields: dict[str, object] = {
        "unit": "V",
        "type": "d1",
        "quality": "good",
        "age_s": 0.5,
        "interval_s": 1.0,
        "rate": 1.0,
    }
    return PointState("d", name, value=value, **(fields | more))  # type: ignore[arg-type]


def board(*points: PointState, running_s: float = 10.0, **status: object) -> Board:
    """A board after one update."""
    board = Board()
    fields: dict[str, object] = {"link": UP, "buses": (BUS,), "spool": SpoolState(2, 2048)}
    state = Status("site", running_s=running_s, **(fields | status))  # type: ignore[arg-type]
    assert not board.take(Reply(status=state, more=True))
    assert board.take(Reply(points=points))
    return board


def test_every_point_stands_with_its_unit_quality_age_and_rate() -> None:
    """One line each; the head has link, spool and buses."""
    lines = screen(board(point("v", 230.0), point("w", None, quality="bad")), 20, colour=False)
    assert "link up 3.0 s, session 7" in lines[0]
    assert "spool 2 records, 2.0 KiB" in lines[0]
    assert lines[1] == ("bus b  9600 baud  12.5% busy, 40 transactions, 0 unanswered, 0 damaged")
    assert lines[4].split() == ["d.v", "230.0", "V", "good", "500", "ms", "1/s"]
    assert lines[5].split()[:3] == ["d.w", "–", "V"]


def test_a_point_ages_between_its_updates() -> None:
    """Only what changed comes anew; the rest gets older by the agent's own clock."""
    watched = board(point("v", 1.0))
    watched.take(Reply(status=Status("site", running_s=14.0), more=True))
    assert watched.take(Reply())
    assert watched.age_s("d.v") == 4.5
    assert watched.changed == []
    assert watched.elapsed_s == 4.0


def test_trouble_has_a_colour() -> None:
    """Bad is red; uncertain, or older than three intervals, is yellow; else none."""
    lines = screen(
        board(
            point("bad", None, quality="bad", cause="no_reply"),
            point("odd", 1.0, quality="uncertain", cause="out_of_range"),
            point("old", 1.0, age_s=9.0),
            point("rare", 1.0, age_s=9.0, interval_s=60.0),
            point("well", 1.0),
        ),
        20,
        colour=True,
    )
    colours = {name: line[:5] for line in lines for name in re.findall(r"d\.(\w+)", line)}
    assert colours["bad"] == RED
    assert colours["odd"] == colours["old"] == YELLOW
    assert not colours["rare"].startswith("\x1b") and not colours["well"].startswith("\x1b")


def test_a_link_that_is_down_says_why() -> None:
    """The last word of the uplink stands below; a bus that is closed says it too."""
    closed = BusState("b", reason="does not exist; plug the adapter in")
    down = LinkState(False, 60.0, 0, "not connected: refused")
    lines = screen(board(link=down, buses=(closed,)), 20, colour=False)
    assert "link down 60.0 s" in lines[0]
    assert "not connected: refused" in lines[1]
    assert "plug the adapter in" in lines[2]


def test_a_low_window_says_what_is_missing() -> None:
    """Never more lines than there are; how many points are left out is told."""
    lines = screen(board(*(point(f"p{i}", 1.0) for i in range(50))), 10, colour=False)
    assert len(lines) == 10
    assert "45 more" in lines[-1]


def test_the_lowest_window_still_shows_points() -> None:
    """Buses and sources give way."""
    many = tuple(BusState(f"b{i}", open=True) for i in range(9))
    lines = screen(board(*(point(f"p{i}", 1.0) for i in range(50)), buses=many), 7, colour=False)
    assert len(lines) == 7
    assert lines[4].startswith("d.p0") and "48 more" in lines[-1]


def test_names_choose() -> None:
    """Patterns fit devices and points."""
    chosen = Board(("*.v",))
    chosen.take(Reply(status=Status(), more=True))
    chosen.take(Reply(points=(point("v", 1.0), point("w", 1.0))))
    assert list(chosen.points) == ["d.v"]
    whole = Board(("d",))
    whole.take(Reply(points=(point("v", 1.0), point("w", 1.0))))
    assert len(whole.points) == 2


def test_a_pipe_gets_what_changed() -> None:
    """One line for the state, one for each point with news; one not read yet has none."""
    unread = PointState("d", "new", "V", "d1")
    head, line = plain(board(point("v", 230.0), unread))
    assert head == ("t=0.0 link=up session=7 spool_records=2 spool_bytes=2048 bus.b=12.5%")
    assert line == "d.v 230.0 V good age=0.50 rate=1"


def test_without_an_agent_the_file_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with it is told as gateway check tells it."""
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nid = "g"\n')
    assert main(["watch", "--config", str(path), "--socket", str(tmp_path / "none")]) == 2
    assert "uplink" in capsys.readouterr().err


def test_polled_by_the_command_itself() -> None:
    """It says so instead of a link and a spool; serial sources stand below the buses."""
    sources = (
        SerialState("scale", baud=9600, open=True, lines=7, bytes=100, faults=(("noise", 2),)),
        SerialState("ups", baud=2400, asked_s=5.0, open=True, questions=4, unanswered=1),
        SerialState("gone", reason="does not exist; plug the adapter in"),
    )
    own = board(point("v", 1.0), serials=sources)
    own.direct = True
    lines = screen(own, 20, colour=False)
    assert lines[0].startswith("site  no agent runs: polled by this command, nothing is stored")
    assert lines[2] == "serial scale  9600 baud  7 lines, 100 B, 2 faulty"
    assert lines[3] == "serial ups  2400 baud  0 lines, 0 B, 1 of 4 questions unanswered"
    assert "plug the adapter in" in lines[4]
    head, closed, _ = plain(own)
    assert head == (
        "t=0.0 agent=none bus.b=12.5% serial.scale=7_lines serial.ups=0_lines serial.gone=closed"
    )
    assert closed == "serial.gone closed: does not exist; plug the adapter in"


def test_an_agent_that_left_is_waited_for() -> None:
    """The last values stay, with a head that says they are old."""
    watched = board(point("v", 1.0))
    watched.gone = "/run/gateway/control.sock: the agent closed the connection; did it stop?"
    assert screen(watched, 20, colour=False)[0].startswith(f"{watched.gone}: waiting for it")
    (line,) = plain(watched)
    assert line.startswith("t=0.0 agent=gone reason=")


def test_points_still_looked_for_are_told() -> None:
    """A device without points yet would not be seen at all."""
    bus = BusState("b", open=True, devices=(DeviceState("pv", 5, "sunspec", discovers=True),))
    lines = screen(board(buses=(bus,)), 20, colour=False)
    assert "  points still being looked for (SunSpec): pv" in lines


def test_the_site_s_own_points_come_first() -> None:
    """The gateway's readings stand at the end, its trace only when it is asked for."""
    own = PointState("host", "supply_v", "V", "f32", 12.1, "good", age_s=1.0)
    trace = PointState("host.trace", "supply_v", "V", "f32")
    zoo = PointState("zoo", "t", "°C", "d1", 20.0, "good", age_s=1.0)
    names = [line.split()[0] for line in screen(board(own, trace, zoo), 20, colour=False)[4:]]
    assert names == ["zoo.t", "host.supply_v"]
    asked = Board(("host*",))
    asked.take(Reply(points=(own, trace, zoo)))
    assert sorted(asked.points) == ["host.supply_v", "host.trace.supply_v"]


def test_too_often_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The agent has better to do than to draw."""
    assert main(["watch", "--every", "0.01"]) == 2
    assert "0.2 to 60" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 ms"),
        (-1.0, "0 ms"),
        (0.031, "31 ms"),
        (1.0, "1.0 s"),
        (99.94, "99.9 s"),
        (100.0, "1 min 40 s"),
        (5999.0, "99 min 59 s"),
        (6000.0, "1 h 40 min"),
        (172800.0, "2 d 00 h"),
    ],
)
def test_spans_are_short(seconds: float | None, text: str) -> None:
    """Two units at most."""
    assert span(seconds) == text


def test_values_have_the_decimals_that_mean_something() -> None:
    """A scaled integer shows its places, a float six digits, a bool a word."""
    assert value_text(230.0, "d1") == "230.0"
    assert value_text(50.00841, "f32") == "50.0084"
    assert value_text(True) == "on" and value_text(False) == "off"
    assert value_text(7) == "7" and value_text("heating") == "heating"


def test_sizes_have_a_unit() -> None:
    """From bytes to TiB."""
    assert [size(n) for n in (0, 1023, 1024, 1 << 20, 1 << 30, 1 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.0 MiB",
        "1.0 GiB",
        "1024.0 TiB",
    ]


def test_columns_line_up() -> None:
    """Text to the left, numbers to the right, nothing trailing."""
    assert columns([("a", "1"), ("bbb", "22")], right=(1,)) == ["a     1", "bbb  22"]
    assert columns([]) == []
