"""The doctor's look at the machine: kernel, clock, disk, supply and radio, denials.

Owns what is judged of each and the cures; reading is done by those who read it in daily work
(`timesync`, `agent.sampler`). Every evidence comes through `Probes`, so that a bench can give it.
"""

import contextlib
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import gateway
from gateway.agent.probes import Probes
from gateway.agent.sampler import Sampler
from gateway.agent.spool.opening import DEFAULT_BYTES, DEFAULT_SHARE
from gateway.agent.ups import UpsReader
from gateway.cli.findings import Finding, ok, problem, warning
from gateway.config.agent import AgentSettings
from gateway.host.alarm import UnderVoltage
from gateway.host.link import LinkKind
from gateway.host.nut import UpsReading, ups_name
from gateway.host.sample import LinkSample, Sample
from gateway.host.supply import SupplyKind, SupplySource
from gateway.process.clock import Clock
from gateway.process.timesync import TimeSync

KERNEL = (5, 4)
FSYNC_SLOW_S, FSYNC_BAD_S = 0.1, 1.0
FSYNCS = 10
FSYNC_BUDGET_S = 4.0
WEAR_WARN, WEAR_BAD = 9, 11
"""eMMC life time (JESD84-B51 §7.4.69): 1 is 0–10 % used, 10 is 90–100 %, 11 past its life."""
WEAK_DBM = {LinkKind.WIFI: -75.0, LinkKind.MOBILE: -110.0}
DENIALS_S = 5.0
_JOURNAL = (
    "journalctl",
    "-b",
    "0",
    "-q",
    "-o",
    "cat",
    "--no-pager",
    "-n",
    "2000",
    "_TRANSPORT=audit",
)
_KERNEL = ("journalctl", "-k", "-b", "0", "-q", "-o", "cat", "--no-pager", "-n", "2000")
_DENIED = re.compile(r'apparmor="DENIED"|avc:\s+denied', re.IGNORECASE)
_OURS = re.compile(r"gateway|python|ttyUSB|ttyACM|ttyAMA|ttyS")


def kernel(release: str) -> list[Finding]:
    """Judge the kernel's release, as uname says it."""
    match = re.match(r"(\d+)\.(\d+)", release)
    wanted = ".".join(map(str, KERNEL))
    if match is None:
        return [warning("kernel", f"{release}: no version", f"{wanted} or newer is needed")]
    if (int(match[1]), int(match[2])) < KERNEL:
        return [problem("kernel", f"{release} is too old", f"update the system: {wanted} or newer")]
    return [ok("kernel", release)]


def clock(sync: TimeSync, wall: Clock, built: float | None = None) -> list[Finding]:
    """Judge the wall clock. `built`: when this package was installed, no clock can be before."""
    at = wall.wall_ns() / 1e9
    now = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if built is None:
        built = Path(gateway.__file__).stat().st_mtime
    cure = "check the network and the time service: timedatectl timesync-status, chronyc tracking"
    if at < built:
        return [problem("clock", f"{now} is before this program was installed", cure)]
    if not sync.synced:
        return [warning("clock", f"{now}, not synchronised: certificates may be refused", cure)]
    known = f", error at most {sync.error_us / 1000:.3g} ms" if sync.error_us >= 0 else ""
    return [ok("clock", f"{now}, synchronised{known}")]


# -- disk ------------------------------------------------------------------------------------------


def disk(settings: AgentSettings, probes: Probes) -> list[Finding]:
    """Judge the room for the spool, how long a commit takes, and the wear."""
    directory = Path(settings.spool.directory)
    place = directory
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return [
        _space(settings, directory, place),
        _fsync(place),
        *_wear(os.stat(place).st_dev, probes),
    ]


def _space(settings: AgentSettings, directory: Path, place: Path) -> Finding:
    spool = settings.spool
    usage = shutil.disk_usage(place)
    own = sum(_size(entry) for entry in directory.iterdir()) if directory.is_dir() else 0
    free = usage.free + own
    quota = spool.max_bytes or int(min(DEFAULT_BYTES, free * DEFAULT_SHARE))
    said = f"{free / 2**20:.0f} MiB for a spool of {quota / 2**20:.0f} MiB at {directory}"
    if free < 8 * 2**20:
        return problem("disk space", said, "free some space: journalctl --vacuum-size=100M, logs")
    if free < quota + spool.keep_free_bytes:
        return warning("disk space", said, "free some space, or set a smaller spool.max_bytes")
    return ok("disk space", said)


def _size(entry: Path) -> int:
    with contextlib.suppress(OSError):
        return entry.stat().st_size if entry.is_file() else 0
    return 0


def _fsync(place: Path) -> Finding:
    """Time what a commit of the spool costs: write 4 KiB, then fdatasync."""
    times: list[float] = []
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            began = time.monotonic()
            while len(times) < FSYNCS and time.monotonic() - began < FSYNC_BUDGET_S:
                start = time.monotonic()
                file.write(os.urandom(4096))
                os.fdatasync(file.fileno())
                times.append(time.monotonic() - start)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            return warning("fsync", f"{place}: {reason}", "try with sudo: only then it is timed")
        return problem("fsync", f"{place}: {reason}", "check the file system: mount, dmesg")
    middle, most = statistics.median(times), max(times)
    said = f"{middle * 1000:.3g} ms in the middle, {most * 1000:.3g} ms at most, of {len(times)}"
    if middle > FSYNC_BAD_S:
        return problem("fsync", said, "the card or disk is dying or overloaded: replace it")
    if middle > FSYNC_SLOW_S:
        return warning("fsync", said, "a slow card: an industrial one, or an SSD, loses less")
    return ok("fsync", said)


def _wear(device: int, probes: Probes) -> Iterator[Finding]:
    """Read what an eMMC says of its life; SD cards say nothing."""
    files = probes.files
    base = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    for place in (f"{base}/device", f"{base}/../device"):
        life = files.read(f"{place}/life_time", 64)
        if life is None:
            continue
        numbers = [int(word, 16) for word in re.findall(rb"0x[0-9a-fA-F]{1,2}", life)]
        used = max(numbers, default=0)
        eol = files.read(f"{place}/pre_eol_info", 16) or b""
        said = f"{(used - 1) * 10}–{used * 10} % of its life used" if used else "life not told"
        if used >= WEAR_BAD or eol.strip() == b"0x03":
            yield problem("wear", f"eMMC: {said}", "replace it before it fails")
        elif used >= WEAR_WARN or eol.strip() == b"0x02":
            yield warning("wear", f"eMMC: {said}", "plan its replacement")
        else:
            yield ok("wear", f"eMMC: {said}")
        return
    yield ok("wear", "this disk does not tell (an SD card never does)")


# -- supply and radio ------------------------------------------------------------------------------


def supply_and_radio(settings: AgentSettings, probes: Probes) -> list[Finding]:
    """Say which sources were found and what they say now."""
    sampler = Sampler(settings.host, probes, Clock())
    ups = ups_name(settings.host.supply)
    said = UpsReading()
    if ups is not None:
        reader = UpsReader(ups)
        said = reader.read()
        reader.close()
        sampler.ups(said)
    try:
        sample = sampler.sample()
        choice = sampler.choice
        warn_v = sampler.limits_v[0]
    finally:
        probes.netlink.close()
    found = [_supply(sample, choice.source, warn_v, said.fault)]
    if choice.source is None and choice.rejected:
        found[0] = Finding(
            found[0].level,
            "supply",
            f"{found[0].evidence} ({'; '.join(choice.rejected[:4])})",
            found[0].cure,
        )
    return [*found, *_radio(sample)]


def _supply(
    sample: Sample, chosen: SupplySource | None, warn_v: float | None, fault: str
) -> Finding:
    source = None if chosen is None else chosen.name
    alarm = sample.undervoltage
    cure = "check power supply, cable and load; measure at the board's connector"
    if alarm is UnderVoltage.UNDER:
        return problem("supply", f"under-voltage now{_volts(sample)}", cure)
    if source is None:
        if alarm is UnderVoltage.OK:
            return ok(
                "supply", "no voltage is measured; the under-voltage alarm is there and clear"
            )
        cure = 'name a source: [host] supply = "DEVICE.POINT" of a DC meter, or an INA2xx on I²C'
        return warning("supply", "neither voltage nor alarm can be read on this machine", cure)
    if sample.volts is None:
        how = "check its driver: dmesg"
        if chosen is not None and chosen.kind is SupplyKind.POINT:
            how = f"it is read when the agent runs: gateway read {source}"
        what, _, cure = fault.rpartition("; ")
        said = f" ({what or fault})" if fault else " now"
        return warning("supply", f"{source} says nothing{said}", cure or how)
    if sample.suspect or (warn_v is not None and sample.volts < warn_v):
        return warning("supply", f"{source}:{_volts(sample)}", cure)
    return ok("supply", f"{source}:{_volts(sample)}")


def _volts(sample: Sample) -> str:
    return "" if sample.volts is None else f" {sample.volts:.2f} V"


def _radio(sample: Sample) -> Iterator[Finding]:
    for link in sample.links:
        yield _link(link, link.name == sample.route)
    if not sample.links:
        yield warning("network", "no wired, Wi-Fi or mobile interface is seen", "ip link; dmesg")
    elif not sample.route:
        yield problem("network", "no default route", "check DHCP or the address: ip route")


def _link(link: LinkSample, is_route: bool) -> Finding:
    route = ", the default route" if is_route else ""
    if not link.state.carrier:
        said = f"{link.kind}, no carrier{route}"
        cure = "cable, switch port, antenna or SIM"
        return warning(link.name, said, cure) if is_route else ok(link.name, said)
    if link.kind is LinkKind.WIRE:
        speed = f", {link.state.speed_mbit} Mbit/s" if link.state.speed_mbit else ""
        return ok(link.name, f"wire{speed}{route}")
    dbm = None if link.level is None else link.level.dbm
    if dbm is None:
        cure = "Wi-Fi: nl80211; mobile: ModemManager or `modem` in [host]"
        return warning(link.name, f"{link.kind}, its level cannot be read{route}", cure)
    said = f"{link.kind}, {dbm:.0f} dBm{route}"
    if dbm < WEAK_DBM[link.kind]:
        return warning(link.name, said, "a better place or antenna; drops are to be expected")
    return ok(link.name, said)


# -- SELinux, AppArmor -----------------------------------------------------------------------------


def denials(probes: Probes) -> list[Finding]:
    """Look for what SELinux or AppArmor refused since the start."""
    enforcing = (probes.files.read("/sys/fs/selinux/enforce", 8) or b"").strip() == b"1"
    parameter = probes.files.read("/sys/module/apparmor/parameters/enabled", 8) or b""
    apparmor = parameter.strip() == b"Y"
    if not enforcing and not apparmor:
        return [ok("denials", "neither SELinux nor AppArmor is enforced")]
    name = "SELinux" if enforcing else "AppArmor"
    logs = [probes.program(command, DENIALS_S / 2) for command in (_JOURNAL, _KERNEL)]
    if all(log is None for log in logs):
        cure = "look with sudo: journalctl -b | grep -Ei 'denied'"
        return [warning("denials", f"{name} is on and its log cannot be read", cure)]
    text = b"\n".join(log or b"" for log in logs).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if _DENIED.search(line) and _OURS.search(line)]
    if not lines:
        return [ok("denials", f"{name} has refused us nothing since the start")]
    cure = "ausearch -m avc -ts boot | audit2why" if enforcing else "aa-logprof, or aa-complain"
    return [problem("denials", f"{name}: {len(lines)}, the last: {lines[-1].strip()[:160]}", cure)]
