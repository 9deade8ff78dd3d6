"""The programs of the bench from the system's packages, where that is allowed.

Owns asking apt-get: only as root and only where nothing may be skipped (`CI`) or somebody asked for
it (``--install``). A package's own daemon is kept from starting.
"""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from hil.capability import program

PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "prometheus": "prometheus",
    "cc": "gcc libc6-dev",
}
INSTALL_S = 600.0
POLICY = Path("/usr/sbin/policy-rc.d")


def in_ci() -> bool:
    """Tell whether nothing may be skipped."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def provide(say: Callable[[str], None]) -> None:
    """Install what is missing; what cannot be had is said, and skipped later with its name."""
    missing = [package for name, package in PACKAGES.items() if program(name) is None]
    wanted = " ".join(missing).split()
    if not wanted:
        return
    if os.geteuid() != 0 or program("apt-get") is None:
        say(f"not installed (not root, or no apt-get here): {' '.join(wanted)}")
        return
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    install = [*apt, "install", "-y", "--no-install-recommends", *wanted]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    say(f"apt-get install {' '.join(wanted)}")
    with _no_daemons():
        for command in (install, [*apt, "update"], install):
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
                check=False,
            )
            if all(program(name) for name in PACKAGES):
                return
    say(f"apt-get ended with {done.returncode}: {done.stderr.strip()[-300:]}")


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting their daemons (Debian policy: policy-rc.d answers 101)."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n", "ascii")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
