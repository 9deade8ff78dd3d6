"""System programs that some tests need: found, installed where that is allowed, or skipped.

Owns the table of names a test may ask for. A missing program is installed with apt-get when we are
root; where that is not allowed or does not help, the test is skipped and says why. With `CI` set
nothing may be skipped: a test whose program cannot be had fails.

    def test_against_libmodbus() -> None:
        need("libmodbus")

Marking works too: `@pytest.mark.system("libmodbus")`. Outside pytest (bench, soak) use `missing`.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

INSTALL_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Program:
    """A thing of the system. `package`: what apt-get calls it, ``None`` if it cannot be installed.

    `where` returns a path that proves it is there, or ``None``.
    """

    where: Callable[[], str | None]
    package: str | None


def _command(name: str) -> Callable[[], str | None]:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return lambda: shutil.which(name, path=path)


def _file(name: str) -> Callable[[], str | None]:
    return lambda: name if os.path.exists(name) else None


def _fuse() -> str | None:
    return "/dev/fuse" if os.access("/dev/fuse", os.R_OK | os.W_OK) else None


def _libmodbus() -> str | None:
    compiler = shutil.which("cc")
    return compiler and _file("/usr/include/modbus/modbus.h")()


PROGRAMS = {
    "gcc": Program(_command("gcc"), "build-essential"),
    "upsd": Program(_file("/lib/nut/upsd"), "nut-server"),
    "make": Program(_command("make"), "build-essential"),
    "libmodbus": Program(_libmodbus, "libmodbus-dev build-essential"),
    "e2fsprogs": Program(_command("e2fsck"), "e2fsprogs"),
    "fuse": Program(_fuse, None),
    "ip": Program(_command("ip"), "iproute2"),
    "nft": Program(_command("nft"), "nftables"),
    "tc": Program(_command("tc"), "iproute2"),
    "chromium": Program(_command("chromium"), "chromium"),
    "systemd-analyze": Program(_command("systemd-analyze"), "systemd"),
    "nginx": Program(_command("nginx"), "nginx-light"),
    "haproxy": Program(_command("haproxy"), "haproxy"),
    "prometheus": Program(_command("prometheus"), "prometheus"),
    "promtool": Program(_command("promtool"), "prometheus"),
}
ALIASES = {
    "build-essential": "gcc",
    "libmodbus-dev": "libmodbus",
    "mke2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "iproute2": "ip",
    "nftables": "nft",
    "systemd": "systemd-analyze",
}


def in_ci() -> bool:
    """Tell whether skipping is forbidden."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def program(name: str) -> Program:
    """Look a name (or alias) up. Raises: KeyError for a name the table does not have."""
    return PROGRAMS[ALIASES.get(name, name)]


def missing(name: str) -> str | None:
    """Return ``None`` when `name` is here (perhaps after installing it), else the reason."""
    wanted = program(name)
    if wanted.where():
        return None
    if wanted.package is None:
        return f"{name} is not available on this machine and cannot be installed"
    cure = f"apt-get install {wanted.package}"
    problem = _install(wanted)
    return problem and f"{name} is missing and `{cure}` did not help: {problem}"


def need(name: str) -> str:
    """Return where `name` is; skip the running test without it, or fail it in CI."""
    reason = missing(name)
    if reason is not None:
        skip(reason)
    found = program(name).where()
    assert found is not None
    return found


def skip(reason: str) -> NoReturn:
    """Skip the running test, or fail it in CI."""
    if in_ci():
        pytest.fail(f"{reason} (CI is set: nothing may be skipped)", pytrace=False)
    pytest.skip(reason)


def need_root() -> None:
    """Skip the running test for anyone but root, or fail it in CI."""
    if os.geteuid() == 0:
        return
    skip("needs root")


@cache
def _install(wanted: Program) -> str | None:
    """Install with apt-get; return what went wrong, or ``None`` when the program is there. Tried
    once a run: without a network each try may take minutes."""
    assert wanted.package is not None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "not root, or no apt-get here"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    install = [*apt, "install", "-y", "--no-install-recommends", *wanted.package.split()]
    with _one_at_a_time(), _no_daemons():
        if wanted.where():
            return None
        for command in (install, [*apt, "update"], install):
            try:
                done = subprocess.run(
                    command,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=INSTALL_TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                return f"`{' '.join(command)}` took longer than {INSTALL_TIMEOUT_S} s"
            if wanted.where():
                return None
    return done.stderr.strip()[-300:] or f"apt-get ended with {done.returncode}"


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep parallel test workers from running apt-get together."""
    with open(Path(tempfile.gettempdir()) / "edge-gateway-apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting their daemons (Debian policy: policy-rc.d answers 101)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
