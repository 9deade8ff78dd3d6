"""Tell systemd how we are: READY, STATUS, RELOADING, WATCHDOG, STOPPING.

Owns the notification datagram (sd_notify(3)); never decides what the state is. Without
``$NOTIFY_SOCKET`` every call does nothing, so a daemon on a terminal needs no special case.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

MAX_STATUS = 256
"""Characters of a status line that are sent; `systemctl status` shows one line."""


class Notifier:
    """The service manager's end of our life cycle. Never raises: a lost datagram is no failure."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        address = env.get("NOTIFY_SOCKET", "")
        # sd_notify(3): "@" stands for the NUL of an abstract socket's name.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._status = ""
        self.watchdog_s = _watchdog_s(env)
        """Seconds after which systemd takes us for hung; ``None``: it does not watch."""
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def ready(self) -> None:
        """Start-up (or a reload) is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send("RELOADING=1")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; sent only when it changed."""
        line = " ".join(text.split())[:MAX_STATUS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def watchdog(self) -> None:
        """Say that the main loop still turns."""
        self._send("WATCHDOG=1")

    async def keep_watchdog(self) -> None:
        """Ping the watchdog at a third of its time, from the loop it vouches for, until
        cancelled."""
        if self._socket is None or self.watchdog_s is None:
            return
        while True:
            self.watchdog()
            await asyncio.sleep(self.watchdog_s / 3)

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # systemd gone or busy: not our trouble
                self._socket.sendto(text.encode(), self._address)


def _watchdog_s(env: Mapping[str, str]) -> float | None:
    """Read sd_watchdog_enabled(3)'s variables: the time counts only for the process named."""
    try:
        microseconds = int(env.get("WATCHDOG_USEC", "0"))
        pid = int(env.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and pid == os.getpid() else None
