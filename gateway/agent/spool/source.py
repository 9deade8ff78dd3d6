"""Where a backlog reader's records come from: memory, or a segment read in the reader's thread.

Owns what damage found on the way means: what a segment should hold and does not give is lost, and
told; its file is not used again.
"""

import errno
import logging
import os

from gateway.agent.spool.disk import Disk
from gateway.agent.spool.epochs import EpochBook, Segment
from gateway.agent.spool.gaps import losses_of
from gateway.agent.spool.holdings import Holdings
from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.reader import Cursor, Piece, load, stride
from gateway.agent.spool.threads import DiskThreads
from gateway.event import EventKind
from gateway.wire.message import GapReason
from gateway.wire.record import Record

logger = logging.getLogger(__name__)


class SpoolSource:
    """The spool as a `reader.Source`."""

    def __init__(self, holdings: Holdings, disk: Disk, threads: DiskThreads) -> None:
        self._holdings = holdings
        self._disk = disk
        self._threads = threads

    def book(self, epoch: int) -> EpochBook | None:
        """Return the book of an epoch that still has unacked records."""
        book = self._holdings.books.get(epoch)
        return book if book is not None and book.held else None

    def in_memory(self, epoch: int, first: int, size: int) -> list[Record]:
        """Return records of RAM from seq `first` on, [] if it is on disk."""
        if epoch != self._holdings.current.epoch:
            return []
        return self._holdings.memory.records_from(first, size)

    async def load(self, segment: Segment, place: int, end: int) -> bytes | None:
        """Read a segment's records in the reader's thread; ``None`` if that cannot be done now."""
        try:
            return await self._threads.read(load, self._disk, segment, place, end)
        except OSError as error:
            self._holdings.stats.read_failures += 1
            logger.warning("spool segment unreadable path=%s why=%s", segment.path, error)
            if error.errno == errno.ENOENT and not segment.gone:
                self.lost(segment, segment.held.copy(), GapReason.DAMAGED)
            return None

    async def stride(self, cursor: Cursor) -> Piece:
        """Take the next records at a cursor, in the reader's thread."""
        return await self._threads.read(stride, cursor)

    def lost(self, segment: Segment, seqs: Intervals, reason: GapReason) -> None:
        """Let go of seqs a segment should hold and does not."""
        if segment.flaw is None:
            segment.flaw = "damaged records"
            self._holdings.stats.quarantined += 1
            name = os.path.basename(segment.path)
            logger.warning("spool records damaged file=%s records=%d", name, seqs.count())
            self._holdings.event(EventKind.SPOOL_DAMAGED, file=name, records=seqs.count())
        for gap in losses_of(segment.header.epoch, seqs, (), reason):
            self._holdings.lose(gap)
