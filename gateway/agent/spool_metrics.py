"""The spool's counters and levels as Prometheus reads them.

Owns the names `gateway_spool_…` only; the spool counts. Called in the listener's thread: it reads
plain numbers and takes nothing apart.
"""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.agent.metrics import Sample, families
from gateway.agent.spool.spool import Spool
from gateway.agent.spool.stats import FLUSH_BOUNDS
from gateway.wire.message import GapReason

_REASONS = tuple(reason.name.lower() for reason in GapReason if reason < GapReason.NOT_RECEIVED)
"""Shown from the start: else no rate sees the first loss."""


class SpoolCollector(Collector):
    """Asks the spool at every scrape."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        """Return every metric of the spool."""
        yield from families(self._samples())
        flushes = self._spool.stats.flushes
        text = "Duration of the flushes to disk"
        flush_seconds = HistogramMetricFamily("gateway_spool_fsync_seconds", text)
        bounds = [*(str(bound) for bound in FLUSH_BOUNDS), "+Inf"]
        counts = [float(count) for count in accumulate(flushes.counts)]
        flush_seconds.add_metric([], list(zip(bounds, counts, strict=True)), flushes.sum_s)
        yield flush_seconds

    def _samples(self) -> Iterator[Sample]:
        stats, levels, backlog = self._spool.stats, self._spool.levels(), self._spool.backlog()
        for name, text, value in (
            ("records", "Records not acked", backlog.records),
            ("bytes", "Bytes of records not acked", backlog.size),
            ("memory_records", "Records not acked and not on disk", levels.memory_records),
            ("disk_bytes", "Bytes of segment files", levels.disk_bytes),
            ("max_bytes", "Bytes the spool may take", levels.max_bytes),
            ("free_segments", "Segments that hold nothing", levels.free_segments),
            ("epochs", "Epochs with records not acked", levels.epochs),
        ):
            yield Sample(f"gateway_spool_{name}", text, value)
        for name, text, value in (
            ("appended_records", "Records made", stats.appended_records),
            ("committed_records", "Records written to disk", stats.committed_records),
            ("committed_bytes", "Bytes written to disk", stats.committed_bytes),
            ("commits", "Group commits", stats.commits),
            ("never_written_records", "Acked before a commit", stats.never_written_records),
            ("quarantined", "Damaged segments put aside", stats.quarantined),
            ("write_failures", "Writes the disk refused", stats.write_failures),
            ("read_failures", "Reads the disk refused", stats.read_failures),
        ):
            yield Sample(f"gateway_spool_{name}", text, value, True)
        lost = dict.fromkeys(_REASONS, 0) | stats.lost_records
        for reason, count in lost.items():
            text = "Records lost, by reason; each is covered by a gap"
            labels = (("reason", reason),)
            yield Sample("gateway_spool_lost_records", text, count, True, labels)
