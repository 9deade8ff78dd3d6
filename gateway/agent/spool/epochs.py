"""What the spool holds, in memory: epochs, their segments and which seqs are still unacked.

Owns the bookkeeping behind `Spool.epochs`, `ack` and the reader. Never touches a file; used by the
event loop's thread only. Every unacked seq on disk is *held* by exactly one segment.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.segment import SegmentHeader
from gateway.wire.message import EpochState, Interval

LANDMARK_BYTES = 16 * 1024
"""How far apart a segment's landmarks (seq → place) lie at least."""


@dataclass(slots=True, eq=False)
class Segment:
    """A segment file that holds records. `start`..`end`: where its records are.

    `held`: the unacked seqs in it. `flaw`: why its file must not be recycled, ``None`` if sound.
    `landmarks`: (seq, place) of some records, ascending. `gone`: released, its bytes mean nothing.
    """

    path: str
    size: int
    header: SegmentHeader
    start: int
    end: int
    held: Intervals
    readings: int = 0
    records: int = 0
    first_ns: int = 0
    last_ns: int = 0
    sealed: bool = False
    flaw: str | None = None
    gone: bool = False
    landmarks: list[Interval] = field(default_factory=list)

    def place_of(self, seq: int) -> tuple[int, int]:
        """Return (seq before, place): a place to read from so as to meet `seq`."""
        at = bisect_right(self.landmarks, seq, key=lambda landmark: landmark[0]) - 1
        if at < 0:
            return self.header.first_seq - 1, self.start
        return self.landmarks[at][0] - 1, self.landmarks[at][1]

    def add_landmark(self, seq: int, place: int) -> None:
        """Remember where a record starts, unless another landmark is near."""
        if not self.landmarks or place - self.landmarks[-1][1] >= LANDMARK_BYTES:
            self.landmarks.append((seq, place))

    @property
    def held_bytes(self) -> int:
        """Bytes its unacked records take, estimated from their share."""
        if not self.records:
            return 0
        return (self.end - self.start) * self.held.count() // self.records


@dataclass(slots=True, eq=False)
class EpochBook:
    """One epoch. `held`: every unacked seq, on disk or in RAM."""

    epoch: int
    boot_id: bytes
    ordinal: int
    next_seq: int = 1
    schemas: dict[int, bytes] = field(default_factory=dict)
    held: Intervals = field(default_factory=Intervals)
    segments: list[Segment] = field(default_factory=list)
    tangled: bool = False

    @property
    def state(self) -> EpochState:
        """The epoch as `Hello` tells it."""
        return EpochState(self.epoch, self.boot_id, self.next_seq, self.held.pairs())

    def adopt(self, segment: Segment) -> None:
        """Take a segment in, behind the others; a seq another one already holds stays there."""
        twice = segment.held.common(self.held)
        if twice:
            segment.held.subtract(twice)
        if self.segments and self.segments[-1].held and segment.held:
            self.tangled |= segment.held.first <= self.segments[-1].held.last
        self.held.update(segment.held)
        self.segments.append(segment)
        if segment.held:
            self.next_seq = max(self.next_seq, segment.held.last + 1)
        self.schemas.update(segment.header.schemas)

    def overlapping(self, first: int, last: int) -> Iterator[Segment]:
        """Yield the segments that may hold seqs of first..last."""
        at = 0
        if not self.tangled:
            at = bisect_right(self.segments, first, key=lambda s: s.header.first_seq) - 1
        for segment in self.segments[max(at, 0) :]:
            if segment.header.first_seq > last and not self.tangled:
                return
            yield segment

    def drop(self, first: int, last: int) -> list[Segment]:
        """Let go of first..last (acked or lost); return the segments that hold nothing now."""
        emptied = []
        for segment in list(self.overlapping(first, last)):
            if segment.held:
                segment.held.remove(first, last)
                if not segment.held:
                    emptied.append(segment)
        self.held.remove(first, last)
        return emptied

    def segment_of(self, seq: int) -> Segment | None:
        """Return the segment that holds `seq`, or ``None``."""
        for segment in self.overlapping(seq, seq):
            if seq in segment.held:
                return segment
        return None
