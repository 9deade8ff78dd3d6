"""Pins that every source of a cabinet is read, watched and listed, with an agent and without."""

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.process.control_client import ControlClient
from gateway.process.control_messages import Request, Status
from tests.cabinet import Cabinet, cabinet
from tests.site import wait_for
from tests.waiting import bounded

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cabinet]:
    """A cabinet in which no agent runs."""
    with cabinet(tmp_path_factory.mktemp("cabinet")) as found:
        yield found


def gateway(here: Cabinet, *words: str) -> int:
    return main([*words, "--config", str(here.file)])


@contextlib.contextmanager
def watching(here: Cabinet, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """Run a watch in a pipe until the block ends; Ctrl-C must end it with status 0."""
    command = [sys.executable, "-m", "gateway.cli.main", "watch", *words]
    with (
        subprocess.Popen(
            [*command, "--config", str(here.file), "--every", "0.2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        ) as process,
        bounded(process),
    ):
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def hear(process: "subprocess.Popen[str]", pattern: str) -> str:
    """Read a watch's lines until one fits."""
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"no {pattern} in {''.join(heard[-50:])}")


def status_of(here: Cabinet) -> Status:
    with ControlClient(here.directory / "control.sock") as client:
        status = client.ask(Request("status")).status
    assert status is not None
    return status


def test_a_source_that_talks_is_heard(here: Cabinet, capsys: Said) -> None:
    """Without an agent the port is opened; its bytes stand below, as text."""
    assert gateway(here, "read", "scale", "--frames") == 0
    out = capsys.readouterr().out
    assert "talks by itself, through the port itself: no agent runs" in out
    assert re.search(r"weight +12\.3 +kg +good", out)
    assert "← " in out and r"ST,GS,+0012.3kg\r\n" in out


def test_a_source_is_asked_once(here: Cabinet, capsys: Said) -> None:
    """One question, one answer, then the port is given back."""
    asked = here.ups.asked
    assert gateway(here, "read", "ups.frequency", "--frames") == 0
    out = capsys.readouterr().out
    assert here.ups.asked == asked + 1
    assert re.search(r"frequency +50 +Hz +good", out) and "count" not in out
    assert r"→ 'Q1\r'" in out and f"← '({asked + 1} 50.0" in out


def test_what_gives_no_reading_is_shown(here: Cabinet, capsys: Said) -> None:
    """Status 1, and the bytes that did not fit: what a technician compares with the pattern."""
    here.scale.garbled = True
    try:
        assert gateway(here, "read", "scale", "--wait", "0.5") == 1
    finally:
        here.scale.garbled = False
    out = capsys.readouterr().out
    assert "not heard yet" in out
    assert r"?!\xff\r\n" in out and "the last that gave no line: " in out


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("read", "scale.wieght"), 1, "scale has no such point; it has weight"),
        (("read", "scal"), 1, "the config has pv, room, scale, ups"),
        (("read", "pv.inverter.powr"), 1, "pv has no such point; it has inverter.current"),
        (("read", "scale", "--wait", "0"), 2, "more than 0"),
        (("write", "scale.weight", "3"), 1, "only read"),
        (("write", "pv", "3"), 1, "name one of its points, pv.POINT"),
        (("watch", "nobody"), 1, "nobody: the config has room, pv, scale, ups"),
        (("watch", "--seconds", "0"), 2, "more than 0"),
    ],
)
def test_a_mistake_is_told(
    here: Cabinet, capsys: Said, words: tuple[str, ...], status: int, told: str
) -> None:
    """With what would be right."""
    assert gateway(here, *words) == status
    assert told in capsys.readouterr().err


def test_a_device_that_says_its_points_is_read(here: Cabinet, capsys: Said) -> None:
    """It is asked first which it has (SunSpec)."""
    assert gateway(here, "read", "pv.inverter.active_power") == 0
    assert re.search(r"inverter\.active_power +8110 +W +good", capsys.readouterr().out)


def test_watching_without_an_agent(here: Cabinet, capsys: Said) -> None:
    """Every source is polled by the command itself, what is discovered too, and then given back."""
    assert gateway(here, "watch", "--every", "0.2", "--seconds", "2") == 0
    out = capsys.readouterr().out
    assert "agent=none bus.b=" in out and "serial.ups=1_lines" in out
    for name in ("room.humidity", "pv.inverter.active_power", "scale.weight", "ups.count"):
        assert re.search(rf"(?m)^{re.escape(name)} \S+ \S+ good age=", out), name
    assert gateway(here, "read", "room") == 0


def test_a_pipe_that_is_closed(here: Cabinet) -> None:
    """`gateway watch | head -1`: status 1 without a word, whoever polls."""
    command = [sys.executable, "-m", "gateway.cli.main", "watch", "--every", "0.2"]
    with subprocess.Popen(
        [*command, "--config", str(here.file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        with bounded(process):
            assert process.stdout.readline().startswith("t=0.0 agent=none")
            process.stdout.close()
            assert process.wait(10) == 1
            assert process.stderr.read() == ""


def test_only_what_is_asked_for_is_opened(here: Cabinet, capsys: Said) -> None:
    """Other ports are left alone."""
    assert gateway(here, "watch", "scale*", "--every", "0.2", "--seconds", "0.7") == 0
    out = capsys.readouterr().out
    assert "serial.scale=" in out and "bus." not in out and "ups" not in out


def test_a_port_that_somebody_has(here: Cabinet, capsys: Said) -> None:
    """It is told why, and who has it."""
    with watching(here, "scale") as holder:
        hear(holder, r"scale\.weight 12\.3 kg good")
        assert gateway(here, "read", "scale") == 1
        told = capsys.readouterr().err
        assert "in use by another program" in told and f"pid {holder.pid} " in told
        assert gateway(here, "watch", "scale", "--every", "0.2", "--seconds", "0.5") == 0
        told = capsys.readouterr().out
        assert "serial.scale=closed" in told and f"pid {holder.pid} " in told
    assert gateway(here, "read", "scale") == 0


def test_a_watch_gives_way_to_an_agent_and_waits_for_one_that_left(here: Cabinet) -> None:
    """The ports are given back when an agent comes; when it leaves they are not taken from the
    one that is about to start again."""
    with watching(here, "room", "scale") as watch:
        hear(watch, r"agent=none")
        hear(watch, r"room\.humidity \S+ %RH good")
        with here.agent() as agent:
            hear(watch, r"link=down .* bus\.b=\d")
            hear(watch, r"room\.humidity \S+ %RH good")
            assert agent.stop() == 0
            hear(watch, r"agent=gone")
        with here.agent():
            hear(watch, r"link=down")
            hear(watch, r"scale\.weight 12\.3 kg good")


def test_the_agent_lists_and_reads_every_source(here: Cabinet, capsys: Said) -> None:
    """Quality, age and counters of each; an ask out of turn goes through the agent's own port."""
    with here.agent():

        def ready() -> bool:
            status = status_of(here)
            pv = status.buses[1].devices[0]
            scale, ups = status.serials
            return {pv.health, scale.health, ups.health} == {"good"} and not pv.discovers

        wait_for("every source", ready)
        status = status_of(here)
        pv = status.buses[1].devices[0]
        assert (pv.name, pv.profile) == ("pv", "sunspec") and pv.points > 10
        assert status.buses[1].planned > 0
        scale, ups = status.serials
        assert (scale.open, scale.asked_s, scale.points) == (True, None, 1)
        assert scale.lines > 0 and scale.good_age_s is not None and scale.good_age_s < 5
        assert (ups.asked_s, ups.questions, ups.unanswered) == (60.0, 1, 0)

        asked = here.ups.asked
        assert gateway(here, "read", "ups.count") == 0
        out = capsys.readouterr().out
        assert "asked, " in out and "through the running agent" in out
        assert re.search(rf"count +{asked + 1} +good", out) and here.ups.asked == asked + 1
        assert gateway(here, "read", "scale") == 0
        assert gateway(here, "read", "pv.inverter.active_power", "--frames") == 0
        out = capsys.readouterr().out
        assert re.search(r"inverter\.active_power +8110 +W +good", out) and "→ 01 03" in out
        assert gateway(here, "read", "pv.inverter.powr") == 1
        assert gateway(here, "write", "ups.count", "1") == 1
        assert "ups is a plain serial source, which is only read" in capsys.readouterr().err

        gateway(here, "status")
        out = capsys.readouterr().out
        assert re.search(r"serial scale +\S+ at 9600 baud, open, regex, talks by itself", out)
        assert re.search(r"1 points, good, good \d+ ms ago; \d+ lines, [0-9.]+ K?i?B", out)
        assert "asked every 60.0 s" in out and "2 questions, 0 unanswered" in out
        assert re.search(r"pv +unit id 1 +sunspec +\d+ points +good", out)


def test_a_serial_port_that_is_gone_needs_a_look(here: Cabinet, capsys: Said) -> None:
    """A source that is silent or whose adapter is out stands among what needs a look."""
    with here.agent():
        wait_for("the scale", lambda: status_of(here).serials[0].health == "good")
        path = Path(here.scale_pty.path)
        here.scale.stop()
        here.scale_pty.unplug()
        path.unlink()
        wait_for("the loss", lambda: not status_of(here).serials[0].open)
        assert gateway(here, "status") == 1
        out = capsys.readouterr().out
        assert re.search(r"needs a look:(.|\n)*serial scale: \S+: (does not exist|lost)", out)
        assert gateway(here, "read", "scale") == 1
        assert "bad: port_lost" in capsys.readouterr().out
