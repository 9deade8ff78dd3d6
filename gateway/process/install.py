"""Put a config file in place so that no crash leaves half of one, and keep the one before.

Owns the lock against two editors, the copy they work on, the atomic exchange (fsync, rename, fsync
of the directory; owner, mode and security label kept) and the copy of what a daemon runs. Never
judges a file: that is done before.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import ConfigError
from gateway.process.port_owner import port_owner
from gateway.process.state_file import sync_directory

RUNNING = "running.toml"
"""In the state directory: the file that the daemon runs with, as it read it."""
_LABEL = "security.selinux"


def last_good(path: Path) -> Path:
    """Return where the file stands that was in force before the last installation."""
    return path.with_name(f"{path.name}.last-good")


def rejected(path: Path) -> Path:
    """Return where a file is kept that the daemon did not take."""
    return path.with_name(f"{path.name}.rejected")


def working_copy(path: Path) -> Path:
    """Return the copy an editor works on: beside the file, so that relative paths mean the same."""
    return path.with_name(f".{path.stem}.edit{path.suffix}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a second editor out. Raises: ConfigError when there is one, naming it."""
    directory = path.parent
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"{directory}: {error.strerror}; give the path of a config file"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno != errno.EWOULDBLOCK:
            raise ConfigError(f"{directory}: cannot be locked ({error.strerror})") from None
        owner = port_owner(str(directory))
        who = f" (process {owner.pid}: {owner.command})" if owner is not None else ""
        raise ConfigError(
            f"{path}: somebody else is editing it{who}; wait until they are done"
        ) from None
    try:
        yield
    finally:
        os.close(fd)


def write_copy(path: Path, original: Path, data: bytes) -> None:
    """Write `data` to `path`, durable, with the owner, mode and label of `original`.

    Raises: ConfigError with the cure; nothing is left behind then.
    """
    try:
        status = original.stat()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            _like(fd, original, status)
            file.flush()
            os.fsync(fd)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise ConfigError(_trouble(path, error)) from error


def install(path: Path, data: bytes) -> None:
    """Replace the file by `data`, keeping what it was as `last_good`.

    A power cut leaves the old file or the new one, whole. Raises: ConfigError.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    kept = path.with_name(f".{path.name}.{os.getpid()}.old")
    write_copy(aside, path, data)
    try:
        write_copy(kept, path, path.read_bytes())  # no link: not every file system has them
        os.replace(kept, last_good(path))
        os.replace(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        for rest in (aside, kept):
            with contextlib.suppress(OSError):
                rest.unlink()
        raise ConfigError(_trouble(path, error)) from error


def put_back(path: Path, data: bytes) -> None:
    """Restore a file that the daemon runs with; what it did not take is kept as `rejected`.

    Raises: ConfigError.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write_copy(aside, path, data)
    try:
        os.replace(path, rejected(path))
        os.replace(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigError(_trouble(path, error)) from error


def note_running(path: Path, state_directory: Path, revision: str) -> None:
    """Keep the file a daemon runs with in its state directory, for `gateway check --diff`.

    Does nothing when the file is another one by now, or when nothing can be written: it is a
    convenience.
    """
    kept = state_directory / RUNNING
    aside = kept.with_name(f".{RUNNING}.{os.getpid()}")
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest()[:12] != revision:
            return
        with contextlib.suppress(FileNotFoundError):
            if kept.read_bytes() == data:
                return
        aside.write_bytes(data)
        aside.chmod(0o640)
        os.replace(aside, kept)


def _like(fd: int, original: Path, status: os.stat_result) -> None:
    """Give an open file the owner, mode and security label of another."""
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, stat.S_IMODE(status.st_mode))
    with contextlib.suppress(OSError):  # no label: no SELinux
        os.setxattr(fd, _LABEL, os.getxattr(original, _LABEL))


def _trouble(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: {reason}; use sudo, or be the owner of the file and its directory"
    if error.errno == errno.EROFS:
        return f"{path}: {reason}; mount it writable, then try again"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: {reason}; free some space, the file in force is untouched"
    return f"{path}: cannot be written ({reason}); the file in force is untouched"
