"""The doctor's look at the serial ports: there, allowed, free, quick.

Owns what is wrong with a port before the first byte; never opens one, so that it disturbs nobody.
"""

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.agent.port import LATENCY_TIMER_MS
from gateway.cli.findings import Finding, ok, problem, warning
from gateway.config.agent import AgentSettings
from gateway.process.adapters import lasting_name, lasting_names
from gateway.process.clock import HostFiles
from gateway.process.files import DAEMON_USER
from gateway.process.port_owner import Owner, port_owner

MAX_NAMED = 8
_KNOWN = {
    "ModemManager": 'it probes new ports: a udev rule ENV{ID_MM_DEVICE_IGNORE}="1" keeps it off',
    "agetty": "a console is on it: systemctl disable --now serial-getty@{name}, and remove "
    "console={name} from the kernel's command line",
    "brltty": "it takes adapters for Braille displays: remove the package brltty",
    "gpsd": "stop it: systemctl disable --now gpsd gpsd.socket",
}


def ports(
    settings: AgentSettings,
    files: HostFiles,
    agent_pid: int | None,
    owner_of: Callable[[str], Owner | None] = port_owner,
) -> list[Finding]:
    """Look at every port of the config; `agent_pid`: of the agent that may hold them."""
    found: list[Finding] = []
    for unit in settings.units:
        found.extend(_port(f"port {unit.name}", unit.port, files, agent_pid, owner_of))
    if not settings.units:
        cure = "add a [[bus]]; `gateway scan PORT` finds its devices"
        found.append(warning("port", "the config has no bus and no serial source", cure))
    return found


def _port(
    subject: str,
    port: str,
    files: HostFiles,
    agent_pid: int | None,
    owner_of: Callable[[str], Owner | None],
) -> Iterator[Finding]:
    path = files.path(port)
    try:
        status = path.stat()
    except OSError as error:
        yield _missing(subject, port, files, error)
        return
    device = os.path.realpath(path)
    if not stat.S_ISCHR(status.st_mode):
        yield problem(subject, f"{port} is not a serial port", "correct `port` in the config")
        return
    trouble = None
    refused = _refused(status)
    if refused is not None:
        trouble = problem(subject, f"{port}: {refused}", _cure_refused(status))
        yield trouble
    owner = owner_of(str(path))
    if owner is not None and owner.pid != agent_pid and not _is_agent(owner):
        trouble = problem(
            subject,
            f"{port} is held by process {owner.pid} ({owner.command})",
            _cure_owner(owner, os.path.basename(device)),
        )
        yield trouble
    late = _latency(subject, device, files, owner is not None)
    if late is not None:
        yield late
    if trouble is None:
        held = "held by the agent" if owner is not None else "free"
        stable = "" if lasting_name(port, files) in (port, None) else "; by-id would be safer"
        yield ok(subject, f"{port} is there, {held}; {_who(status)}{stable}")


def _missing(subject: str, port: str, files: HostFiles, error: OSError) -> Finding:
    if not isinstance(error, FileNotFoundError):
        return problem(subject, f"{port}: {error.strerror}", "try with sudo")
    here = lasting_names(files)
    listed = ", ".join(here[:MAX_NAMED]) or "none"
    return problem(
        subject,
        f"{port} is not there",
        f"plug the adapter in (dmesg -w shows it), or correct `port`; adapters here: {listed}",
    )


def _daemon() -> tuple[str, int, frozenset[int]]:
    """Return the user the agent runs as, its id and groups; ourselves where there is no such."""
    try:
        entry = pwd.getpwnam(DAEMON_USER)
    except KeyError:
        return "this user", os.geteuid(), frozenset((*os.getgroups(), os.getegid()))
    groups = {one.gr_gid for one in grp.getgrall() if DAEMON_USER in one.gr_mem}
    # The packaged unit adds the group itself (SupplementaryGroups=dialout).
    groups.update(one.gr_gid for one in grp.getgrall() if one.gr_name == "dialout")
    return DAEMON_USER, entry.pw_uid, frozenset(groups | {entry.pw_gid})


def _refused(status: os.stat_result) -> str | None:
    """Say why the agent's user may not open a port; ``None``: it may."""
    name, uid, groups = _daemon()
    mode = status.st_mode
    if uid == 0:
        return None
    wanted = 0o600 if uid == status.st_uid else 0o060 if status.st_gid in groups else 0o006
    if mode & wanted == wanted:
        return None
    return f"{name} may not open it ({stat.filemode(mode)} {_names(status)})"


def _cure_refused(status: os.stat_result) -> str:
    group = _group(status.st_gid)
    if status.st_mode & 0o060 == 0o060 and group != "root":
        return f"usermod -aG {group} {DAEMON_USER}, then restart the agent"
    return 'a udev rule: SUBSYSTEM=="tty", GROUP="dialout", MODE="0660"'


def _who(status: os.stat_result) -> str:
    return f"{_daemon()[0]} may use it ({_names(status)} {stat.filemode(status.st_mode)[1:]})"


def _names(status: os.stat_result) -> str:
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    return f"{owner} {_group(status.st_gid)}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _is_agent(owner: Owner) -> bool:
    words = owner.command.split()
    return any(Path(word).name in ("gateway", "gateway.cli.main") for word in words[:4]) and (
        "run" in words
    )


def _cure_owner(owner: Owner, name: str) -> str:
    program = Path(owner.command.split()[0]).name if owner.command.split() else "?"
    known = _KNOWN.get(program.rstrip(":"))
    return known.replace("{name}", name) if known is not None else f"stop it: kill {owner.pid}"


def _latency(subject: str, device: str, files: HostFiles, held: bool) -> Finding | None:
    """Judge an FTDI adapter's latency timer; the agent sets it when it opens the port."""
    raw = files.read(f"/sys/class/tty/{os.path.basename(device)}/device/latency_timer", 16)
    text = (raw or b"").strip()
    if not text.isdigit() or int(text) <= LATENCY_TIMER_MS:
        return None
    if not held:
        return ok(subject, f"latency timer {int(text)} ms: the agent sets it to 1 ms at its start")
    return warning(
        subject,
        f"latency timer {int(text)} ms: each answer comes that much later",
        'a udev rule: ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", '
        'ATTR{latency_timer}="1"',
    )
