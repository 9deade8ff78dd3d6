"""The centre's counters and how Prometheus sees them.

Owns the names (`docs/centre.md` lists them) and the cheap counting behind them: plain integers,
turned into samples only when somebody scrapes. No label that a client can invent.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.centre.ending import EndCause, Side
from gateway.correlation.verdict import Cause
from gateway.host.reboot import RebootClass

HANDSHAKE_PHASES = (
    "tls",
    "timeout",
    "lost",
    "http",
    "upgrade",
    "path",
    "credential",
    "identity",
    "capacity",
    "draining",
)
"""Where a handshake can fail; the closed set of `ws_handshake_failures_total`'s label."""
GAP_REASONS = (
    "quota",
    "damaged",
    "write_failed",
    "newest_refused",
    "dead_letter",
    "not_received",
    "cut_off",
    "other",
)
_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_LONG = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800)
_GAPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
SIZE_BITS = 22
"""Message sizes are counted by their number of bits: up to 2 MiB."""


class Buckets:
    """A histogram that costs a bisection."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = _FAST) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, count up to it) as Prometheus wants them."""
        pairs, running = [], 0
        names = (*(str(float(bound)) for bound in self.bounds), "+Inf")
        for bound, count in zip(names, self.counts, strict=True):
            running += count
            pairs.append((bound, float(running)))
        return pairs


class Metrics:
    """Everything counted in this process. Written by the loop's thread only."""

    def __init__(self) -> None:
        self.connections = 0
        self.session_s = Buckets(_LONG)
        self.messages_out = self.bytes_in = self.bytes_out = 0
        self.sizes_in = [0] * 64
        """Messages received, by the bits of their size."""
        self.closes: Counter[tuple[str, str]] = Counter()
        self.round_trip_s = Buckets()
        self.handshake_s = Buckets()
        self.handshake_failures: Counter[str] = Counter()
        self.protocol_errors = 0
        self.ack_live_s, self.ack_backlog_s = Buckets(), Buckets()
        self.sensor_to_store_s = Buckets()
        self.records = self.readings = self.duplicates = self.conflicts = 0
        self.gaps: Counter[str] = Counter()
        self.gap_records: Counter[str] = Counter()
        self.tls_s = Buckets()
        self.incidents: Counter[str] = Counter()
        self.lost_gateways: Counter[str] = Counter()
        self.reboots: Counter[str] = Counter()
        self.reconnect_gap_s = Buckets(_GAPS)

    @property
    def messages_in(self) -> int:
        """Messages received."""
        return sum(self.sizes_in)


class CentreCollector(Collector):
    """Turns `Metrics` and a few gauges into samples."""

    def __init__(
        self, metrics: Metrics, gauges: Callable[[], dict[str, tuple[str, float]]]
    ) -> None:
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Return every family."""
        m = self._metrics
        for name, (text, value) in self._gauges().items():
            yield GaugeMetricFamily(name, text, value)
        for name, text, value in (
            ("ws_connection", "Sessions that reached Welcome", m.connections),
            ("ws_messages_received", "WebSocket messages received", m.messages_in),
            ("ws_messages_sent", "WebSocket messages sent", m.messages_out),
            ("ws_received_bytes", "Payload bytes received", m.bytes_in),
            ("ws_sent_bytes", "Payload bytes sent", m.bytes_out),
            ("ws_protocol_errors", "Connections closed for breaking a protocol", m.protocol_errors),
            ("centre_records_stored", "Records stored, each once", m.records),
            ("centre_readings_stored", "Readings stored, each once", m.readings),
            ("centre_records_duplicate", "Records received again", m.duplicates),
            ("centre_records_conflict", "Records under a key that holds another", m.conflicts),
        ):
            yield CounterMetricFamily(name, text, value)
        yield from self._labelled()
        yield from self._histograms()

    def _labelled(self) -> Iterator[Metric]:
        m = self._metrics
        closes = CounterMetricFamily(
            "ws_close", "Sessions ended, by whom and why", labels=("side", "cause")
        )
        for side in Side:
            for cause in EndCause:
                if m.closes[side, cause] or _usual(side, cause):
                    closes.add_metric((side, cause), m.closes[side, cause])
        yield closes
        failures = CounterMetricFamily(
            "ws_handshake_failures", "Connections that never were sessions", labels=("phase",)
        )
        for phase in HANDSHAKE_PHASES:
            failures.add_metric((phase,), m.handshake_failures[phase])
        yield failures
        gaps = CounterMetricFamily("centre_gaps", "Gaps found, by why", labels=("reason",))
        records = CounterMetricFamily(
            "centre_gap_records", "Records known to be lost, by why", labels=("reason",)
        )
        for reason in GAP_REASONS:
            gaps.add_metric((reason,), m.gaps[reason])
            records.add_metric((reason,), m.gap_records[reason])
        yield gaps
        yield records
        yield from self._incidents()

    def _incidents(self) -> Iterator[Metric]:
        m = self._metrics
        for name, text, label, words, counts in (
            ("centre_incidents", "Incidents, once settled", "cause", Cause, m.incidents),
            (
                "centre_lost_gateways",
                "Sessions lost, once settled",
                "cause",
                Cause,
                m.lost_gateways,
            ),
            (
                "centre_reboots",
                "Starts of agents, by what came before",
                "class",
                RebootClass,
                m.reboots,
            ),
        ):
            family = CounterMetricFamily(name, text, labels=(label,))
            for word in words:
                family.add_metric((word.value,), counts[word.value])
            yield family

    def _histograms(self) -> Iterator[Metric]:
        m = self._metrics
        for name, text, buckets in (
            ("ws_session_duration_seconds", "From Welcome to the end", m.session_s),
            ("ws_heartbeat_round_trip_seconds", "From ping to pong", m.round_trip_s),
            ("ws_handshake_seconds", "From accept to the 101 answer, TLS included", m.handshake_s),
            ("ws_tls_handshake_seconds", "From accept to the end of the TLS handshake", m.tls_s),
            ("centre_reconnect_gap_seconds", "From a loss to the next session", m.reconnect_gap_s),
            (
                "centre_sensor_to_store_seconds",
                "From the agent's answer to the COMMIT, live records",
                m.sensor_to_store_s,
            ),
        ):
            yield HistogramMetricFamily(name, text, buckets.cumulative(), buckets.total)
        acks = HistogramMetricFamily(
            "centre_ack_latency_seconds", "From receiving records to their Ack", labels=("lane",)
        )
        acks.add_metric(("live",), m.ack_live_s.cumulative(), m.ack_live_s.total)
        acks.add_metric(("backlog",), m.ack_backlog_s.cumulative(), m.ack_backlog_s.total)
        yield acks
        running, sizes = 0, []
        for bits in range(SIZE_BITS):
            running += m.sizes_in[bits]
            sizes.append((str(float((1 << bits) - 1)), float(running)))
        sizes.append(("+Inf", float(m.messages_in)))
        yield HistogramMetricFamily(
            "ws_message_size_bytes", "Payload of a received message", sizes, m.bytes_in
        )


def _usual(side: Side, cause: EndCause) -> bool:
    """Tell which pairs are shown from the start, so that `rate()` sees the first one."""
    agent = (EndCause.NORMAL, EndCause.GOING_AWAY, EndCause.PEER_ERROR)
    network = (EndCause.RESET, EndCause.END_OF_STREAM, EndCause.TIMED_OUT, EndCause.UNREACHABLE)
    if side is Side.AGENT:
        return cause in agent
    if side is Side.NETWORK:
        return cause in (*network, EndCause.NETWORK_ERROR)
    return cause not in (*agent, *network, EndCause.NETWORK_ERROR, EndCause.CENTRE_LOST)


def registry(
    metrics: Metrics, gauges: Callable[[], dict[str, tuple[str, float]]]
) -> CollectorRegistry:
    """Return what /metrics shows: ours and the process's (`process_resident_memory_bytes`)."""
    result = CollectorRegistry()
    ProcessCollector(registry=result)
    result.register(CentreCollector(metrics, gauges))
    return result
