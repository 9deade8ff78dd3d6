"""The spool's space: segment files reserved up front, taken, given back by rename.

Owns the directory: which files are free, the quota, the quarantine. Never knows what a record is.
Called by the writer's thread only (and by `Spool.open` before that thread works).

A free file is ``<number>.free`` (its blocks hold old bytes and are written in place, so that a
commit costs no file system metadata) or ``<number>.new`` (fallocated, zeroed at first use).
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass

from gateway.agent.spool.disk import Disk
from gateway.agent.spool.segment import SegmentHeader

MIN_SEGMENTS = 4
"""The least a spool is: the newest, the oldest, a free one, and one to spare."""
QUARANTINE = "quarantine"
MAX_QUARANTINE = 16
"""Files kept in quarantine; older ones are deleted."""
_FREE = re.compile(r"([0-9a-f]{8})\.(free|new)")
_MAX_NUMBER = 0xF000_0000
"""Numbers beyond are a stranger's: counting on from them would run out of digits."""
_ASIDE = re.compile(r"([0-9a-f]{8})-.*")
_ZEROS = bytes(256 * 1024)


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is now a segment: open, zeroed or recycled, its name safe on disk."""

    path: str
    fd: int
    size: int


class Pool:
    """The files of one spool directory."""

    def __init__(
        self, disk: Disk, directory: str, segment_bytes: int, max_bytes: int, keep_free_bytes: int
    ) -> None:
        self._disk = disk
        self.directory = directory
        self.segment_bytes = segment_bytes
        self.max_bytes = max_bytes
        self._keep_free = keep_free_bytes
        self._ready: list[str] = []
        self._fresh: list[str] = []
        self._number = 0
        self._aside = 0
        self.in_use = 0
        """Bytes of segments that hold records."""

    @property
    def free(self) -> int:
        """Segments that can be taken."""
        return len(self._ready) + len(self._fresh)

    @property
    def size(self) -> int:
        """Bytes of the segments and of the free files."""
        return self.in_use + self.free * self.segment_bytes

    def find(self, names: list[tuple[str, int, bool]]) -> None:
        """Take stock of the free files of a directory listing; those of another size go."""
        for name, size, regular in names:
            match = _FREE.fullmatch(name)
            if match is None:
                continue
            number = int(match[1], 16)
            if number < _MAX_NUMBER:
                self._number = max(self._number, number)
            if not regular:
                continue
            path = os.path.join(self.directory, name)
            if size != self.segment_bytes:
                self._remove(path)
            elif match[2] == "free":
                self._ready.append(path)
            else:
                self._fresh.append(path)

    def reserve(self) -> None:
        """Allocate files up to the quota, while that leaves other programs their space.

        Raises: OSError when not even `MIN_SEGMENTS` can be had.
        """
        while self.size > self.max_bytes and self.free:
            self._remove((self._fresh or self._ready).pop())
        fresh = False
        while self.size + self.segment_bytes <= self.max_bytes:
            spare = self._disk.free_bytes(self.directory) - self.segment_bytes
            few = self.size < MIN_SEGMENTS * self.segment_bytes
            if spare < (0 if few else self._keep_free):
                break
            try:
                self._create()
            except OSError:
                if few:
                    raise
                break
            fresh = True
        if fresh:
            self._disk.sync_directory(self.directory)

    def take(self, header: SegmentHeader) -> Taken | None:
        """Turn a free file into the segment of `header`; ``None`` when there is none left.

        The new name is on disk before any byte is written: until then the old name goes with the
        old bytes.
        """
        path = os.path.join(self.directory, header.name)
        while self._ready or self.prepare():
            old = self._ready[-1]
            try:
                self._disk.rename(old, path)
                break
            except FileNotFoundError:  # somebody removed it: that costs space, not the spool
                self._ready.pop()
        else:
            return None
        try:
            self._disk.sync_directory(self.directory)
            fd = self._disk.open(path)
        except OSError:
            with suppress(OSError):  # then it is missing at the next attempt, see above
                self._disk.rename(path, old)
            raise
        self._ready.pop()
        self.in_use += self.segment_bytes
        return Taken(path, fd, self.segment_bytes)

    def prepare(self) -> bool:
        """See to it that a zeroed or recycled file is ready. Return whether one is."""
        if self._ready:
            return True
        while self._fresh:
            fresh = self._fresh[-1]
            try:
                self._zero(fresh)
                ready = self._free_name()
                self._disk.rename(fresh, ready)
            except FileNotFoundError:
                self._fresh.pop()
                continue
            except OSError:  # this one may be bad: the next attempt takes another
                self._fresh.insert(0, self._fresh.pop())
                raise
            self._fresh.pop()
            self._ready.append(ready)
            return True
        return False

    def release(self, path: str, size: int, *, sound: bool = True) -> None:
        """Give a segment's file back: recycled, or to quarantine when it is not sound.

        Nothing is flushed: until the file is taken again its old name may come back after a power
        cut, with records that the centre has.
        """
        self.in_use -= size
        if not sound or size != self.segment_bytes or self.size + size > self.max_bytes:
            if sound:
                self._remove(path)
            else:
                self.quarantine(path)
            if self.size + self.segment_bytes <= self.max_bytes:
                self._create()
            return
        free = self._free_name()
        self._disk.rename(path, free)
        self._ready.append(free)

    def quarantine(self, path: str) -> None:
        """Move a file (or whatever it is) out of the way; the oldest of too many is deleted."""
        folder = os.path.join(self.directory, QUARANTINE)
        self._disk.make_directory(folder)
        kept = []
        for name, _, regular in self._disk.names(folder):
            match = _ASIDE.fullmatch(name)
            if match and int(match[1], 16) < _MAX_NUMBER:
                self._aside = max(self._aside, int(match[1], 16))
                if regular:
                    kept.append(name)
        for name in kept[: max(0, len(kept) - MAX_QUARANTINE + 1)]:
            self._remove(os.path.join(folder, name))
        self._aside += 1
        name = os.path.basename(path)
        self._disk.rename(path, os.path.join(folder, f"{self._aside:08x}-{name}"))

    def keep_aside(self, name: str, data: bytes) -> None:
        """Write a file into quarantine."""
        path = os.path.join(self.directory, name)
        fd = self._disk.open(path, create=True)
        try:
            self._disk.write_all(fd, data, 0)
            self._disk.fdatasync(fd)
        finally:
            self._disk.close(fd)
        self.quarantine(path)

    def _create(self) -> None:
        self._number += 1
        path = os.path.join(self.directory, f"{self._number:08x}.new")
        fd = self._disk.open(path, create=True)
        try:
            self._disk.allocate(fd, self.segment_bytes)
        except OSError:
            self._remove(path)
            raise
        finally:
            self._disk.close(fd)
        self._fresh.append(path)

    def _zero(self, path: str) -> None:
        fd = self._disk.open(path)
        try:
            for at in range(0, self.segment_bytes, len(_ZEROS)):
                self._disk.write_all(fd, _ZEROS[: self.segment_bytes - at], at)
            self._disk.fsync(fd)
        finally:
            self._disk.close(fd)

    def _free_name(self) -> str:
        """Return a name nothing has: a stranger (a directory, say) may bear any other number."""
        self._number += 1
        return os.path.join(self.directory, f"{self._number:08x}.free")

    def _remove(self, path: str) -> None:
        self._disk.unlink(path)
