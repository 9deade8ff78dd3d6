"""A process that stores records and says which are committed, until it is killed."""

import random
import sys
import threading
from pathlib import Path

from gateway.centre.store.jobs import Binding, Greeting, Ingest, Job
from gateway.centre.store.writer import Writer
from gateway.process.clock import Clock
from gateway.wire import rows
from gateway.wire.message import Backlog, ClockReading, ClockSource, EpochState, Hello
from tests.centre.peer import BOOT, SCHEMA, meter, rows_record


def hello(epoch: int, name: str = "site-1") -> Hello:
    """Return a Hello of one epoch."""
    clock = ClockReading(1_000_000_000, 1_700_000_000_000_000_000, ClockSource.NTP, 100)
    epochs = (EpochState(epoch, BOOT, 1, ()),)
    return Hello(name, b"hw", BOOT, "test", epochs, clock, (), 65536, 0, Backlog(0, 0, 0))


def main(path: Path, epoch: int, first: int) -> None:
    """Store seqs from `first` on, in jobs of random size; print each job's once committed."""
    random.seed(first)
    ready, room = threading.Event(), threading.Semaphore(20)
    greeting: list[Greeting] = []

    def deliver(jobs: list[Job]) -> None:
        for job in jobs:
            assert not job.failed, job.failed
            if isinstance(job, Greeting):
                greeting.append(job)
                ready.set()
            elif isinstance(job, Ingest):
                print(f"{job.intervals[0][0]} {job.intervals[-1][1]}", flush=True)
                room.release()

    writer = Writer(path, "crash", Clock(), deliver)
    writer.start()
    writer.submit(Greeting(hello=hello(epoch), session=first, remote="", proxy="", received_ns=1))
    ready.wait()
    gateway = greeting[0].gateway
    body = rows.encode_schema(SCHEMA)
    writer.submit(
        Binding(gateway=gateway, epoch=epoch, sid=1, digest=rows.schema_digest(body), body=body)
    )
    seq = first
    while True:
        room.acquire()
        count = random.randrange(1, 30)
        records = [rows_record(epoch, seq + n, [meter(seq + n)]) for n in range(count)]
        seq += count
        writer.submit(
            Ingest(
                gateway=gateway,
                session=first,
                epoch=epoch,
                records=records,
                offset_ns=0,
                received_ns=1,
                backlog=bool(random.getrandbits(1)),
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
