"""Pins `gateway scan`: its options, what it prints, and that the snippet is a valid config."""

import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.agent.bus import Bus
from gateway.agent.scanner import Found
from gateway.cli.main import main
from gateway.cli.snippet import bus_name, snippet, stable_port
from gateway.config.agent import BusSettings, parse
from gateway.modbus.identify import Certainty, Identity
from gateway.modbus.search import Settings
from gateway.polling.load import bus_load
from gateway.process.clock import Clock
from gateway.process.files import Profiles, profile_directories
from tests.virtual_site import virtual_bus
from tests.waiting import bounded

PROFILES = Profiles(profile_directories())
FAST, SLOW = Settings(19200, "none"), Settings(9600, "even")
HEAD = '[gateway]\nid = "g"\n[uplink]\nurl = "wss://c/g"\n\n'
NARROW = ("--baud", "19200", "--parity", "none", "--units", "3,12")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A port with a meter at 3 and a sensor at 12, at 19200 baud."""
    devices = ("abb-b23:3", "xymd02:12")
    with virtual_bus(tmp_path_factory.mktemp("bus"), 19200, *devices) as port:
        yield port


def device(
    unit_id: int, profile: str | None, at: Settings = FAST, certainty: Certainty = Certainty.CERTAIN
) -> Found:
    """A device as the scanner hands it on."""
    return Found(at, unit_id, Identity(profile, certainty, ("Acme",), ("volts 230",)), 1.0)


def config(text: str) -> list[str]:
    """Return the problems of a whole file that ends with a snippet."""
    parsed = parse(HEAD + text, "f.toml", PROFILES)
    return [str(problem) for problem in (*parsed.problems, *parsed.warnings)]


def test_standard_output_is_the_snippet(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is to be appended to the config comes alone; the tale of the search is stderr's."""
    assert main(["scan", port, *NARROW]) == 0
    said = capsys.readouterr()
    (bus,) = tomllib.loads(said.out)["bus"]
    assert (bus["port"], bus["baud"], bus["parity"]) == (port, 19200, "none")
    assert [one["profile"] for one in bus["device"]] == ["abb-b23", "xy-md02"]
    assert config(said.out) == []
    assert "unit id 3: abb-b23 (holding 0x8960 holds 4232 3320)" in said.err
    assert "unit id 12: probably xy-md02 (humidity" in said.err
    assert "2 devices in" in said.err


def test_nothing_found_says_what_to_look_for(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, nothing on standard output, and the usual mistakes of wiring."""
    assert main(["scan", port, "--baud", "19200", "--parity", "none", "--units", "99"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "swap them" in said.err


def test_ctrl_c_keeps_what_was_found(port: str) -> None:
    """Interrupted in the long part, the snippet of what answered is printed all the same."""
    command = [sys.executable, "-m", "gateway.cli.main", "scan", port, "--baud", "19200"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        told = ""
        with bounded(process):
            while "unit id 3:" not in told:
                line = process.stderr.readline()
                assert line, told
                told += line
            process.send_signal(signal.SIGINT)
            out, rest = process.communicate(timeout=20)
    told += rest
    assert process.returncode == 0, told
    assert "1 device in" in told and "interrupted" in told
    assert config(out) == []
    assert 'profile = "abb-b23"' in out


def test_a_port_in_use_names_its_owner(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused, with the process that has it and how to free it."""
    hold = "import serial,sys; s = serial.Serial(sys.argv[1], exclusive=True); print(1); input()"
    holder = subprocess.Popen(
        [sys.executable, "-u", "-c", hold, port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert main(["scan", port, *NARROW]) == 1
    finally:
        holder.communicate("\n", timeout=30)
    said = capsys.readouterr().err
    assert "in use" in said
    assert f"pid {holder.pid}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--baud", "9601"), "--baud 9601: use"),
        (("--baud", "fast"), "--baud: 'fast' is no number"),
        (("--parity", "mark"), "--parity mark: use none, even, odd"),
        (("--units", "0-300"), "unit ids are 1 to 247"),
        (("--units", "9-3"), "unit ids are 1 to 247"),
        (("--units", "1-999999999"), "unit ids are 1 to 247"),
        (("--timeout", "0"), "0.005 to 10 seconds"),
    ],
)
def test_wrong_options_are_said(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the port is touched, with what would be right."""
    assert main(["scan", "/dev/none", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_device_is_a_comment() -> None:
    """The snippet stays valid and shows where its points would go."""
    text = snippet("/dev/p", "bus", [device(3, "xy-md02"), device(9, None)], PROFILES)
    assert config(text) == []
    assert "# Unit id 9 answers, but no profile fits." in text
    assert "# says of itself: Acme" in text
    assert len(tomllib.loads(text)["bus"][0]["device"]) == 1


def test_only_unknown_devices_are_valid_too() -> None:
    """A bus with nothing but comments is a warning, not a problem."""
    text = snippet("/dev/p", "bus", [device(9, None)], PROFILES)
    assert parse(HEAD + text, "f.toml", PROFILES).problems == ()


def test_another_setting_on_the_same_port_is_a_comment() -> None:
    """One bus has one setting: the smaller group says what to do."""
    found = [device(3, "xy-md02"), device(4, "xy-md02"), device(1, "xy-md02", SLOW)]
    text = snippet("/dev/p", "bus", found, PROFILES)
    assert config(text) == []
    (bus,) = tomllib.loads(text)["bus"]
    assert [one["unit_id"] for one in bus["device"]] == [3, 4]
    assert "# Also on this port, but at 9600 8E1" in text


def test_intervals_leave_half_of_the_bus() -> None:
    """Thirty meters at 1200 baud are not polled each second: check would refuse that."""
    at = Settings(1200, "none")
    found = [device(unit, "eastron-sdm630", at) for unit in range(1, 31)]
    text = snippet("/dev/p", "bus", found, PROFILES)
    settings = parse(HEAD + text, "f.toml", PROFILES).settings
    assert settings is not None
    assert bus_load(settings.buses[0]).share <= 0.5


def test_names_are_valid_and_unique_over_buses() -> None:
    """Two adapters with the same meter at the same unit id make one file."""
    text = "".join(
        snippet(f"/dev/serial/by-id/{name}", bus_name(name), [device(1, "xy-md02")], PROFILES)
        for name in ("usb-FTDI_FT232R_A50285BI-if00-port0", "usb-FTDI_FT232R_B6037XQK-if00-port0")
    )
    assert config(text) == []
    names = [bus["name"] for bus in tomllib.loads(text)["bus"]]
    assert names == ["rs485-A50285BI", "rs485-B6037XQK"]


@pytest.mark.parametrize(
    ("port", "name"),
    [("/dev/ttyUSB0", "rs485-ttyUSB0"), ("/dev/pts/4", "rs485-pts-4"), ("/dev/ä", "rs485-port")],
)
def test_a_bus_is_named_after_its_port(port: str, name: str) -> None:
    """Where the adapter has no serial number, the device's name has to do."""
    assert bus_name(port) == name


def test_the_stable_path_is_written(tmp_path: Path) -> None:
    """/dev/ttyUSB0 becomes the by-id path that leads to it."""
    (tmp_path / "ttyUSB0").touch()
    links = tmp_path / "by-id"
    links.mkdir()
    (links / "usb-maker").symlink_to("../ttyUSB0")
    assert stable_port(str(tmp_path / "ttyUSB0"), links) == str(links / "usb-maker")
    assert stable_port(str(tmp_path / "other"), links) == str(tmp_path / "other")
    assert stable_port(str(tmp_path / "other"), tmp_path / "none") == str(tmp_path / "other")


def test_the_port_is_free_afterwards(port: str) -> None:
    """A scan leaves no lock behind."""
    main(["scan", port, *NARROW])
    bus = Bus(BusSettings("b", port, 19200, "none"), Clock())
    bus.open()
    bus.close()
