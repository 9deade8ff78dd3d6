"""A disk that remembers: every write and flush that reaches it is logged, and any power cut of its
life can be played back.

Owns a file system with one file, served over the raw FUSE protocol (no library), which a loop
device uses as its medium: the loop driver turns the flushes of the file system above into FSYNC
here. Marks of the program under test are logged in between, in order. Needs root, /dev/fuse, loop
devices and e2fsprogs. Never used by `gateway/`.

`LoggedDisk` records; `Cuts` rebuilds the medium as an honest device leaves it: everything before
the last completed flush is there, of what came later each 4 KiB page survives with p = 0.5, and one
in ten of the others is torn at 512 bytes. A *lying* device also loses pages it claimed to have
flushed.

Source: include/uapi/linux/fuse.h (protocol 7.31), Documentation/filesystems/fuse.rst.
"""

import ctypes
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType

PAGE = 4096
SECTOR = 512
MAX_WRITE = 128 * 1024
LYING_WRITES = 24
"""Pages that a lying device may lose though it said they were flushed."""

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<4Q2I")
_LOG = struct.Struct("<cQI")

_ROOT, _FILE = 1, 2
_NAME = b"disk"
_LOOKUP, _FORGET, _GETATTR, _SETATTR = 1, 2, 3, 4
_OPEN, _READ, _WRITE, _STATFS, _RELEASE, _FSYNC = 14, 15, 16, 17, 18, 20
_FLUSH, _INIT, _INTERRUPT, _DESTROY, _BATCH_FORGET = 25, 26, 36, 38, 42
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
_DIRECT_IO = 1


class _Server:
    """The process behind the file: keeps the medium in memory and appends to the log."""

    def __init__(self, mount_point: str, log: str, size: int, control: socket.socket) -> None:
        self._size = size
        self._medium = bytearray(size)
        self._log = open(log, "ab", buffering=1 << 20)  # noqa: SIM115  # lives as long as we do
        self._control = control
        self._fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"blocklog", mount_point.encode(), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "mount of fuse")

    def run(self) -> None:
        """Serve until the mount goes away or the parent does."""
        poll = select.poll()
        poll.register(self._fuse, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        self._control.sendall(b"r")
        while True:
            for fd, _ in poll.poll():
                if fd == self._fuse:
                    try:
                        request = os.read(self._fuse, MAX_WRITE + PAGE)
                    except OSError as error:
                        if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                            continue
                        return  # ENODEV: unmounted
                    self._answer(request)
                elif not self._take_mark():
                    return

    def _take_mark(self) -> bool:
        head = self._control.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return False
        (length,) = struct.unpack("<I", head)
        data = self._control.recv(length, socket.MSG_WAITALL) if length else b""
        self._append(b"M", 0, data)
        self._log.flush()
        self._control.sendall(b"k")
        return True

    def _append(self, kind: bytes, at: int, data: bytes) -> None:
        self._log.write(_LOG.pack(kind, at, len(data)) + data)

    def _answer(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = _IN.unpack_from(request)
        body = request[_IN.size :]
        if opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT):
            return
        try:
            data = self._reply(opcode, node, body)
            error = 0
        except OSError as problem:
            data, error = b"", -(problem.errno or errno.EIO)
        with suppress(FileNotFoundError):  # the request was interrupted
            os.write(self._fuse, _OUT.pack(_OUT.size + len(data), error, unique) + data)

    def _reply(self, opcode: int, node: int, body: bytes) -> bytes:
        if opcode == _WRITE:
            _, at, size = struct.unpack_from("<QQI", body)
            data = body[40 : 40 + size]
            self._medium[at : at + size] = data
            self._append(b"W", at, data)
            return struct.pack("<II", size, 0)
        if opcode == _READ:
            _, at, size = struct.unpack_from("<QQI", body)
            return bytes(self._medium[at : at + size])
        if opcode == _FSYNC:
            self._append(b"F", 0, b"")
            return b""
        if opcode == _INIT:
            _, minor, ahead, flags = struct.unpack_from("<4I", body)
            flags &= _BIG_WRITES | _MAX_PAGES
            pages = MAX_WRITE // PAGE
            head = struct.pack(
                "<4I2H2I2H", 7, min(minor, 31), ahead, flags, 16, 12, MAX_WRITE, 1, pages, 0
            )
            return head.ljust(64, b"\0")
        if opcode in (_GETATTR, _SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
        if opcode == _LOOKUP:
            if body.rstrip(b"\0") != _NAME:
                raise OSError(errno.ENOENT, "only one file here")
            return _ENTRY.pack(_FILE, 0, 3600, 3600, 0, 0) + self._attributes(_FILE)
        if opcode == _OPEN:
            return struct.pack("<QIi", 0, _DIRECT_IO, 0)
        if opcode == _STATFS:
            return struct.pack("<5Q4I", 0, 0, 0, 0, 0, PAGE, 255, PAGE, 0).ljust(80, b"\0")
        if opcode in (_FLUSH, _RELEASE, _DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "not needed by a loop device")

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o100600, self._size) if node == _FILE else (0o040700, 0)
        return _ATTR.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, PAGE, 0)


class LoggedDisk:
    """An ext4 on a loop device whose medium is logged. Use it as a context manager.

    `root` is where it is mounted; `device` the loop device's name. Everything is undone at the end,
    whatever happened.
    """

    def __init__(self, megabytes: int) -> None:
        self._size = megabytes << 20
        self._stack = ExitStack()

    def __enter__(self) -> "LoggedDisk":
        with ExitStack() as stack:
            folder = Path(stack.enter_context(scratch()))
            self.log = folder / "log"
            fuse, self.root = folder / "fuse", folder / "root"
            fuse.mkdir()
            self.root.mkdir()
            self._control, theirs = socket.socketpair()
            stack.callback(self._control.close)
            arguments = [str(fuse), str(self.log), str(self._size), str(theirs.fileno())]
            server = subprocess.Popen(
                [sys.executable, __file__, *arguments], pass_fds=[theirs.fileno()]
            )
            theirs.close()
            stack.callback(_end, server)
            if self._control.recv(1) != b"r":
                raise OSError(errno.EIO, "the FUSE server did not start; its error is above")
            stack.callback(_quietly, "umount", "-l", str(fuse))
            loop = _run("losetup", "--find", "--show", str(fuse / _NAME.decode())).strip()
            stack.callback(_quietly, "losetup", "-d", loop)
            self.device = os.path.basename(loop)
            make_ext4(loop)
            _run("mount", "-o", "noatime", loop, str(self.root))
            stack.callback(_quietly, "umount", "-l", str(self.root))
            os.sync()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def mark(self, data: bytes) -> None:
        """Log a mark behind every write and flush that is complete by now."""
        self._control.sendall(struct.pack("<I", len(data)) + data)
        if self._control.recv(1) != b"k":
            raise OSError(errno.EIO, "the FUSE server is gone")

    def taken(self) -> "Cuts":
        """Return what was logged so far."""
        self.mark(b"")
        return Cuts(self.log.read_bytes(), self._size)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log: b"W" a write, b"F" a completed flush, b"M" a mark."""

    kind: bytes
    at: int
    data: bytes


class Cuts:
    """The log of a disk, and the medium after a power cut at any entry of it."""

    def __init__(self, log: bytes, size: int) -> None:
        self.entries: list[Entry] = []
        place = 0
        while place + _LOG.size <= len(log):
            kind, at, length = _LOG.unpack_from(log, place)
            place += _LOG.size
            self.entries.append(Entry(kind, at, log[place : place + length]))
            place += length
        self._base = bytearray(size)
        self._applied = 0

    def marks(self, cut: int) -> list[bytes]:
        """Return the marks before a cut."""
        return [entry.data for entry in self.entries[:cut] if entry.kind == b"M" and entry.data]

    def first_mark(self) -> int:
        """Return the entry of the first mark: before it the program had not begun."""
        return next(i for i, e in enumerate(self.entries) if e.kind == b"M" and e.data)

    def medium(self, cut: int, random: Random, *, lying: bool = False) -> bytearray:
        """Return the medium after a cut before entry `cut`. Cuts must ascend."""
        flushed = max((i for i in range(cut) if self.entries[i].kind == b"F"), default=0)
        if lying:
            flushed = max(flushed - self._back(flushed), self._applied)
        for entry in self.entries[self._applied : flushed]:
            if entry.kind == b"W":
                self._base[entry.at : entry.at + len(entry.data)] = entry.data
        self._applied = max(self._applied, flushed)
        medium = bytearray(self._base)
        for entry in self.entries[self._applied : cut]:
            if entry.kind == b"W":
                _perhaps(medium, entry, random)
        return medium

    def _back(self, flushed: int) -> int:
        """Return how many entries before `flushed` hold the last `LYING_WRITES` writes."""
        writes = 0
        for back in range(1, flushed + 1):
            writes += self.entries[flushed - back].kind == b"W"
            if writes >= LYING_WRITES:
                return back
        return flushed


def _perhaps(medium: bytearray, entry: Entry, random: Random) -> None:
    """Apply what a cut leaves of a write that was not flushed."""
    for offset in range(0, len(entry.data), PAGE):
        page = entry.data[offset : offset + PAGE]
        place = entry.at + offset
        if random.random() < 0.5:
            medium[place : place + len(page)] = page
        elif random.random() < 0.1:
            for sector in range(0, len(page), SECTOR):
                if random.random() < 0.5:
                    piece = page[sector : sector + SECTOR]
                    medium[place + sector : place + sector + len(piece)] = piece


@contextmanager
def mounted(
    medium: bytes | bytearray, folder: Path, number: int, *, check: bool = False
) -> Iterator[Path]:
    """Mount a medium (journal replay; e2fsck before it if `check`) and yield where; undone after.

    `number` makes the names unique: a loop device may hold on to a file for a while.
    Raises: OSError when the file system is beyond repair.
    """
    image, root = folder / f"image{number}", folder / f"root{number}"
    image.write_bytes(medium)
    root.mkdir()
    try:
        if check:
            _quietly("e2fsck", "-y", "-f", str(image))
        _run("mount", "-o", "loop,noatime", str(image), str(root))
        try:
            yield root
        finally:
            _quietly("umount", "-l", str(root))  # lazily: a failed test may hold a file open
    finally:
        image.unlink()
        with suppress(OSError):
            root.rmdir()


@contextmanager
def scratch() -> Iterator[str]:
    """Yield a directory in memory if there is such a thing, removed afterwards."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix="blocklog-", dir=memory, ignore_cleanup_errors=True
    ) as folder:
        yield folder


def make_ext4(device: str) -> None:
    """Make the file system of the tests: 4 KiB blocks, nothing kept for root, no lazy work."""
    options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", "-E", options, device)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if done.returncode:
        raise OSError(errno.EIO, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _quietly(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False, env=_environment())


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(5)
        return
    server.kill()
    server.wait()


if __name__ == "__main__":
    _Server(
        sys.argv[1], sys.argv[2], int(sys.argv[3]), socket.socket(fileno=int(sys.argv[4]))
    ).run()
