"""The one seam for clocks, boot id and host files.

Everything that reads a clock, the boot id or a file below /proc or /sys asks here, so that a bench
can put raw evidence in its place. Nothing else in `gateway/` calls `time` or opens those trees.
"""

import os
import time
from pathlib import Path


class Clock:
    """The machine's clocks. A bench passes a subclass; nobody changes the machine's clock."""

    def now(self) -> float:
        """Return CLOCK_BOOTTIME in seconds: what the pure core calls ``now``."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boottime_ns(self) -> int:
        """Return CLOCK_BOOTTIME in nanoseconds: what source times are made of."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """Return UTC in nanoseconds since 1970, right or wrong."""
        return time.time_ns()


class HostFiles:
    """The host's file trees below one root. `root` is ``/`` except on a bench."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Return the real path of an absolute host path such as ``/proc/net/wireless``."""
        return self.root / name.lstrip("/")

    def read(self, name: str, limit: int = 65536) -> bytes | None:
        """Return at most `limit` bytes of a host file, or ``None`` if it cannot be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(limit)
        except OSError:
            return None

    def names(self, name: str, limit: int = 256) -> list[str]:
        """Return the sorted names in a host directory, at most `limit`; none if unreadable."""
        try:
            return sorted(os.listdir(self.path(name)))[:limit]
        except OSError:
            return []

    def boot_id(self) -> bytes:
        """Return the kernel's boot id (16 bytes); random where the kernel has none."""
        text = self.read("/proc/sys/kernel/random/boot_id")
        try:
            return bytes.fromhex((text or b"").decode("ascii").strip().replace("-", ""))
        except (UnicodeDecodeError, ValueError):
            return os.urandom(16)
