"""Why it rebooted: twenty-one ends of a boot, each with its raw evidence, and what they must be."""

import json
import struct
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host import boot_evidence
from gateway.host.boot_evidence import Disk, FileSystems, parse, span_s
from gateway.host.reboot import (
    Confidence,
    LastSeen,
    Memory,
    Phase,
    RebootClass,
    classify,
    gap_s,
)

OLD, NEW = "0" * 32, "1" * 32
BOOT = boot_evidence.BOOT_ID_PATH
CLEAN_LOG = b"EXT4-fs (mmcblk0p2): mounted filesystem 0f1e ro with ordered data mode.\n"
UNCLEAN_LOG = CLEAN_LOG + b"EXT4-fs (mmcblk0p2): recovery complete\n"
PI4, PI5 = b"Raspberry Pi 4 Model B Rev 1.4\0", b"Raspberry Pi 5 Model B Rev 1.0\0"
AMD_WATCHDOG = (
    b"x86/amd: Previous system reset reason [0x02000800]: hardware watchdog timer expired\n"
)
NVME = "/run/gateway-evidence/disk-nvme0n1.json"


def cell(value: int) -> bytes:
    return struct.pack(">I", value)


def nvme(unsafe: int, cycles: int) -> bytes:
    health = {"unsafe_shutdowns": unsafe, "power_cycles": cycles}
    return json.dumps({"nvme_smart_health_information_log": health}).encode()


NOTHING = LastSeen()


@dataclass(frozen=True)
class Scenario:
    """One end of a boot: what the files hold now, what was remembered, what must come out."""

    name: str
    expected: RebootClass
    confidence: Confidence
    rule: int
    files: dict[str, bytes] = field(default_factory=dict)
    log: bytes | None = None
    phase: Phase | None = Phase.RUNNING
    same_boot: bool = False
    memory: dict[str, object] = field(default_factory=dict)
    last: LastSeen = NOTHING
    says: str = ""


DROP_IN = "/usr/lib/systemd/system.conf.d/40-rpi-enable-watchdog.conf"
WATCHDOG_CONF = {DROP_IN: b"[Manager]\nRuntimeWatchdogSec=1m\n"}
SCENARIOS = [
    Scenario("never started before", RebootClass.FIRST_START, Confidence.CERTAIN, 0, phase=None),
    Scenario(
        "systemctl restart gateway",
        *(RebootClass.DAEMON_RESTART, Confidence.CERTAIN, 1),
        files={"/run/gateway/exit.json": b'{"result":"success","code":"exited","status":"0"}'},
        phase=Phase.STOPPED,
        same_boot=True,
    ),
    Scenario(
        "kill -9 of the daemon",
        *(RebootClass.DAEMON_CRASH, Confidence.CERTAIN, 1),
        files={"/run/gateway/exit.json": b'{"result":"signal","code":"killed","status":"KILL"}'},
        same_boot=True,
        says="service result signal killed KILL",
    ),
    Scenario(
        "kernel panic, kept by pstore",
        *(RebootClass.KERNEL_PANIC, Confidence.CERTAIN, 2),
        files={
            "/sys/fs/pstore/dmesg-ramoops-0": b"Panic#1 Part1\n<0>Kernel panic - not syncing: x\n"
        },
        log=UNCLEAN_LOG,
        says="pstore dmesg-ramoops-0: kernel panic",
    ),
    Scenario(
        "reboot",
        *(RebootClass.ORDERLY_REBOOT, Confidence.CERTAIN, 3),
        files={boot_evidence.RSTS_PATH: cell(0x20)},
        log=CLEAN_LOG,
        phase=Phase.SYSTEM_STOPPING,
        memory={"target": "reboot"},
    ),
    Scenario(
        "poweroff, switched on again",
        *(RebootClass.ORDERLY_POWEROFF, Confidence.CERTAIN, 3),
        files={boot_evidence.RSTS_PATH: cell(0x1000)},
        log=CLEAN_LOG,
        phase=Phase.SYSTEM_STOPPING,
        memory={"target": "poweroff"},
    ),
    Scenario(
        "kexec",
        *(RebootClass.ORDERLY_KEXEC, Confidence.CERTAIN, 3),
        log=CLEAN_LOG,
        phase=Phase.SYSTEM_STOPPING,
        memory={"target": "kexec"},
    ),
    Scenario(
        "plug pulled during the shutdown",
        *(RebootClass.SHUTDOWN_INCOMPLETE, Confidence.PROBABLE, 3),
        log=UNCLEAN_LOG,
        phase=Phase.SYSTEM_STOPPING,
        memory={"target": "reboot"},
        says="file system: EXT4-fs (mmcblk0p2): recovery complete",
    ),
    Scenario(
        "SoC that records its brown-out",
        *(RebootClass.BROWN_OUT, Confidence.CERTAIN, 4),
        files={"/sys/devices/platform/ahb/fffffe00.rstc/power_on_reason": b"brown-out reset\n"},
        log=UNCLEAN_LOG,
    ),
    Scenario(
        "Pi 5 PMIC says under-voltage, USB-C supply",
        *(RebootClass.BROWN_OUT, Confidence.PROBABLE, 5),
        files={
            "/proc/device-tree/model": PI5,
            boot_evidence.POWER_RESET_PATH: cell(2),
            boot_evidence.RSTS_PATH: cell(0x1000),
            boot_evidence.MAX_CURRENT_PATH: cell(5000),
        },
        memory={"power_reset": 0},
        says="power_reset 2: under-voltage, not set before",
    ),
    Scenario(
        "Pi 5 PMIC says under-voltage, 40-pin supply, old bootloader",
        *(RebootClass.BROWN_OUT, Confidence.POSSIBLE, 5),
        files={
            "/proc/device-tree/model": PI5,
            boot_evidence.POWER_RESET_PATH: cell(2),
            boot_evidence.RSTS_PATH: cell(0x1000),
            boot_evidence.EEPROM_TIME_PATH: cell(1_755_000_000),
            boot_evidence.MAX_CURRENT_PATH: cell(3000),
        },
        memory={"power_reset": 2},
    ),
    Scenario(
        "watchdog of an x86 board",
        *(RebootClass.WATCHDOG_RESET, Confidence.CERTAIN, 6),
        files={"/sys/class/watchdog/watchdog0/bootstatus": b"32\n"},
        log=UNCLEAN_LOG,
        says="watchdog0 bootstatus 0x20: reset by the watchdog",
    ),
    Scenario(
        "watchdog as an AMD processor tells it",
        *(RebootClass.WATCHDOG_RESET, Confidence.CERTAIN, 6),
        log=UNCLEAN_LOG + AMD_WATCHDOG,
    ),
    Scenario(
        "supply sagged, then power-on reset",
        *(RebootClass.BROWN_OUT, Confidence.PROBABLE, 7),
        files={boot_evidence.RSTS_PATH: cell(0x1000)},
        last=LastSeen(undervoltage_age_s=4.0),
        says="supply low 4 s before the last record",
    ),
    Scenario(
        "supply sagged, and a reset of a second",
        *(RebootClass.BROWN_OUT, Confidence.POSSIBLE, 7),
        files={boot_evidence.RSTS_PATH: cell(0x20)},
        last=LastSeen(undervoltage_age_s=0.0, gap_s=6.0),
    ),
    Scenario(
        "plug pulled",
        *(RebootClass.POWER_CUT, Confidence.PROBABLE, 8),
        files={boot_evidence.RSTS_PATH: cell(0x1000)},
        log=UNCLEAN_LOG,
        last=LastSeen(undervoltage_age_s=7200.0),
    ),
    Scenario(
        "plug pulled of a PC, told by its disk",
        *(RebootClass.POWER_CUT, Confidence.PROBABLE, 8),
        files={NVME: nvme(8, 101)},
        memory={"disks": (Disk("nvme0n1", 7, 100),)},
        says="nvme0n1 unsafe_shutdowns 7 to 8",
    ),
    Scenario(
        "hang, ended by the watchdog of a Pi",
        *(RebootClass.WATCHDOG_RESET, Confidence.POSSIBLE, 9),
        files={boot_evidence.RSTS_PATH: cell(0x20), **WATCHDOG_CONF},
        last=LastSeen(gap_s=64.0),
    ),
    Scenario(
        "reboot -f",
        *(RebootClass.UNCLEAN_WARM_RESET, Confidence.PROBABLE, 10),
        files={boot_evidence.RSTS_PATH: cell(0x20), **WATCHDOG_CONF},
        log=UNCLEAN_LOG,
        last=LastSeen(gap_s=9.0),
    ),
    Scenario(
        "an old Pi 4, which always says power-on, silent for an hour",
        *(RebootClass.POWER_CUT, Confidence.POSSIBLE, 11),
        files={
            "/proc/device-tree/model": PI4,
            boot_evidence.RSTS_PATH: cell(0x1000),
            boot_evidence.EEPROM_TIME_PATH: cell(1_600_000_000),
        },
        last=LastSeen(gap_s=3600.0),
    ),
    Scenario(
        "a PC without any evidence",
        *(RebootClass.UNCLEAN_UNKNOWN, Confidence.NONE, 12),
        log=b"",
        last=LastSeen(gap_s=40.0),
        says=(
            "nothing found in reset status, power_reset, watchdog bootstatus, power_on_reason,"
            " AMD reset reason, pstore, disk counters, kernel log"
        ),
    ),
]


def before_of(scenario: Scenario) -> Memory | None:
    if scenario.phase is None:
        return None
    memory = Memory(NEW if scenario.same_boot else OLD, scenario.phase)
    return replace(memory, **scenario.memory)


def files_of(scenario: Scenario) -> dict[str, bytes]:
    files = {BOOT: b"11111111-1111-1111-1111-111111111111\n", **scenario.files}
    if boot_evidence.RSTS_PATH in files:  # only a Raspberry Pi has one
        files.setdefault("/proc/device-tree/model", PI5)
    return files


def test_there_are_twenty_one() -> None:
    """The table is whole and every rule is in it."""
    assert len(SCENARIOS) == 21
    assert {scenario.rule for scenario in SCENARIOS} == set(range(13))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario) -> None:
    """Raw bytes become the class, the confidence and the rule written down for them."""
    evidence = parse(files_of(scenario), scenario.log)
    verdict = classify(evidence, before_of(scenario), scenario.last)
    found = (verdict.reboot, verdict.confidence, verdict.rule)
    assert found == (scenario.expected, scenario.confidence, scenario.rule), verdict
    assert verdict.evidence
    if scenario.says:
        assert scenario.says in verdict.evidence


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_brown_out_without_evidence_of_the_supply(scenario: Scenario) -> None:
    """Take away what speaks of the supply, and no scenario is called a brown-out."""
    speaks = (boot_evidence.POWER_RESET_PATH, "/power_on_reason")
    files = {p: d for p, d in files_of(scenario).items() if not p.endswith(speaks)}
    last = replace(scenario.last, undervoltage_age_s=None)
    verdict = classify(parse(files, scenario.log), before_of(scenario), last)
    assert verdict.reboot is not RebootClass.BROWN_OUT


SURE = [Confidence.NONE, Confidence.POSSIBLE, Confidence.PROBABLE, Confidence.CERTAIN]


@given(
    st.sampled_from([s for s in SCENARIOS if s.phase is Phase.RUNNING and not s.same_boot]),
    st.data(),
)
def test_less_evidence_never_makes_surer(scenario: Scenario, data: st.DataObject) -> None:
    """Without some of the files the same class is never more certain than with all of them."""
    files = files_of(scenario)
    dropped = data.draw(st.sets(st.sampled_from(sorted(files))))
    fewer = {path: text for path, text in files.items() if path not in dropped | {BOOT}}
    before = before_of(scenario)
    full = classify(parse(files, scenario.log), before, scenario.last)
    less = classify(parse({BOOT: files[BOOT], **fewer}, scenario.log), before, scenario.last)
    if less.reboot is full.reboot:
        assert SURE.index(less.confidence) <= SURE.index(full.confidence)


def test_what_was_there_before_is_no_news() -> None:
    """A crash dump, a PMIC bit and disk counters that the boot before already saw say nothing."""
    files = {
        BOOT: b"11111111-1111-1111-1111-111111111111",
        "/sys/fs/pstore/dmesg-efi-1": b"Panic#1 Part1\n",
        boot_evidence.POWER_RESET_PATH: cell(2 | 16),
        NVME: nvme(7, 100),
    }
    evidence = parse(files, None)
    memory = Memory(
        *(OLD, Phase.RUNNING, "", 2 | 16, (Disk("nvme0n1", 7, 100),)),
        pstore=tuple(entry.key for entry in evidence.pstore),
    )
    assert classify(evidence, memory, LastSeen()).reboot is RebootClass.UNCLEAN_UNKNOWN


def test_an_oops_is_no_panic() -> None:
    """Only a panic ends a boot."""
    files = {"/sys/fs/pstore/dmesg-ramoops-0": b"Oops#1 Part1\nUnable to handle kernel NULL\n"}
    evidence = parse(files, None)
    assert [entry.panic for entry in evidence.pstore] == [False]
    verdict = classify(evidence, Memory(OLD, Phase.RUNNING), LastSeen())
    assert verdict.reboot is RebootClass.UNCLEAN_UNKNOWN


def test_a_stopped_daemon_knows_nothing_of_the_end() -> None:
    """After `systemctl stop` hours of silence and an old sag explain nothing."""
    evidence = parse({BOOT: b"1" * 32}, None)
    before = Memory(OLD, Phase.STOPPED)
    last = LastSeen(undervoltage_age_s=0.0, gap_s=9999.0)
    assert classify(evidence, before, last).reboot is RebootClass.UNCLEAN_UNKNOWN


def test_orderly_is_only_probable_where_the_log_is_closed_to_us() -> None:
    """Without the kernel log nobody knows whether the file systems were clean."""
    evidence = parse({BOOT: b"1" * 32}, None)
    assert evidence.file_systems is FileSystems.UNKNOWN
    verdict = classify(evidence, Memory(OLD, Phase.SYSTEM_STOPPING, "reboot"), LastSeen())
    assert (verdict.reboot, verdict.confidence) == (
        RebootClass.ORDERLY_REBOOT,
        Confidence.PROBABLE,
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("1m", 60.0), ("1min 30s", 90.0), ("20", 20.0), ("0", None), ("off", None)),
        *(("", None), ("500ms", 0.5), ("infinity", None), ("2h", 7200.0)),
    ],
)
def test_spans_of_systemd(text: str, seconds: float | None) -> None:
    """RuntimeWatchdogSec= as people write it."""
    assert span_s(text) == seconds


def test_the_last_drop_in_counts() -> None:
    """A drop-in of /etc replaces one of the same name, and a later name overrides an earlier."""
    lib, etc = "/usr/lib/systemd/system.conf.d/", "/etc/systemd/system.conf.d/"
    files = {
        "/etc/systemd/system.conf": b"#RuntimeWatchdogSec=9\nRuntimeWatchdogSec=5\n",
        f"{lib}40-a.conf": b"RuntimeWatchdogSec=1m\n",
        f"{etc}40-a.conf": b"[Manager]\nRuntimeWatchdogSec=20\n",
    }
    assert parse(files, None).watchdog_s == 20.0
    assert parse({**files, f"{lib}90-z.conf": b"RuntimeWatchdogSec=off"}, None).watchdog_s is None


def test_a_silence_needs_clocks_that_agree() -> None:
    """A last record from after the start of the boot is a clock that was wrong."""
    assert gap_s(10_000_000_000, 4_000_000_000) == 6.0
    assert gap_s(10_000_000_000, 11_000_000_000) == 0.0
    assert gap_s(10_000_000_000, 99_000_000_000) is None
    assert gap_s(10_000_000_000, None) is None


PATHS = [
    *(BOOT, boot_evidence.RSTS_PATH, boot_evidence.POWER_RESET_PATH, boot_evidence.EXIT_NOTE_PATH),
    *(boot_evidence.EEPROM_TIME_PATH, "/sys/class/watchdog/watchdog0/bootstatus", NVME),
    *("/sys/fs/pstore/x", "/etc/systemd/system.conf", "/sys/devices/platform/x/power_on_reason"),
    *("vcio:get_rsts", "/proc/device-tree/model", "/etc/systemd/system.conf.d/x.conf"),
]


@given(
    st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=300)),
    st.none() | st.binary(max_size=300),
    st.sampled_from(Phase),
)
def test_garbage_is_never_a_reason(
    files: dict[str, bytes], log: bytes | None, phase: Phase
) -> None:
    """Whatever the files hold, there is a verdict, and it fits into one event."""
    verdict = classify(parse(files, log), Memory(OLD, phase), LastSeen())
    assert len(verdict.evidence) <= 16
    assert all(line.isprintable() and len(line) < 200 for line in verdict.evidence)


REASON = "/sys/devices/platform/x/power_on_reason"


@pytest.mark.parametrize(
    ("files", "memory", "last", "found"),
    [
        ({REASON: b"watchdog timeout\n"}, {}, NOTHING, (RebootClass.WATCHDOG_RESET, 6)),
        ({REASON: b"regular power-up\n"}, {}, NOTHING, (RebootClass.POWER_CUT, 8)),
        ({REASON: b"software reset\n"}, {}, NOTHING, (RebootClass.UNCLEAN_WARM_RESET, 10)),
        (
            {boot_evidence.POWER_RESET_PATH: cell(16)},
            {"power_reset": 0},
            NOTHING,
            (RebootClass.WATCHDOG_RESET, 6),
        ),
        ({}, {}, LastSeen(10.0, 60.0), (RebootClass.BROWN_OUT, 7)),
        ({}, {}, LastSeen(31.0, 60.0), (RebootClass.UNCLEAN_UNKNOWN, 12)),
        (
            {NVME: nvme(7, 100)},
            {"disks": (Disk("sda", 1, 1), Disk("nvme0n1", 7, None))},
            NOTHING,
            (RebootClass.UNCLEAN_UNKNOWN, 12),
        ),
    ],
)
def test_the_other_ways(
    files: dict[str, bytes],
    memory: dict[str, object],
    last: LastSeen,
    found: tuple[RebootClass, int],
) -> None:
    """Each other piece of evidence that a rule takes, and what is just short of one."""
    before = replace(Memory(OLD, Phase.RUNNING), **memory)
    verdict = classify(parse({BOOT: b"1" * 32, **files}, None), before, last)
    assert (verdict.reboot, verdict.rule) == found


def test_an_unknown_end_says_what_was_seen() -> None:
    """The silence and the sag stand in the evidence of an end that they do not explain."""
    before = Memory(OLD, Phase.RUNNING)
    verdict = classify(parse({BOOT: b"1" * 32}, None), before, LastSeen(99.0, 40.0))
    assert "silence before this boot: 40 s" in verdict.evidence
    assert "supply low 99 s before the last record" in verdict.evidence
