"""Small files that must survive a power cut: written whole or not at all.

Owns the order (write aside, fsync, rename, fsync of the directory) that ext4 and f2fs keep their
promise for; never decides what is in them.
"""

import contextlib
import json
import os
from pathlib import Path

MAX_BYTES = 1024 * 1024


def write_json(path: Path, value: object, mode: int = 0o600) -> None:
    """Replace `path` by `value` as JSON. Raises: OSError; the old file then still stands."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    data = json.dumps(value, separators=(",", ":")).encode()
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_directory(path.parent)


def read_json(path: Path) -> dict[str, object] | None:
    """Return the object in `path`; ``None`` when it is not there, damaged or no object."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def sync_directory(path: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
