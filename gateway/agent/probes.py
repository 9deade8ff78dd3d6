"""The host's interfaces that are no files: netlink, the Pi's firmware, other programs.

Owns one seam for each, gathered in `Probes` beside the host's file trees, so that a bench puts raw
evidence in the place of each and nothing else in the agent changes. Every call is bounded in time
and size and says ``None`` instead of raising.

Source: netlink(7); Linux include/uapi/linux/genetlink.h; raspberrypi/utils vcgencmd.c.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.host import firmware, rtnetlink
from gateway.process.clock import HostFiles

NETLINK_GENERIC = 16
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
ANSWER_S = 0.5
MAX_DATAGRAM = 65536
MAX_DATAGRAMS = 64
"""Datagrams taken of one answer, and of what is pending at once."""
MAX_OUTPUT = 4 * 1024 * 1024
NODES = ("/dev/vcio_gencmd", "/dev/vcio")


class Netlink(Protocol):
    """Generic netlink. Datagrams in, datagrams out; what they mean is `gateway.host.netlink`'s."""

    def ask(self, request: bytes, is_end: Callable[[bytes], bool]) -> list[bytes]:
        """Return the datagrams that answer, up to the one `is_end` knows; fewer on a time-out."""

    def subscribe(self, group: int) -> None:
        """Join a multicast group; its datagrams come out of `pending`."""

    def pending(self) -> list[bytes]:
        """Return the datagrams of subscribed groups that have come, without waiting."""

    def close(self) -> None:
        """Let go of the sockets."""


class KernelNetlink:
    """Generic netlink of this kernel; two sockets, so that news never mixes with answers."""

    def __init__(self) -> None:
        self._asking: socket.socket | None = None
        self._news: socket.socket | None = None

    def ask(self, request: bytes, is_end: Callable[[bytes], bool]) -> list[bytes]:
        """See `Netlink`."""
        answers: list[bytes] = []
        try:
            if self._asking is None:
                self._asking = _open()
                self._asking.settimeout(ANSWER_S)
            self._asking.send(request)
            for _ in range(MAX_DATAGRAMS):
                datagram = self._asking.recv(MAX_DATAGRAM)
                answers.append(datagram)
                if is_end(datagram):
                    return answers
        except OSError:
            # What still comes belongs to this question: the next one gets a socket of its own.
            if self._asking is not None:
                self._asking.close()
                self._asking = None
        return answers

    def subscribe(self, group: int) -> None:
        """See `Netlink`."""
        with contextlib.suppress(OSError):
            if self._news is None:
                self._news = _open()
                self._news.setblocking(False)
            self._news.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def pending(self) -> list[bytes]:
        """See `Netlink`."""
        found: list[bytes] = []
        if self._news is None:
            return found
        with contextlib.suppress(OSError):  # BlockingIOError: no more; ENOBUFS: some were lost
            while len(found) < MAX_DATAGRAMS:
                found.append(self._news.recv(MAX_DATAGRAM))
        return found

    def close(self) -> None:
        """See `Netlink`."""
        for opened in (self._asking, self._news):
            if opened is not None:
                opened.close()
        self._asking = self._news = None


def _open() -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC
    )
    try:
        opened.bind((0, 0))
    except OSError:
        opened.close()
        raise
    return opened


def link_socket() -> socket.socket | None:
    """Open a socket on which the kernel tells of its interfaces; ``None``: it does not let us."""
    try:
        opened = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, rtnetlink.NETLINK_ROUTE
        )
    except OSError:
        return None
    try:
        opened.bind((0, rtnetlink.GROUP_LINK))
    except OSError:
        opened.close()
        return None
    return opened


def no_firmware(command: str) -> bytes | None:
    """Be a machine without the Raspberry Pi's firmware."""
    return None


def firmware_reply(command: str) -> bytes | None:
    """Ask the Raspberry Pi's firmware, as `vcgencmd` does but without a process."""
    message = firmware.encode(command)
    wide = struct.calcsize("P") == 8
    number = firmware.IOCTL_PROPERTY_64 if wide else firmware.IOCTL_PROPERTY_32
    for node in NODES:
        try:
            descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.ioctl(descriptor, number, message)
            return firmware.decode(bytes(message))
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return None


def program_output(arguments: Sequence[str], timeout_s: float) -> bytes | None:
    """Run a program and return what it wrote; ``None`` when it is not there, fails or is slow."""
    path = shutil.which(arguments[0])
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # `systemctl is-system-running` says its word with a status other than 0.
    return done.stdout[:MAX_OUTPUT] if done.returncode == 0 or done.stdout else None


@dataclass(slots=True)
class Probes:
    """Every way to the host but the clock."""

    files: HostFiles
    netlink: Netlink = field(default_factory=KernelNetlink)
    firmware: Callable[[str], bytes | None] = firmware_reply
    program: Callable[[Sequence[str], float], bytes | None] = program_output
    link_news: Callable[[], socket.socket | None] = link_socket
