"""The spool's one seam to the file system.

Owns every call that touches a file, so that a test can put a failing disk in its place. Adds only
what the raw calls lack: whole writes, and reads that step over unreadable pages. Never decides
what a failure means.
"""

import errno
import fcntl
import os
import stat

PAGE = 4096


class Disk:
    """The real file system. Every method may raise OSError; none retries."""

    def make_directory(self, path: str) -> None:
        """Create a directory (and its parents) for this user only; fine if it exists."""
        os.makedirs(path, mode=0o700, exist_ok=True)

    def lock(self, path: str) -> int:
        """Open a directory and lock it exclusively; the lock goes with the returned fd."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def names(self, path: str) -> list[tuple[str, int, bool]]:
        """Return (name, size, is a regular file) of a directory's entries, by name."""
        found = []
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found.append((entry.name, status.st_size, stat.S_ISREG(status.st_mode)))
        return sorted(found)

    def open(self, path: str, *, create: bool = False, read_only: bool = False) -> int:
        """Open a regular file, never following a link; `create` demands that it is new."""
        access = os.O_RDONLY if read_only else os.O_RDWR
        flags = access | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(path, flags | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)

    def close(self, fd: int) -> None:
        """Close a file; errors of a close mean nothing more than those of its fsync."""
        os.close(fd)

    def size(self, fd: int) -> int:
        """Return a file's size."""
        return os.fstat(fd).st_size

    def pread(self, fd: int, size: int, at: int) -> bytes:
        """Read up to `size` bytes."""
        return os.pread(fd, size, at)

    def pwrite(self, fd: int, data: bytes | memoryview, at: int) -> int:
        """Write once; may write less than asked (a full disk does)."""
        return os.pwrite(fd, data, at)

    def fdatasync(self, fd: int) -> None:
        """Wait until a file's data is on the device."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Wait until a file (or a directory's entries) is on the device."""
        os.fsync(fd)

    def allocate(self, fd: int, size: int) -> None:
        """Reserve space for the whole file, or fail with ENOSPC."""
        os.posix_fallocate(fd, 0, size)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, size)

    def rename(self, old: str, new: str) -> None:
        """Rename within the file system."""
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def free_bytes(self, path: str) -> int:
        """Return what an unprivileged program may still allocate."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    # What the raw calls lack:

    def write_all(self, fd: int, data: bytes, at: int) -> None:
        """Write everything, or raise: a short write on a full disk is not a commit."""
        rest = memoryview(data)
        while rest:
            written = self.pwrite(fd, rest, at)
            if written <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[written:]
            at += written

    def read_all(self, fd: int, size: int, at: int = 0) -> bytes:
        """Read `size` bytes from `at`; unreadable pages are zeros, the end may be short."""
        parts = []
        end = at + size
        paged = False
        while at < end:
            piece = min(end - at, PAGE - at % PAGE if paged else size)
            try:
                part = self.pread(fd, piece, at)
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EBADMSG, errno.EILSEQ):
                    raise
                if not paged:
                    paged = True
                    continue
                part = bytes(piece)  # a bad page: CRC will tell
            if not part:
                break
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def sync_directory(self, path: str) -> None:
        """Make renames and new files of a directory survive a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(fd)
        finally:
            self.close(fd)
