"""Pins that the demo carries readings from bus to store, counts them, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.demo_report import compare, snapshot
from gateway.cli.demo_site import Site
from gateway.cli.demo_view import Snapshot
from gateway.cli.scrape import Scrape
from tests.waiting import bounded

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "gateway.cli.main", "demo"]
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A running site that has read every device."""
    with Site() as running:
        running.start()
        deadline = time.monotonic() + PATIENCE_S
        while _devices_read(snapshot(running, 0.0)) < 5:
            assert time.monotonic() < deadline, "a device was not read"
            running.check()
            time.sleep(0.2)
        yield running


def _devices_read(now: Snapshot) -> int:
    return sum(device.values[0][0] is not None for device in now.devices)


def test_what_is_shown(site: Site) -> None:
    """The numbers on the screen come from all three processes and fit together."""
    now = snapshot(site, 1.0)
    assert now.connected
    assert now.sessions == 1
    assert now.requests >= now.replies > 0
    later = snapshot(site, 2.0)  # the three are asked one after the other, and go on meanwhile
    assert later.readings >= now.stored_readings > 0
    assert now.bad_readings == 0
    assert 0 < now.bus_busy < 1
    assert now.latency_p50_s is not None
    voltage, unit = now.devices[0].values[0]
    assert isinstance(voltage, float)
    assert 220 < voltage < 240
    assert unit == "V"


@pytest.mark.parametrize(("daemon", "page"), [("agent", "operations.md"), ("centre", "centre.md")])
def test_every_metric_is_described(site: Site, daemon: str, page: str) -> None:
    """Whatever a running daemon exports stands in the docs."""
    address = site.agent_metrics if daemon == "agent" else site.admin
    ours = re.compile(r"(gateway|centre|ws)_[a-z0-9_]+?(_bucket|_sum|_count|_created)?$")
    names = {m[0].removesuffix(m[2] or "") for m in _matches(ours, Scrape.fetch(address))}
    assert len(names) > 10
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert {name for name in names if name not in text} == set()


def _matches(pattern: re.Pattern[str], scrape: Scrape) -> Iterator[re.Match[str]]:
    for name, _, _ in scrape.samples:
        if match := pattern.fullmatch(name):
            yield match


def test_comparison_after_the_stop(site: Site) -> None:
    """Stopped in order, all that the agent made is in the store exactly once. Runs last."""
    report = compare(site, 1.0)
    assert report.stored == report.readings_made > 0
    assert report.records_stored == report.records_made
    assert (report.missing, report.duplicated) == (0, 0)
    assert report.bus_requests == report.bus_replies
    assert report.sessions == 1


def test_unattended(tmp_path: Path) -> None:
    """`--seconds N --json` prints one JSON object and leaves neither process nor file."""
    done = subprocess.run(
        [*DEMO, "--seconds", "3", "--json"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] > 0
    assert report["polls"] > 0
    assert report["bad_polls"] == 0
    assert _left_behind(tmp_path) == []


def test_json_needs_an_end() -> None:
    """Without `--seconds` the unattended form would never print anything."""
    done = subprocess.run([*DEMO, "--json"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode != 0
    assert "--seconds" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C (or a closed terminal) ends it with a summary and leaves nothing behind."""
    with _running(tmp_path) as demo, bounded(demo):
        _wait_for_line(demo, "link=up")
        demo.send_signal(how)
        rest, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0
    assert "exactly once" in rest
    assert _left_behind(tmp_path) == []


def test_killed(tmp_path: Path) -> None:
    """Even kill -9 of the demo leaves no process."""
    with _running(tmp_path) as demo, bounded(demo):
        _wait_for_line(demo, "link=up")
        demo.kill()
        demo.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while _processes(tmp_path):
        assert time.monotonic() < deadline, _processes(tmp_path)
        time.sleep(0.1)


def _running(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        DEMO,
        env=os.environ | {"TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_for_line(demo: subprocess.Popen[str], text: str) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if text in line:
            return
    raise AssertionError(f"the demo ended before it said {text}")


def _left_behind(directory: Path) -> list[str]:
    return [str(path) for path in directory.iterdir()] + _processes(directory)


def _processes(directory: Path) -> list[str]:
    """Return the command lines of processes whose environment names `directory`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [command for command in found if command]
