"""A path that dies in silence, made by a firewall that drops: what the kernel and the pings find.

Each test lives in a network namespace of its own thread: nothing outside can be touched, and the
namespace goes with the thread whatever happens.
"""

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Coroutine
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.agent.dial import Target, dial
from gateway.agent.faults import FaultCause, Side, of_close
from gateway.config.agent import UplinkSettings
from gateway.process import tcp_info
from gateway.process.clock import Clock
from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.agent.side import agent, rows_of
from tests.system import need
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.system("ip"), pytest.mark.system("nft")]

CLONE_NEWNET = 0x40000000
HEARTBEAT_S, TIMEOUT_S = 2.0, 2.0
SLACK_S = 6.0
"""A busy machine, and the kernel's retransmission timer: it looks at the limit when it fires."""


def run_apart(test: Coroutine[None, None, None]) -> None:
    """Run a test in a thread with a network of its own: a loopback and nothing else."""
    failure: list[BaseException] = []

    def live() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run([need("ip"), "link", "set", "lo", "up"], check=True)
            asyncio.run(within(test))
        except BaseException as error:  # noqa: BLE001 - it belongs to the test's thread
            failure.append(error)

    async def within(test: Coroutine[None, None, None]) -> None:
        async with asyncio.timeout(25.0):
            await test

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    test.close()
    if failure:
        raise failure[0]


def drop(port: int) -> None:
    """Drop every packet to and from a port without a word (called in the namespace)."""
    rules = f"""
        table inet hole {{
            chain in {{
                type filter hook input priority 0;
                tcp dport {port} drop
                tcp sport {port} drop
            }}
        }}
    """
    subprocess.run([need("nft"), "-f", "-"], input=rules, text=True, check=True)


def restore() -> None:
    """Let everything pass again."""
    subprocess.run([need("nft"), "flush", "ruleset"], check=True)


async def _kernel_gives_up() -> None:
    centre = MemoryCentre(mute=True)
    async with memory_centre(centre):
        target = Target(
            f"ws://127.0.0.1:{centre.port}/gateway/g",
            None,
            None,
            None,
            False,
            5.0,
            HEARTBEAT_S,
            TIMEOUT_S,
        )
        link = await dial(target, Clock())
        drop(centre.port)
        began = Clock().now()
        await link.connection.send(b"into the dark")
        with pytest.raises(ConnectionClosed) as caught:
            await link.connection.recv()
        took_s = Clock().now() - began
        fault = of_close(caught.value)
        assert (fault.cause, fault.side) == (FaultCause.PATH_TIMEOUT, Side.PATH)
        assert fault.code == 110  # ETIMEDOUT
        assert HEARTBEAT_S + TIMEOUT_S - 0.5 <= took_s <= HEARTBEAT_S + TIMEOUT_S + SLACK_S
        info = tcp_info.sample(link.probe)
        assert info is not None
        assert info.total_retransmits
        assert link.probe is not None
        link.probe.close()


def test_the_kernel_gives_a_silent_path_up() -> None:
    """TCP_USER_TIMEOUT: data that nobody acknowledges ends the connection with ETIMEDOUT after
    heartbeat + time-out, without a single ping of ours."""
    run_apart(_kernel_gives_up())


async def _session_ends(directory: Path) -> None:
    settings = UplinkSettings(
        url="",
        heartbeat_s=HEARTBEAT_S,
        heartbeat_timeout_s=TIMEOUT_S,
        connect_timeout_s=1.0,
        backoff_initial_s=0.05,
        backoff_max_s=0.2,
    )
    centre = MemoryCentre()
    async with memory_centre(centre), agent(directory, centre.port, settings) as side:
        side.read(5)
        await side.empty()
        fds = len(os.listdir("/proc/self/fd"))
        drop(centre.port)
        began = Clock().now()
        side.read(5)
        await until(lambda: side.metrics.connected._value.get() == 0, 20.0)
        assert Clock().now() - began <= HEARTBEAT_S + TIMEOUT_S + SLACK_S
        await until(lambda: any("connect_timeout" in line for line in side.status))
        restore()
        await side.empty()
        assert rows_of(centre) == 10
        (ended,) = centre.events("session_ended")
        assert ended["cause"] in ("half_open", "path_timeout")
        assert ended["side"] == "path"
        assert ended["tcp_retransmits"]
        assert len(os.listdir("/proc/self/fd")) <= fds + 4


def test_a_session_over_a_silent_path_ends_in_time(tmp_path: Path) -> None:
    """Whoever finds it first, the session is over within heartbeat + time-out, the attempts to
    reconnect run into the void as connect_timeout, and nothing is lost."""
    run_apart(_session_ends(tmp_path))
