"""A real agent's box in the stack: its files, its process, its namespace.

Owns the agent's config and how the box gets and loses power. What its host looks like is
`machine`'s; the faults see `boxes.Box`.
"""

import sys
import urllib.request
from pathlib import Path

from gateway.cli.child import Child, ChildError
from hil.fleet import Member
from hil.machine import Machine
from hil.network import inside
from hil.processes import Processes
from hil.wires import CabledWire

METRICS_PORT = 9464
STOP_S = 12.0
SPOOL_BYTES = 4 * 1024 * 1024


class AgentBox:
    """One box (`boxes.Box`). `bus`: the port of its virtual bus, ``""`` for none."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        member: Member,
        wire: CabledWire,
        machine: Machine,
        namespace: str,
        uplink: str,
        bus: str = "",
    ) -> None:
        self.member = member
        self.directory = directory
        self.host_root = machine.root
        self.machine = machine
        self.wire = wire
        self.config = directory / "gateway.toml"
        self.log = directory / "agent.log"
        self._processes = processes
        self._namespace = namespace
        self._child: Child | None = None
        self._powered = True
        (directory / "state").mkdir(parents=True)
        self.config.write_text(_config(self, uplink, bus), "utf-8")

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.process.poll() is None

    def start(self) -> None:
        """Start the process; returns at once."""
        command = [sys.executable, "-m", "hil.agent_process", "--config", str(self.config)]
        command += ["--host-root", str(self.host_root)]
        name = self.member.gateway
        self._child = self._processes.start(name, command, self.log, namespace=self._namespace)

    def kill(self) -> None:
        """SIGKILL the process and wait until it is gone."""
        assert self._child is not None
        self._processes.kill(self._child)

    def stop(self) -> int:
        """SIGTERM, wait, and return the exit status."""
        assert self._child is not None
        return self._processes.stop(self._child, STOP_S)

    def power_off(self) -> None:
        """End process and sockets without a packet."""
        self.wire.drop()
        if self.running:
            self.kill()
        self.wire.power_off()
        self._powered = False

    def power_on(self) -> None:
        """Give the network back and start the process."""
        if not self._powered:
            self.wire.power_on()
            self._powered = True
        self.start()

    def connected(self) -> bool:
        """Ask the agent's own metrics whether it has a session."""
        return self.metrics().get("gateway_uplink_connected", 0.0) == 1.0

    def metrics(self) -> dict[str, float]:
        """Return the agent's metrics: name with labels → value; empty while it is down."""
        if not self.running or not self._powered:
            return {}

        def fetch() -> list[str]:
            url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    text: str = response.read().decode()
            except OSError:
                return []
            return text.splitlines()

        try:
            lines = inside(self._namespace, fetch)
        except (OSError, TimeoutError):
            return {}
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def check(self) -> None:
        """Raises: ChildError when the process has ended by itself."""
        if self._child is None:
            raise ChildError(f"{self.member.gateway} was never started")
        self._child.check()


def _config(box: AgentBox, uplink: str, bus: str) -> str:
    labels = "".join(f'{name} = "{value}"\n' for name, value in box.member.labels)
    return f"""\
[gateway]
id = "{box.member.gateway}"
state_directory = "{box.directory / "state"}"

[labels]
{labels}
[uplink]
url = "{uplink}"
token_file = "token"
ca_file = "../ca.pem"
heartbeat_s = 2.0
heartbeat_timeout_s = 2.0
connect_timeout_s = 3.0
backoff_initial_s = 0.3
backoff_max_s = 2.0

[spool]
directory = "{box.directory / "spool"}"
max_bytes = {SPOOL_BYTES}
keep_free_bytes = 0

[metrics]
listen = "127.0.0.1:{METRICS_PORT}"

{box.machine.config()}
{bus}"""
