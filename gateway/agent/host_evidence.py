"""Gathering the host's raw evidence: which files are read, in what order, and no more.

Owns the lists of paths; what they mean is `gateway.host`'s. Everything comes through `Probes`.
Bounded: at most 64 entries of a directory and 4096 bytes of a file (a crash dump: 64 KiB).
"""

import re

from gateway.agent.probes import Probes
from gateway.host import boot_evidence, firmware
from gateway.host.alarm import LEGACY_PATH, MODEL_PATH, THROTTLED_PATH
from gateway.host.boot_evidence import BootEvidence
from gateway.host.link import LinkKind, link_kind
from gateway.host.supply import PMIC_PATH
from gateway.host.sysfs import word
from gateway.process.clock import HostFiles

MAX_ENTRIES = 64
MAX_FILE = 4096
MAX_DUMP = 65536
MAX_LINKS = 8
NET = "/sys/class/net"
HWMON = "/sys/class/hwmon"
POWER = "/sys/class/power_supply"
IIO = "/sys/bus/iio/devices"
THERMAL = "/sys/class/thermal"
DISKS = "/run/gateway-evidence"
KERNEL_LOG_S = 4.0
KERNEL_LOG = ("journalctl", "-k", "-b", "0", "-q", "-o", "cat", "--no-pager", "-n", "5000")

_HWMON_FILES = re.compile(r"name|in\d{1,2}_(input|label)|in0_lcrit_alarm|temp1_input")
_IIO_FILES = re.compile(r"name|in_voltage\d{0,2}_?(raw|scale|offset)")
_PMIC_MODELS = re.compile(r"Raspberry Pi (5|500|Compute Module 5)")
_CONF_DIRS = ("/usr/lib/systemd", "/etc/systemd")

Found = dict[str, bytes]


def sources(probes: Probes) -> Found:
    """Return what tells where supply, alarm and temperature can be read."""
    files, found = probes.files, Found()
    _take(files, found, MODEL_PATH)
    for base in _below(files, HWMON, "hwmon"):
        _take_matching(files, found, base, _HWMON_FILES)
    for base in _below(files, POWER, ""):
        for name in ("type", "scope", "voltage_now"):
            _take(files, found, f"{base}/{name}")
    for base in _below(files, IIO, "iio:device"):
        _take_matching(files, found, base, _IIO_FILES)
    for base in _below(files, THERMAL, "thermal_zone"):
        _take(files, found, f"{base}/type")
    model = word(found.get(MODEL_PATH))
    if "Raspberry Pi" in model:
        _ask(probes, found, THROTTLED_PATH, firmware.GET_THROTTLED)
        if _PMIC_MODELS.search(model):
            _ask(probes, found, PMIC_PATH, firmware.READ_SUPPLY)
        # Its first read makes the kernel warn: only where nothing else has the alarm.
        has_driver = any(path.endswith("/in0_lcrit_alarm") for path in found)
        if not has_driver and THROTTLED_PATH not in found:
            _take(files, found, LEGACY_PATH)
    return found


def links(files: HostFiles) -> list[tuple[str, LinkKind]]:
    """Return the interfaces that a cable or an antenna belongs to."""
    found = []
    for name in files.names(NET, MAX_ENTRIES):
        entries = files.names(f"{NET}/{name}", 256)
        wireless = "phy80211" in entries or "wireless" in entries
        uevent = files.read(f"{NET}/{name}/uevent", MAX_FILE)
        kind = link_kind(name, uevent, wireless, "device" in entries)
        if kind is not None:
            found.append((name, kind))
    return found[:MAX_LINKS]


def boot(probes: Probes) -> BootEvidence:
    """Gather what the machine kept of the boot before. Takes up to `KERNEL_LOG_S`."""
    files, found = probes.files, Found()
    for path in (
        boot_evidence.BOOT_ID_PATH,
        MODEL_PATH,
        boot_evidence.RSTS_PATH,
        boot_evidence.OLD_RSTS_PATH,
        boot_evidence.EEPROM_TIME_PATH,
        boot_evidence.POWER_RESET_PATH,
        boot_evidence.MAX_CURRENT_PATH,
        boot_evidence.USB_MAX_CURRENT_PATH,
        boot_evidence.EXIT_NOTE_PATH,
    ):
        _take(files, found, path)
    _take_pstore(files, found)
    for base in _below(files, "/sys/class/watchdog", "watchdog"):
        _take(files, found, f"{base}/bootstatus")
    _take_power_on_reason(files, found)
    for name in files.names(DISKS, MAX_ENTRIES):
        if name.startswith("disk-"):
            _take(files, found, f"{DISKS}/{name}", MAX_DUMP)
    for base in _CONF_DIRS:
        _take(files, found, f"{base}/system.conf", MAX_DUMP)
        for name in files.names(f"{base}/system.conf.d", MAX_ENTRIES):
            _take(files, found, f"{base}/system.conf.d/{name}")
    is_pi = "Raspberry Pi" in word(found.get(MODEL_PATH))
    if is_pi and boot_evidence.RSTS_PATH not in found:
        _ask(probes, found, boot_evidence.RSTS_REPLY_PATH, firmware.GET_RSTS)
    return boot_evidence.parse(found, _kernel_log(probes))


def _kernel_log(probes: Probes) -> bytes | None:
    """Return this boot's kernel log: as the evidence unit left it, else from the journal."""
    log = probes.files.read(boot_evidence.KERNEL_LOG_PATH, boot_evidence.MAX_LOG)
    return log if log else probes.program(KERNEL_LOG, KERNEL_LOG_S) or None


def _take_pstore(files: HostFiles, found: Found) -> None:
    for name in files.names("/sys/fs/pstore", MAX_ENTRIES):
        _take(files, found, f"/sys/fs/pstore/{name}", MAX_DUMP)
    # systemd-pstore moves them into a directory per crash.
    kept = "/var/lib/systemd/pstore"
    for name in files.names(kept, MAX_ENTRIES)[-16:]:
        below = files.names(f"{kept}/{name}", 16)
        for path in [f"{kept}/{name}/{inner}" for inner in below] or [f"{kept}/{name}"]:
            _take(files, found, path, MAX_DUMP)


def _take_power_on_reason(files: HostFiles, found: Found) -> None:
    """Look for the attribute two levels below the platform's devices."""
    root = "/sys/devices/platform"
    for name in files.names(root, 256):
        for path in (f"{root}/{name}", *(_below(files, f"{root}/{name}", ""))):
            _take(files, found, f"{path}/power_on_reason")


def _below(files: HostFiles, root: str, prefix: str) -> list[str]:
    names = files.names(root, 256)
    return [f"{root}/{name}" for name in names if name.startswith(prefix)][:MAX_ENTRIES]


def _take_matching(files: HostFiles, found: Found, base: str, wanted: re.Pattern[str]) -> None:
    for name in files.names(base, 256):
        if wanted.fullmatch(name):
            _take(files, found, f"{base}/{name}")


def _take(files: HostFiles, found: Found, path: str, limit: int = MAX_FILE) -> None:
    data = files.read(path, limit)
    if data is not None:
        found[path] = data


def _ask(probes: Probes, found: Found, path: str, command: str) -> None:
    reply = probes.firmware(command)
    if reply is not None:
        found[path] = reply
