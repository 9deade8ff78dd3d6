"""A real Prometheus for a test: with a config of the test's, or with a told past.

Owns the process and the blocks of a past (`promtool tsdb create-blocks-from openmetrics`).
Backfilled blocks have no staleness markers: a series that ends goes on for five minutes.
"""

import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.rig import free_port
from tests.site import wait_for
from tests.system import need

Points = Sequence[tuple[float, float]]
"""(UTC seconds, value), oldest first."""
Metrics = Mapping[str, tuple[str, Mapping[str, Points]]]
"""Name → type, then the points of each instance."""


@contextmanager
def prometheus(directory: Path, config: str) -> Iterator[str]:
    """Run a server with a config, its data below `directory`; yield its address."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(config, "utf-8")
    port = free_port()
    with (directory / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(
            [
                need("prometheus"),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for("prometheus", lambda: _ready(process, port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _ready(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "prometheus ended"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def backfilled(directory: Path, metrics: Metrics) -> Iterator[str]:
    """Run a server that scrapes nothing and holds `metrics`; yield its address."""
    directory.mkdir(parents=True, exist_ok=True)
    text = directory / "past.txt"
    with text.open("w") as file:
        for name, (kind, series) in metrics.items():
            family = name.removesuffix("_total") if kind == "counter" else name
            file.write(f"# TYPE {family} {kind}\n")
            for instance, points in series.items():
                for at_s, value in points:
                    file.write(f'{name}{{instance="{instance}",job="centre"}} {value:g} {at_s}\n')
        file.write("# EOF\n")
    subprocess.run(
        [need("promtool"), "tsdb", "create-blocks-from", "openmetrics", text, directory / "data"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    with prometheus(directory, "global: {scrape_interval: 15s}\n") as address:
        yield address
