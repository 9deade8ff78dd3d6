"""Writing records to segments: one write and one flush per commit.

Owns the newest segment while it is being written: header, records, seal, and what happens when the
disk says no. Runs in the writer's thread only; what it did is handed back as an `Outcome` and
entered into the books by the event loop.

A failed flush is poison (the kernel may have dropped the dirty pages and calls them clean): the
segment is closed for good, and everything since its last whole page is written again, from memory,
into a new one.
"""

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from gateway.agent.spool.disk import PAGE, Disk
from gateway.agent.spool.epochs import Segment
from gateway.agent.spool.gaps import record_ns
from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.pool import Pool
from gateway.agent.spool.segment import (
    INTERVAL_SIZE,
    SEAL_SPARE,
    SegmentHeader,
    Summary,
    encode_header,
    intervals_of,
)
from gateway.wire.message import Interval
from gateway.wire.record import Record

_ATTEMPTS = 2
"""Segments tried in one commit before the disk is given a rest."""
_MEDIUM = (errno.EIO, errno.EBADMSG, errno.EILSEQ)


@dataclass(frozen=True, slots=True)
class Kept:
    """Records that are safe on disk: in which segment, from where to where."""

    segment: Segment
    intervals: tuple[Interval, ...]
    start: int
    end: int


@dataclass(slots=True)
class Outcome:
    """What a commit did. `poisoned`: segments closed because the disk failed.

    `blocked`: there is no free segment. `spare`: free segments left. `flush_s`: one per flush.
    `error`: why records are left over, if the disk said so.
    """

    opened: list[Segment] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    poisoned: list[Segment] = field(default_factory=list)
    flush_s: list[float] = field(default_factory=list)
    written: int = 0
    blocked: bool = False
    spare: int = 0
    past_half: bool = False
    error: OSError | None = None


class Writer:
    """The newest segment. `header_of(index, first_seq)` makes the next one's header."""

    def __init__(
        self,
        disk: Disk,
        pool: Pool,
        header_of: Callable[[int, int], SegmentHeader],
        now: Callable[[], float],
    ) -> None:
        self._disk = disk
        self.pool = pool
        self._header_of = header_of
        self._now = now
        self._index = 0
        self._fd = -1
        self._place = 0
        self._limit = 0
        self._written = Intervals()
        self._readings = 0
        self._tail: list[Record] = []
        self._carry: list[Record] = []
        self._frame: tuple[bytes, bytes] | None = None
        self.segment: Segment | None = None

    def commit(self, records: Sequence[Record]) -> Outcome:
        """Write records (ascending) and flush. Never raises OSError: it is in the outcome."""
        outcome = Outcome()
        rest = self._carry + list(records)
        failures = 0
        while rest and not outcome.blocked and failures < _ATTEMPTS:
            try:
                rest = self._commit_some(rest, outcome)
            except OSError as error:
                failures += 1
                outcome.error = error
                if self.segment is None or error.errno not in _MEDIUM:
                    break  # no such luck with another segment either
                rest = self._poison(outcome) + rest
        if not rest:
            outcome.error = None
        self._carry = [r for r in rest if not records or r.seq < records[0].seq]
        outcome.spare = self.pool.free
        outcome.past_half = self.segment is not None and self._place * 2 > self.segment.size
        return outcome

    def seal(self) -> None:
        """Close the newest segment and write into its trailer exactly what it holds.

        Not flushed: a segment whose seal is missing is read at the next start instead.
        """
        segment, self.segment = self.segment, None
        if segment is None:
            return
        fd, self._fd = self._fd, -1
        pairs = self._written.pairs()
        summary = Summary(self._place, pairs, self._readings, segment.first_ns, segment.last_ns)
        trailer = encode_header(replace(segment.header, summary=summary), trailer=True)
        self._tail = []
        with suppress(OSError):
            if pairs and self._place + len(trailer) <= segment.size:
                self._disk.write_all(fd, trailer, segment.size - len(trailer))
                segment.sealed = True
        with suppress(OSError):
            self._disk.close(fd)

    def _commit_some(self, records: list[Record], outcome: Outcome) -> list[Record]:
        """Write what fits into one segment; return the rest."""
        if self.segment is None or not self._fits(len(records[0].data)):
            self.seal()
            if not self._open_next(records[0].seq, outcome):
                outcome.blocked = True
                return records
        segment = self.segment
        assert segment is not None
        if self._frame is not None:
            head, trailer = self._frame
            self._disk.write_all(self._fd, head, 0)
            self._disk.write_all(self._fd, trailer, segment.size - len(trailer))
            self._frame = None  # only now: a refused write is tried again with the next records
        size = count = 0
        for record in records:
            if not self._fits(size + len(record.data)):
                break
            size += len(record.data)
            count += 1
        batch = records[:count]
        self._disk.write_all(self._fd, b"".join([r.data for r in batch]), self._place)
        started = self._now()
        try:
            self._disk.fdatasync(self._fd)
        except OSError as error:
            # Whatever its name, it means that written data may be gone.
            raise OSError(errno.EIO, f"flush failed: {error.strerror}") from error
        outcome.flush_s.append(self._now() - started)
        self._enter(segment, batch, size, outcome)
        return records[count:]

    def _enter(self, segment: Segment, batch: list[Record], size: int, outcome: Outcome) -> None:
        pairs = tuple(intervals_of(batch))
        self._written.update(pairs)
        self._readings += sum(record.readings for record in batch)
        outcome.kept.append(Kept(segment, pairs, self._place, self._place + size))
        outcome.written += size
        self._place += size
        segment.first_ns = segment.first_ns or record_ns(batch[0])
        segment.last_ns = record_ns(batch[-1]) or segment.last_ns
        segment.records = self._written.count()
        segment.readings = self._readings
        reach = self._place % PAGE
        tail: list[Record] = []
        for record in reversed(self._tail + batch):
            if reach <= 0:
                break
            tail.append(record)
            reach -= len(record.data)
        self._tail = tail[::-1]

    def _fits(self, size: int) -> bool:
        return self._place + size + INTERVAL_SIZE * self._written.fragments() <= self._limit

    def _open_next(self, first_seq: int, outcome: Outcome) -> bool:
        """Begin a segment; ``False`` when there is no free one. Its header and trailer are written
        and flushed with its first records."""
        header = self._header_of(self._index, first_seq)
        taken = self.pool.take(header)
        if taken is None:
            return False
        self._index += 1
        head = encode_header(header)
        trailer = encode_header(header, trailer=True)
        segment = Segment(taken.path, taken.size, header, len(head), len(head), Intervals())
        self.segment, self._fd, self._place = segment, taken.fd, len(head)
        self._limit = taken.size - len(trailer) - SEAL_SPARE
        self._written = Intervals()
        self._readings = 0
        self._tail = []
        self._frame = (head, trailer)
        outcome.opened.append(segment)
        return True

    def _poison(self, outcome: Outcome) -> list[Record]:
        """Close the segment for good; return its records that shared a page with the failure."""
        segment, self.segment = self.segment, None
        assert segment is not None
        segment.flaw = "write failed"
        outcome.poisoned.append(segment)
        with suppress(OSError):
            self._disk.close(self._fd)
        self._fd = -1
        tail, self._tail = self._tail, []
        return tail
