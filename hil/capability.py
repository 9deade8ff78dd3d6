"""What a machine must offer for a fault or a stack: named, found out once, said in words.

Owns the markers. A bench never fails because a capability is missing: it skips, and the report
says what the machine lacks and how to get it.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_PROBE_S = 10.0


class Capability(StrEnum):
    """One thing a fault or the stack needs."""

    ROOT = "root"
    NETNS = "netns"
    """Network namespaces with veth pairs and a bridge."""
    NFT = "nft"
    """nftables rules in a namespace."""
    TUN = "tun"
    """/dev/net/tun, for the user-space link."""
    PTY = "pty"
    NGINX = "nginx"
    HAPROXY = "haproxy"
    PROMETHEUS = "prometheus"
    CC = "cc"
    """A C compiler, for the one thing that cannot be said to OpenSSL from Python: the time."""
    EVIDENCE = "evidence"
    """Raw host evidence through the process's own seams: always there; marks what it is not:
    real supply, radio or watchdog hardware."""


def program(name: str) -> str | None:
    """Return where a program is, also for someone without sbin in the path."""
    return shutil.which(name, path=_PATH)


@functools.cache
def missing(capability: Capability) -> str | None:
    """Return what is missing for `capability`, with the cure; ``None`` when it is there."""
    return _CHECKS[capability]()


def _root() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


def _installed(name: str, package: str) -> Callable[[], str | None]:
    def check() -> str | None:
        return None if program(name) else f"{name} is missing: apt-get install {package}"

    return check


def _works(what: str, needs: tuple[Capability, ...], *commands: str) -> Callable[[], str | None]:
    """Try `commands` with a namespace of their own as ``NS``."""

    def check() -> str | None:
        for need in needs:
            reason = missing(need)
            if reason is not None:
                return reason
        name = f"hil{os.getpid()}-probe"
        try:
            for command in (f"ip netns add {name}", *commands):
                words = command.replace("NS", name).split()
                done = subprocess.run(words, capture_output=True, text=True, timeout=_PROBE_S)
                if done.returncode != 0:
                    return f"{what} does not work here: {done.stderr.strip()[:200]}"
        finally:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=_PROBE_S)
        return None

    return check


def _ip() -> str | None:
    return None if program("ip") else "ip is missing: apt-get install iproute2"


def _node(path: str) -> Callable[[], str | None]:
    return lambda: None if Path(path).exists() else f"{path} does not exist"


def _netns() -> str | None:
    return (
        _ip()
        or _works(
            "a network namespace",
            (Capability.ROOT,),
            "ip -n NS link add br0 type bridge",
            "ip -n NS link add v0 type veth peer name v1",
        )()
    )


_CHECKS: dict[Capability, Callable[[], str | None]] = {
    Capability.ROOT: _root,
    Capability.NETNS: _netns,
    Capability.NFT: lambda: (
        _installed("nft", "nftables")()
        or _works("nftables", (Capability.NETNS,), "ip netns exec NS nft add table inet hil")()
    ),
    Capability.TUN: _node("/dev/net/tun"),
    Capability.PTY: _node("/dev/ptmx"),
    Capability.NGINX: _installed("nginx", "nginx-light"),
    Capability.HAPROXY: _installed("haproxy", "haproxy"),
    Capability.PROMETHEUS: _installed("prometheus", "prometheus"),
    Capability.CC: _installed("cc", "gcc libc6-dev"),
    Capability.EVIDENCE: lambda: None,
}
