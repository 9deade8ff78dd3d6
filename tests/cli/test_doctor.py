"""What the doctor says of ports and machine, from evidence that a test can give."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.probes import Probes, no_firmware
from gateway.cli import doctor, doctor_host, doctor_ports
from gateway.cli.findings import Finding, Level, Probing, ok, problem
from gateway.config.agent import AgentSettings, BusSettings, SpoolSettings, UplinkSettings
from gateway.config.host import HostSettings
from gateway.process.clock import Clock, HostFiles
from gateway.process.port_owner import Owner
from gateway.process.timesync import TimeSync
from tests.rig import free_port


class SilentNetlink:
    """A kernel without nl80211."""

    def ask(self, request: bytes, is_end: Callable[[bytes], bool]) -> list[bytes]:
        return []

    def subscribe(self, group: int) -> None:
        return None

    def pending(self) -> list[bytes]:
        return []

    def close(self) -> None:
        return None


def no_program(arguments: Sequence[str], timeout_s: float) -> bytes | None:
    return None


def probes(
    root: Path, program: Callable[[Sequence[str], float], bytes | None] = no_program
) -> Probes:
    return Probes(HostFiles(root), SilentNetlink(), no_firmware, program)


def config(*buses: BusSettings, **spool: object) -> AgentSettings:
    settings = AgentSettings("g", UplinkSettings("ws://127.0.0.1:1/g"), buses=buses)
    return (
        settings
        if not spool
        else AgentSettings(
            "g",
            settings.uplink,
            SpoolSettings(**spool),
            buses,
        )
    )


def put(root: Path, path: str, text: str) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def look(port: str, root: Path = Path("/"), owner: Owner | None = None) -> list[Finding]:
    bus = BusSettings("b1", port)
    return doctor_ports.ports(config(bus), HostFiles(root), 77, lambda path: owner)


def test_port_that_is_not_there(tmp_path: Path) -> None:
    """Which adapters there are is said with it."""
    by_id = tmp_path / "dev/serial/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-other").touch()
    (finding,) = look("/dev/serial/by-id/usb-mine", tmp_path)
    assert finding.level is Level.PROBLEM and finding.subject == "port b1"
    assert "adapters here: /dev/serial/by-id/usb-other" in finding.cure
    (finding,) = look("/dev/serial/by-id/usb-other", tmp_path)
    assert "is not a serial port" in finding.evidence


def test_port_free_and_held() -> None:
    """A port is free, held by the agent, or by somebody who is named with the cure."""
    master, slave = pty.openpty()
    try:
        port = os.ttyname(slave)
        (finding,) = look(port)
        assert finding.level is Level.OK and ", free" in finding.evidence
        (finding,) = look(port, owner=Owner(77, "python x"))
        assert finding.level is Level.OK and "held by the agent" in finding.evidence
        (finding,) = look(port, owner=Owner(78, "/opt/gateway/bin/python /opt/bin/gateway run"))
        assert finding.level is Level.OK
        for command, cure in (
            ("/usr/sbin/ModemManager", "ID_MM_DEVICE_IGNORE"),
            ("/sbin/agetty -o", "serial-getty@"),
            ("minicom", "kill 78"),
        ):
            (finding,) = look(port, owner=Owner(78, command))
            assert finding.level is Level.PROBLEM and cure in finding.cure
            assert f"process 78 ({command})" in finding.evidence
    finally:
        os.close(master)
        os.close(slave)


def test_no_port_at_all() -> None:
    """A config that reads nothing is said so."""
    (finding,) = doctor_ports.ports(config(), HostFiles(), None)
    assert finding.level is Level.WARNING and "gateway scan" in finding.cure


def test_permission_and_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's user, not ours, must be allowed; the latency timer counts while it runs."""
    master, slave = pty.openpty()
    try:
        port = os.ttyname(slave)
        os.chmod(port, 0o600)
        owner = os.stat(port)
        stranger = ("gateway", owner.st_uid + 1, frozenset({owner.st_gid + 1}))
        monkeypatch.setattr(doctor_ports, "_daemon", lambda: stranger)
        refused = look(port)[0]
        assert refused.level is Level.PROBLEM and "gateway may not open it" in refused.evidence
        assert 'MODE="0660"' in refused.cure
        os.chmod(port, 0o660)
        assert "usermod -aG" in look(port)[0].cure or "udev" in look(port)[0].cure
        os.chmod(port, 0o666)
        assert [one.level for one in look(port)] == [Level.OK]
    finally:
        os.close(master)
        os.close(slave)
    put(tmp_path, "/sys/class/tty/ttyUSB0/device/latency_timer", "16\n")
    files = HostFiles(tmp_path)
    held = doctor_ports._latency("p", "/dev/ttyUSB0", files, True)
    free = doctor_ports._latency("p", "/dev/ttyUSB0", files, False)
    assert held is not None and held.level is Level.WARNING and "16 ms" in held.evidence
    assert free is not None and free.level is Level.OK
    put(tmp_path, "/sys/class/tty/ttyUSB0/device/latency_timer", "1\n")
    assert doctor_ports._latency("p", "/dev/ttyUSB0", files, True) is None


@pytest.mark.parametrize(
    ("release", "level"),
    [
        ("6.1.21-v8+", Level.OK),
        ("5.4.0", Level.OK),
        ("5.3.18", Level.PROBLEM),
        ("4.19.97", Level.PROBLEM),
        ("odd", Level.WARNING),
    ],
)
def test_kernel(release: str, level: Level) -> None:
    """5.4 or newer."""
    (finding,) = doctor_host.kernel(release)
    assert finding.level is level and release in finding.evidence


class StoppedClock(Clock):
    """A wall clock that stands at one instant."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall_ns(self) -> int:
        return int(self._seconds * 1e9)


@pytest.mark.parametrize(
    ("seconds", "error_us", "level", "words"),
    [
        (1_800_000_000, 1200, Level.OK, "synchronised, error at most 1.2 ms"),
        (1_800_000_000, None, Level.WARNING, "not synchronised"),
        (1_000_000, 1200, Level.PROBLEM, "before this program was installed"),
    ],
)
def test_clock(
    tmp_path: Path, seconds: float, error_us: int | None, level: Level, words: str
) -> None:
    """Synchronised, not, or plainly wrong."""
    clock = StoppedClock(seconds)
    sync = TimeSync(clock, HostFiles(tmp_path), lambda: error_us)
    (finding,) = doctor_host.clock(sync, clock, built=1_700_000_000)
    assert finding.level is level and words in finding.evidence


def test_disk(tmp_path: Path) -> None:
    """Room, a timed fsync and what the disk says of its life."""
    directory = str(tmp_path / "not/yet/spool")
    found = doctor_host.disk(config(directory=directory, keep_free_bytes=0), probes(tmp_path))
    assert [one.subject for one in found] == ["disk space", "fsync", "wear"]
    assert " ms in the middle" in found[1].evidence and "does not tell" in found[2].evidence
    huge = config(directory=directory, max_bytes=1 << 43)
    assert doctor_host.disk(huge, probes(tmp_path))[0].level is Level.WARNING


@pytest.mark.parametrize(
    ("life", "eol", "level", "words"),
    [
        ("0x01 0x02", "0x01", Level.OK, "10–20 %"),
        ("0x0a 0x09", "0x01", Level.WARNING, "90–100 %"),
        ("0x0b 0x01", "0x01", Level.PROBLEM, "100–110 %"),
        ("0x01 0x01", "0x03", Level.PROBLEM, "0–10 %"),
        ("0x00 0x00", "0x01", Level.OK, "not told"),
    ],
)
def test_wear(tmp_path: Path, life: str, eol: str, level: Level, words: str) -> None:
    """An eMMC's own word (JESD84-B51)."""
    device = os.makedev(179, 2)
    put(tmp_path, "/sys/dev/block/179:2/device/life_time", life + "\n")
    put(tmp_path, "/sys/dev/block/179:2/device/pre_eol_info", eol + "\n")
    (finding,) = doctor_host._wear(device, probes(tmp_path))
    assert finding.level is level and words in finding.evidence


def test_supply_and_radio(tmp_path: Path) -> None:
    """A machine that cannot tell is no good one; an INA2xx and an interface are."""
    supply, network = doctor_host.supply_and_radio(config(), probes(tmp_path))
    assert supply.level is Level.WARNING and "neither voltage nor alarm" in supply.evidence
    assert network.level is Level.WARNING
    put(tmp_path, "/sys/class/hwmon/hwmon0/name", "ina226\n")
    put(tmp_path, "/sys/class/hwmon/hwmon0/in1_input", "12050\n")
    put(tmp_path, "/sys/class/net/eth0/uevent", "INTERFACE=eth0\n")
    (tmp_path / "sys/class/net/eth0/device").mkdir()
    put(tmp_path, "/sys/class/net/eth0/carrier", "1\n")
    put(tmp_path, "/sys/class/net/eth0/operstate", "up\n")
    supply, link, *rest = doctor_host.supply_and_radio(config(), probes(tmp_path))
    assert supply.level is Level.OK and "12.05 V" in supply.evidence
    assert link.subject == "eth0" and link.level is Level.OK
    assert [one.evidence for one in rest] == ["no default route"]


def test_a_supply_that_is_asked_for_elsewhere(tmp_path: Path) -> None:
    """upsd that does not listen is said with its cure; a point is the running agent's to read."""
    port = free_port()
    named = replace(config(), host=HostSettings(supply=f"nut:ups@127.0.0.1:{port}"))
    supply, *_ = doctor_host.supply_and_radio(named, probes(tmp_path))
    assert supply.level is Level.WARNING and supply.cure == "is nut-server running?"
    assert "Connection refused" in supply.evidence
    point = replace(config(), host=HostSettings(supply="dc-meter.voltage"))
    supply, *_ = doctor_host.supply_and_radio(point, probes(tmp_path))
    assert supply.cure == "it is read when the agent runs: gateway read dc-meter.voltage"


AVC = (
    b'type=AVC audit(1): apparmor="DENIED" operation="open" profile="gateway" name="/dev/ttyUSB0"\n'
    b"something else\n"
)


@pytest.mark.parametrize(
    ("files", "log", "level", "words"),
    [
        ({}, None, Level.OK, "neither SELinux nor AppArmor"),
        ({"/sys/fs/selinux/enforce": "1"}, b"", Level.OK, "SELinux has refused us nothing"),
        ({"/sys/fs/selinux/enforce": "1"}, None, Level.WARNING, "cannot be read"),
        ({"/sys/module/apparmor/parameters/enabled": "Y"}, AVC, Level.PROBLEM, "/dev/ttyUSB0"),
    ],
)
def test_denials(
    tmp_path: Path, files: dict[str, str], log: bytes | None, level: Level, words: str
) -> None:
    """What was refused to us since the start, with the line."""
    for name, text in files.items():
        put(tmp_path, name, text + "\n")
    (finding,) = doctor_host.denials(probes(tmp_path, lambda *_: log))
    assert finding.level is level and words in finding.evidence


def test_a_probe_that_hangs() -> None:
    """A probe that never ends is one line, and the rest goes on."""
    (finding,) = Probing("disk", lambda: time.sleep(60) or []).result(0.05)
    assert finding.level is Level.WARNING and finding.evidence == "no answer in time"

    def failing() -> list[Finding]:
        raise PermissionError(13, "Permission denied")

    def broken() -> list[Finding]:
        raise KeyError("x")

    (finding,) = Probing("disk", broken).result(5.0)
    assert finding.level is Level.WARNING and "KeyError" in finding.evidence
    (finding,) = Probing("disk", failing).result(5.0)
    assert finding.level is Level.WARNING and "Permission denied" in finding.evidence
    assert list(Probing("x", lambda: [ok("x", "y")]).result(5.0)) == [ok("x", "y")]


def test_lines() -> None:
    """Level, subject, evidence; the cure below."""
    assert ok("kernel", "6.1").lines() == ["ok       kernel         6.1"]
    assert problem("x", "y", "z").lines()[1].strip() == "→ z"


TOML = """
[gateway]
id = "g"
state_directory = "{directory}"
[uplink]
url = "ws://127.0.0.1:1/gateway"
[spool]
directory = "{directory}/spool"
[[bus]]
name = "b1"
port = "{directory}/none"
[[bus.device]]
name = "d"
unit_id = 1
profile = "xy-md02"
"""


def test_the_command(tmp_path: Path) -> None:
    """Every line has its level; a problem gives status 1, a config that is wrong 2."""
    file = tmp_path / "gateway.toml"
    file.write_text(TOML.format(directory=tmp_path))
    command = [sys.executable, "-m", "gateway.cli.main", "doctor", "--config", str(file)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr == "" and time.monotonic() - began < 30
    lines = [line for line in done.stdout.splitlines() if "→" not in line]
    assert {line.split()[0] for line in lines} <= {"ok", "warning", "problem"}
    for subject in ("agent", "port b1", "kernel", "clock", "disk space", "fsync", "wear", "supply",
                    "denials", "DNS", "TCP"):  # fmt: skip
        assert any(line[9:].startswith(subject) for line in lines), subject
    file.write_text("[gateway]\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "gateway.id" in done.stderr


def test_a_walk_that_hangs_does_not_hold_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole ends in its time even if the way to the centre does not."""
    monkeypatch.setattr(doctor, "WHOLE_S", 1.0)
    monkeypatch.setattr(doctor_host, "disk", lambda *_: time.sleep(30) or [])
    settings = config(directory=str(tmp_path))
    began = time.monotonic()
    found = list(doctor.examine(settings, probes(tmp_path)))
    assert time.monotonic() - began < 20
    assert any(one.subject == "disk" and "no answer in time" in one.evidence for one in found)
