"""The spool: every record until the centre has it, in memory first, on disk when it must be.

Owns the API the daemon and the uplink use. What is acked within `commit_s` never touches the disk,
what is not is committed in groups (`docs/spool.md`). Everything here belongs to the event loop's
thread and never waits for the disk, except `open`.
"""

import os
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress

from gateway.agent.spool.disk import Disk
from gateway.agent.spool.epochs import EpochBook
from gateway.agent.spool.gaps import losses_of
from gateway.agent.spool.holdings import Holdings
from gateway.agent.spool.keeper import Keeper
from gateway.agent.spool.opening import MIN_SEGMENT_BYTES
from gateway.agent.spool.reader import BacklogReader
from gateway.agent.spool.segment import SegmentHeader, encode_header
from gateway.agent.spool.source import SpoolSource
from gateway.agent.spool.stats import SpoolLevels, SpoolStats
from gateway.agent.spool.threads import DiskStuckError, DiskThreads
from gateway.config.agent import SpoolSettings
from gateway.errors import SpoolError
from gateway.event import Event
from gateway.process.clock import Clock
from gateway.wire.limits import MAX_SID
from gateway.wire.message import Backlog, EpochState, GapReason, Interval
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import pack_end

MAX_HEADER = MIN_SEGMENT_BYTES // 8
"""Bytes of a segment's header: what the schemas of one epoch may take, compressed."""


class Spool:
    """The durable queue of one gateway. One process at a time per directory.

    Never lost: what is committed or acked. A kill or power cut costs at most what was appended in
    the last `commit_s` plus one flush and not acked; whatever is lost otherwise is a GAP record.
    """

    def __init__(
        self,
        settings: SpoolSettings,
        gateway_id: str,
        boot_id: bytes,
        clock: Clock,
        epoch: int,
        disk: Disk,
    ) -> None:
        """Use `open`."""
        self._settings = settings
        self._gateway_id = gateway_id
        self._clock = clock
        self._book = EpochBook(epoch, boot_id, 0)
        self._schemas: tuple[tuple[int, bytes], ...] = ()
        self._holdings = Holdings(self._book, clock, refuse_newest=settings.policy == "drop_newest")
        threads = DiskThreads()
        self._source = SpoolSource(self._holdings, disk, threads)
        self._keeper = Keeper(
            settings, gateway_id, disk, clock, self._holdings, threads, self._header
        )

    @classmethod
    def open(
        cls,
        settings: SpoolSettings,
        gateway_id: str,
        boot_id: bytes,
        clock: Clock,
        *,
        disk: Disk | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> "Spool":
        """Recover the directory, whatever it holds, and begin a new epoch. Blocking.

        A directory that cannot be used (read-only, full, not ours) is told as an event and the
        spool runs from memory until it can. Events wait until `on_event` is set.

        Raises: SpoolError when another process has the directory.
        """
        epoch = int.from_bytes(random(8), "little")
        spool = cls(settings, gateway_id, boot_id, clock, epoch, disk or Disk())
        spool._keeper.open()
        return spool

    def _header(self, index: int, first_seq: int) -> SegmentHeader:
        """Make a segment's header (called from the writer's thread)."""
        book = self._book
        return SegmentHeader(
            self._gateway_id,
            book.epoch,
            book.boot_id,
            book.ordinal,
            index,
            first_seq,
            self._clock.boottime_ns(),
            self._schemas,
        )

    # -- writing -------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """This process's epoch: a random u64, new at every open."""
        return self._book.epoch

    @property
    def next_seq(self) -> int:
        """The seq the next record gets."""
        return self._book.next_seq

    def append(self, kind: int, readings: int, payload: bytes, *, urgent: bool = False) -> Record:
        """Number a record and keep it in memory. Never blocks, never fails for want of space.

        `urgent` asks for a flush at once (trouble events), within a token bucket of 1/s, burst 10.
        When memory is full (disk stalled, refusing or full) `policy` says which record goes; it
        becomes part of a GAP record. The record returned can be sent in any case.

        Raises: ValueError past the record's limits; SpoolError after `end`.
        """
        if self._holdings.ended:
            raise SpoolError(f"record of kind {kind} appended after the epoch's END (a bug)")
        record = self._holdings.append(kind, readings, payload)
        self._keeper.appended(urgent=urgent)
        return record

    def add_schema(self, schema: bytes) -> int:
        """Return the sid of an encoded schema in this epoch; call it before the first record of it.

        Idempotent. Raises: SpoolError when the epoch's schemas no longer fit a segment's header.
        """
        for sid, known in self._schemas:
            if known == schema:
                return sid
        sid = len(self._schemas) + 1
        schemas = (*self._schemas, (sid, schema))
        before, self._schemas = self._schemas, schemas
        size = len(encode_header(self._header(1 << 30, 1 << 62)))
        if size > MAX_HEADER or sid > MAX_SID:
            self._schemas = before
            raise SpoolError(
                f"schema {sid} of this epoch: all of them take {size} bytes compressed, the limit "
                f"is {MAX_HEADER}; restart the gateway to begin a new epoch, or poll fewer points"
            )
        self._book.schemas[sid] = schema
        self._keeper.roll = True
        return sid

    def end(self) -> Record:
        """Append END, the last record of a clean stop, and begin the last flush.

        Call it before the last messages are sent, so that the centre can know the epoch complete.
        """
        if self._holdings.ended:
            raise SpoolError("the epoch has ended already (a bug)")
        record = self.append(RecordKind.END, 0, pack_end())
        self._holdings.ended = True
        self._keeper.hurry()
        return record

    # -- acks ----------------------------------------------------------------------------------

    def ack(self, epoch: int, intervals: Iterable[Interval]) -> None:
        """Let go of what the centre has committed; costs no write. Unknown seqs are ignored."""
        self._holdings.ack(epoch, intervals)

    def give_up(
        self,
        epoch: int,
        intervals: Iterable[Interval],
        text: str,
        reason: GapReason = GapReason.DEAD_LETTER,
    ) -> None:
        """Let go of records the centre will never take: kept aside in quarantine, told as a GAP."""
        book = self._holdings.books.get(epoch)
        for first, last in intervals if book is not None else ():
            held = book.held.within(first, last) if book is not None else None
            if not held or book is None:
                continue
            records = [r for r in self._memory_records(epoch) if r.seq in held]
            if records:
                name = f"refused-{epoch:016x}-{records[0].seq:08x}.records"
                self._keeper.keep_aside(name, b"".join(r.data for r in records))
            for segment in book.segments:
                if segment.held.common(held):
                    segment.flaw = segment.flaw or f"records given up: {text[:64]}"
            for gap in losses_of(epoch, held, records, reason):
                self._holdings.lose(gap)

    def _memory_records(self, epoch: int) -> list[Record]:
        if epoch != self.epoch:
            return []
        return [waiting.record for waiting in self._holdings.memory]

    # -- what there is -------------------------------------------------------------------------

    def schemas(self, epoch: int) -> Mapping[int, bytes]:
        """Return sid → encoded schema of an epoch that still has records (or is current)."""
        book = self._holdings.books.get(epoch)
        return {} if book is None else book.schemas

    def epochs(self) -> tuple[EpochState, ...]:
        """Return every epoch with unacked records, oldest first, the current one last.

        The intervals are exactly what can still be sent. Bounded by the wire's limits: past
        `MAX_EPOCHS` the newest old ones wait for a later session; past `MAX_INTERVALS` the
        smallest holes are claimed too (the centre has those seqs, or a GAP record tells of them).
        """
        return self._holdings.states()

    def backlog(self) -> Backlog:
        """Return how much is unacked, in flight or not; bytes on disk are estimated by share."""
        holdings = self._holdings
        size = holdings.memory.size
        records = oldest_ns = 0
        books = list(holdings.books.values())  # copies: the metrics listener's thread asks too
        for book in books:
            records += book.held.count()
            size += sum(segment.held_bytes for segment in list(book.segments))
        for segment in list(self._book.segments):
            if segment.held:
                oldest_ns = segment.first_ns or segment.header.created_ns
                break
        else:
            oldest_ns = holdings.memory.oldest_ns
        others = any(book.held for book in books if book is not self._book)
        return Backlog(records, size, 0 if others else oldest_ns)

    def held_epochs(self) -> frozenset[int]:
        """Return every epoch with unacked records, whether `epochs` has room for it or not."""
        return frozenset(book.epoch for book in self._holdings.books.values() if book.held)

    def reader(self, listed: Container[int] | None = None) -> BacklogReader:
        """Return a reader of everything unacked now, oldest first; `listed`: of these epochs only.

        Records appended later are not in it: send them live, and `add` what finds no credit.
        """
        books = [b for b in self._holdings.books.values() if listed is None or b.epoch in listed]
        return BacklogReader(self._source, [(book.epoch, book.held.copy()) for book in books])

    @property
    def stats(self) -> SpoolStats:
        """The counters since the spool was opened."""
        return self._holdings.stats

    def levels(self) -> SpoolLevels:
        """Return how full the spool is now."""
        holdings = self._holdings
        writer = self._keeper.writer
        pool = writer.pool if writer is not None else None
        return SpoolLevels(
            memory_records=len(holdings.memory),
            memory_bytes=holdings.memory.bytes,
            segments=sum(len(book.segments) for book in list(holdings.books.values())),
            free_segments=pool.free if pool else 0,
            disk_bytes=pool.size if pool else 0,
            max_bytes=pool.max_bytes if pool else 0,
            epochs=len(holdings.books),
            on_disk=pool is not None,
        )

    @property
    def on_event(self) -> Callable[[Event], None] | None:
        """Who gets the spool's events (full, damaged, write failed); setting it hands over those
        that waited. Called in the event loop's thread; it may append to the spool."""
        return self._holdings.on_event

    @on_event.setter
    def on_event(self, listener: Callable[[Event], None] | None) -> None:
        self._holdings.listen(listener)

    @property
    def on_own_record(self) -> Callable[[Record], None] | None:
        """Who is shown the GAP records that the spool appends itself, to send them live."""
        return self._holdings.on_own_record

    @on_own_record.setter
    def on_own_record(self, listener: Callable[[Record], None] | None) -> None:
        self._holdings.on_own_record = listener

    # -- the task ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit what is due, for ever: a task of the daemon's TaskGroup."""
        await self._keeper.run()

    async def flush(self) -> None:
        """Commit everything that is unacked now. Returns also when the disk refuses it."""
        with suppress(DiskStuckError):
            await self._keeper.commit()

    async def close(self, *, clean: bool) -> None:
        """Flush and let go of the directory; `clean` appends END first, if `end` did not.

        Cancel `run` before. Ends within `keeper.LEAVE_S` of `end` (or of the call) whatever the
        disk does; what was not flushed then is for the centre to miss.
        """
        if clean and not self._holdings.ended:
            self.end()
        await self._keeper.close()
