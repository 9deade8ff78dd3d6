"""The two lanes of a session: live records at once, the backlog while there is credit for it.

Owns which record is offered when, that its schema was announced before, and when a session has to
make way for the next; never writes to the connection and never waits for the disk in the way of a
live record: the backlog is read by a task of its own (`feed`).
"""

import asyncio
import logging
from collections.abc import Callable

from gateway.agent.spool.reader import BacklogReader
from gateway.agent.spool.spool import Spool
from gateway.process.clock import Clock
from gateway.wire.limits import MAX_SCHEMAS
from gateway.wire.message import GapReason, Interval, Lane
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import rows_sid
from gateway.wire.sender import Sender

logger = logging.getLogger(__name__)

BACKLOG_PIECE = 64 * 1024
"""Most bytes of records read from the spool at once; the credit is usually less."""
LIVE_SCHEMAS = 16
"""Announcements of a session that the backlog leaves to the current epoch."""


class Lanes:
    """Offers records to the sender. `written` is called when there is something to write, `full`
    when what is left can only be sent in another session."""

    def __init__(
        self,
        sender: Sender,
        spool: Spool,
        clock: Clock,
        written: Callable[[], None],
        full: Callable[[str], None],
    ) -> None:
        self._sender = sender
        self._spool = spool
        self._clock = clock
        self._written = written
        self._full = full
        self._credit = asyncio.Event()
        self._listed = frozenset(state.epoch for state in sender.hello.epochs)
        self._announced: set[tuple[int, int]] = set()
        self._reader: BacklogReader | None = None
        self._backlog = False

    def open(self) -> None:
        """Begin: everything unacked now is backlog, everything from now on is live."""
        self._reader = self._spool.reader(self._listed)
        self._backlog = True
        self._credit.set()

    def close(self) -> None:
        """Offer nothing any more."""
        self._reader = None

    def live(self, record: Record) -> None:
        """Offer a new record at once, or leave it to the backlog when there is no credit."""
        if self._reader is None:
            return  # before Welcome: the backlog's snapshot will have it
        epoch = self._spool.epoch
        if self._announce(epoch, record) and self._sender.offer(
            epoch, (record,), Lane.LIVE, self._clock.now()
        ):
            self._written()
        else:
            self.again(epoch, (record.seq, record.seq))

    def again(self, epoch: int, interval: Interval) -> None:
        """Put records (back) into the backlog."""
        if self._reader is not None:
            self._reader.add(epoch, interval)
            self._backlog = True
            self._credit.set()

    def credit_changed(self) -> None:
        """Say that the centre answered: there may be credit again."""
        self._credit.set()

    async def feed(self) -> None:
        """Offer the backlog while there is credit for it, until cancelled."""
        while True:
            self._credit.clear()
            credit = self._sender.credit(Lane.BACKLOG)
            if self._reader is None or not self._backlog or credit <= 0:
                if self._reader is not None and not self._backlog and self._others_wait():
                    self._full("there are epochs that Hello did not list")
                await self._credit.wait()
                continue
            self._backlog = False  # set again by whoever adds while we read
            epoch, records = await self._reader.read(min(credit, BACKLOG_PIECE))
            self._backlog = self._backlog or bool(records)
            records = self._announced_of(epoch, records)
            while records:
                self._credit.clear()
                now = self._clock.now()
                taken = self._sender.offer(epoch, records, Lane.BACKLOG, now)
                if taken:
                    records = records[taken:]
                    self._written()
                    # Let it be written before more is offered: a live record may have come.
                    await asyncio.sleep(0)
                else:
                    await self._credit.wait()

    def _others_wait(self) -> bool:
        """Tell whether the spool holds epochs this session cannot send, and another session can:
        one that is listed is drained, so that the next list is not the same."""
        held = self._spool.held_epochs()
        if held <= self._listed:
            return False
        old = self._listed - {self._spool.epoch}
        return not old or not old <= held

    def _announced_of(self, epoch: int, records: list[Record]) -> list[Record]:
        """Announce what records of the backlog need; return those that can be sent.

        A record that nobody can read any more, because its schema went with its segment's header
        and trailer, is given up: offered, it would end every session.
        """
        ready: list[Record] = []
        schemas = self._spool.schemas(epoch)
        for record in records:
            sid = rows_sid(record.data)
            if record.kind == RecordKind.ROWS and (sid is None or sid not in schemas):
                logger.error("schema lost epoch=%016x seq=%d sid=%s", epoch, record.seq, sid)
                interval = (record.seq, record.seq)
                self._spool.give_up(epoch, [interval], "its schema is lost", GapReason.DAMAGED)
            elif self._announce(epoch, record):
                ready.append(record)
            else:
                break  # the rest is for the next session
        return ready

    def _announce(self, epoch: int, record: Record) -> bool:
        """See to it that a record's schema is announced; ``False``: not in this session."""
        sid = rows_sid(record.data) if record.kind == RecordKind.ROWS else None
        if sid is None or (epoch, sid) in self._announced:
            return True
        spare = 0 if epoch == self._spool.epoch else LIVE_SCHEMAS
        if len(self._announced) >= MAX_SCHEMAS - spare:
            self._full("one session announces no more schemas")
            return False
        self._sender.announce(epoch, sid, self._spool.schemas(epoch)[sid])
        self._announced.add((epoch, sid))
        return True
