"""Pins `gateway read`: through the port itself when no agent runs, and what it prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.read import frame_lines, lines
from gateway.process.control_messages import PointRead, ReadResult
from tests.virtual_site import virtual_bus

CONFIG = """
[gateway]
id = "g"
state_directory = "{directory}"
[uplink]
url = "wss://c/g"
[[bus]]
name = "b"
port = "{port}"
baud = 19200
parity = "none"
[[bus.device]]
name = "room"
unit_id = 12
profile = "xy-md02"
[[bus.device]]
name = "gone"
unit_id = 13
profile = "xy-md02"
timeout_s = 0.05
[[bus.device.point]]
name = "setting"
table = "holding"
address = 0xFFF0
type = "u16"
writable = true
write_min = 0
write_max = 5
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A config of a virtual bus with one sensor there and one not; no agent runs."""
    directory = tmp_path_factory.mktemp("read")
    with virtual_bus(directory, 19200, "xymd02:12") as port:
        path = directory / "gateway.toml"
        path.write_text(CONFIG.format(directory=directory, port=port))
        yield str(path)


def test_without_an_agent_the_port_is_opened(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values stand beside raw registers, frames below; it says which way they came."""
    assert main(["read", "room", "--frames", "--config", config]) == 0
    out = capsys.readouterr().out
    assert "through the port itself: no agent runs" in out
    assert "humidity" in out and "%RH" in out
    assert "→ 0c 04 00 01 00 02" in out
    assert "← 0c 04 04" in out


def test_one_point_alone(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """DEVICE.POINT reads nothing else."""
    assert main(["read", "room.humidity", "--config", config]) == 0
    out = capsys.readouterr().out
    assert "humidity" in out and "temperature" not in out


def test_a_silent_device_is_status_1(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every point says why it has no value."""
    assert main(["read", "gone.humidity", "--config", config]) == 1
    assert "bad: no_reply" in capsys.readouterr().out


def test_a_wrong_name_says_what_there_is(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names are listed, nothing is asked of the bus."""
    assert main(["read", "rom", "--config", config]) == 1
    assert "the config has gone, room" in capsys.readouterr().err


def test_a_wrong_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an agent the file is needed: its problems come as gateway check says them."""
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nid = "g"\n')
    socket = str(tmp_path / "none.sock")
    assert main(["read", "room", "--config", str(path), "--socket", socket]) == 2
    assert "uplink" in capsys.readouterr().err


def test_a_refused_point_shows_the_refusal() -> None:
    """The device's exception stands where the registers would."""
    result = ReadResult(
        "d",
        3,
        "b",
        (
            PointRead("v", "V", "input", 0, (0x08FC,), 230.0, "good", "", decimals=1),
            PointRead("x", "", "holding", 9, cause="exception", text="refused with exception 2"),
            PointRead("on", "", "coil", 4, (1,), True, "good"),
        ),
        took_s=0.031,
    )
    head, _, volts, refused, coil = lines(result, "the running agent")
    assert head == "d, unit id 3 on b, read in 31 ms through the running agent"
    assert volts.split() == ["v", "230.0", "V", "good", "input", "0x0000", "08fc"]
    assert refused.endswith("refused with exception 2") and "bad: exception" in refused
    assert coil.split()[-1] == "1"


def test_frames_have_a_direction() -> None:
    """To the device and from it."""
    assert frame_lines((("out", "01 04"), ("in", "01 84"))) == ["→ 01 04", "← 01 84"]
