"""Why this boot (or this start of the daemon) happened: a class, how sure, and on what evidence.

Owns the order of authority among the pieces of evidence; the first rule that fits decides. Nothing
falls back to a brown-out: without evidence of a low supply there is none, and what nothing explains
is `UNCLEAN_UNKNOWN`. Gathering is `agent.boots`'s business, parsing `boot_evidence`'s.

Source: the rules and their reasons stand in `docs/host.md`. Skeleton as in memfaultd (panic over
marker over unknown, one reason a boot); Raspberry Pi resets: raspberrypi/linux#4527, #1586,
raspberrypi/utils#207, raspberrypi/rpi-eeprom#868.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.host.boot_evidence import BootEvidence, Disk, FileSystems

RSTS_POWER_ON = 0x1000
RSTS_WATCHDOG = 0x20
"""The watchdog engine did it, which is *any* warm reset of a Pi, `reboot` too."""
PMIC_UNDERVOLTAGE = 1 << 1
PMIC_WATCHDOG = 1 << 4
WDIOF_POWERUNDER = 0x10
WDIOF_CARDRESET = 0x20
"""linux/watchdog.h."""
UNDERVOLTAGE_S = 30.0
"""An under-voltage that ended longer before the last record explains nothing."""
HARD_GAP_S = 10.0
"""A reset takes less; a supply that collapsed needs time to come back."""
LONG_GAP_S = 300.0
PMIC_TRUSTED_FROM = 1_786_492_800
"""2026-08-12: before, the bootloader reported under-voltage on every 40-pin supply."""
PI4_TRUSTED_FROM = 1_640_995_200
"""2022-01-01: a bootloader from before the report (August 2021) boots twice, so that it always
says power-on; which release ended it is not documented, hence the margin."""
PD_CURRENT_MA = 5000
"""A Pi 5 that was promised 5 A talks to a USB-C supply, not to one on the 40-pin header."""


class RebootClass(StrEnum):
    """What happened before this start."""

    FIRST_START = "first_start"
    DAEMON_RESTART = "daemon_restart"
    DAEMON_CRASH = "daemon_crash"
    KERNEL_PANIC = "kernel_panic"
    ORDERLY_REBOOT = "orderly_reboot"
    ORDERLY_POWEROFF = "orderly_poweroff"
    ORDERLY_KEXEC = "orderly_kexec"
    SHUTDOWN_INCOMPLETE = "shutdown_incomplete"
    BROWN_OUT = "brown_out"
    WATCHDOG_RESET = "watchdog_reset"
    POWER_CUT = "power_cut"
    UNCLEAN_WARM_RESET = "unclean_warm_reset"
    UNCLEAN_UNKNOWN = "unclean_unknown"


class Confidence(StrEnum):
    """How sure, from a direct record down to nothing at all."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    POSSIBLE = "possible"
    NONE = "none"


class Phase(StrEnum):
    """Where the daemon was when it last wrote its state."""

    RUNNING = "running"
    STOPPED = "stopped"
    SYSTEM_STOPPING = "system_stopping"


@dataclass(frozen=True, slots=True)
class Memory:
    """What the state file says of the start before. `target`: what the system was stopping for.

    `power_reset`, `disks` and `pstore` are as they were found then: only what changed counts.
    """

    boot_id: str
    phase: Phase
    target: str = ""
    power_reset: int | None = None
    disks: tuple[Disk, ...] = ()
    pstore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What was last known before. `undervoltage_age_s`: how long before the last record the supply
    was last low (0: until the end), `gap_s`: from the last record to the start of this boot, on a
    synchronised clock; ``None``: not known."""

    undervoltage_age_s: float | None = None
    gap_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result. `rule` is the number in `docs/host.md`; `evidence` what decided, then the rest
    that was seen; of an unknown end, what was looked at."""

    reboot: RebootClass
    confidence: Confidence
    rule: int
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    now: BootEvidence
    before: Memory
    last: LastSeen

    @property
    def running(self) -> bool:
        """Whether what was last seen is from just before the end, not from an earlier stop."""
        return self.before.phase is Phase.RUNNING

    @property
    def gap_s(self) -> float | None:
        return self.last.gap_s if self.running else None

    @property
    def power_on(self) -> str:
        """Say how it is known that the machine came up from no power; empty: it is not."""
        rsts = self.now.rsts
        if rsts is not None and rsts & RSTS_POWER_ON and not self._boots_twice():
            return f"reset status {rsts:#x}: power-on reset"
        if self.now.power_on_reason == "regular power-up":
            return "power_on_reason: regular power-up"
        return ""

    @property
    def warm(self) -> str:
        """Say how it is known that power stayed on."""
        rsts = self.now.rsts
        if rsts is not None and rsts & RSTS_WATCHDOG and not rsts & RSTS_POWER_ON:
            return f"reset status {rsts:#x}: warm reset"
        if self.now.power_on_reason == "software reset":
            return "power_on_reason: software reset"
        return ""

    def _boots_twice(self) -> bool:
        built, model = self.now.eeprom_time, self.now.model
        return (self.now.is_pi4 or not model) and (built is None or built < PI4_TRUSTED_FROM)

    def pmic(self, bit: int) -> bool:
        """Whether the Pi 5's PMIC has `bit` set now and had not at the start before."""
        value, old = self.now.power_reset, self.before.power_reset
        return value is not None and bool(value & bit) and old is not None and not old & bit


_Result = tuple[RebootClass, Confidence, list[str]] | None
_Rule = Callable[[_Case], _Result]


def classify(now: BootEvidence, before: Memory | None, last: LastSeen) -> Verdict:
    """Apply the rules in their order."""
    if before is None:
        return Verdict(RebootClass.FIRST_START, Confidence.CERTAIN, 0, ("there is no state file",))
    case = _Case(now, before, last)
    for number, rule in _RULES:
        found = rule(case)
        if found is not None:
            reboot, confidence, why = found
            rest = (line for line in now.lines() if line not in why)
            return Verdict(reboot, confidence, number, (*why, *rest)[:16])
    seen = [*now.lines(), f"phase {before.phase}", *_last_lines(case)]
    nothing = f"nothing found in {', '.join(now.absent())}" if now.absent() else ""
    return Verdict(
        RebootClass.UNCLEAN_UNKNOWN,
        Confidence.NONE,
        12,
        tuple(line for line in (*seen, nothing) if line)[:16],
    )


def _last_lines(case: _Case) -> list[str]:
    lines = []
    if case.last.gap_s is None:
        lines.append("silence before this boot: not known")
    else:
        lines.append(f"silence before this boot: {case.last.gap_s:.0f} s")
    if case.last.undervoltage_age_s is not None:
        lines.append(f"supply low {case.last.undervoltage_age_s:.0f} s before the last record")
    return lines


# --- the rules ----------------------------------------------------------------------------------


def _same_boot(case: _Case) -> _Result:
    if case.now.boot_id != case.before.boot_id:
        return None
    why = ["the boot id is the same"]
    note = case.now.exit_note
    if note is not None:
        why.append(note.line())
    if case.before.phase is not Phase.RUNNING:
        return RebootClass.DAEMON_RESTART, Confidence.CERTAIN, why
    return RebootClass.DAEMON_CRASH, Confidence.CERTAIN, [*why, "it did not say it was stopping"]


def _panic(case: _Case) -> _Result:
    fresh = [p.line() for p in case.now.pstore if p.panic and p.key not in case.before.pstore]
    return (RebootClass.KERNEL_PANIC, Confidence.CERTAIN, fresh) if fresh else None


def _orderly(case: _Case) -> _Result:
    if case.before.phase is not Phase.SYSTEM_STOPPING:
        return None
    target = case.before.target or "reboot"
    why = [f"the system was stopping ({target})"]
    if case.now.file_systems is FileSystems.UNCLEAN:
        lines = [f"file system: {line}" for line in case.now.unclean_lines]
        return RebootClass.SHUTDOWN_INCOMPLETE, Confidence.PROBABLE, why + lines
    kinds = {
        "poweroff": RebootClass.ORDERLY_POWEROFF,
        "halt": RebootClass.ORDERLY_POWEROFF,
        "kexec": RebootClass.ORDERLY_KEXEC,
    }
    reboot = kinds.get(target, RebootClass.ORDERLY_REBOOT)
    if case.now.file_systems is FileSystems.UNKNOWN:
        return reboot, Confidence.PROBABLE, [*why, "whether file systems were clean is not known"]
    return reboot, Confidence.CERTAIN, [*why, "file systems were clean"]


def _recorded_brown_out(case: _Case) -> _Result:
    why = [
        f"{name} bootstatus {value:#x}: power under"
        for name, value in case.now.bootstatus
        if value & WDIOF_POWERUNDER
    ]
    if case.now.power_on_reason == "brown-out reset":
        why.append("power_on_reason: brown-out reset")
    return (RebootClass.BROWN_OUT, Confidence.CERTAIN, why) if why else None


def _pmic_brown_out(case: _Case) -> _Result:
    value = case.now.power_reset
    if value is None or not value & PMIC_UNDERVOLTAGE:
        return None
    changed = case.pmic(PMIC_UNDERVOLTAGE)
    if not changed and not case.power_on:
        return None
    why = [f"power_reset {value}: under-voltage" + (", not set before" if changed else "")]
    why += [case.power_on] if case.power_on else []
    built = case.now.eeprom_time
    trusted = built is not None and built >= PMIC_TRUSTED_FROM
    if trusted or (case.now.max_current_ma or 0) >= PD_CURRENT_MA:
        return RebootClass.BROWN_OUT, Confidence.PROBABLE, why
    why.append("this bootloader says so of any 40-pin supply")
    return RebootClass.BROWN_OUT, Confidence.POSSIBLE, why


def _watchdog(case: _Case) -> _Result:
    why = [
        f"{name} bootstatus {value:#x}: reset by the watchdog"
        for name, value in case.now.bootstatus
        if value & WDIOF_CARDRESET
    ]
    if case.now.power_on_reason == "watchdog timeout":
        why.append("power_on_reason: watchdog timeout")
    if case.pmic(PMIC_WATCHDOG):
        why.append(f"power_reset {case.now.power_reset}: watchdog, not set before")
    if "watchdog" in case.now.amd_reset:
        why.append(f"AMD: {case.now.amd_reset}")
    return (RebootClass.WATCHDOG_RESET, Confidence.CERTAIN, why) if why else None


def _low_supply(case: _Case) -> _Result:
    age_s = case.last.undervoltage_age_s
    if age_s is None or age_s > UNDERVOLTAGE_S or not case.running:
        return None
    why = [f"supply low {age_s:.0f} s before the last record"]
    if case.power_on:
        return RebootClass.BROWN_OUT, Confidence.PROBABLE, [*why, case.power_on]
    if case.gap_s is not None and case.gap_s > HARD_GAP_S:
        return RebootClass.BROWN_OUT, Confidence.PROBABLE, [*why, f"silent for {case.gap_s:.0f} s"]
    return RebootClass.BROWN_OUT, Confidence.POSSIBLE, why


def _power_cut(case: _Case) -> _Result:
    why = [case.power_on] if case.power_on else []
    old = {disk.name: disk for disk in case.before.disks}
    for disk in case.now.disks:
        if disk.name in old:
            why += disk.lost_power_since(old[disk.name])
    return (RebootClass.POWER_CUT, Confidence.PROBABLE, why) if why else None


def _hang(case: _Case) -> _Result:
    watchdog_s, gap_s = case.now.watchdog_s, case.gap_s
    if not case.warm or watchdog_s is None or gap_s is None:
        return None
    if not 0.4 * watchdog_s <= gap_s <= watchdog_s + 30.0:
        return None
    why = f"silent for {gap_s:.0f} s with a watchdog of {watchdog_s:.0f} s"
    return RebootClass.WATCHDOG_RESET, Confidence.POSSIBLE, [case.warm, why]


def _warm(case: _Case) -> _Result:
    if not case.warm:
        return None
    return RebootClass.UNCLEAN_WARM_RESET, Confidence.PROBABLE, [case.warm]


def _long_silence(case: _Case) -> _Result:
    if case.gap_s is None or case.gap_s <= LONG_GAP_S:
        return None
    return RebootClass.POWER_CUT, Confidence.POSSIBLE, [f"silent for {case.gap_s:.0f} s"]


_RULES: tuple[tuple[int, _Rule], ...] = (
    (1, _same_boot),
    (2, _panic),
    (3, _orderly),
    (4, _recorded_brown_out),
    (5, _pmic_brown_out),
    (6, _watchdog),
    (7, _low_supply),
    (8, _power_cut),
    (9, _hang),
    (10, _warm),
    (11, _long_silence),
)


def gap_s(boot_wall_ns: int, last_wall_ns: int | None) -> float | None:
    """Return the silence before a boot that began at `boot_wall_ns`; ``None`` when the two clocks
    contradict each other (a record from after the start of the boot)."""
    if last_wall_ns is None:
        return None
    seconds = (boot_wall_ns - last_wall_ns) / 1e9
    return max(0.0, seconds) if seconds > -2.0 else None
