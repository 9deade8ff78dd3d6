"""A real Prometheus that scrapes the centre's nodes every second.

Owns its config and process. What it saw is read by `gateway drops --prometheus`, as in the field.
"""

import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.child import Child, ChildError
from hil.capability import program
from hil.network import inside
from hil.processes import Processes

PORT = 9090
READY_S = 20.0
STOP_S = 10.0


class Scraper:
    """One Prometheus. `nodes`: name → admin port."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        namespace: str | None,
        nodes: Mapping[str, int],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._processes = processes
        self._namespace = namespace
        self._child: Child | None = None
        targets = "".join(
            f"""
      - targets: ["127.0.0.1:{port}"]
        labels: {{node: "{name}"}}
"""
            for name, port in nodes.items()
        )
        (directory / "prometheus.yml").write_text(
            f"""\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: centre
    static_configs:{targets}""",
            "utf-8",
        )

    @property
    def url(self) -> str:
        """Where it answers, within the bench's namespace."""
        return f"http://127.0.0.1:{PORT}"

    def start(self) -> None:
        """Start it and wait until it is ready. Raises: ChildError."""
        found = program("prometheus")
        assert found is not None
        command = [
            found,
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{PORT}",
            "--log.level=warn",
        ]
        self._child = self._processes.start(
            "prometheus", command, self.directory / "out.log", namespace=self._namespace
        )
        deadline = time.monotonic() + READY_S
        while not self._ready():
            self._child.check()
            if time.monotonic() > deadline:
                raise ChildError(f"prometheus is not ready:\n{self._child.tail()}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        def fetch() -> bool:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as response:
                    return bool(response.status == 200)
            except OSError:
                return False

        return inside(self._namespace, fetch)
