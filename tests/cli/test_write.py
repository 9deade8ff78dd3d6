"""Pins `gateway write`: within limits, read back; the port itself when no agent runs."""

from collections.abc import Iterator

import pytest

from gateway.cli.main import main
from gateway.cli.write import lines
from gateway.process.control_messages import PointRead, WriteResult
from tests.cli.test_read import CONFIG
from tests.virtual_site import virtual_bus


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A config with a writable point of a device that is there; no agent runs."""
    directory = tmp_path_factory.mktemp("write")
    with virtual_bus(directory, 19200, "xymd02:13") as port:
        path = directory / "gateway.toml"
        path.write_text(CONFIG.format(directory=directory, port=port).replace("0.05", "0.5"))
        yield str(path)


def test_a_write_is_read_back(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before, written, read back, and that nobody tells the centre."""
    assert main(["write", "gone.setting", "3", "--frames", "--config", config]) == 0
    out = capsys.readouterr().out
    assert "before     0 (0000)" in out
    assert "read back  3 (0003): as written" in out
    assert "the centre is not told" in out
    assert "→ 0d 06 ff f0 00 03" in out


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gone.setting", "6", "outside write_min 0 to write_max 5"),
        ("gone.humidity", "6", "does not mark it writable"),
        ("gone", "6", "name one of its points"),
    ],
)
def test_what_may_not_be_written_is_refused(
    name: str, value: str, reason: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1, with the reason and the cure."""
    assert main(["write", name, value, "--config", config]) == 1
    assert reason in capsys.readouterr().err


def test_a_device_that_keeps_its_value_is_said() -> None:
    """The answer was well, the value is the old one: a locked selector, for example."""
    kept = PointRead("p", table="holding", registers=(1,), value=1, quality="good")
    result = WriteResult("d", 3, "b", 6, (2,), kept, kept, False, True)
    text = "\n".join(lines("d.p", "2", result))
    assert "NOT as written" in text and "locked" in text
    assert "the centre is told" in text


def test_a_point_that_cannot_be_read_back_is_said() -> None:
    """Some registers are write only: nothing is claimed of them."""
    unread = PointRead("p", text="exception 2")
    result = WriteResult("d", 3, "b", 16, (2,), unread, unread, False, True)
    text = "\n".join(lines("d.p", "2", result))
    assert "before     not read: exception 2" in text
    assert "cannot be read back" in text
