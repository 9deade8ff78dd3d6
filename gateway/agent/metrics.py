"""The agent's metrics and their loopback listener.

Owns the names (`gateway_…`, base units; described in `docs/operations.md`) and the HTTP thread;
never decides anything. No label takes a value a peer can invent. Gauges that others keep anyway
(spool, buses) are read when Prometheus asks.
"""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    MetricsHandler,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.errors import ConfigError

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value read when Prometheus asks. `counter`: it only grows. Every sample of a name has
    the same label names."""

    name: str
    text: str
    value: float
    counter: bool = False
    labels: tuple[tuple[str, str], ...] = ()


class _Scraped(Collector):
    """Turns what a source says at scrape time into metric families."""

    def __init__(self, sources: list[Callable[[], Iterable[Sample]]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        yield from families(sample for source in tuple(self._sources) for sample in source())


def families(samples: Iterable[Sample]) -> Iterable[Metric]:
    """Group samples by name."""
    found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        family = found.get(sample.name)
        if family is None:
            kind = CounterMetricFamily if sample.counter else GaugeMetricFamily
            names = [name for name, _ in sample.labels]
            family = found[sample.name] = kind(sample.name, sample.text, labels=names)
        family.add_metric([value for _, value in sample.labels], sample.value)
    return found.values()


class _Listener(ThreadingHTTPServer):
    """The library's server, but without the name look-ups at its start: those may hang, and cost
    1 MiB."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind, and leave the host's name alone."""
        TCPServer.server_bind(self)


class Metrics:
    """Every counter the agent keeps itself. `read_from` adds what others keep."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._sources: list[Callable[[], Iterable[Sample]]] = []
        registry.register(_Scraped(self._sources))
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"gateway_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"gateway_{name}", text, registry=registry)

        self.connected = gauge("uplink_connected", "1 while a session is past Welcome")
        self.session_start = gauge(
            "uplink_session_start_time_seconds", "Wall time at which the last session began"
        )
        self.last_ack = gauge("uplink_last_ack_time_seconds", "Wall time of the last ack")
        self.sessions = counter("uplink_sessions", "Sessions that reached Welcome")
        self.sessions_ended = counter(
            "uplink_sessions_ended", "Sessions ended, by who and why", "side", "cause"
        )
        self.connect_failures = counter(
            "uplink_connect_failures", "Connections not made, by phase and why", "phase", "cause"
        )
        self.phase_seconds = Histogram(
            "gateway_uplink_phase_seconds",
            "Duration of each phase of connecting",
            ("phase",),
            registry=registry,
            buckets=_SECONDS,
        )
        self.slow_tls = counter("uplink_slow_tls", "TLS handshakes slower than 200 ms")
        self.round_trip = Histogram(
            "gateway_uplink_heartbeat_rtt_seconds",
            "Round trip of a WebSocket ping",
            registry=registry,
            buckets=_SECONDS,
        )
        self.messages = counter("uplink_messages", "Messages of gateway.v1", "direction")
        self.bytes = counter("uplink_bytes", "Bytes of messages, before TLS", "direction")
        self.acked = counter("uplink_acked_records", "Records the centre said it has committed")
        self.refused = counter("uplink_refused_records", "Records the centre did not take")
        self.tcp_rtt = gauge("uplink_tcp_rtt_seconds", "Round trip as the kernel sees it")
        self.tcp_retransmits = gauge(
            "uplink_tcp_retransmits", "Segments sent again on the present connection"
        )
        self.readings = counter("readings", "Readings made, by quality", "quality")
        self.bad_readings = counter("bad_readings", "Readings of bad quality, by cause", "cause")
        self.events = counter("events", "Events recorded, by kind", "kind")
        self.config_rejected = counter("config_rejected", "Reloads refused: the file was invalid")
        self.config_applied = gauge(
            "config_applied_time_seconds", "Wall time at which the config in force was applied"
        )
        self.tasks_failed = counter("tasks_failed", "Tasks or threads restarted", "task")
        for task in ("uplink", "bus"):
            self.tasks_failed.labels(task)  # shown from the start: else no rate sees the first one
        self.clock_synced = gauge("clock_synchronised", "1 while the wall clock is synchronised")
        self.clock_steps = counter("clock_steps", "Steps of the wall clock above 100 ms")
        self.anchors = counter("anchors", "Anchors (boottime to wall time) recorded")

    def read_from(self, source: Callable[[], Iterable[Sample]]) -> None:
        """Ask `source` at every scrape; it is called in the listener's thread."""
        self._sources.append(source)

    def listen(self, address: str) -> Callable[[], None] | None:
        """Serve /metrics at ``host:port``; empty: not at all. Return what stops it.

        Raises: ConfigError when the address cannot be bound.
        """
        if not address:
            return None
        host, _, port = address.rpartition(":")
        try:
            server = _Listener((host.strip("[]"), int(port)), MetricsHandler.factory(self.registry))
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"metrics.listen = {address!r}: cannot be bound: {error}; "
                "choose a free loopback port, or an empty text for no listener"
            ) from error
        thread = threading.Thread(target=server.serve_forever, name="agent.metrics", daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(timeout=1.0)

        return stop
