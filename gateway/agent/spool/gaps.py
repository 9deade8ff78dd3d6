"""Losses: what the spool had to let go unacked, each told to the centre as a GAP record.

Owns the reasons, the merging of losses that touch, and the time and count of lost records. Never
decides to lose anything. Pure.
"""

from collections.abc import Iterable
from dataclasses import replace

import msgpack

from gateway.agent.spool.intervals import Intervals
from gateway.reading import TICK_NS
from gateway.wire.message import Gap, GapReason
from gateway.wire.record import Record, RecordKind

UNKNOWN = -1
"""Readings of a loss that cannot be counted."""
MAX_LOSSES = 256
"""Losses waiting to become GAP records; past that the two last of an epoch are merged."""


class Losses:
    """Losses not yet told, bounded; losses that touch are merged."""

    def __init__(self) -> None:
        self._waiting: list[Gap] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def note(self, loss: Gap) -> None:
        """Remember a loss."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.epoch == loss.epoch and last.last < loss.first:
            touching = last.reason == loss.reason and last.last + 1 == loss.first
            if touching or len(self._waiting) >= MAX_LOSSES:
                self._waiting[-1] = _merged(last, loss)
                return
        self._waiting.append(loss)

    def forgive(self, epoch: int, acked: Intervals) -> None:
        """Take back what the centre has after all (a live record acked after it was dropped)."""
        kept = []
        for loss in self._waiting:
            if loss.epoch != epoch or not acked.within(loss.first, loss.last):
                kept.append(loss)
                continue
            rest = Intervals([(loss.first, loss.last)])
            rest.subtract(acked)
            kept += [replace(loss, first=a, last=b, readings=UNKNOWN) for a, b in rest]
        self._waiting = kept

    def take(self) -> list[Gap]:
        """Return the waiting losses and forget them."""
        waiting, self._waiting = self._waiting, []
        return waiting


def _merged(one: Gap, other: Gap) -> Gap:
    known = one.readings >= 0 and other.readings >= 0
    return replace(
        one,
        last=other.last,
        from_ns=one.from_ns or other.from_ns,
        to_ns=other.to_ns or one.to_ns,
        readings=one.readings + other.readings if known else UNKNOWN,
    )


def losses_of(epoch: int, held: Intervals, found: Iterable[Record], reason: GapReason) -> list[Gap]:
    """Return one loss per interval of `held`, counted and dated from the records found of it.

    An interval of which a record is missing has a count that is unknown.
    """
    records = iter(found)
    record = next(records, None)
    losses = []
    for first, last in held:
        count = readings = from_ns = to_ns = 0
        while record is not None and record.seq < first:
            record = next(records, None)
        while record is not None and record.seq <= last:
            count += 1
            readings += record.readings
            time_ns = record_ns(record)
            from_ns = from_ns or time_ns
            to_ns = time_ns or to_ns
            record = next(records, None)
        whole = count == last - first + 1
        number = readings if whole else UNKNOWN
        losses.append(Gap(epoch, first, last, reason, from_ns, to_ns, number))
    return losses


def record_ns(record: Record) -> int:
    """Return a record's source time (ns of CLOCK_BOOTTIME), 0 if it has none."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(record.data))
    unpacker.feed(record.payload)
    try:
        size = unpacker.read_array_header()
        if record.kind == RecordKind.ROWS and size > 1:
            unpacker.skip()
            return int(unpacker.unpack()) * TICK_NS
        if record.kind == RecordKind.EVENT and size:
            return int(unpacker.unpack()) * TICK_NS
        if record.kind == RecordKind.ANCHOR and size:
            return int(unpacker.unpack())
    except (ValueError, TypeError, msgpack.UnpackException):
        pass  # not ours to judge: the time is unknown
    return 0
