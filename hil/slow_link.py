"""A link in user space: delay, jitter, loss and rate between two namespaces, changed live.

Owns two TUN devices, one on each side, and the thread that carries packets between them. A route
for one gateway's address sends its packets through it; its connections stay what they are, and real
TCP sees a real round trip. Loss and jitter are drawn from a seed.

Source: Linux Documentation/networking/tuntap.rst; linux/if_tun.h.
"""

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from dataclasses import dataclass, replace

from gateway.cli.child import ChildError
from hil.fleet import Kind, Member
from hil.network import AGENTS, CABLE, DRIVERS, NAMES, RESOLVER, Network, inside
from hil.processes import run

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MAX_PACKET = 65536
MAX_QUEUE = 2000
"""Packets under way in one direction; what is more is lost, as in a router's queue."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How the link is, each way. `rate` in bytes a second, 0: without limit."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    rate: float = 0.0


class SlowLink:
    """The way of one gateway, while it is open. `quality` may be set at any time."""

    def __init__(self, network: Network, member: Member, seed: int) -> None:
        self.quality = Quality()
        self.carried = self.lost = 0
        agent = member.kind is Kind.AGENT
        own = f"{AGENTS if agent else DRIVERS}.{member.number}"
        self._far = RESOLVER if agent else f"{NAMES}.{member.number}"
        self._own = own
        self._near = network.agent(member.number) if agent else network.drivers
        self._core = network.core
        # Where the route leads without us: an agent's by its network, a driver's by its own route.
        self._back = None if agent else f"dev {CABLE} src {own}"
        self._name = f"t{'a' if agent else 'd'}{member.number}"
        self._random = random.Random(seed)
        self._fds: tuple[int, ...] = ()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._carry, name=f"hil.link[{own}]", daemon=True)

    def open(self) -> None:
        """Lead the gateway's packets through it. Raises: ChildError, OSError."""
        near = inside(self._near, lambda: _tun(self._name))
        try:
            far = inside(self._core, lambda: _tun(self._name))
        except OSError:
            os.close(near)
            raise
        self._fds = (near, far)
        for namespace in (self._near, self._core):
            _ip(namespace, f"link set {self._name} up")
        self._thread.start()
        _ip(self._core, f"route replace {self._own}/32 dev {self._name}")
        _ip(self._near, f"route replace {self._far}/32 dev {self._name} src {self._own}")

    def close(self) -> None:
        """Lead them the usual way again. Idempotent."""
        if not self._fds:
            return
        with contextlib.suppress(ChildError):  # the namespace may be gone
            if self._back is not None:
                _ip(self._near, f"route replace {self._far}/32 {self._back}")
        self._stopped.set()
        self._thread.join()
        fds, self._fds = self._fds, ()
        for fd in fds:  # the devices go with them, and the routes with the devices
            os.close(fd)

    def change(self, **changes: float) -> None:
        """Change some of its qualities."""
        self.quality = replace(self.quality, **changes)

    def _carry(self) -> None:
        waiting: tuple[list[tuple[float, int, bytes]], ...] = ([], [])
        free = [0.0, 0.0]
        number = 0
        while not self._stopped.is_set():
            dues = [queue[0][0] for queue in waiting if queue]
            patience = min(0.1, max(0.0, min(dues) - time.monotonic())) if dues else 0.1
            ready, _, _ = select.select(self._fds, [], [], patience)
            now = time.monotonic()
            for side, fd in enumerate(self._fds):
                if fd in ready:
                    packet = os.read(fd, MAX_PACKET)
                    number += 1
                    due = self._due(packet, side, free, now)
                    if due is None or len(waiting[side]) >= MAX_QUEUE:
                        self.lost += 1
                    else:
                        heapq.heappush(waiting[side], (due, number, packet))
                while waiting[side] and waiting[side][0][0] <= now:
                    _, _, packet = heapq.heappop(waiting[side])
                    with contextlib.suppress(OSError):  # the other side is down
                        os.write(self._fds[1 - side], packet)
                        self.carried += 1

    def _due(self, packet: bytes, side: int, free: list[float], now: float) -> float | None:
        """Return when a packet arrives, ``None`` if it does not."""
        quality = self.quality
        if self._random.random() < quality.loss:
            return None
        if quality.rate > 0:
            free[side] = max(free[side], now) + len(packet) / quality.rate
            now = free[side]
        return now + quality.delay_s + self._random.uniform(0.0, quality.jitter_s)


def _tun(name: str) -> int:
    """Make a TUN device in the namespace we are in, and return its descriptor."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(fd, TUNSETIFF, request)
    except OSError:
        os.close(fd)
        raise
    return fd


def _ip(namespace: str, command: str) -> None:
    run(["ip", "-n", namespace, *command.split()])
