"""A store filled with a told history: gateways that come and go, what they record meanwhile.

Everything goes through the writer's own jobs, at the times the history says.
"""

import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from gateway.centre.store.jobs import (
    Alive,
    Binding,
    Connections,
    Farewell,
    Greeting,
    Ingest,
    Job,
    Note,
)
from gateway.centre.store.writer import Writer
from gateway.event import Event, EventKind, Scalar
from gateway.host import sample
from gateway.host.alarm import UnderVoltage
from gateway.host.link import LinkKind, LinkState
from gateway.host.radio import Level
from gateway.process.clock import Clock
from gateway.reading import Schema
from gateway.wire import record, rows
from gateway.wire.message import Backlog, ClockReading, ClockSource, EpochState, Hello
from gateway.wire.record import Record, RecordKind

T0_NS = 1_800_000_000_000_000_000
LINKS = (("wlan0", LinkKind.WIFI), ("eth0", LinkKind.WIRE))
SCHEMA = Schema(sample.blocks(LINKS, 10.0))
TRACE = len(LINKS) + 1


def at(seconds: float) -> int:
    """Return the wall time of an instant of the history."""
    return T0_NS + int(seconds * 1_000_000_000)


def _number(text: str) -> int:
    return zlib.crc32(text.encode()) << 16 | 1


class ToldClock(Clock):
    """A clock that says what the history says."""

    wall = T0_NS
    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s

    def wall_ns(self) -> int:
        return self.wall


@dataclass
class Box:
    """A gateway. `booted`: when its boot began, in seconds of the history."""

    name: str
    booted: float = -1000.0
    boots: int = 1
    epoch: int = 0
    seq: int = 0
    pk: int = 0
    session: int = 0
    labels: tuple[tuple[str, Scalar], ...] = ()
    ended: tuple[tuple[str, Scalar], ...] = ()
    last: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def boot_id(self) -> bytes:
        return self.name.encode().ljust(14, b"\0")[:14] + self.boots.to_bytes(2, "big")

    def source_ns(self, seconds: float) -> int:
        return int((seconds - self.booted) * 1_000_000_000)


class History:
    """One node's store."""

    def __init__(self, path: Path, node: str = "a", start: float = 0.0) -> None:
        self.path = path
        self.node = node
        self.clock = ToldClock()
        self.clock.wall = at(start)
        self.writer = Writer(path, node, self.clock, self._deliver)
        self.left = self.writer.start()

    def _deliver(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.done is not None:
                job.done(job)

    def ask(self, job: Job) -> None:
        """Submit a job and wait for its COMMIT."""
        committed = threading.Event()
        job.done = lambda _: committed.set()
        self.writer.submit(job)
        assert committed.wait(20), "not committed in time"
        assert not job.failed, job.failed

    def come(self, box: Box, seconds: float, *, number: int = 0, proxy: str = "") -> Greeting:
        """Let a gateway say `Hello`."""
        fresh = not box.epoch
        box.epoch = box.epoch or _number(f"{box.name} {box.boots}")
        box.session = number or _number(f"{self.node} {box.name} {seconds}")
        source_ns = box.source_ns(seconds)
        clock = ClockReading(source_ns, at(seconds), ClockSource.NTP, 1000)
        state = EpochState(box.epoch, box.boot_id, box.seq + 1, ())
        facts = (("reboot", "first_start"), *box.labels)
        hello = Hello(
            box.name, b"hw", box.boot_id, "gateway 0.3", (state,), clock, (), 65536, box.last,
            Backlog(0, 0, 0), box.ended, facts,
        )  # fmt: skip
        job = Greeting(
            hello=hello, session=box.session, remote="10.0.0.9", proxy=proxy,
            received_ns=at(seconds),
        )  # fmt: skip
        self.ask(job)
        box.pk = job.gateway
        if fresh:
            body = rows.encode_schema(SCHEMA)
            self.ask(
                Binding(
                    gateway=box.pk, epoch=box.epoch, sid=1, digest=rows.schema_digest(body),
                    body=body,
                )
            )  # fmt: skip
        return job

    def go(
        self,
        box: Box,
        seconds: float,
        side: str = "network",
        cause: str = "end_of_stream",
        **evidence: object,
    ) -> None:
        """Let a gateway's session end."""
        self.ask(
            Farewell(
                session=box.session, closed_ns=at(seconds), side=side, cause=cause, code=1006,
                reason="", evidence=evidence,
            )
        )  # fmt: skip
        box.last = box.session

    def reboot(self, box: Box, seconds: float) -> None:
        """Let a gateway's next boot begin."""
        box.booted, box.boots, box.epoch, box.seq = seconds, box.boots + 1, 0, 0

    def tell(self, box: Box, seconds: float, kind: EventKind, **fields: Scalar) -> None:
        """Let a gateway record an event; `send` sends it."""
        event = Event.make(kind, box.source_ns(seconds), **fields)
        payload = rows.pack_event(event)
        self._record(box, RecordKind.EVENT, 0, payload)

    def look(
        self,
        box: Box,
        seconds: float,
        volts: float | None = 5.0,
        dbm: float | None = -60.0,
        *,
        low: bool | None = False,
        carrier: bool = True,
        trace: bool = False,
    ) -> None:
        """Let a gateway record how its host is."""
        under = {True: UnderVoltage.UNDER, False: UnderVoltage.OK, None: UnderVoltage.UNKNOWN}[low]
        level = None if dbm is None else Level("wifi", dbm)
        seen = sample.Sample(
            box.source_ns(seconds),
            volts,
            undervoltage=under,
            route="wlan0",
            links=(
                sample.LinkSample("wlan0", LinkKind.WIFI, LinkState(carrier), level),
                sample.LinkSample("eth0", LinkKind.WIRE, LinkState(False)),
            ),
        )
        if trace:
            some = sample.trace([seen], LINKS, TRACE)
        else:
            some = sample.aggregate([seen], LINKS, seen.source_time_ns)
        payload = rows.pack_rows(1, some, SCHEMA)
        self._record(box, RecordKind.ROWS, sum(len(row.values) for row in some), payload)

    def _record(self, box: Box, kind: RecordKind, readings: int, payload: bytes) -> None:
        box.seq += 1
        box.records.append(
            record.pack(record.epoch_seed(box.epoch), box.seq, kind, readings, payload)
        )

    def send(self, box: Box, seconds: float) -> None:
        """Store what a gateway recorded."""
        records, box.records = box.records, []
        self.ask(
            Ingest(
                gateway=box.pk, session=box.session, epoch=box.epoch, records=records,
                offset_ns=at(box.booted), received_ns=at(seconds),
            )
        )  # fmt: skip

    def count(self, seconds: float, active: int, opened: int) -> None:
        """Sample the node's connections."""
        self.ask(Connections(at_ns=at(seconds), active=active, opened=opened))

    def alive(self, seconds: float) -> None:
        """Say that the node lives."""
        self.ask(Alive(wall_ns=at(seconds)))

    def note(self, seconds: float, kind: str, gateway: str = "", **fields: Scalar) -> None:
        """Let the node note an event of its own."""
        pairs = tuple({"node": self.node, **fields}.items())
        self.ask(Note(gateway=gateway, kind=kind, wall_ns=at(seconds), fields=pairs))

    def close(self) -> None:
        """Finish."""
        assert self.writer.close()
