"""Whether the system itself is stopping, and what for: systemd's own words, parsed.

Owns what the two answers mean; asking is the caller's. A daemon that gets SIGTERM cannot tell
``systemctl restart`` from a shutdown otherwise.

Source: systemctl(1) (is-system-running, list-jobs); systemd.special(7) (the targets).
"""

import re

IS_RUNNING = ("systemctl", "is-system-running")
LIST_JOBS = ("systemctl", "list-jobs", "--no-legend", "--plain", "--no-pager")
ASK_S = 0.5
"""For each of the two answers; a stop has 5 s for everything."""

_JOB = re.compile(rb"\b(reboot|poweroff|halt|kexec|soft-reboot)\.target\s+start\b")


def stopping_for(is_running: bytes | None, jobs: bytes | None) -> str | None:
    """Return what the system is stopping for, ``reboot`` if it does not say; ``None``: it is not
    stopping."""
    if (is_running or b"").strip() != b"stopping":
        return None
    found = _JOB.search(jobs or b"")
    return found[1].decode("ascii") if found else "reboot"
