"""A real Prometheus that scrapes a real centre and a real agent every second.

Owns Prometheus' process and the site it watches: an agent on a simulated machine (`hil.machine`: a
supply, an alarm, a radio) whose past holds a crash, and a centre that was killed once. Prometheus
gets the repository's own rule files and scrape config, only quicker and with other ports.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.boards import Board
from hil.machine import Machine
from tests.monitoring.asking import Prometheus
from tests.prometheus_server import prometheus
from tests.rig import Daemon, counting_device
from tests.site import Site, wait_for
from tests.system import need

RULES = Path(__file__).resolve().parents[2] / "config/prometheus"

LAST = (
    "centre_gateways_known",  # the centre has analysed its own losses
    "count_over_time(ws_active_connections[10s]) >= 8",
    "count_over_time(job:ws_connections_lost:5m[10s]) >= 4",
    "gateway_radio_signal_dbm and on (instance) gateway_supply_volts",
)
"""What comes last; when all of it is there, everything is."""


@contextmanager
def monitored(directory: Path) -> Iterator[Prometheus]:
    """Run everything until each has been scraped through a crash, a kill and a reconnect."""
    need("prometheus")
    with counting_device() as device:
        site = Site(directory, bus_port=device.port, poll_interval_s=0.5).write()
        machine = Machine(directory / "machine", Board.PI_4, "site-1")
        machine.make()
        _adapt(site, machine)
        agent = Daemon(
            ["--config", str(directory / "gateway.toml"), "--host-root", str(machine.root)],
            directory / "agent.log",
            module="hil.agent_process",
        )
        centre = site.centre()
        try:
            centre.start()
            agent.start()
            wait_for("a session", lambda: _connected(site))
            with prometheus(
                directory / "prometheus", _config(directory / "prometheus", site)
            ) as at:
                server = Prometheus(at)
                wait_for("scrapes", lambda: len(server.query("up == 1")) == 3)
                agent.kill()
                agent.start()
                wait_for("a session after a crash", lambda: _connected(site))
                centre.kill()
                wait_for("the end of it", lambda: not _connected(site))
                centre.start()
                wait_for("a session after a kill", lambda: _connected(site))
                wait_for("all to be scraped", lambda: all(map(server.query, LAST)), 60.0)
                yield server
        finally:
            agent.ensure_gone()
            centre.ensure_gone()


def _connected(site: Site) -> bool:
    return site.metrics().get("gateway_uplink_connected") == 1.0


def _adapt(site: Site, machine: Machine) -> None:
    centre = site.directory / "centre.toml"
    centre.write_text(centre.read_text().replace("[admin]\n", "[admin]\ngateway_metrics = true\n"))
    with (site.directory / "gateway.toml").open("a") as file:
        file.write("\n" + machine.config())


def _config(directory: Path, site: Site) -> str:
    """Lay the rules out and return the example with this site's ports, all of it once a second."""
    shutil.copytree(RULES, directory, ignore=shutil.ignore_patterns("tests"))
    text = (RULES / "prometheus.example.yml").read_text()
    text = re.sub(r"(scrape_interval|evaluation_interval): \d+s", r"\1: 1s", text)
    return text.replace(":9465", f":{site.admin_port}").replace(":9464", f":{site.metrics_port}")
