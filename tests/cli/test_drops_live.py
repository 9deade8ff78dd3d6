"""Pins `gateway drops` on the store of a running centre with a real agent."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import counting_device
from tests.site import Site, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A centre and an agent that was killed once, and a centre that was; both run."""
    with counting_device() as device:
        site = Site(tmp_path, bus_port=device.port, poll_interval_s=1.0, heartbeat_s=2.0).write()
        centre, agent = site.centre(), site.agent()

        def up() -> bool:
            return site.metrics().get("gateway_uplink_connected") == 1

        try:
            centre.start()
            agent.start()
            wait_for("a session", up)
            time.sleep(1.5)
            agent.kill()
            agent.start()
            wait_for("a session of a new run", up)
            time.sleep(3)  # apart from what comes, and long enough to be sampled
            centre.kill()
            wait_for("the end of it", lambda: not up())
            centre.start()
            wait_for("a session with a new centre", up)
            time.sleep(1.5)
            yield site
        finally:
            agent.ensure_gone()
            centre.ensure_gone()


def drops(site: Site, *words: str) -> str:
    """Ask, in a process of its own."""
    config = ("--config", str(site.directory / "centre.toml"))
    command = [sys.executable, "-m", "gateway.cli.main", "drops", *words, *config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_was_killed_is_named(site: Site) -> None:
    """The daemon's crash and the centre's are two incidents, each with its cause."""
    found: dict[str, Any] = json.loads(drops(site, "--json", "--since", "10m"))
    causes = [(one["cause"], one["lost"], one["not_back"]) for one in found["incidents"]]
    assert causes == [("agent_crashed", 1, 0), ("centre_killed", 1, 0)]
    assert found["looked_at"]["series_since"] is not None
    story = drops(site, "show", found["incidents"][1]["id"])
    assert "ECONNREFUSED" in story or "1006" in story
    assert "daemon_crash (certain)" in drops(site, "show", found["incidents"][0]["id"])
