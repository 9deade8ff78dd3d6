"""The demo's site: a virtual bus, the real agent and the real centre on this machine.

Owns the temporary directory, the generated configs and the three processes; the agent and the
centre are started as anybody would start them (`gateway run`, `gateway centre run`). Shows nothing
and compares nothing. `close` leaves no process and no file behind, however far `start` had come.
"""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.cli.certificates import CertificateFiles, make_certificates
from gateway.cli.child import Child, ChildError, own_command
from gateway.cli.scrape import Scrape, get
from gateway.cli.virtual_bus import BusCounts
from gateway.cli.virtual_devices import demo_devices

GATEWAY_ID = "demo-gateway"
BAUD = 19200
SPOOL_BYTES = 16 * 1024 * 1024
HEARTBEAT_S = 5.0
"""Six times the default rate, so that the round trip is on the screen before anybody leaves."""
READY_S = 20.0
"""How long the centre may take to be ready, and the agent to have its first session."""
STOP_S = 10.0


class Site:
    """The directory and the processes. Use as a context manager."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
        self.store = self.directory / "store.sqlite"
        self._children: list[Child] = []
        ports = _free_ports(3)
        self.link_port = ports[0]
        self.admin = f"127.0.0.1:{ports[1]}"
        self.agent_metrics = f"127.0.0.1:{ports[2]}"
        self.bus: Child | None = None
        self.centre: Child | None = None
        self.agent: Child | None = None

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start all three, in the order of a site: bus, centre, agent.

        Raises: ChildError with the end of the log of the one that failed.
        """
        bus = ["-m", "gateway.cli.virtual_bus", "--baud", str(BAUD)]
        self.bus = self._spawn("bus", [_python(), *bus], pipes=True)
        port = str(json.loads(self.bus.line())["port"])
        certificates = make_certificates(self.directory, ("localhost", "127.0.0.1"))
        centre = self._write("centre.toml", self._centre_config(certificates))
        self._make_token(centre)
        self.centre = self._spawn("centre", own_command("centre", "run", "--config", str(centre)))
        self._wait(self.centre, lambda: bool(get(self.admin, "/-/ready")))
        agent = self._write("agent.toml", self._agent_config(certificates, port))
        self.agent = self._spawn("agent", own_command("run", "--config", str(agent)))
        self._wait(self.agent, self._connected)

    def _connected(self) -> bool:
        return Scrape.fetch(self.agent_metrics).total("gateway_uplink_sessions_total") > 0

    def check(self) -> None:
        """Raises: ChildError when one of the processes has ended by itself."""
        for child in self._children:
            child.check()

    def bus_counts(self) -> BusCounts:
        """Ask the bus what the wire saw."""
        assert self.bus is not None
        return BusCounts(**json.loads(self.bus.ask("")))

    def stop_agent(self) -> str:
        """End the agent as systemd would and return its whole log."""
        assert self.agent is not None
        status = self.agent.stop(STOP_S)
        if status != 0:
            raise ChildError(f"the agent ended with status {status}:\n{self.agent.tail()}")
        return self.agent.log.read_text("utf-8", "replace")

    def stop_centre(self) -> None:
        """End the centre as systemd would."""
        assert self.centre is not None
        status = self.centre.stop(STOP_S)
        if status != 0:
            raise ChildError(f"the centre ended with status {status}:\n{self.centre.tail()}")

    def close(self) -> None:
        """End what still runs, last started first, and remove the directory."""
        while self._children:
            self._children.pop().stop(STOP_S)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, name: str, command: list[str], *, pipes: bool = False) -> Child:
        child = Child(name, command, self.directory / f"{name}.log", pipes=pipes)
        self._children.append(child)
        return child

    def _write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text, "utf-8")
        return path

    def _make_token(self, centre: Path) -> None:
        """Add a token with the real command; the agent reads it from a file."""
        command = own_command("centre", "token", "add", "--config", str(centre), GATEWAY_ID)
        done = subprocess.run(command, capture_output=True, text=True, timeout=READY_S)
        if done.returncode != 0:
            raise ChildError(f"gateway centre token add: {done.stderr.strip()}")
        self._write("token", done.stdout.strip().splitlines()[-1] + "\n")

    def _wait(self, child: Child, ready: Callable[[], bool]) -> None:
        """Wait until `ready` returns true. Raises: ChildError after `READY_S`."""
        deadline = time.monotonic() + READY_S
        while True:
            child.check()
            trouble = f"not ready after {READY_S:.0f} s"
            try:
                if ready():
                    return
            except OSError as error:
                trouble = f"{trouble}: {error}"
            if time.monotonic() > deadline:
                raise ChildError(f"the {child.name} is {trouble}\n{child.tail()}")
            time.sleep(0.05)

    def _centre_config(self, certificates: CertificateFiles) -> str:
        return f"""\
[centre]
listen = "127.0.0.1:{self.link_port}"
tokens_file = "tokens"

[tls]
certificate_file = "{certificates.certificate_file}"
key_file = "{certificates.key_file}"

[link]
heartbeat_s = {HEARTBEAT_S}

[store]
path = "{self.store}"

[admin]
listen = "{self.admin}"

[web]
listen = ""
"""

    def _agent_config(self, certificates: CertificateFiles, port: str) -> str:
        devices = "".join(
            f"""
[[bus.device]]
name = "{device.name}"
unit_id = {device.unit_id}
profile = "{device.profile}"
poll_interval_s = {device.poll_interval_s}
"""
            for device in demo_devices()
        )
        return f"""\
[gateway]
id = "{GATEWAY_ID}"
state_directory = "{self.directory}"

[uplink]
url = "wss://localhost:{self.link_port}/gateway"
ca_file = "{certificates.ca_file}"
token_file = "token"
heartbeat_s = {HEARTBEAT_S}

[spool]
directory = "{self.directory / "spool"}"
max_bytes = {SPOOL_BYTES}
keep_free_bytes = 0

[metrics]
listen = "{self.agent_metrics}"

[[bus]]
name = "rs485-1"
port = "{port}"
baud = {BAUD}
parity = "none"
{devices}"""


def _python() -> str:
    return own_command()[0]


def _free_ports(count: int) -> list[int]:
    """Return TCP ports that are free on loopback right now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
