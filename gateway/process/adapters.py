"""The serial adapters of this machine by their lasting names.

Owns looking below /dev/serial/by-id; never opens a port.
"""

import os

from gateway.process.clock import HostFiles

BY_ID = "/dev/serial/by-id"


def lasting_names(files: HostFiles) -> tuple[str, ...]:
    """Return the paths below /dev/serial/by-id, sorted; empty where there are none."""
    try:
        return tuple(f"{BY_ID}/{name}" for name in sorted(os.listdir(files.path(BY_ID))))
    except OSError:
        return ()


def is_there(port: str, files: HostFiles) -> bool:
    """Say whether a port's path leads to something."""
    return os.path.exists(files.path(port))


def lasting_name(port: str, files: HostFiles) -> str | None:
    """Return the path below /dev/serial/by-id that leads to `port`; ``None``: there is none."""
    device = os.path.realpath(files.path(port))
    for name in lasting_names(files):
        if os.path.realpath(files.path(name)) == device:
            return name
    return None
