"""The agent as a process: start, reload, stop, against a centre in memory and counting devices."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.process.clock import Clock
from gateway.reading import Value
from gateway.wire.record import RecordKind
from gateway.wire.rows import unpack_rows
from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.rig import CountingDevice, counting_device, free_port
from tests.site import scrape
from tests.waiting import until

CONFIG = """
[gateway]
id = "site-1"
state_directory = "{directory}"

[uplink]
url = "ws://127.0.0.1:{port}/gateway"
heartbeat_s = {heartbeat_s}
backoff_initial_s = 0.1
backoff_max_s = 0.2

[spool]
directory = "{directory}/spool"
max_bytes = 8388608
keep_free_bytes = 0

[metrics]
listen = "127.0.0.1:{metrics_port}"
"""
BUS = """
[[bus]]
name = "{name}"
port = "{port}"
baud = 115200
parity = "none"

[[bus.device]]
name = "{name}-device"
unit_id = 1
timeout_s = 1.0
poll_interval_s = {interval_s}

[[bus.device.point]]
name = "answer"
table = "holding"
address = 0
type = "u32"
"""


@dataclass(slots=True)
class Process:
    """The agent's process, what systemd would hear, and its files."""

    directory: Path
    metrics_port: int
    centre_port: int
    notified: socket.socket
    process: asyncio.subprocess.Process | None = None
    heartbeat_s: float = 30.0
    program: tuple[str, str] = ("-m", "gateway.cli.main")

    def configure(self, *buses: tuple[str, CountingDevice, float], extra: str = "") -> None:
        """Write the config file."""
        text = CONFIG.format(
            directory=self.directory,
            port=self.centre_port,
            metrics_port=self.metrics_port,
            heartbeat_s=self.heartbeat_s,
        )
        for name, device, interval_s in buses:
            text += BUS.format(name=name, port=device.port, interval_s=interval_s)
        (self.directory / "gateway.toml").write_text(text + extra)

    async def start(self) -> None:
        """Start it and wait until it says it is ready."""
        with (self.directory / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(*self.program, "run", "--config"),
                str(self.directory / "gateway.toml"),
                stdout=log,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": self.notified.getsockname()},
            )
        await self.hear("READY=1")

    async def hear(self, text: str) -> str:
        """Wait until systemd would hear a datagram that contains `text`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(15):
            while True:
                heard = (await loop.sock_recv(self.notified, 4096)).decode()
                if text in heard:
                    return heard

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def stop(self) -> int:
        """SIGTERM; it must be gone within the 5 s it has."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        async with asyncio.timeout(6):
            return await self.process.wait()

    def metric(self, name: str) -> float:
        """Return one of its metrics now."""
        return scrape(self.metrics_port).get(name, 0.0)

    @property
    def log(self) -> str:
        """What it logged."""
        return (self.directory / "log").read_text()


@pytest.fixture
def device() -> Iterator[CountingDevice]:
    """One counting device."""
    with counting_device() as one:
        yield one


@pytest.fixture
def other() -> Iterator[CountingDevice]:
    """Another one."""
    with counting_device() as one:
        yield one


@asynccontextmanager
async def prepared(directory: Path, centre_port: int) -> AsyncIterator[Process]:
    """An agent that is not started; killed at the end if it still runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(directory / "notify"))
        notified.setblocking(False)
        process = Process(directory, free_port(), centre_port, notified)
        try:
            yield process
        finally:
            if process.process is not None and process.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.process.kill()
                await process.process.wait()


def values(centre: MemoryCentre, source: str) -> list[Value]:
    """Return every value stored of a device, in order of source time."""
    found = []
    for (epoch, _), record in centre.records.items():
        if record.kind != RecordKind.ROWS:
            continue
        sid = record.payload[1]
        known = centre.schemas[epoch, sid]
        for row in unpack_rows(record.payload, known.schema):
            if known.schema.blocks[row.block].source == source:
                found.append((row.source_time_ns, row.values[0]))
    return [value for _, value in sorted(found, key=lambda pair: pair[0])]


async def test_start_read_and_stop(tmp_path: Path, device: CountingDevice) -> None:
    """Readings arrive, and a stop leaves nothing: END is last, the counts agree."""
    async with memory_centre(MemoryCentre()) as centre:
        async with prepared(tmp_path, centre.port) as agent:
            agent.configure(("bus1", device, 0.05))
            await agent.start()
            await agent.hear("STATUS=config")
            await until(lambda: len(values(centre, "bus1-device")) >= 10)
            assert agent.metric("gateway_uplink_connected") == 1.0
            assert agent.metric("gateway_spool_commits_total") == 0.0
            assert await agent.stop() == 0
        stored = values(centre, "bus1-device")
        assert stored == list(range(len(stored)))
        last = max(centre.records)
        assert centre.records[last].kind == RecordKind.END
        readings = sum(record.readings for record in centre.records.values())
        assert f"readings={readings} records={last[1]}" in agent.log.splitlines()[-1]
        assert centre.events("agent_started")[0]["version"]
        assert len(centre.events("agent_stopping")) == 1
        assert any(r.kind == RecordKind.ANCHOR for r in centre.records.values())


async def test_a_stop_without_a_centre_keeps_everything(
    tmp_path: Path, device: CountingDevice
) -> None:
    """What could not be sent is sent by the next run."""
    port = free_port()
    async with prepared(tmp_path, port) as agent:
        agent.configure(("bus1", device, 0.05))
        await agent.start()
        await until(lambda: len(device.answers) >= 10)
        assert await agent.stop() == 0
        given = len(device.answers)
        async with memory_centre(MemoryCentre(), port) as centre:
            await agent.start()
            await until(lambda: len(values(centre, "bus1-device")) > given)
            assert await agent.stop() == 0
        stored = values(centre, "bus1-device")
        # The transaction in hand at the first stop may have been cut short.
        assert sorted(set(range(len(device.answers))) - set(stored)) in ([], [given - 1])
        assert len(stored) == len(set(stored))
        assert len({epoch for epoch, _ in centre.records}) == 2


async def test_reload(tmp_path: Path, device: CountingDevice, other: CountingDevice) -> None:
    """A wrong file changes nothing and says so; a right one restarts only what changed."""
    async with memory_centre(MemoryCentre()) as centre:
        async with prepared(tmp_path, centre.port) as agent:
            agent.configure(("bus1", device, 0.05), ("bus2", other, 0.05))
            await agent.start()
            await until(lambda: len(values(centre, "bus2-device")) >= 5)

            agent.configure(("bus1", device, 0.05), extra='\n[gatway]\nid = "x"\n')
            agent.signal(signal.SIGHUP)
            assert "gatway" in await agent.hear("config rejected")
            assert agent.metric("gateway_config_rejected_total") == 1.0
            await until(lambda: "gatway" in str(centre.events("config_rejected")))
            before = len(other.answers)
            await until(lambda: len(other.answers) >= before + 5)

            agent.configure(("bus1", device, 0.02), ("bus2", other, 0.05))
            agent.signal(signal.SIGHUP)
            await until(lambda: len(centre.events("config_applied")) == 2)
            before = len(values(centre, "bus1-device"))
            await until(lambda: len(values(centre, "bus1-device")) >= before + 10)
            assert len(centre.hellos) == 1  # the uplink did not change

            agent.heartbeat_s = 20.0
            agent.configure(("bus2", other, 0.05))
            agent.signal(signal.SIGHUP)
            await until(lambda: len(centre.hellos) == 2)
            assert dict(centre.hellos[1].ended)["cause"] == "reconfigured"
            await until(lambda: len(centre.events("config_applied")) == 3)
            gone = len(device.answers)
            assert await agent.stop() == 0
            assert len(device.answers) <= gone + 1
        # Bus 2 was never restarted: none of its answers is missing.
        stored = values(centre, "bus2-device")
        assert stored == list(range(len(stored)))


OVERLOADED = """
[[bus]]
name = "slow"
port = "{port}"
baud = 1200
parity = "none"

[[bus.device]]
name = "device"
unit_id = 1
poll_interval_s = 0.02

[[bus.device.point]]
name = "answer"
table = "holding"
address = 0
type = "u32"
"""


async def test_grouping_keys_reach_the_centre(tmp_path: Path, device: CountingDevice) -> None:
    """Every session tells them; a reload that changes them makes a new session that does."""
    async with memory_centre(MemoryCentre()) as centre, prepared(tmp_path, centre.port) as agent:
        bus = ("bus", device, 0.5)
        agent.configure(bus, extra='[labels]\nsite = "north"\nfeeder = "F7"\n')
        await agent.start()
        await until(lambda: len(centre.hellos) == 1)
        facts = dict(centre.hellos[0].facts)
        assert (facts["label.site"], facts["label.feeder"]) == ("north", "F7")
        assert facts["reboot"] == "first_start"
        agent.configure(bus, extra='[labels]\nsite = "north"\noperator = "op-2"\n')
        agent.signal(signal.SIGHUP)
        await until(lambda: len(centre.hellos) == 2)
        hello = centre.hellos[1]
        keys = {name: value for name, value in hello.facts if name.startswith("label.")}
        assert keys == {"label.site": "north", "label.operator": "op-2"}
        assert dict(hello.ended)["cause"] == "reconfigured" and hello.last_session == 1
        assert await agent.stop() == 0


async def test_a_reload_refuses_what_check_refuses(tmp_path: Path, device: CountingDevice) -> None:
    """Polls that cannot fit: a running agent keeps what it has; a start reads what it can, and
    says so until a file that fits is taken over."""
    overloaded = OVERLOADED.format(port=device.port)
    async with memory_centre(MemoryCentre()) as centre, prepared(tmp_path, centre.port) as agent:
        agent.configure(("bus1", device, 0.05))
        await agent.start()
        agent.configure(extra=overloaded)
        agent.signal(signal.SIGHUP)
        assert "can carry" in await agent.hear("config rejected")
        answers = len(values(centre, "bus1-device"))
        await until(lambda: len(values(centre, "bus1-device")) > answers + 2)
        assert await agent.stop() == 0

        await agent.start()
        assert "of what 1200 baud 8N1 can carry" in agent.log
        await until(lambda: len(values(centre, "device")) > 3)
        agent.configure(("bus1", device, 0.05))
        agent.signal(signal.SIGHUP)
        await agent.hear("RELOADING=1")
        while "bus[slow]: needs" in await agent.hear("STATUS="):
            pass
        assert await agent.stop() == 0


async def test_an_identity_cannot_be_reloaded(tmp_path: Path, device: CountingDevice) -> None:
    """A new gateway id needs a restart; the reload says so and is refused."""
    async with (
        memory_centre(MemoryCentre()) as centre,
        prepared(tmp_path, centre.port) as agent,
    ):
        agent.configure(("bus1", device, 0.05))
        await agent.start()
        path = tmp_path / "gateway.toml"
        path.write_text(path.read_text().replace('"site-1"', '"site-2"'))
        agent.signal(signal.SIGHUP)
        assert "restart" in await agent.hear("config rejected")
        assert await agent.stop() == 0


async def test_a_wrong_file_at_the_start(tmp_path: Path) -> None:
    """The agent does not start, says where and why in lines of text, and exits with 2."""
    (tmp_path / "gateway.toml").write_text('[gateway]\nid = "x"\nbaud = 9600\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.cli.main", "run", str(tmp_path / "gateway.toml")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"gateway.toml:3" in said
    assert b"Traceback" not in said


async def test_a_stop_while_the_centre_is_silent(tmp_path: Path, device: CountingDevice) -> None:
    """Within 5 s also when a session was never answered."""
    taken: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    async with silent, prepared(tmp_path, silent.sockets[0].getsockname()[1]) as agent:
        agent.configure(("bus1", device, 0.05))
        await agent.start()
        await until(lambda: bool(taken))
        began = Clock().now()
        assert await agent.stop() == 0
        assert Clock().now() - began < 5.0
        for writer in taken:  # from Python 3.12 on a server waits for its connections
            writer.transport.abort()


STUCK = """
import sys, threading
from gateway.agent.spool.disk import Disk
from gateway.cli.main import main
Disk.fdatasync = lambda disk, fd: threading.Event().wait()
sys.exit(main())
"""


async def test_a_stop_while_the_disk_hangs_and_the_centre_is_silent(
    tmp_path: Path, device: CountingDevice
) -> None:
    """A flush that never returns and a session that was never answered: gone within 5 s."""
    taken: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    async with silent, prepared(tmp_path, silent.sockets[0].getsockname()[1]) as agent:
        agent.configure(("bus1", device, 0.05))
        agent.program = ("-c", STUCK)
        await agent.start()
        await until(lambda: bool(taken))
        await until(lambda: agent.metric("gateway_spool_memory_records") > 40)
        began = Clock().now()
        assert await agent.stop() == 0
        assert Clock().now() - began < 5.0
        assert "spool disk stuck unflushed=" in agent.log
        for writer in taken:
            writer.transport.abort()
