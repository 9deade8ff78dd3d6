"""`gateway edit` on a running site: a bad edit changes nothing, a good one what it touches."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.forecast import forecast
from gateway.process.files import load_agent
from tests.two_buses import TwoBuses, missing, two_buses


def edit(
    rig: TwoBuses, script: str, answers: str = "", *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with an editor that is a line of Python; `answers` are typed at it."""
    editor = rig.site.directory / "editor.py"
    editor.write_text(
        "import sys\nfrom pathlib import Path\npath = Path(sys.argv[1])\ntext = path.read_text()\n"
        f"{script}\npath.write_text(text)\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "edit", str(rig.config), *arguments],
        env={**os.environ, "VISUAL": "", "EDITOR": f"{sys.executable} {editor}"},
        input=answers,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoBuses]:
    """A site with two buses that runs."""
    with two_buses(tmp_path_factory.mktemp("edit")) as running:
        yield running


def test_the_forecast_of_check_is_what_is_sent(rig: TwoBuses) -> None:
    """Bytes a reading, as `gateway check` reckons them and as the agent counts them."""
    settings = load_agent(rig.config)
    day = forecast(settings)
    names = (
        'gateway_uplink_bytes_total{direction="out"}',
        'gateway_readings_total{quality="good"}',
    )
    before = rig.site.metrics()
    rig.stored(1, 40)
    after = rig.site.metrics()
    sent, readings = (after[name] - before[name] for name in names)
    reckoned = day.messages / day.readings / 86400
    print(f"bytes a reading: reckoned {reckoned:.1f}, sent {sent / readings:.1f}")
    # Reckoned with an uptime and counters that are large: never less than what is sent.
    assert 0.6 * reckoned < sent / readings < reckoned


def test_a_bad_edit_leaves_the_site_untouched(rig: TwoBuses) -> None:
    """Same process, same session, same file; every answer of both devices is stored."""
    assert rig.agent.process is not None
    before = rig.config.read_bytes()
    pid, (session, *_) = rig.agent.process.pid, rig.sessions()
    done = edit(rig, "text = text.replace('parity', 'paritty')", "u\n")
    assert done.returncode == 2
    assert done.stderr.count('unknown key; did you mean "parity"?') == 2
    assert "(e)dit again" in done.stdout and "nothing is changed" in done.stdout
    assert rig.config.read_bytes() == before
    assert sorted(path.name for path in rig.site.directory.glob(".gateway*")) == []
    for number in (1, 2):
        rig.stored(number, 15)
    assert rig.agent.running and rig.agent.process.pid == pid
    (now, *_) = rig.sessions()
    assert now == session and now["closed_ns"] is None
    assert missing(rig, 1) == missing(rig, 2) == set()
    assert all(one["cause"] == "none" for number in (1, 2) for one in rig.readings(number))
    assert rig.events("config_rejected") == []


def test_a_good_edit_restarts_one_bus(rig: TwoBuses) -> None:
    """Another interval of one device restarts its bus; the other bus, the session, the process and
    the spool do not notice."""
    assert rig.agent.process is not None
    pid, (session, *_) = rig.agent.process.pid, rig.sessions()
    text = rig.config.read_text()
    new = "'poll_interval_s = 0.05'.join(text.rsplit('poll_interval_s = 0.1', 1))"
    done = edit(rig, f"text = {new}", "i\n")
    assert done.returncode == 0, done.stderr
    assert "-poll_interval_s = 0.1" in done.stdout and "+poll_interval_s = 0.05" in done.stdout
    assert "bus[bus2].device[device2].point[answer].poll_interval_s: 0.1 → 0.05" in done.stdout
    assert "the agent has taken it over: bus bus2 restarts" in done.stdout
    assert rig.config.with_name("gateway.toml.last-good").read_text() == text
    for number in (1, 2):
        rig.stored(number, 15)
    assert rig.agent.running and rig.agent.process.pid == pid
    (now, *_) = rig.sessions()
    assert now == session and now["closed_ns"] is None
    assert missing(rig, 1) == missing(rig, 2) == set()
    assert all(one["cause"] == "none" for one in rig.readings(1))
    times = [one["source_time_ns"] for one in rig.readings(2)[-10:]]
    assert (times[-1] - times[0]) / 9 < 0.08e9
    (changed,) = rig.events("config_changed")
    assert changed["fields"]["effect"] == "bus bus2 restarts"
    assert changed["fields"]["keys"] == 1 and "0.1 → 0.05" in changed["fields"]["text"]
    assert len(rig.events("config_applied")) == 2


def test_an_edit_that_the_agent_refuses_is_put_back(rig: TwoBuses) -> None:
    """What passes the check and the agent refuses all the same (here: the profile is gone by
    then) leaves the file before in force; the edit is kept beside it."""
    before = rig.config.read_bytes()
    profiles = rig.site.directory / "profiles"
    profiles.mkdir()
    (profiles / "own.toml").write_text(
        'vendor = "O"\nmodel = "T"\n[[point]]\nname = "p"\ntable = "input"\naddress = 0\n'
        'type = "u16"\n'
    )
    device = "\\n[[bus.device]]\\nname = 'other'\\nunit_id = 9\\nprofile = 'own'\\n"
    done = edit(rig, f'text += "{device}"', "", "--yes", "--profiles", str(profiles))
    assert done.returncode == 1
    assert "the agent did not take it over" in done.stderr and '"own"' in done.stderr
    assert rig.config.read_bytes() == before
    assert b"profile = 'own'" in rig.config.with_name("gateway.toml.rejected").read_bytes()
    rig.stored(1, 3)
    assert len(rig.events("config_rejected")) == 1


def test_the_doctor_does_not_disturb_the_session(rig: TwoBuses) -> None:
    """The doctor goes as far as the upgrade with the agent's own token, and finds all well."""
    (session, *_) = rig.sessions()
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "doctor", "--config", str(rig.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    levels = {line[9:24].strip(): line.split()[0] for line in lines if "→" not in line}
    for subject in ("agent", "disk space", "fsync", "DNS", "TCP", "TLS", "upgrade", "round trip"):
        assert levels[subject] in ("ok", "warning"), done.stdout
    assert "full packets come through" in done.stdout
    # The device's end of the pty is open in this process too; the doctor names the lower pid.
    assert levels["port bus1"] == "ok" or f"held by process {os.getpid()}" in done.stdout
    rig.stored(2, 5)
    assert rig.sessions()[0] == session


def test_without_a_control_socket(tmp_path: Path) -> None:
    """The agent is found by the spool it holds, told by SIGHUP, and its metrics are its word."""
    with two_buses(tmp_path, control=False) as rig:
        first = rig.agent.process
        done = edit(rig, "text = text.replace('retries = 0', 'retries = 2')", "", "--yes")
        assert done.returncode == 0, done.stderr
        assert "the agent has taken it over: taken over" in done.stdout
        assert "device2].retries: 0 → 2" in done.stdout
        rig.stored(1, 5)
        assert rig.agent.process is first and rig.agent.running
        assert len(rig.events("config_changed")) == 1


def test_check_diff_with_what_runs(rig: TwoBuses, tmp_path: Path) -> None:
    """The agent keeps what it runs with, so that any file can be compared with it."""
    other = tmp_path / "gateway.toml"
    other.write_text(rig.config.read_text().replace('log_level = "info"', 'log_level = "debug"'))
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "check", str(other), "--diff"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-2:] == [
        "  log_level: info → debug",
        "  a reload: the log level changes",
    ]
