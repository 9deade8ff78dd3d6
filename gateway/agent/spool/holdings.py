"""What is unacked and where: books, memory, losses, counters.

Owns every change to them, so that a seq is always in exactly one place or told as lost. Never
touches a file or waits; used by the event loop's thread only.
"""

from collections import deque
from collections.abc import Callable, Iterable

from gateway.agent.spool.epochs import EpochBook, Segment
from gateway.agent.spool.gaps import Losses
from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.memory import Memory
from gateway.agent.spool.stats import SpoolStats
from gateway.event import Event, EventKind, Scalar
from gateway.process.clock import Clock
from gateway.wire.limits import MAX_EPOCHS, MAX_INTERVALS
from gateway.wire.message import EpochState, Gap, GapReason, Interval
from gateway.wire.record import Record, RecordKind, epoch_seed, pack
from gateway.wire.rows import pack_gap, unpack_gap

MAX_EVENTS = 64
"""Events kept until someone listens."""


class Holdings:
    """The books of one spool. `refuse_newest`: which records go when memory is full."""

    def __init__(self, book: EpochBook, clock: Clock, *, refuse_newest: bool) -> None:
        self.current = book
        self.books: dict[int, EpochBook] = {book.epoch: book}
        self.memory = Memory()
        self.losses = Losses()
        self.stats = SpoolStats()
        self.ended = False
        """Whether END was appended: nothing may follow it in this epoch."""
        self.full = False
        """Whether records were let go for want of space, and none was free since."""
        self.emptied: list[tuple[EpochBook, Segment]] = []
        """Segments that hold nothing any more; their files can be given back."""
        self.on_own_record: Callable[[Record], None] | None = None
        self.on_work: Callable[[], None] = _nothing
        self._clock = clock
        self._seed = epoch_seed(book.epoch)
        self._refuse_newest = refuse_newest
        self.on_event: Callable[[Event], None] | None = None
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)

    # -- records -------------------------------------------------------------------------------

    def append(self, kind: int, readings: int, payload: bytes) -> Record:
        """Number a record and keep it, or let one go when memory is full."""
        book = self.current
        record = pack(self._seed, book.next_seq, kind, readings, payload)
        book.next_seq += 1
        self.stats.appended_records += 1
        self.stats.appended_readings += readings
        at_ns = self._clock.boottime_ns()
        while not self.memory.has_room(record):
            oldest = None if self._refuse_newest else self.memory.drop_oldest()
            if oldest is None:
                self._lose_record(record, at_ns)
                return record
            book.held.remove(oldest.record.seq, oldest.record.seq)
            self._lose_record(oldest.record, oldest.at_ns)
        book.held.add(record.seq, record.seq)
        self.memory.put(record, at_ns)
        return record

    def append_own(self, kind: int, payload: bytes) -> Record:
        """Append a record the spool makes itself, and show it to the uplink."""
        record = self.append(kind, 0, payload)
        if self.on_own_record is not None:
            self.on_own_record(record)
        return record

    def tell_losses(self) -> None:
        """Turn what was lost into GAP records, as far as memory has room for them.

        After END it is the centre that finds the loss: the epoch is over, and nobody has the seqs.
        """
        for gap in () if self.ended else self.losses.take():
            payload = pack_gap(gap)
            if self.memory.bytes + len(payload) + 1024 > self.memory.limit:
                self.losses.note(gap)
            else:
                self.append_own(RecordKind.GAP, payload)

    def _lose_record(self, record: Record, at_ns: int) -> None:
        reason = GapReason.WRITE_FAILED
        if self._refuse_newest and self.full:
            reason = GapReason.NEWEST_REFUSED
        elif self.full:
            reason = GapReason.QUOTA
        gap = Gap(self.current.epoch, record.seq, record.seq, reason, at_ns, at_ns, record.readings)
        self._count_lost(gap)
        self.tell_again(record)
        self.losses.note(gap)

    def tell_again(self, record: Record) -> None:
        """Before a GAP record itself is lost, remember what it told."""
        if record.kind == RecordKind.GAP:
            self.losses.note(unpack_gap(record.payload))

    # -- acks and losses -----------------------------------------------------------------------

    def ack(self, epoch: int, intervals: Iterable[Interval]) -> None:
        """Let go of what the centre has; unknown epochs and seqs are none of ours."""
        book = self.books.get(epoch)
        if book is None:
            return
        pairs = list(intervals)
        for first, last in pairs:
            held = book.held.within(first, last)
            if not held:
                continue
            self.stats.acked_records += held.count()
            if book is self.current:
                self.stats.never_written_records += self.memory.drop(held.pairs())
            self._drop(book, held)
        if self.losses:
            self.losses.forgive(epoch, Intervals(pairs))

    def lose(self, gap: Gap) -> None:
        """Let go of records for good and tell the centre so."""
        book = self.books.get(gap.epoch)
        if book is not None:
            part = book.held.within(gap.first, gap.last)
            if book is self.current:
                self.memory.drop(part.pairs())
            self._drop(book, part)
        self._count_lost(gap)
        self.losses.note(gap)
        self.on_work()

    def _count_lost(self, gap: Gap) -> None:
        reason = GapReason(gap.reason).name.lower()
        lost = self.stats.lost_records
        lost[reason] = lost.get(reason, 0) + gap.last - gap.first + 1

    def _drop(self, book: EpochBook, seqs: Intervals) -> None:
        for first, last in seqs:
            self.emptied += [(book, segment) for segment in book.drop(first, last)]
        if self.emptied:
            self.on_work()
        elif not book.held and book is not self.current:
            self.books.pop(book.epoch, None)

    # -- segments ------------------------------------------------------------------------------

    def kept(self, segment: Segment, intervals: Iterable[Interval]) -> None:
        """Enter records that are now safe in a segment of the current epoch."""
        book = self.current
        for first, last in intervals:
            held = book.held.within(first, last)
            for other in book.segments if held else ():
                if other is not segment and other.held:
                    other.held.subtract(held.pairs())
            segment.held.update(held.pairs())
            self.memory.drop(held.pairs())
            self.memory.drop([(first, last)])

    def sweep(self, active: Segment | None) -> None:
        """Note segments that were empty from the start, or emptied while they were the newest.

        Their records were acked while a commit wrote them; no later ack would find them.
        """
        for segment in self.current.segments:
            if segment is not active and not segment.held:
                self.emptied.append((self.current, segment))
        if self.emptied:
            self.on_work()

    def forget(self, book: EpochBook, segment: Segment) -> None:
        """Take a segment out of the books; its file is about to be given back."""
        segment.gone = True
        if segment in book.segments:
            book.segments.remove(segment)
        if not book.held and book is not self.current:
            self.books.pop(book.epoch, None)

    def oldest_segment(self, active: Segment | None) -> tuple[EpochBook, Segment] | None:
        """Return the oldest segment that could be evicted."""
        for book in self.books.values():
            for segment in book.segments:
                if segment is not active and segment.held:
                    return book, segment
        return None

    def merge(self, books: Iterable[EpochBook], ordinal: int) -> None:
        """Put the epochs found in a directory before the current one."""
        self.current.ordinal = ordinal
        mine = self.books
        self.books = {book.epoch: book for book in books if book.epoch not in mine} | mine

    def states(self) -> tuple[EpochState, ...]:
        """Return the epochs for `Hello`: what the wire can list, oldest first, current last."""
        books = [b for b in self.books.values() if b.held and b is not self.current]
        books = [*books[: MAX_EPOCHS - 1], self.current]
        share = max(1, MAX_INTERVALS // len(books))
        return tuple(_state(book, share) for book in books)

    # -- events --------------------------------------------------------------------------------

    def listen(self, on_event: Callable[[Event], None] | None) -> None:
        """Hand events to `on_event`, first those that waited."""
        self.on_event = on_event
        while on_event is not None and self._events:
            on_event(self._events.popleft())

    def event(self, kind: EventKind, **fields: Scalar) -> None:
        """Tell a change of state, unless the epoch has ended."""
        if self.ended:
            return
        event = Event.make(kind, self._clock.boottime_ns(), **fields)
        if self.on_event is not None:
            self.on_event(event)
        else:
            self._events.append(event)


def _state(book: EpochBook, limit: int) -> EpochState:
    """Past `limit` intervals the smallest holes are claimed too: the centre has those seqs, or a
    GAP record that says where they went."""
    state = book.state
    pairs = list(state.available)
    if len(pairs) > limit:
        gaps = sorted(
            range(1, len(pairs)), key=lambda i: pairs[i][0] - pairs[i - 1][1], reverse=True
        )
        cuts = sorted(gaps[: limit - 1])
        starts = [0, *cuts]
        ends = [*cuts, len(pairs)]
        pairs = [(pairs[a][0], pairs[b - 1][1]) for a, b in zip(starts, ends, strict=True)]
    return EpochState(book.epoch, book.boot_id, book.next_seq, tuple(pairs))


def _nothing() -> None:
    """Nobody keeps the spool yet."""
