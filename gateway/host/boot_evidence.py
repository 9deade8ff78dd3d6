"""What the machine itself kept of the end of the boot before: parsed, not judged.

Owns the parsers of pstore, the Raspberry Pi's reset registers, watchdogs, power_on_reason, disks'
counters and this boot's kernel log. Never reads a file; absent is ``None`` or empty, never zero.

Source: Linux ABI/testing/{pstore,sysfs-class-watchdog,sysfs-platform-power-on-reason},
Documentation/admin-guide/ramoops.rst; raspberrypi/documentation device-tree.adoc (chosen/power,
chosen/bootloader); arch/x86/kernel/cpu/amd.c; smartctl -j; systemd.exec(5).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from gateway.host import firmware
from gateway.host.alarm import MODEL_PATH
from gateway.host.sysfs import Evidence, cell, integer, word

BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"
RSTS_PATH = "/proc/device-tree/chosen/bootloader/rsts"
OLD_RSTS_PATH = "/proc/device-tree/chosen/bootloader/pm_rsts"
EEPROM_TIME_PATH = "/proc/device-tree/chosen/bootloader/build_timestamp"
POWER_RESET_PATH = "/proc/device-tree/chosen/power/power_reset"
MAX_CURRENT_PATH = "/proc/device-tree/chosen/power/max_current"
USB_MAX_CURRENT_PATH = "/proc/device-tree/chosen/power/usb_max_current_enable"
EXIT_NOTE_PATH = "/run/gateway/exit.json"
KERNEL_LOG_PATH = "/run/gateway-evidence/kernel.log"
DISKS_PREFIX = "/run/gateway-evidence/disk-"
RSTS_REPLY_PATH = "vcio:get_rsts"
SYSTEM_CONF = "/system.conf"
MAX_LOG = 4 * 1024 * 1024

_PSTORE = ("/sys/fs/pstore/", "/var/lib/systemd/pstore/")
_PANIC = re.compile(rb"(?m)^Panic#\d|Kernel panic - not syncing")
_BOOTSTATUS = re.compile(r"/sys/class/watchdog/(watchdog\d{1,3})/bootstatus")
_AMD = re.compile(rb"x86/amd: Previous system reset reason \[0x[0-9a-fA-F]+\]: ([^\r\n]{1,120})")
_UNCLEAN = re.compile(
    rb"[^\r\n]*(?:EXT[234]-fs[^\r\n]*(?:recovery complete|recovery required|orphan cleanup)"
    rb"|recovering journal|not properly unmounted|Dirty bit is set"
    rb"|XFS [^\r\n]*(?:Starting|Ending) recovery|tree-log replay"
    rb"|corrupted or uncleanly shut down)[^\r\n]*"
)
_MOUNTED = re.compile(rb"(?:EXT[234]-fs|XFS|F2FS-fs|BTRFS)[^\r\n]*[Mm]ount")
_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(us|ms|min|sec|hr|s|m|h)?")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0}
_UNITS |= {"h": 3600.0, "hr": 3600.0}


class FileSystems(StrEnum):
    """How this boot found the file systems. `UNKNOWN`: no log, or none that says."""

    CLEAN = "clean"
    UNCLEAN = "unclean"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PstoreEntry:
    """One file that survived the reset. `key` tells it from one seen at an earlier boot."""

    name: str
    panic: bool
    key: str

    def line(self) -> str:
        """Return it as evidence."""
        return f"pstore {self.name}: " + ("kernel panic" if self.panic else "no panic")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk's own counters; they only grow."""

    name: str
    unsafe_shutdowns: int | None = None
    power_cycles: int | None = None

    def lost_power_since(self, before: "Disk") -> list[str]:
        """Say which counters show that power went since `before`."""
        lines = []
        for what in ("unsafe_shutdowns", "power_cycles"):
            old, new = getattr(before, what), getattr(self, what)
            if old is not None and new is not None and new > old:
                lines.append(f"{self.name} {what} {old} to {new}")
        return lines


@dataclass(frozen=True, slots=True)
class ExitNote:
    """What systemd said of the daemon's end (systemd.exec(5), $SERVICE_RESULT)."""

    result: str
    code: str = ""
    status: str = ""

    def line(self) -> str:
        """Return it as evidence."""
        return " ".join(filter(None, (f"service result {self.result}", self.code, self.status)))


@dataclass(frozen=True, slots=True)
class BootEvidence:
    """Everything found. Instants are seconds since 1970."""

    boot_id: str
    model: str = ""
    pstore: tuple[PstoreEntry, ...] = ()
    rsts: int | None = None
    power_reset: int | None = None
    eeprom_time: int | None = None
    max_current_ma: int | None = None
    usb_max_current: bool | None = None
    bootstatus: tuple[tuple[str, int], ...] = ()
    power_on_reason: str = ""
    amd_reset: str = ""
    file_systems: FileSystems = FileSystems.UNKNOWN
    unclean_lines: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    watchdog_s: float | None = None
    exit_note: ExitNote | None = None

    @property
    def is_pi4(self) -> bool:
        """Whether this is one of the Pi 4 family."""
        return bool(re.search(r"Raspberry Pi (4|400|Compute Module 4)", self.model))

    def lines(self) -> list[str]:
        """Return what was found, a line each."""
        lines = []
        if self.rsts is not None:
            lines.append(f"reset status {self.rsts:#x}")
        if self.power_reset is not None:
            lines.append(f"power_reset {self.power_reset}")
        lines += [f"{name} bootstatus {value:#x}" for name, value in self.bootstatus]
        if self.power_on_reason:
            lines.append(f"power_on_reason: {self.power_on_reason}")
        if self.amd_reset:
            lines.append(f"AMD: {self.amd_reset}")
        lines += [entry.line() for entry in self.pstore]
        lines += [f"file system: {line}" for line in self.unclean_lines]
        if self.file_systems is FileSystems.CLEAN:
            lines.append("file systems were clean")
        for disk in self.disks:
            lines.append(
                f"{disk.name} unsafe_shutdowns {disk.unsafe_shutdowns}"
                f" power_cycles {disk.power_cycles}"
            )
        return lines

    def absent(self) -> list[str]:
        """Return what was looked for and is not there."""
        found = {
            "reset status": self.rsts,
            "power_reset": self.power_reset,
            "watchdog bootstatus": self.bootstatus,
            "power_on_reason": self.power_on_reason,
            "AMD reset reason": self.amd_reset,
            "pstore": self.pstore,
            "disk counters": self.disks,
        }
        names = [name for name, value in found.items() if value in (None, "", ())]
        if self.file_systems is FileSystems.UNKNOWN:
            names.append("kernel log")
        return names


def parse(evidence: Evidence, kernel_log: bytes | None) -> BootEvidence:
    """Read everything that was gathered. `kernel_log`: of this boot, ``None`` if unreadable."""
    rsts = cell(evidence.get(RSTS_PATH))
    if rsts is None:
        rsts = cell(evidence.get(OLD_RSTS_PATH))
    if rsts is None:
        rsts = firmware.reset_status(evidence.get(RSTS_REPLY_PATH))
    usb = cell(evidence.get(USB_MAX_CURRENT_PATH))
    log = None if kernel_log is None else kernel_log[:MAX_LOG]
    unclean = _unclean(log)
    return BootEvidence(
        boot_id=word(evidence.get(BOOT_ID_PATH)).replace("-", ""),
        model=word(evidence.get(MODEL_PATH)),
        pstore=_pstore(evidence),
        rsts=rsts,
        power_reset=cell(evidence.get(POWER_RESET_PATH)),
        eeprom_time=cell(evidence.get(EEPROM_TIME_PATH)),
        max_current_ma=cell(evidence.get(MAX_CURRENT_PATH)),
        usb_max_current=None if usb is None else usb != 0,
        bootstatus=_bootstatus(evidence),
        power_on_reason=_power_on_reason(evidence),
        amd_reset=_amd(log),
        file_systems=_file_systems(log, unclean),
        unclean_lines=unclean,
        disks=_disks(evidence),
        watchdog_s=_watchdog_s(evidence),
        exit_note=exit_note(evidence.get(EXIT_NOTE_PATH)),
    )


def _pstore(evidence: Evidence) -> tuple[PstoreEntry, ...]:
    found = []
    for path in sorted(evidence):
        root = next((r for r in _PSTORE if path.startswith(r)), None)
        if root is not None:
            data = evidence[path]
            name = word(path.removeprefix(root).encode("utf-8", "replace"))
            key = sha256(name.encode() + b"\0" + data).hexdigest()[:16]
            found.append(PstoreEntry(name, bool(_PANIC.search(data)), key))
    return tuple(found[:32])


def _bootstatus(evidence: Evidence) -> tuple[tuple[str, int], ...]:
    found = []
    for path in sorted(evidence):
        match = _BOOTSTATUS.fullmatch(path)
        value = integer(evidence[path]) if match else None
        if match and value is not None and value >= 0:
            found.append((match[1], value))
    return tuple(found[:8])


def _power_on_reason(evidence: Evidence) -> str:
    paths = sorted(path for path in evidence if path.endswith("/power_on_reason"))
    return word(evidence[paths[0]]) if paths else ""


def _amd(log: bytes | None) -> str:
    match = _AMD.search(log or b"")
    return word(match[1]) if match else ""


def _unclean(log: bytes | None) -> tuple[str, ...]:
    return tuple(word(m[0]) for _, m in zip(range(4), _UNCLEAN.finditer(log or b""), strict=False))


def _file_systems(log: bytes | None, unclean: tuple[str, ...]) -> FileSystems:
    if unclean:
        return FileSystems.UNCLEAN
    return FileSystems.CLEAN if log and _MOUNTED.search(log) else FileSystems.UNKNOWN


def _disks(evidence: Evidence) -> tuple[Disk, ...]:
    """Read ``smartctl -j`` of each disk, as the evidence unit leaves it."""
    found = []
    for path in sorted(evidence):
        if not path.startswith(DISKS_PREFIX):
            continue
        report = _object(evidence[path])
        nvme = report.get("nvme_smart_health_information_log")
        health = nvme if isinstance(nvme, dict) else {}
        unsafe = _count(health.get("unsafe_shutdowns"))
        cycles = _count(health.get("power_cycles", report.get("power_cycle_count")))
        if unsafe is not None or cycles is not None:
            name = word(path.removeprefix(DISKS_PREFIX).removesuffix(".json").encode())
            found.append(Disk(name, unsafe, cycles))
    return tuple(found[:8])


def exit_note(data: bytes | None) -> ExitNote | None:
    """Read what `gateway note-exit` wrote."""
    found = _object(data)
    result = found.get("result")
    if not isinstance(result, str) or not result:
        return None

    def text(key: str) -> str:
        value = found.get(key)
        return value[:64] if isinstance(value, str) and value.isprintable() else ""

    return ExitNote(text("result"), text("code"), text("status"))


def _watchdog_s(evidence: Evidence) -> float | None:
    """Read RuntimeWatchdogSec= of systemd's configuration; the last one counts.

    A drop-in of /etc stands for one of the same name in /usr/lib, and drop-ins go by file name
    after the main file (systemd-system.conf(5))."""
    files: dict[tuple[bool, str], bytes] = {}
    for path in sorted(evidence, key=lambda name: (not name.startswith("/usr"), name)):
        if path.endswith(SYSTEM_CONF):
            files[(False, "")] = evidence[path]
        elif "/system.conf.d/" in path:
            files[(True, path.rsplit("/", 1)[1])] = evidence[path]
    value: float | None = None
    for _, data in sorted(files.items()):
        for line in data.decode("utf-8", "replace").splitlines():
            key, _, given = line.partition("=")
            if key.strip() == "RuntimeWatchdogSec":
                value = span_s(given)
    return value or None


def span_s(text: str) -> float | None:
    """Read a time span as systemd writes it (``1min 30s``, ``60``); ``None``: off or no span."""
    text = text.strip()
    if not text or _SPAN.sub("", text).strip():
        return None
    return sum(float(m[1]) * _UNITS[m[2] or "s"] for m in _SPAN.finditer(text)) or None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _object(data: bytes | None) -> Mapping[str, object]:
    if data is None or len(data) > 262_144:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
