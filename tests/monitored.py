"""A real Prometheus' server, for tests that ask one.

Owns its process and how it is asked; what it scrapes or holds is the test's, in
``prometheus.yml`` and ``data`` of its directory.
"""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.site import wait_for
from tests.system import need


@dataclass(slots=True)
class Prometheus:
    """One server. `directory` holds its config, rules and data."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises: TimeoutError."""
        with (self.directory / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    need("prometheus"),
                    f"--config.file={self.directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for("prometheus", self._ready)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now. Raises: ValueError for a wrong one."""
        found = self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        result: list[dict[str, Any]] = found["result"]
        return result

    def get(self, path: str) -> Any:
        """Return the data of an answer of the HTTP API."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from error

    def _ready(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "prometheus ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except OSError:
            return False
