"""Reading what is unacked, oldest first, verbatim.

Owns the order of the backlog and the search for damage while it drains: every record's CRC is
verified, what a segment should hold and does not is told as lost, and reading goes on. Files are
read in a thread of their own; records come out in pieces, at most `STRIDE` bytes are kept ahead.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from gateway.agent.spool.disk import Disk
from gateway.agent.spool.epochs import EpochBook, Segment
from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.segment import intervals_of, scan
from gateway.wire.message import GapReason, Interval
from gateway.wire.record import Record

STRIDE = 128 * 1024
"""Bytes of records taken from a segment at a time."""


@dataclass(slots=True)
class Cursor:
    """A place in a segment: all seqs up to `before` are passed. `data` is what was read of it."""

    segment: Segment
    before: int
    place: int
    end: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """What one stride found. `passed`: the highest seq this stride is sure to have passed."""

    records: list[Record]
    before: int
    place: int
    passed: int


def load(disk: Disk, segment: Segment, place: int, end: int) -> bytes:
    """Read a segment's records from `place`; unreadable pages come back as zeros."""
    fd = disk.open(segment.path, read_only=True)
    try:
        return disk.read_all(fd, end - place, place)
    finally:
        disk.close(fd)


def stride(cursor: Cursor, size: int | None = STRIDE) -> Piece:
    """Take the next records at a cursor."""
    data = cursor.data
    found = scan(data, cursor.segment.header.epoch, cursor.place, len(data), cursor.before, size)
    before = found.records[-1].seq if found.records else cursor.before
    passed = cursor.end if found.next_at >= len(data) else before
    return Piece(found.records, before, found.next_at, passed)


def read_held(disk: Disk, segment: Segment, held: Intervals) -> list[Record]:
    """Return every record of `held` that a segment still gives."""
    before = segment.header.first_seq - 1
    data = load(disk, segment, segment.start, segment.end)
    cursor = Cursor(segment, before, 0, 0, data)
    return wanted(stride(cursor, None).records, held)


def wanted(records: list[Record], held: Intervals) -> list[Record]:
    """Return the records whose seq is in `held`."""
    if not records:
        return records
    pairs = held.within(records[0].seq, records[-1].seq).pairs()
    if len(pairs) == 1 and pairs[0] == (records[0].seq, records[-1].seq):
        return records
    kept: list[Record] = []
    at = iter(pairs)
    first, last = next(at, (1, 0))
    for record in records:
        while last < record.seq:
            pair = next(at, None)
            if pair is None:
                return kept
            first, last = pair
        if record.seq >= first:
            kept.append(record)
    return kept


class Source(Protocol):
    """What a reader needs of the spool."""

    def book(self, epoch: int) -> EpochBook | None:
        """Return the book of an epoch that still has unacked records."""

    def in_memory(self, epoch: int, first: int, size: int) -> list[Record]:
        """Return records of RAM from seq `first` on, about `size` bytes; [] if it is on disk."""

    async def load(self, segment: Segment, place: int, end: int) -> bytes | None:
        """Read a segment's records in the reader's thread; ``None`` if that cannot be done now."""

    async def stride(self, cursor: Cursor) -> Piece:
        """Take the next records at a cursor, in the reader's thread."""

    def lost(self, segment: Segment, seqs: Intervals, reason: GapReason) -> None:
        """Let go of seqs a segment should hold and does not."""


class BacklogReader:
    """The backlog as it was when the reader was made, plus what is added; oldest first.

    What is acked or lost in the meantime is left out. One reader per session; several may live.
    """

    def __init__(self, source: Source, backlog: list[tuple[int, Intervals]]) -> None:
        self._source = source
        self._todo = {epoch: seqs for epoch, seqs in backlog if seqs}
        self._order = [epoch for epoch, _ in backlog]
        self._ahead: deque[Record] = deque()
        self._ahead_epoch = 0
        self._cursor: Cursor | None = None

    def add(self, epoch: int, interval: Interval) -> None:
        """Also read these (live records that found no credit)."""
        if epoch not in self._order:
            self._order.append(epoch)
        self._todo.setdefault(epoch, Intervals()).add(*interval)

    async def read(self, max_bytes: int) -> tuple[int, list[Record]]:
        """Return (epoch, records) of at most `max_bytes` (but one record at least), ascending.

        The records are of one epoch. [] means that there is nothing left now. Each record comes
        once; `add` brings it again. Cancel-safe: what a cancelled call took comes again.
        """
        while True:
            taken = self._take(max_bytes)
            if taken:
                return self._ahead_epoch, taken
            if not await self._fill():
                return 0, []

    def _take(self, max_bytes: int) -> list[Record]:
        """Take from what was read ahead, leaving out what is no longer wanted."""
        ahead = self._ahead
        book = self._source.book(self._ahead_epoch)
        todo = self._todo.get(self._ahead_epoch)
        if book is None or todo is None:
            ahead.clear()
        while ahead and book and todo is not None:
            records: list[Record] = []
            size = 0
            while ahead and (not records or size + len(ahead[0].data) <= max_bytes):
                record = ahead.popleft()
                size += len(record.data)
                records.append(record)
            taken = wanted(wanted(records, todo), book.held)
            todo.subtract(intervals_of(records))
            if taken:
                return taken
        return []

    async def _fill(self) -> bool:
        """Read ahead; return ``False`` when nothing is left."""
        epoch, seq, book = self._next()
        if book is None:
            self._cursor = None  # and the segment's bytes with it
            return False
        self._ahead_epoch = epoch
        memory = self._source.in_memory(epoch, seq, STRIDE)
        if memory:
            self._ahead.extend(wanted(memory, self._todo[epoch]))
            return True
        segment = book.segment_of(seq)
        if segment is None:
            # Held by nobody: it went between two looks (a write is being entered into the books).
            self._todo[epoch].remove(seq, seq)
            return True
        cursor = self._cursor
        if (
            cursor is None
            or cursor.segment is not segment
            or cursor.before >= seq
            or cursor.place >= len(cursor.data)
        ):
            self._cursor = cursor = await self._at(segment, seq)
            if cursor is None:
                self._todo[epoch].subtract(segment.held.pairs())
                return True
        held = segment.held.within(cursor.before + 1, cursor.end)
        piece = await self._source.stride(cursor)
        if segment.gone:
            self._cursor = None
            return True
        missing = held.within(cursor.before + 1, piece.passed)
        missing.subtract(intervals_of(piece.records))
        cursor.before, cursor.place = piece.before, piece.place
        missing = missing.common(segment.held)
        if missing:
            self._source.lost(segment, missing, GapReason.DAMAGED)
        self._ahead.extend(wanted(piece.records, self._todo[epoch]))
        return True

    async def _at(self, segment: Segment, seq: int) -> Cursor | None:
        before, place = segment.place_of(seq)
        last, end = segment.held.last, segment.end
        data = await self._source.load(segment, place, end)
        return None if data is None else Cursor(segment, before, 0, last, data)

    def _next(self) -> tuple[int, int, EpochBook | None]:
        """Return (epoch, seq, book) of the oldest that is still wanted."""
        for epoch in self._order:
            todo = self._todo.get(epoch)
            book = self._source.book(epoch)
            if not todo:
                continue
            if book is None:
                del self._todo[epoch]
                continue
            both = todo.common(book.held)
            if both:
                return epoch, both.first, book
            del self._todo[epoch]
        return 0, 0, None
