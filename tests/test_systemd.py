"""The units: systemd finds nothing to say, and they stay hardened."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.centre import DEFAULT_CONFIG as CENTRE_CONFIG
from gateway.cli.run import DEFAULT_CONFIG as AGENT_CONFIG
from tests.system import need

UNITS = Path(__file__).resolve().parents[1] / "systemd"
EXPOSURE_LIMIT = 2.5
UNIT_NAMES = sorted(path.name for path in UNITS.glob("*.service"))
PRIVILEGED = {"gateway-evidence.service": 4.0}
"""Reads the kernel log and asks disks, once a boot, as root; no network, nothing written but its
directory."""


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_units_verify_clean(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify --recursive-errors=yes` prints nothing and returns 0."""
    program = need("systemd-analyze")
    text = (UNITS / name).read_text()
    # The command's path exists only where the package is installed.
    unit = tmp_path / name
    unit.write_text(text.replace("/opt/gateway/bin/gateway", shutil.which("true") or "/bin/true"))
    done = subprocess.run(
        [program, "verify", "--recursive-errors=yes", "--man=no", str(unit)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_units_are_hardened(name: str) -> None:
    """`systemd-analyze security` scores each at most 2.5 (the lower the better), the one that must
    be root 4.0."""
    program = need("systemd-analyze")
    done = subprocess.run(
        [program, "security", "--offline=yes", str(UNITS / name)], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= PRIVILEGED.get(name, EXPOSURE_LIMIT)


def test_the_agents_unit_says_what_the_agent_does() -> None:
    """Notify, a watchdog, SIGHUP as reload, restart for ever, and the ttys allowed."""
    lines = (UNITS / "gateway.service").read_text().splitlines()
    for line in (
        "Type=notify",
        "WatchdogSec=60s",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "DeviceAllow=char-ttyUSB rw",
    ):
        assert line in lines
    assert not any(re.match(r"(PrivateDevices|ProtectClock|ProcSubset)=", line) for line in lines)


def test_the_units_and_the_commands_mean_the_same_files() -> None:
    """What a command takes when no file is named is what the unit runs with."""
    centre = (UNITS / "gateway-centre.service").read_text()
    agent = (UNITS / "gateway.service").read_text()
    assert f"gateway centre run --config {CENTRE_CONFIG}\n" in centre
    assert f"gateway run --config {AGENT_CONFIG}\n" in agent
