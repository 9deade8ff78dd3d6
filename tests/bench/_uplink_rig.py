"""The agent's whole sending side in the bench's own process: spool, recorder, uplink, session.

Owns the live source (a thread, as a bus is) and the measurement: source time → the centre's ack,
which is later than its COMMIT by the way back, so every latency here is an upper bound of
sensor-to-store. The centre is a real process.
"""

import asyncio
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.agent.chronicle import Past
from gateway.agent.faults import FaultCause
from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.spool.disk import Disk
from gateway.agent.spool.spool import Spool
from gateway.agent.uplink import Identity, Uplink
from gateway.config.agent import AgentSettings
from gateway.process.clock import Clock, HostFiles
from gateway.process.timesync import TimeSync
from gateway.reading import TICK_NS, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.message import Interval
from gateway.wire.record import RecordKind
from gateway.wire.rows import RowsPacker, encode_schema
from tests.bench import _dataset

LIVE_POINTS = 10
LIVE_PERIOD_S = 0.1
LIVE_SCHEMA = Schema(
    (
        SchemaBlock(
            "live",
            LIVE_PERIOD_S,
            tuple(SchemaPoint(f"p{i}", "V", "f32") for i in range(LIVE_POINTS)),
        ),
    )
)


class StallingDisk(Disk):
    """A card whose every flush takes `stall_s`."""

    def __init__(self, stall_s: float) -> None:
        super().__init__()
        self.stall_s = stall_s
        self.flushes = 0

    def fdatasync(self, fd: int) -> None:
        """Flush, and be slow about it."""
        time.sleep(self.stall_s)
        self.flushes += 1
        super().fdatasync(fd)


class SendingAgent:
    """Everything of the agent but the buses."""

    def __init__(self, settings: AgentSettings, disk: Disk | None = None) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        host = HostFiles()
        boot_id = host.boot_id()
        options = {} if disk is None else {"disk": disk}
        self.spool = Spool.open(settings.spool, settings.gateway_id, boot_id, self.clock, **options)
        self.recorder = Recorder(self.spool, self.metrics, settings.uplink.batch_s)
        self.uplink = Uplink(
            settings.uplink,
            Identity(settings.gateway_id, b"bench-instance-1", boot_id, ()),
            self.recorder,
            self.spool,
            self.metrics,
            self.clock,
            TimeSync(self.clock, host, lambda: None),
            lambda text: None,
            Past(),
        )
        self.latencies_s: list[float] = []
        self.acked_readings = 0
        self._live_at: dict[int, int] = {}
        self._readings: dict[int, int] = {}
        self._ack = self.spool.ack
        self.spool.ack = self._note_ack  # type: ignore[method-assign]

    def _note_ack(self, epoch: int, intervals: Iterable[Interval]) -> None:
        now = self.clock.boottime_ns()
        pairs = list(intervals)
        if epoch == self.spool.epoch:
            for first, last in pairs:
                for seq in range(first, last + 1):
                    self.acked_readings += self._readings.pop(seq, 0)
                    made = self._live_at.pop(seq, None)
                    if made is not None:
                        self.latencies_s.append((now - made) / 1e9)
        self._ack(epoch, pairs)

    async def fill(self, readings: int, *, single_rows: bool) -> int:
        """Spool a backlog of the wire benches' data set: a poll row a record (what
        `uplink.batch_s = 0` makes), or one second a record (`batch_s = 1`)."""
        schema = _dataset.schema()
        sid = self.spool.add_schema(encode_schema(schema))
        packer = RowsPacker(sid, schema)
        payloads = []
        for rows in _dataset.seconds(600):
            for batch in ([row] for row in rows) if single_rows else [rows]:
                payloads.append((sum(len(row.values) for row in batch), packer.pack(batch)))
        made = index = unwritten = 0
        while made < readings:
            count, payload = payloads[index % len(payloads)]
            record = self.spool.append(RecordKind.ROWS, count, payload)
            self._readings[record.seq] = count
            made += count
            index += 1
            unwritten += len(payload)
            if unwritten > 500_000:
                unwritten = 0
                await self.spool.flush()  # memory is bounded
        await self.spool.flush()
        return made

    def live(self, source_time_ns: int, number: int) -> None:
        """Record one row, as the fleet does for a bus."""
        values = tuple(
            struct.unpack("<f", struct.pack("<f", 230 + number % 97 / 7 + i))[0]
            for i in range(LIVE_POINTS)
        )
        seq = self.spool.next_seq
        self._live_at[seq] = source_time_ns
        self.recorder.rows([Row(0, source_time_ns // TICK_NS * TICK_NS, values)])

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SendingAgent"]:
        """Run spool and uplink; leaves in order."""
        self.recorder.live = self.uplink.offer
        async with asyncio.TaskGroup() as group:
            commits = group.create_task(self.spool.run())
            link = group.create_task(self.uplink.run())
            try:
                yield self
            finally:
                self.uplink.leave(FaultCause.STOPPED)
                await asyncio.wait({link}, timeout=5)
                link.cancel()
                commits.cancel()
                await asyncio.wait({commits})
                await self.spool.close(clean=True)

    async def connected(self) -> None:
        """Wait for a session."""
        while self.metrics.connected._value.get() != 1.0:
            await asyncio.sleep(0.005)

    async def drained(self, left: int = 5) -> None:
        """Wait until at most `left` records are not acked."""
        while self.spool.backlog().records > left:
            await asyncio.sleep(0.005)


class LiveSource:
    """A thread that makes a row every `LIVE_PERIOD_S`, on time whatever the loop does."""

    def __init__(self, agent: SendingAgent, loop: asyncio.AbstractEventLoop) -> None:
        self._agent = agent
        self._loop = loop
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.made = 0

    def __enter__(self) -> "LiveSource":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += LIVE_PERIOD_S
            now = self._agent.clock.boottime_ns()
            self._loop.call_soon_threadsafe(self._agent.live, now, self.made)
            self.made += 1


def percentiles(latencies_s: list[float]) -> tuple[float, float, float]:
    """Return p50, p99 and the maximum, in milliseconds."""
    if not latencies_s:
        return (float("nan"),) * 3
    ordered = sorted(latencies_s)
    at = lambda q: ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000  # noqa: E731
    return at(0.5), at(0.99), ordered[-1] * 1000


def directory_of(settings: AgentSettings) -> Path:
    """Return where the spool of these settings is."""
    return Path(settings.spool.directory)
