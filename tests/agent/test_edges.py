"""Edges: an alarm that is over at once, a carrier that goes and comes, told by the real kernel."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.agent.edges import BURST, Edges
from gateway.agent.probes import link_socket
from gateway.process.clock import Clock, HostFiles
from tests.agent.host_fakes import SetClock, probes
from tests.host.test_rtnetlink import NAME, message
from tests.system import skip

ALARM = "/sys/class/hwmon/hwmon0/in0_lcrit_alarm"


class Told:
    """Counts what edges hand on, and waits for it."""

    def __init__(self) -> None:
        self.alarms = 0
        self.looks = 0
        self._changed = threading.Condition()

    def alarm(self) -> None:
        with self._changed:
            self.alarms += 1
            self._changed.notify_all()

    def look(self) -> None:
        with self._changed:
            self.looks += 1
            self._changed.notify_all()

    def until(self, what: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, 10.0), (self.alarms, self.looks)


def waiting(told: Told, links: socket.socket | None, root: Path, clock: Clock) -> Edges:
    seams = probes(root)
    seams.link_news = lambda: links
    edges = Edges(seams, clock, told.alarm, told.look)
    edges.start()
    return edges


def test_a_carrier_asks_for_a_look(tmp_path: Path) -> None:
    """Each change of state; the same state told again (addresses do that) is no change."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    told = Told()
    edges = waiting(told, ours, tmp_path, SetClock())
    up, down = message(16, 1 << 16, NAME), message(16, 0, NAME)
    kernel.send(up)
    told.until(lambda: told.looks == 1)
    for datagram in (up, up, b"garbage", message(20, 0, NAME)):
        kernel.send(datagram)
    kernel.send(down)
    told.until(lambda: told.looks == 2)
    kernel.send(message(17, 1 << 16, NAME))
    kernel.send(up)
    told.until(lambda: told.looks == 3)
    edges.stop()
    assert edges.join(10.0)
    kernel.close()


def test_a_link_that_flaps_is_bounded(tmp_path: Path) -> None:
    """Ten looks out of turn, then one in six seconds: the look a second sees the rest."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    told, clock = Told(), SetClock()
    edges = waiting(told, ours, tmp_path, clock)
    for number in range(40):
        kernel.send(message(16, (number % 2) << 16, NAME))
        time.sleep(0.002)
    told.until(lambda: told.looks == int(BURST))
    clock.pass_s(6.5)
    kernel.send(message(16, 0, NAME))
    kernel.send(message(16, 1 << 16, NAME))
    told.until(lambda: told.looks == int(BURST) + 1)
    edges.stop()
    assert edges.join(10.0)
    kernel.close()


def test_no_kernel_news_and_no_alarm(tmp_path: Path) -> None:
    """A container without rtnetlink and a machine without an alarm: it waits, and ends."""
    told = Told()
    edges = waiting(told, None, tmp_path, Clock())
    edges.watch(ALARM)
    edges.watch("")
    edges.stop()
    assert edges.join(10.0)
    edges.stop()
    assert (told.alarms, told.looks) == (0, 0)


WATCHER = """
import sys
from pathlib import Path
from tests.agent.test_edges import rings
rings(Path(sys.argv[1]))
"""
CLONE_NEWUTS = 0x04000000


def rings(root: Path) -> None:
    """Watch a kernel file that can be polled (a host name of our own) as if it were the alarm."""
    library = ctypes.CDLL(None, use_errno=True)
    assert library.unshare(CLONE_NEWUTS) == 0, os.strerror(ctypes.get_errno())
    socket.sethostname("0")
    told = Told()
    edges = waiting(told, None, root, SetClock())
    edges.watch(ALARM)
    deadline = time.monotonic() + 10
    while edges._alarm is None or edges._value is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    socket.sethostname("1")
    told.until(lambda: (told.alarms, told.looks) == (1, 1))
    socket.sethostname("0")
    told.until(lambda: told.looks == 2)
    assert told.alarms == 1
    before = told.alarms
    for _ in range(20):
        socket.sethostname("1")
        socket.sethostname("0")
        time.sleep(0.02)
        if told.alarms > before:
            break
    assert told.alarms > before
    edges.stop()
    assert edges.join(10.0)


@pytest.mark.root
def test_an_alarm_that_is_over_before_anyone_looks(tmp_path: Path) -> None:
    """poll(POLLPRI) tells of it; what was set and cleared in between counts as having rung."""
    alarm = HostFiles(tmp_path).path(ALARM)
    alarm.parent.mkdir(parents=True)
    alarm.symlink_to("/proc/sys/kernel/hostname")
    done = subprocess.run(
        [sys.executable, "-c", WATCHER, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.root
@pytest.mark.system("ip")
def test_the_real_kernel_tells_of_a_carrier(tmp_path: Path) -> None:
    """A pair of virtual interfaces: the other end goes down, ours loses its carrier."""
    ip = shutil.which("ip", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
    assert ip is not None
    pair = f"gwe{os.getpid() % 100000}"
    made = subprocess.run([ip, "link", "add", pair, "type", "veth", "peer", "name", f"{pair}p"])
    if made.returncode:
        skip("interfaces cannot be made here")
    told = Told()
    links = link_socket()
    assert links is not None
    edges = waiting(told, links, tmp_path, SetClock())
    try:
        for end in (pair, f"{pair}p"):
            subprocess.run([ip, "link", "set", end, "up"], check=True)
        told.until(lambda: told.looks > 0)
        seen = told.looks
        subprocess.run([ip, "link", "set", f"{pair}p", "down"], check=True)
        told.until(lambda: told.looks > seen)
    finally:
        subprocess.run([ip, "link", "del", pair], check=True)
        edges.stop()
        assert edges.join(10.0)
