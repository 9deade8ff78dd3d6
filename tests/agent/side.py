"""The agent's side of an uplink's tests: a real spool, recorder and uplink, no buses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.agent.chronicle import Past
from gateway.agent.faults import FaultCause
from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.spool.disk import Disk
from gateway.agent.spool.spool import Spool
from gateway.agent.uplink import Identity, Uplink
from gateway.config.agent import SpoolSettings, UplinkSettings
from gateway.process.clock import Clock, HostFiles
from gateway.process.timesync import TimeSync
from gateway.reading import Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.record import RecordKind
from tests.agent.memory_centre import MemoryCentre
from tests.waiting import until

SCHEMA = Schema((SchemaBlock("meter", 1.0, (SchemaPoint("v", "V", "f32"),)),))
QUICK = UplinkSettings(
    url="",
    heartbeat_s=0.3,
    heartbeat_timeout_s=0.3,
    connect_timeout_s=3.0,
    backoff_initial_s=0.02,
    backoff_max_s=0.05,
)


@dataclass(slots=True)
class Side:
    """The agent's side of a test."""

    spool: Spool
    recorder: Recorder
    uplink: Uplink
    metrics: Metrics
    status: list[str]
    made: int = 0

    def read(self, count: int = 1) -> None:
        """Make readings."""
        for _ in range(count):
            self.made += 1
            row = Row(0, Clock().boottime_ns() // 100_000 * 100_000, (float(self.made),))
            self.recorder.rows([row])

    async def empty(self) -> None:
        """Wait until the centre has everything."""
        await until(lambda: self.spool.backlog().records == 0)


@asynccontextmanager
async def agent(
    directory: Path, port: int, settings: UplinkSettings = QUICK, disk: Disk | None = None
) -> AsyncIterator[Side]:
    """Run spool and uplink; leaves in order and fails if that takes long."""
    clock, metrics, status = Clock(), Metrics(), list[str]()
    spool_settings = SpoolSettings(
        directory=str(directory / "spool"), max_bytes=4 << 20, keep_free_bytes=0
    )
    spool = Spool.open(spool_settings, "site-1", b"b" * 16, clock, disk=disk)
    recorder = Recorder(spool, metrics, 0.0)
    recorder.use_schema(SCHEMA)
    uplink = Uplink(
        replace(settings, url=f"ws://127.0.0.1:{port}/gateway"),
        Identity("site-1", b"i" * 16, b"b" * 16, (("config_revision", "abc"),)),
        recorder,
        spool,
        metrics,
        clock,
        TimeSync(clock, HostFiles(directory), lambda: None),
        status.append,
        Past(),
    )
    recorder.live = uplink.offer
    async with asyncio.TaskGroup() as group:
        commits = group.create_task(spool.run())
        link = group.create_task(uplink.run())
        try:
            yield Side(spool, recorder, uplink, metrics, status)
        finally:
            uplink.leave(FaultCause.STOPPED)
            async with asyncio.timeout(5):
                await link
            commits.cancel()
            await asyncio.wait({commits})
            await spool.close(clean=True)


def rows_of(centre: MemoryCentre) -> int:
    """Count the ROWS records the centre holds."""
    return sum(record.kind == RecordKind.ROWS for record in centre.records.values())
