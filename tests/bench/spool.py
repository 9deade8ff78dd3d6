"""What a commit costs the card, how long it takes, and how fast a backlog comes back.

Each engine has a loop device with an ext4 of its own; bytes and flushes are the device's own
counters (/sys/block/loopN/stat), so journal and metadata are in them. Beside it, in the same run
and on the same payloads: SQLite, one BLOB and its CRC per commit, WAL, synchronous=FULL. Targets:
facts of the prototype (c3: 4-5 KB and 1 flush per commit of 10 to 100 readings). Needs root.
"""

import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.agent.spool.spool import Spool
from gateway.config.agent import SpoolSettings
from gateway.process.clock import Clock
from gateway.wire.record import RecordKind
from tests.blocklog import make_ext4

OUT = Path(__file__).parent / "out" / "spool.json"
COMMITS = 600
WARM = 1500
DEVICE_MB = 64
SECTOR = 512
BYTES_PER_READING = 5.3
DRAIN_TARGET = 5_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One engine at one size of commit. Milliseconds and bytes per commit."""

    engine: str
    readings: int
    device_bytes: float
    flushes: float
    p50_ms: float
    p99_ms: float


@contextmanager
def device(folder: Path) -> Iterator[tuple[Path, str]]:
    """Mount a fresh ext4 on a loop device; yield its root and the device's name."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        image, root = Path(made) / "image", Path(made) / "root"
        root.mkdir()
        with image.open("wb") as file:
            for _ in range(DEVICE_MB):  # written, so that the medium has no holes to fill
                file.write(bytes(1 << 20))
        loop = _run("losetup", "--find", "--show", str(image)).strip()
        try:
            make_ext4(loop)
            _run("mount", "-o", "noatime", loop, str(root))
            try:
                yield root, os.path.basename(loop)
            finally:
                _run("umount", str(root))
        finally:
            _run("losetup", "-d", loop)


def counters(name: str) -> tuple[int, int]:
    """Return (bytes written, flushes) of a block device."""
    fields = Path(f"/sys/block/{name}/stat").read_text().split()
    return int(fields[6]) * SECTOR, int(fields[15])


def payloads(readings: int, count: int) -> list[bytes]:
    """Return payloads of poll rows: the size of C1, incompressible."""
    source = random.Random(readings)
    return [source.randbytes(int(readings * BYTES_PER_READING)) for _ in range(count)]


def measured(
    engine: str, readings: int, name: str, root: Path, commits: list[Callable[[], None]]
) -> Cost:
    """Run the commits and read the device's counters around them."""
    _sync(root)
    before = counters(name)
    times = []
    for commit in commits:
        started = time.perf_counter()
        commit()
        times.append(time.perf_counter() - started)
    _sync(root)
    after = counters(name)
    count = len(commits)
    cuts = statistics.quantiles(times, n=100)
    return Cost(
        engine,
        readings,
        (after[0] - before[0]) / count,
        (after[1] - before[1]) / count,
        cuts[49] * 1e3,
        cuts[98] * 1e3,
    )


def spool_cost(folder: Path, readings: int) -> Cost:
    """Measure the spool: recycled segments, one commit per payload, nothing acked meanwhile."""
    with device(folder) as (root, name), asyncio.Runner() as runner:
        spool = _opened(root / "spool", 32 << 20)
        # Fill and ack once, so that the segments are recycled ones, as they are for ever after.
        for _ in range(8):
            for body in payloads(1000, 700):
                spool.append(RecordKind.ROWS, 1000, body)
            runner.run(spool.flush())
            spool.ack(spool.epoch, [(1, spool.next_seq)])
            runner.run(spool._keeper._give_back())

        def commit(body: bytes) -> None:
            spool.append(RecordKind.ROWS, readings, body)
            runner.run(spool.flush())

        bodies = payloads(readings, COMMITS)
        cost = measured(
            "spool", readings, name, root, [lambda body=body: commit(body) for body in bodies]
        )
        runner.run(spool.close(clean=False))
    return cost


def sqlite_cost(folder: Path, readings: int) -> Cost:
    """Measure SQLite doing the same: one BLOB and CRC per commit, WAL, FULL."""
    with device(folder) as (root, name):
        store = sqlite3.connect(root / "spool.sqlite", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=0"):
            store.execute(f"PRAGMA {pragma}")
        store.execute("CREATE TABLE record(seq INTEGER PRIMARY KEY, crc INTEGER, data BLOB)")

        def commit(seq: int, body: bytes) -> None:
            row = (seq, zlib.crc32(body), body)
            store.execute("BEGIN IMMEDIATE")
            store.execute("INSERT INTO record VALUES(?, ?, ?)", row)
            store.execute("COMMIT")

        # Past its first checkpoint the log is recycled too.
        for seq, body in enumerate(payloads(readings, WARM), COMMITS):
            commit(seq, body)
        bodies = enumerate(payloads(readings, COMMITS))
        jobs = [lambda seq=seq, body=body: commit(seq, body) for seq, body in bodies]
        cost = measured("sqlite WAL FULL", readings, name, root, jobs)
        store.close()
    return cost


def drain_rate(folder: Path, readings: int, count: int) -> float:
    """Return readings per second of a backlog read from disk, CRC verified, as records."""

    async def drained(spool: Spool) -> float:
        total = 0
        reader = spool.reader()
        started = time.perf_counter()
        while True:
            _, records = await reader.read(64 * 1024)
            if not records:
                break
            total += sum(record.readings for record in records)
        assert total == readings * count, (total, readings * count)
        return total / (time.perf_counter() - started)

    with tempfile.TemporaryDirectory(dir=folder) as made, asyncio.Runner() as runner:
        spool = _opened(Path(made), 128 << 20)
        for number, body in enumerate(payloads(readings, count)):
            spool.append(RecordKind.ROWS, readings, body)
            if number % 1000 == 999:
                runner.run(spool.flush())
        runner.run(spool.close(clean=False))
        spool = _opened(Path(made), 128 << 20)
        rate = max(runner.run(drained(spool)) for _ in range(3))
        runner.run(spool.close(clean=False))
    return rate


def append_us(count: int = 20_000) -> float:
    """Return microseconds of `append` and `ack` for one record that is acked at once."""
    with tempfile.TemporaryDirectory() as made, asyncio.Runner() as runner:
        spool = _opened(Path(made), 4 << 20)
        body = payloads(11, 1)[0]
        started = time.perf_counter()
        for _ in range(count):
            record = spool.append(RecordKind.ROWS, 11, body)
            spool.ack(spool.epoch, [(record.seq, record.seq)])
        elapsed = time.perf_counter() - started
        runner.run(spool.close(clean=False))
    return elapsed / count * 1e6


def _opened(directory: Path, quota: int) -> Spool:
    settings = SpoolSettings(directory=str(directory), max_bytes=quota, keep_free_bytes=0)
    return Spool.open(settings, "bench", bytes(16), Clock())


def _sync(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.sync()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Print the table; return 1 if a target is missed."""
    print(f"python {sys.version.split()[0]}, sqlite {sqlite3.sqlite_version}, {COMMITS} commits")
    figures: dict[str, object] = {}
    bad = False
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if os.geteuid() == 0:
            print(
                f"{'engine':17}{'readings':>9}{'bytes':>9}{'flushes':>9}{'p50 ms':>9}{'p99 ms':>9}"
            )
            costs = []
            for readings, limit in ((10, 5_000), (100, 5_500), (1000, 13_500)):
                ours, theirs = spool_cost(folder, readings), sqlite_cost(folder, readings)
                costs += [ours, theirs]
                met = ours.device_bytes <= limit and ours.flushes <= 1.05
                bad |= not met
                for cost in (ours, theirs):
                    print(
                        f"{cost.engine:17}{cost.readings:9}{cost.device_bytes:9.0f}"
                        f"{cost.flushes:9.2f}{cost.p50_ms:9.2f}{cost.p99_ms:9.2f}",
                        f"  target <= {limit} B, <= 1.05 flushes: {'met' if met else 'MISSED'}"
                        if cost is ours
                        else "",
                    )
            figures["commit"] = [asdict(cost) for cost in costs]
        else:
            print("cost of a commit: skipped, needs root for a loop device")
        for readings, count in ((181, 40_000), (11, 200_000)):
            rate = drain_rate(folder, readings, count)
            met = rate >= DRAIN_TARGET
            bad |= not met
            figures[f"drain_{readings}"] = rate
            print(
                f"drain of records of {readings:3} readings: {rate / 1e6:6.1f} M readings/s  "
                f"target >= {DRAIN_TARGET / 1e6:.0f} M: {'met' if met else 'MISSED'}"
            )
    cost_us = append_us()
    figures["append_ack_us"] = cost_us
    print(f"append + ack of a record that never touches the disk: {cost_us:.1f} us")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
