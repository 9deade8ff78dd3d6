"""What the spool counts, for metrics and the status line. Counters only ever grow."""

from dataclasses import dataclass, field

FLUSH_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; a card may be busy for 250 ms by its specification, a bad one for seconds."""


@dataclass(slots=True)
class FlushTimes:
    """How long flushes took: `counts` per bound of `FLUSH_BOUNDS` (not cumulative), one above."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(FLUSH_BOUNDS) + 1))
    sum_s: float = 0.0
    longest_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one flush."""
        at = sum(seconds > bound for bound in FLUSH_BOUNDS)
        self.counts[at] += 1
        self.sum_s += seconds
        self.longest_s = max(self.longest_s, seconds)


@dataclass(slots=True)
class SpoolStats:
    """Counters of one spool since it was opened."""

    appended_records: int = 0
    appended_readings: int = 0
    committed_records: int = 0
    committed_bytes: int = 0
    commits: int = 0
    acked_records: int = 0
    never_written_records: int = 0
    """Acked before their commit: they never touched the disk."""
    lost_records: dict[str, int] = field(default_factory=dict)
    """By reason (the names of `GapReason`, lower case)."""
    quarantined: int = 0
    write_failures: int = 0
    read_failures: int = 0
    flushes: FlushTimes = field(default_factory=FlushTimes)


@dataclass(frozen=True, slots=True)
class SpoolLevels:
    """How full the spool is now. Bytes; `on_disk` is false while it runs from memory alone."""

    memory_records: int
    memory_bytes: int
    segments: int
    free_segments: int
    disk_bytes: int
    max_bytes: int
    epochs: int
    on_disk: bool
