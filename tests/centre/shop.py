"""A store driven from the test's thread: the writer with its keeper, and questions to the file."""

import random
import threading
from pathlib import Path

from gateway.centre.store import layout
from gateway.centre.store.jobs import Binding, Greeting, Ingest, Job
from gateway.centre.store.keeper import Keeper, Retention
from gateway.centre.store.queries import Span
from gateway.centre.store.readings import readings
from gateway.centre.store.writer import Writer
from gateway.process.clock import Clock
from gateway.wire import rows
from gateway.wire.message import Hello
from gateway.wire.record import Record
from tests.centre.crash_writer import hello
from tests.centre.peer import SCHEMA

EPOCH = 0xFFEE_0000_0000_0001
EVER = Span(0, 1 << 62)


class Shop:
    """A writer with its keeper, driven from the test's thread."""

    def __init__(
        self,
        path: Path,
        retention: Retention | None = None,
        clock: Clock | None = None,
        node: str = "test",
        shared: bool = False,
    ) -> None:
        self.path = path
        self.clock = clock or Clock()
        self.writer = Writer(path, node, self.clock, self._deliver, shared)
        self.left = self.writer.start()
        self.keeper = Keeper(path, retention or Retention(0, 0), self.clock, self.writer)
        self.keeper.start()
        greeted = self.greet(EPOCH)
        self.gateway, self.session = greeted.gateway, greeted.session

    def _deliver(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.done is not None:
                job.done(job)

    def submit(self, job: Job) -> threading.Event:
        committed = threading.Event()
        job.done = lambda _: committed.set()
        self.writer.submit(job)
        return committed

    def ask(self, job: Job) -> None:
        assert self.submit(job).wait(20), "not committed in time"

    def greet(self, epoch: int, said: Hello | None = None) -> Greeting:
        job = Greeting(
            hello=said or hello(epoch),
            session=random.getrandbits(53),
            remote="1.2.3.4",
            proxy="",
            received_ns=self.clock.wall_ns(),
        )
        self.ask(job)
        assert not job.failed, job.failed
        body = rows.encode_schema(SCHEMA)
        digest = rows.schema_digest(body)
        self.ask(Binding(gateway=job.gateway, epoch=epoch, sid=1, digest=digest, body=body))
        return job

    def ingest(self, records: list[Record], *, backlog: bool = False, epoch: int = EPOCH) -> Ingest:
        job = self.job(records, backlog=backlog, epoch=epoch)
        self.ask(job)
        return job

    def job(self, records: list[Record], *, backlog: bool = False, epoch: int = EPOCH) -> Ingest:
        return Ingest(
            gateway=self.gateway,
            session=self.session,
            epoch=epoch,
            records=records,
            offset_ns=0,
            received_ns=self.clock.wall_ns(),
            size=sum(len(r.data) for r in records),
            backlog=backlog,
        )

    def query(self, sql: str) -> list[tuple[object, ...]]:
        db = layout.open_reader(self.path)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def close(self) -> None:
        self.keeper.close()
        assert self.writer.close()


def stored_seconds(path: Path, point: str = "meter.v") -> list[float]:
    """Return the source times stored of a point, as seconds."""
    db = layout.open_reader(path)
    try:
        pages = readings(db, "site-1", point, EVER)
        return [r.source_time_ns / 1e9 for page in pages for r in page]
    finally:
        db.close()
