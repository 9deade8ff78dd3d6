"""One gateway and one centre as real processes over TLS, with their files below one directory.

Owns the two config files and what is asked of the running daemons from outside: the centre's HTTP
API for what is stored, the agent's metrics for what waits.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.certificates import make_certificates
from tests.rig import Daemon, free_port

GATEWAY_ID = "site-1"
CENTRE = """
[centre]
listen = "{host}:{centre_port}"
path = "/gateway"
tokens_file = "tokens"
log_level = "info"

[tls]
certificate_file = "centre.pem"
key_file = "key.pem"

[link]
heartbeat_s = 5.0
heartbeat_timeout_s = 5.0

[store]
path = "store.sqlite"

[admin]
listen = "127.0.0.1:{admin_port}"

[web]
listen = ""

[drain]
timeout_s = 2.0
retry_after_s = 0.5
"""
AGENT = """
[gateway]
id = "{gateway_id}"
state_directory = "{directory}/state"
log_level = "info"

[uplink]
url = "wss://{host}:{uplink_port}/gateway"
token_file = "token"
ca_file = "ca.pem"
heartbeat_s = {heartbeat_s}
heartbeat_timeout_s = {heartbeat_timeout_s}
connect_timeout_s = 3.0
backoff_initial_s = 0.2
backoff_max_s = 1.0
batch_s = {batch_s}

[spool]
directory = "{spool}"
max_bytes = {spool_bytes}
keep_free_bytes = 0
commit_s = 1.0

[metrics]
listen = "127.0.0.1:{metrics_port}"
"""
BUS = """
[[bus]]
name = "bus1"
port = "{port}"
baud = 115200
parity = "none"

[[bus.device]]
name = "counter"
unit_id = 1
timeout_s = 1.0
retries = 0
poll_interval_s = {poll_interval_s}

[[bus.device.point]]
name = "answer"
table = "holding"
address = 0
type = "u32"

[[bus.device.point]]
name = "low"
table = "holding"
address = 2
type = "u16"
"""


@dataclass(slots=True)
class Site:
    """Where everything is. `relay_port` 0: the agent connects to the centre itself."""

    directory: Path
    bus_port: str = ""
    host: str = "127.0.0.1"
    relay_port: int = 0
    poll_interval_s: float = 0.05
    heartbeat_s: float = 1.0
    heartbeat_timeout_s: float = 1.0
    batch_s: float = 0.0
    spool_bytes: int = 16 * 1024 * 1024
    spool: Path | None = None
    bus_toml: str | None = None
    centre_port: int = 0
    admin_port: int = 0
    metrics_port: int = 0

    def __post_init__(self) -> None:
        self.centre_port = self.centre_port or free_port()
        self.admin_port = self.admin_port or free_port()
        self.metrics_port = self.metrics_port or free_port()

    def write(self) -> "Site":
        """Make certificates, a token and both config files."""
        make_certificates(self.directory, (self.host,))
        (self.directory / "state").mkdir(exist_ok=True)
        values: Mapping[str, Any] = {
            "gateway_id": GATEWAY_ID,
            "directory": self.directory,
            "spool": self.spool or self.directory / "spool",
            "port": self.bus_port,
            "uplink_port": self.relay_port or self.centre_port,
        } | {name: getattr(self, name) for name in self.__slots__ if name not in ("spool",)}
        (self.directory / "centre.toml").write_text(CENTRE.format(**values))
        bus = BUS.format(**values) if self.bus_toml is None else self.bus_toml
        (self.directory / "gateway.toml").write_text(AGENT.format(**values) + bus)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "gateway.cli.main",
                "centre",
                "token",
                "add",
                GATEWAY_ID,
                "--config",
                str(self.directory / "centre.toml"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        (self.directory / "token").touch(mode=0o600)
        (self.directory / "token").write_text(done.stdout)
        return self

    def agent(self) -> Daemon:
        """The agent, not started."""
        config = str(self.directory / "gateway.toml")
        return Daemon(["run", "--config", config], self.directory / "agent.log")

    def centre(self) -> Daemon:
        """The centre, not started."""
        config = str(self.directory / "centre.toml")
        return Daemon(["centre", "run", "--config", config], self.directory / "centre.log")

    def api(self, path: str) -> Any:
        """Return what the centre's API says, as JSON."""
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)

    def metrics(self) -> dict[str, float]:
        """Return the agent's metrics: name with labels → value; empty while it is down."""
        return scrape(self.metrics_port)


def scrape(port: int) -> dict[str, float]:
    """Read a /metrics page of this machine into a flat table."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return {}
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def wait_for(what: str, check: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Ask until it is so. Raises: TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for: {what}")
        time.sleep(0.05)
