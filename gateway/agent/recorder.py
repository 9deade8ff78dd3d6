"""Turn rows, events and anchors into records of the spool, and show each to the uplink at once.

Owns the schema in force and the batch (`uplink.batch_s`); runs in the event loop only. A record
is in the spool before anyone else sees it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.agent.latest import Latest
from gateway.agent.metrics import Metrics
from gateway.agent.spool.spool import Spool
from gateway.event import TROUBLE, Event
from gateway.reading import Quality, Row, Schema
from gateway.wire.message import ClockReading
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import RowsBatch, encode_schema, pack_anchor, pack_event

logger = logging.getLogger(__name__)

Live = Callable[[Record], None]


class Observer(Protocol):
    """Who looks at what is recorded (the host's readings)."""

    def rows(self, schema: Schema, rows: Sequence[Row]) -> None:
        """These readings were made."""

    def trouble(self, event: Event) -> None:
        """This event of `TROUBLE` was recorded."""


class Recorder:
    """The one way into the spool. `live` is where new records are offered (the uplink)."""

    def __init__(self, spool: Spool, metrics: Metrics, batch_s: float) -> None:
        self._spool = spool
        self._metrics = metrics
        self._batch: RowsBatch | None = None
        self._schema: Schema | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.batch_s = batch_s
        self.live: Live = _nobody
        self.latest = Latest()
        """The last reading of every point, for the control socket."""
        self.observer: Observer | None = None
        self.readings = 0
        """Readings recorded, good or bad."""
        self._ended = False
        spool.on_own_record = self._show

    def use_schema(self, schema: Schema) -> None:
        """Make rows mean `schema` from now on; what was gathered before keeps the old one."""
        if schema == self._schema:
            return
        self.flush()
        self._schema = schema
        self.latest.use_schema(schema)
        self._batch = RowsBatch(self._spool.add_schema(encode_schema(schema)), schema)

    def rows(self, rows: Sequence[Row]) -> None:
        """Record readings: at once, or `batch_s` after the first of a batch."""
        if self._batch is None or self._schema is None:
            logger.error("rows without a schema dropped=%d", len(rows))
            return
        self._count(rows)
        self.latest.rows(rows)
        if self.observer is not None:
            self.observer.rows(self._schema, rows)
        for readings, payload in self._batch.add(rows):
            self._append(RecordKind.ROWS, readings, payload)
        if self.batch_s <= 0:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.batch_s, self.flush)

    def flush(self) -> None:
        """Record what the batch has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch is not None:
            for readings, payload in self._batch.take():
                self._append(RecordKind.ROWS, readings, payload)

    def event(self, event: Event) -> None:
        """Record a change of state; trouble goes to disk at once."""
        self._metrics.events.labels(event.kind.value).inc()
        self._append(RecordKind.EVENT, 0, pack_event(event), urgent=event.kind in TROUBLE)
        if self.observer is not None and event.kind in TROUBLE:
            self.observer.trouble(event)

    def anchor(self, reading: ClockReading) -> None:
        """Record one instant on both clocks."""
        self._metrics.anchors.inc()
        self._append(RecordKind.ANCHOR, 0, pack_anchor(reading))

    def end(self) -> int:
        """Close the epoch with its last record and return how many records it has; what comes
        later is only logged."""
        self.flush()
        self._ended = True
        record = self._spool.end()
        self.live(record)
        return record.seq

    def _append(self, kind: int, readings: int, payload: bytes, *, urgent: bool = False) -> None:
        if self._ended:
            logger.debug("record after the end kind=%d", kind)
            return
        self.readings += readings
        self._show(self._spool.append(kind, readings, payload, urgent=urgent))

    def _show(self, record: Record) -> None:
        self.live(record)

    def _count(self, rows: Sequence[Row]) -> None:
        good = 0
        for row in rows:
            if row.causes is None:
                good += len(row.values)
                continue
            for cause, count in Counter(row.causes).items():
                if cause.quality is Quality.GOOD:
                    good += count
                    continue
                self._metrics.readings.labels(cause.quality.name.lower()).inc(count)
                self._metrics.bad_readings.labels(cause.name.lower()).inc(count)
        if good:
            self._metrics.readings.labels("good").inc(good)


def _nobody(record: Record) -> None:
    """Before there is an uplink a record only waits in the spool."""
