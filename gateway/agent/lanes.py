"""The two lanes of a session: live records at once, the backlog while there is credit for it.

Owns which record is offered when, and that its schema was announced before; never writes to the
connection and never waits for the disk in the way of a live record: the backlog is read by a task
of its own (`feed`).
"""

import asyncio
import logging
from collections.abc import Callable

from gateway.agent.spool.reader import BacklogReader
from gateway.agent.spool.spool import Spool
from gateway.process.clock import Clock
from gateway.wire.message import Interval, Lane
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import payload_sid
from gateway.wire.sender import Sender

logger = logging.getLogger(__name__)

BACKLOG_PIECE = 64 * 1024
"""Most bytes of records read from the spool at once; the credit is usually less."""


class Lanes:
    """Offers records to the sender. `written` is called when there is something to write."""

    def __init__(
        self, sender: Sender, spool: Spool, clock: Clock, written: Callable[[], None]
    ) -> None:
        self._sender = sender
        self._spool = spool
        self._clock = clock
        self._written = written
        self._credit = asyncio.Event()
        self._announced: set[tuple[int, int]] = set()
        self._reader: BacklogReader | None = None
        self._backlog = False

    def open(self) -> None:
        """Begin: everything unacked now is backlog, everything from now on is live."""
        self._reader = self._spool.reader()
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
        self._announce(epoch, record)
        if self._sender.offer(epoch, (record,), Lane.LIVE, self._clock.now()):
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
                await self._credit.wait()
                continue
            self._backlog = False  # set again by whoever adds while we read
            epoch, records = await self._reader.read(min(credit, BACKLOG_PIECE))
            self._backlog = self._backlog or bool(records)
            for record in records:
                self._announce(epoch, record)
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

    def _announce(self, epoch: int, record: Record) -> None:
        if record.kind != RecordKind.ROWS:
            return
        sid = payload_sid(record.payload)
        if sid is None or (epoch, sid) in self._announced:
            return
        schema = self._spool.schemas(epoch).get(sid)
        if schema is None:
            logger.error("schema lost epoch=%016x sid=%d", epoch, sid)
            return
        self._sender.announce(epoch, sid, schema)
        self._announced.add((epoch, sid))
