"""What systemd is told, over a real notification socket."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from gateway.process.notify import MAX_STATUS, Notifier


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """Listen where systemd would."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "notify"))
    sock.settimeout(30)
    yield sock
    sock.close()


def test_tells_each_step_of_life(manager: socket.socket) -> None:
    """Each call is one datagram in sd_notify(3)'s words."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready()
    notifier.status("connected\nto the centre")
    notifier.status("connected to the centre")  # unchanged: not sent again
    notifier.reloading()
    notifier.watchdog()
    notifier.stopping()
    notifier.close()
    notifier.ready()  # after close: nothing
    got = [manager.recv(1000).decode() for _ in range(5)]
    assert got == [
        "READY=1",
        "STATUS=connected to the centre",
        "RELOADING=1",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_abstract_socket() -> None:
    """A name with @ is an abstract socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0gateway-test-{os.getpid()}")
        sock.settimeout(30)
        notifier = Notifier({"NOTIFY_SOCKET": f"@gateway-test-{os.getpid()}"})
        notifier.status("x" * 1000)
        notifier.close()
        assert len(sock.recv(2000)) == len("STATUS=") + MAX_STATUS


def test_without_systemd_nothing_happens() -> None:
    """On a terminal, and with a manager that is gone, no call raises."""
    Notifier({}).ready()
    notifier = Notifier({"NOTIFY_SOCKET": "/nonexistent/notify"})
    notifier.ready()
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog_time(environment: dict[str, str], expected: float | None) -> None:
    """The watchdog counts only for the process it names."""
    assert Notifier(environment).watchdog_s == expected


async def test_watchdog_is_pinged_until_cancelled(manager: socket.socket) -> None:
    """The ping comes from the loop, more than once."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000"})
    async with asyncio.TaskGroup() as group:
        task = group.create_task(notifier.keep_watchdog())
        for _ in range(2):
            assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"
        task.cancel()
    notifier.close()
