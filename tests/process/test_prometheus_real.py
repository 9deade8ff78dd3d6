"""Pins what the connections out of Prometheus mean against a real one that scraped told values."""

import contextlib
import http.server
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import pytest

from gateway.errors import PrometheusError
from gateway.process import prometheus_series
from gateway.process.prometheus import Prometheus
from gateway.process.prometheus_series import Connections, connections
from tests.prometheus_server import prometheus
from tests.rig import free_port
from tests.site import wait_for
from tests.system import need

SCRAPE_NS = 200_000_000
CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: centre
    static_configs: [{{targets: ["127.0.0.1:{a}", "127.0.0.1:{b}"]}}]
"""
PHASE_S = 1.4
"""Longer than any scrape takes, so that every phase is seen."""


@dataclass
class Node:
    """A target whose series the test says. `active` ``None``: it does not listen."""

    port: int = field(default_factory=free_port)
    active: str | None = None
    opened: int = 0
    _server: socketserver.TCPServer | None = None

    def tell(self, active: int | str | None, opened: int) -> None:
        """Say what is scraped from now on."""
        self.active, self.opened = None if active is None else str(active), opened
        if self.active is None:
            self.close()
        elif self._server is None:
            self._listen()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _listen(self) -> None:
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = f"ws_active_connections {node.active}\nws_connection_total {node.opened}\n"
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Listener(socketserver.TCPServer):
            allow_reuse_address = True

        self._server = Listener(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()


@dataclass
class Scraped:
    """A server with a told past, and the time of it."""

    prometheus: Prometheus
    from_ns: int
    to_ns: int
    nodes: tuple[Node, Node]

    def read(self, query: str = "ws_active_connections") -> Connections:
        return connections(self.prometheus, query, self.from_ns, self.to_ns)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Two nodes: a dip between scrapes, a scrape that fails, a restart, a value that is none."""
    need("prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    a, b = Node(), Node()
    with contextlib.ExitStack() as stack:
        stack.callback(a.close)
        stack.callback(b.close)
        a.tell(5, 1010)
        b.tell(3, 33)
        address = stack.enter_context(prometheus(directory, CONFIG.format(a=a.port, b=b.port)))
        server = Prometheus(address)
        from_ns = time.time_ns()
        wait_for(
            "both scrapes",
            lambda: len(server.instant("ws_active_connections", time.time_ns())) == 2,
        )
        time.sleep(PHASE_S)
        a.tell(5, 1014)
        time.sleep(PHASE_S)
        b.tell(None, 0)
        time.sleep(PHASE_S)
        b.tell(3, 33)
        time.sleep(PHASE_S)
        a.tell(2, 2)
        time.sleep(PHASE_S)
        a.tell(5, 5)
        time.sleep(PHASE_S)
        b.tell("NaN", 33)
        time.sleep(PHASE_S)
        b.tell(3, 33)
        time.sleep(PHASE_S)
        to_ns = time.time_ns()
        yield Scraped(server, from_ns, to_ns, (a, b))


def test_every_change_is_seen(scraped: Scraped) -> None:
    """A dip between scrapes, a failed scrape, a restart and NaN each mean what they should."""
    found = scraped.read()
    opened = [sample.opened_total for sample in found.samples if sample.active == 8]
    first = opened[0]
    assert first is not None
    pairs = [(s.active, (s.opened_total or 0) - first) for s in found.samples]
    assert [pair for pair, _ in groupby(pairs[pairs.index((8, 0)) :])] == [
        (8, 0),
        (8, 4),  # four sessions fell and came back between two scrapes
        (5, 4),  # b is not scraped
        (8, 4),  # and comes back: it never was down
        (5, 6),  # a has started anew
        (8, 9),
        (5, 9),  # b says NaN
        (8, 9),
    ]
    assert found.scrape_ns == found.step_ns == SCRAPE_NS and found.counted
    assert found.nodes == tuple(sorted(f"127.0.0.1:{node.port}" for node in scraped.nodes))
    gone = [one for one in found.missing if one.node == f"127.0.0.1:{scraped.nodes[1].port}"]
    assert len(gone) == 2 and all(one.active == 3 and one.to_ns is not None for one in gone)


def test_many_requests_are_as_one(scraped: Scraped, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into requests of a few points, the samples are the same."""
    whole = scraped.read()
    monkeypatch.setattr(prometheus_series, "MAX_POINTS", 7)
    assert scraped.read() == whole


def test_a_sum_made_there(scraped: Scraped) -> None:
    """A query of one's own that sums gives the same connections."""
    own = scraped.read("sum(ws_active_connections == ws_active_connections)")
    assert not own.counted, "two selectors: whose counter it would be is not known"
    summed = scraped.read('sum(ws_active_connections{job="centre"})')
    assert summed.counted
    plain = {sample.at_ns: sample.active for sample in scraped.read().samples}
    differing = [s for s in summed.samples if plain[s.at_ns] != s.active]
    nan = scraped.read().missing[-1]
    assert all(nan.from_ns <= sample.at_ns for sample in differing), "a sum with NaN is NaN"


def test_prometheus_away(scraped: Scraped) -> None:
    """Before Prometheus ran there is no sample, whatever was there then."""
    hour = 3600 * 10**9
    found = connections(
        scraped.prometheus, "ws_active_connections", scraped.from_ns - hour, scraped.to_ns
    )
    assert found.samples[0].at_ns >= scraped.from_ns - SCRAPE_NS


def test_errors_of_the_real_server(scraped: Scraped) -> None:
    """A query that is no PromQL, one without a value and a wrong path are told with the cure."""
    with pytest.raises(PrometheusError, match=r"HTTP 400.*parse error.*check --query"):
        scraped.read("sum(")
    with pytest.raises(PrometheusError, match="has no value in the time looked at"):
        scraped.read("no_such_metric")
    wrong = Prometheus(scraped.prometheus.name + "/elsewhere")
    with pytest.raises(PrometheusError, match="a path is missing"):
        connections(wrong, "ws_active_connections", scraped.from_ns, scraped.to_ns)
