"""Opening a spool directory: lock, quota, recovery.

Owns the sizes (quota, segment) and the error a second daemon gets. Called by `Spool.open`, and
again from the writer's thread when the directory could not be used at first.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass

from gateway.agent.spool.disk import PAGE, Disk
from gateway.agent.spool.pool import MIN_SEGMENTS, QUARANTINE, Pool
from gateway.agent.spool.recovery import Recovered, recover
from gateway.config.agent import SpoolSettings
from gateway.errors import SpoolError

DEFAULT_BYTES = 1024**3
DEFAULT_SHARE = 0.25
"""Of the free space: the quota when `max_bytes` is 0, up to `DEFAULT_BYTES`."""
MIN_SEGMENT_BYTES = 128 * 1024
"""A record of the largest size, a header and a trailer must fit."""
MAX_SEGMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Opening:
    """A directory that is ours. The lock lives as long as `lock_fd`."""

    lock_fd: int
    pool: Pool
    recovered: Recovered


def open_directory(disk: Disk, settings: SpoolSettings, gateway_id: str) -> Opening:
    """Lock and recover a directory, whatever it holds.

    Raises: SpoolError when another process has it; OSError when it cannot be used.
    """
    directory = settings.directory
    disk.make_directory(directory)
    try:
        lock_fd = disk.lock(directory)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        if error.errno == errno.EACCES and not os.access(directory, os.R_OK):
            raise
        raise SpoolError(
            f"spool directory {directory}: another gateway process has it open; "
            "stop that one (systemctl stop gateway), or give this one its own spool.directory"
        ) from error
    try:
        names = disk.names(directory)
        own = sum(size for _, size, regular in names if regular)
        quota = settings.max_bytes or int(
            min(DEFAULT_BYTES, (disk.free_bytes(directory) + own) * DEFAULT_SHARE)
        )
        quota = max(quota, MIN_SEGMENTS * MIN_SEGMENT_BYTES)
        size = min(settings.segment_bytes, MAX_SEGMENT_BYTES, quota // MIN_SEGMENTS)
        size = max(size // PAGE * PAGE, MIN_SEGMENT_BYTES)
        pool = Pool(disk, directory, size, quota, settings.keep_free_bytes)
        with suppress(OSError):  # a full disk, or a file of that name: it works without
            disk.make_directory(os.path.join(directory, QUARANTINE))
        return Opening(lock_fd, pool, recover(disk, pool, gateway_id))
    except OSError:
        disk.close(lock_fd)
        raise
