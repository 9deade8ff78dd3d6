"""Pins how a port is opened, locked and lost."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import serial

from gateway.agent.port import Port, _latency_timer, precise_timers
from gateway.config.agent import BusSettings
from gateway.errors import PortLostError
from gateway.process.clock import HostFiles
from tests.system import need_root


class Pty:
    """A pty whose adapter end the test holds; `path` is a link as udev makes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = BusSettings("b", str(path), parity="none", stop_bits=2)
        self.adapter, self._tty = os.openpty()
        self._link()

    def _link(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self._tty))
        fresh.replace(self.path)

    def unplug(self) -> None:
        os.close(self.adapter)
        os.close(self._tty)
        self.adapter = self._tty = -1

    def plug(self) -> None:
        """Another adapter's tty behind the same path."""
        self.adapter, self._tty = os.openpty()
        self._link()

    def close(self) -> None:
        if self.adapter >= 0:
            self.unplug()


@pytest.fixture
def pty(tmp_path: Path) -> Iterator[Pty]:
    """A pty for one test."""
    pty = Pty(tmp_path / "port")
    yield pty
    pty.close()


def open_port(pty: Pty) -> Port:
    return Port(pty.settings, HostFiles())


def test_bytes_pass_both_ways(pty: Pty) -> None:
    """Nothing yet is b"", not a hang-up."""
    port = open_port(pty)
    assert port.read() == b""
    port.write(b"\x00\x03\x11\x13\xff", 1.0)
    assert os.read(pty.adapter, 100) == b"\x00\x03\x11\x13\xff"
    os.write(pty.adapter, b"\x00\x0d\x0a\x7f")
    assert port.wait_readable(1.0)
    assert port.read() == b"\x00\x0d\x0a\x7f"
    port.close()


def test_a_pty_has_no_wire_and_needs_no_low_latency(pty: Pty) -> None:
    """ENOTTY from the serial ioctl is normal there."""
    port = open_port(pty)
    assert (port.low_latency, port.has_wire_time) == (True, False)
    port.close()


@pytest.mark.parametrize("exclusive", [True, None])
def test_a_second_program_is_kept_out(pty: Pty, exclusive: bool | None) -> None:
    """Those who ask for the lock are refused by flock, the others by TIOCEXCL (but root)."""
    port = open_port(pty)
    if exclusive:
        with pytest.raises(serial.SerialException, match="lock"):
            serial.Serial(str(pty.path), exclusive=True)
        with pytest.raises(PortLostError, match="in use by another program"):
            open_port(pty)
    else:
        need_root()
        os.chmod(pty.path, 0o666)
        code = "import os,sys; os.setuid(65534); os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)"
        tty = os.path.realpath(pty.path)
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, tty], capture_output=True, text=True, check=False
        )
        assert os.strerror(errno.EBUSY) in done.stderr
    port.close()
    again = open_port(pty)
    again.close()


def test_a_lock_held_by_another_is_respected(pty: Pty) -> None:
    """The message says what to do."""
    holder = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(PortLostError, match="in use by another program; stop it"):
        open_port(pty)
    os.close(holder)


def test_a_pulled_adapter_is_told_from_silence(pty: Pty) -> None:
    """Reading, writing and waiting all say so."""
    port = open_port(pty)
    pty.unplug()
    assert port.wait_readable(1.0)
    with pytest.raises(PortLostError, match="lost"):
        port.read()
    with pytest.raises(PortLostError, match="lost"):
        port.write(b"x", 1.0)
    began = time.monotonic()
    port.sleep(began + 30.0, time.monotonic)
    assert time.monotonic() - began < 15.0
    port.close()


def test_the_tty_behind_the_path_may_change(pty: Pty) -> None:
    """The port is opened again by its path."""
    open_port(pty).close()
    pty.unplug()
    with pytest.raises(PortLostError):
        open_port(pty)
    pty.plug()
    port = open_port(pty)
    os.write(pty.adapter, b"new")
    assert port.wait_readable(1.0)
    assert port.read() == b"new"
    port.close()


def test_a_missing_port_says_where_to_look(tmp_path: Path) -> None:
    """The cure is in the message."""
    settings = BusSettings("b", str(tmp_path / "none"))
    with pytest.raises(PortLostError, match="/dev/serial/by-id"):
        Port(settings, HostFiles())


@pytest.mark.parametrize("name", ["directory", "file", "file/below"])
def test_what_is_no_port_is_called_so(tmp_path: Path, name: str) -> None:
    """A directory, a plain file, something below one."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(PortLostError, match="is no serial port; give the path of one"):
        Port(BusSettings("b", str(tmp_path / name)), HostFiles())


def test_any_other_refusal_keeps_the_systems_words(tmp_path: Path) -> None:
    """Links that lead in a circle, say."""
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(PortLostError, match=r"cannot be opened: .*symbolic links"):
        Port(BusSettings("b", str(tmp_path / "circle")), HostFiles())


def test_a_pty_with_parity_is_refused_with_its_cure(pty: Pty) -> None:
    """The kernel clears parity on a pty; the second open finds out."""
    even = replace(pty.settings, parity="even")
    with pytest.raises(PortLostError, match='set parity = "none"'):
        for _ in range(2):
            Port(even, HostFiles()).close()


def test_a_port_that_takes_no_bytes_is_an_error(pty: Pty) -> None:
    """Nothing waits for ever."""
    port = open_port(pty)
    with pytest.raises(PortLostError, match="takes no bytes"):
        for _ in range(100):
            port.write(bytes(4096), 0.01)
    port.close()


def test_an_ftdi_latency_timer_is_set_and_verified(pty: Pty, tmp_path: Path) -> None:
    """16 ms becomes 1 ms through sysfs; what stands there afterwards is what counts."""
    name = os.path.basename(os.path.realpath(pty.path))
    timer = tmp_path / "root" / "sys/class/tty" / name / "device/latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("16\n")
    files = HostFiles(tmp_path / "root")
    assert _latency_timer(os.path.realpath(pty.path), files) == 1
    assert timer.read_text() == "1\n"
    assert _latency_timer("/dev/ttyNONE", files) is None


def test_timers_without_slack_can_be_asked_for() -> None:
    """Harmless anywhere."""
    precise_timers()
