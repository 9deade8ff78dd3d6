"""Disks that misbehave, and what the spool's tests share."""

import errno
import os
import threading
from collections import Counter, deque
from pathlib import Path

import msgpack

from gateway.agent.spool.disk import PAGE, Disk
from gateway.agent.spool.spool import Spool
from gateway.config.agent import SpoolSettings
from gateway.process.clock import Clock
from gateway.wire.record import Record, RecordKind

SEGMENT = 128 * 1024
GATEWAY = "site-042"
BOOT = bytes(range(16))


class FailingDisk(Disk):
    """A disk whose calls fail when told: `fail("fdatasync", errno.EIO)` fails the next one.

    Counts every call; `write_limit` makes writes short.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.written = 0
        self.write_limit: int | None = None
        self._failures: dict[str, deque[int]] = {}
        self._always: dict[str, int] = {}

    def fail(self, call: str, number: int, times: int = 1) -> None:
        """Fail the next calls; `times` 0: all of them, until `heal`."""
        if times:
            self._failures.setdefault(call, deque()).extend([number] * times)
        else:
            self._always[call] = number

    def fail_after(self, call: str, number: int, nth: int) -> None:
        """Fail the nth of the next calls."""
        self._failures.setdefault(call, deque()).extend([0] * (nth - 1) + [number])

    def heal(self) -> None:
        """Fail no more."""
        self._failures.clear()
        self._always.clear()

    def _check(self, call: str) -> None:
        self.calls[call] += 1
        queue = self._failures.get(call)
        number = queue.popleft() if queue else self._always.get(call)
        if number:
            raise OSError(number, os.strerror(number))

    def make_directory(self, path: str) -> None:
        self._check("make_directory")
        super().make_directory(path)

    def names(self, path: str) -> list[tuple[str, int, bool]]:
        self._check("names")
        return super().names(path)

    def open(self, path: str, *, create: bool = False, read_only: bool = False) -> int:
        self._check("open")
        return super().open(path, create=create, read_only=read_only)

    def pread(self, fd: int, size: int, at: int) -> bytes:
        self._check("pread")
        return super().pread(fd, size, at)

    def pwrite(self, fd: int, data: bytes | memoryview, at: int) -> int:
        self._check("pwrite")
        if self.write_limit is not None:
            data = memoryview(data)[: self.write_limit]
            self.write_limit = 0
            if not data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written += len(data)
        return super().pwrite(fd, data, at)

    def fdatasync(self, fd: int) -> None:
        self._check("fdatasync")

    def fsync(self, fd: int) -> None:
        self._check("fsync")

    def allocate(self, fd: int, size: int) -> None:
        self._check("allocate")
        super().allocate(fd, size)

    def truncate(self, fd: int, size: int) -> None:
        self._check("truncate")
        super().truncate(fd, size)

    def rename(self, old: str, new: str) -> None:
        self._check("rename")
        super().rename(old, new)

    def unlink(self, path: str) -> None:
        self._check("unlink")
        super().unlink(path)


class StallingDisk(FailingDisk):
    """A disk that does not answer a flush until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def fdatasync(self, fd: int) -> None:
        self.go.wait(20.0)
        super().fdatasync(fd)


class BadFileDisk(FailingDisk):
    """A disk with one file whose blocks cannot be written."""

    def __init__(self) -> None:
        super().__init__()
        self.bad = ""
        self.refused = 0

    def pwrite(self, fd: int, data: bytes | memoryview, at: int) -> int:
        if self.bad and os.readlink(f"/proc/self/fd/{fd}").endswith(f"/{self.bad}"):
            self.refused += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pwrite(fd, data, at)


class BadSectorDisk(Disk):
    """A disk that cannot read some pages of every file."""

    def __init__(self, *pages: int) -> None:
        self._pages = pages

    def pread(self, fd: int, size: int, at: int) -> bytes:
        for page in self._pages:
            if at < (page + 1) * PAGE and page * PAGE < at + size:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pread(fd, size, at)


class DeafDisk(Disk):
    """A disk layer that never flushes: what a spool must not be built on."""

    def fdatasync(self, fd: int) -> None:
        pass

    def fsync(self, fd: int) -> None:
        pass


def settings(directory: Path, **changes: object) -> SpoolSettings:
    """Return settings of a small spool: 8 segments of 128 KiB."""
    values: dict[str, object] = {
        "directory": str(directory),
        "max_bytes": 8 * SEGMENT,
        "keep_free_bytes": 0,
        "segment_bytes": SEGMENT,
    }
    return SpoolSettings(**(values | changes))  # type: ignore[arg-type]  # keys checked at call


def reopen(directory: Path, disk: Disk | None = None, **changes: object) -> Spool:
    """Open a spool."""
    return Spool.open(
        settings(directory, **changes), GATEWAY, BOOT, Clock(), disk=disk or FailingDisk()
    )


def payload(epoch: int, seq: int, size: int = 600) -> bytes:
    """Return the payload a record of the tests has: a function of its key."""
    block = b"%016x:%08x;" % (epoch, seq)
    return bytes(msgpack.packb([1, 10_000 + seq, (block * (size // len(block) + 1))[:size]]))


def fill(spool: Spool, count: int, size: int = 600) -> None:
    """Append `count` records of 11 readings."""
    for _ in range(count):
        spool.append(RecordKind.ROWS, 11, payload(spool.epoch, spool.next_seq, size))


async def drain(spool: Spool, size: int = 64 * 1024) -> dict[int, list[Record]]:
    """Read everything a spool has, oldest first."""
    found: dict[int, list[Record]] = {}
    reader = spool.reader()
    while True:
        epoch, records = await reader.read(size)
        if not records:
            return found
        found.setdefault(epoch, []).extend(records)


def wrong(found: dict[int, list[Record]], size: int = 600) -> list[tuple[int, int]]:
    """Return the (epoch, seq) of records of rows that are not what was appended."""
    return [
        (epoch, record.seq)
        for epoch, records in found.items()
        for record in records
        if record.kind == RecordKind.ROWS
        and bytes(record.payload) != payload(epoch, record.seq, size)
    ]


def seqs(found: dict[int, list[Record]], epoch: int) -> list[int]:
    """Return the seqs read of an epoch."""
    return [record.seq for record in found.get(epoch, [])]


def segment_files(directory: Path) -> list[Path]:
    """Return the segment files, oldest first."""
    return sorted(directory.glob("*.seg"))
