"""The centre's nodes: one process and one store each, behind both proxies.

Owns a node's config, its process and what is asked of it from outside (readiness, metrics).
"""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from gateway.cli.child import Child, ChildError, own_command
from hil.network import inside
from hil.processes import Processes

READY_S = 20.0
STOP_S = 15.0


class CentreNode:
    """One node. `port`, `admin_port`: on the loopback address of its namespace."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        namespace: str | None,
        name: str,
        ports: tuple[int, int],
        tokens: Path,
        proxies: list[str],
        heartbeat_s: float,
        heartbeat_timeout_s: float,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.directory = directory
        self.store = directory / "store.sqlite"
        self.port, self.admin_port = ports
        self._processes = processes
        self._namespace = namespace
        self._child: Child | None = None
        self._config = directory / "centre.toml"
        self._config.write_text(
            f"""\
[centre]
listen = "127.0.0.1:{self.port}"
node = "{name}"
tokens_file = "{tokens}"

[link]
max_connections = 1000
heartbeat_s = {heartbeat_s}
heartbeat_timeout_s = {heartbeat_timeout_s}
trusted_proxies = {json.dumps(proxies)}

[store]
path = "{self.store}"

[admin]
listen = "127.0.0.1:{self.admin_port}"

[drain]
timeout_s = 2.0
retry_after_s = 1.0
""",
            "utf-8",
        )

    @property
    def config(self) -> Path:
        """The config file, for commands that want one."""
        return self._config

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.process.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises: ChildError."""
        command = own_command("centre", "run", "--config", str(self._config))
        log = self.directory / "centre.log"
        self._child = self._processes.start(
            f"centre {self.name}", command, log, namespace=self._namespace
        )
        deadline = time.monotonic() + READY_S
        while not self.ready():
            self._child.check()
            if time.monotonic() > deadline:
                raise ChildError(f"centre {self.name} is not ready:\n{self._child.tail()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL it."""
        assert self._child is not None
        self._processes.kill(self._child)

    def stop(self) -> int:
        """SIGTERM: it drains; return its exit status."""
        assert self._child is not None
        return self._processes.stop(self._child, STOP_S)

    def ready(self) -> bool:
        """Say whether it takes gateways."""
        try:
            self.get("/-/ready")
        except OSError:
            return False
        return True

    def active(self) -> int:
        """Return `ws_active_connections`, 0 while it is down."""
        try:
            text = self.get("/metrics")
        except OSError:
            return 0
        for line in text.splitlines():
            if line.startswith("ws_active_connections "):
                return int(float(line.split()[1]))
        return 0

    def api(self, path: str) -> Any:
        """Return what the admin API says, as JSON. Raises: OSError."""
        return json.loads(self.get(path))

    def get(self, path: str) -> str:
        """Fetch something from the admin listener. Raises: OSError."""
        url = f"http://127.0.0.1:{self.admin_port}{path}"

        def fetch() -> str:
            with urllib.request.urlopen(url, timeout=10) as response:
                text: str = response.read().decode()
                return text

        return inside(self._namespace, fetch)
