"""What a driver remembers in the place of a spool: records that are not acked, in memory.

Owns numbering and forgetting. What does not fit is lost: a driver is no agent, and says so with a
GAP record as an agent would.
"""

import secrets
from collections import deque

from gateway.event import Event
from gateway.reading import Row, Schema
from gateway.wire.message import (
    Backlog,
    ClockReading,
    EpochState,
    Gap,
    GapReason,
    Interval,
)
from gateway.wire.record import Record, RecordKind, epoch_seed, pack
from gateway.wire.rows import (
    encode_schema,
    pack_anchor,
    pack_end,
    pack_event,
    pack_gap,
    pack_rows,
)

SID = 1
LIMIT = 4096
"""Records kept; at two a second more than half an hour."""


class Memory:
    """Records of one epoch. `schema`: the only one its rows have."""

    def __init__(self, boot_id: bytes, schema: Schema) -> None:
        self.boot_id = boot_id
        self.epoch = secrets.randbits(64)
        self.next_seq = 1
        self.schema = encode_schema(schema)
        self._schema = schema
        self._seed = epoch_seed(self.epoch)
        self._waiting: deque[Record] = deque()

    def rows(self, *rows: Row) -> Record:
        """Remember readings."""
        readings = sum(len(row.values) for row in rows)
        return self._add(RecordKind.ROWS, readings, pack_rows(SID, rows, self._schema))

    def event(self, event: Event) -> Record:
        """Remember a change of state."""
        return self._add(RecordKind.EVENT, 0, pack_event(event))

    def anchor(self, reading: ClockReading) -> Record:
        """Remember an instant on both clocks."""
        return self._add(RecordKind.ANCHOR, 0, pack_anchor(reading))

    def end(self) -> Record:
        """Close the epoch."""
        return self._add(RecordKind.END, 0, pack_end())

    def ack(self, epoch: int, intervals: tuple[Interval, ...]) -> None:
        """Forget what the centre has."""
        if epoch == self.epoch:
            self._waiting = deque(
                record
                for record in self._waiting
                if not any(first <= record.seq <= last for first, last in intervals)
            )

    def waiting(self, after: int = 0) -> list[Record]:
        """Return what is not acked, behind seq `after`."""
        return [record for record in self._waiting if record.seq > after]

    def state(self) -> EpochState:
        """Return what `Hello` says of the epoch."""
        seqs = [record.seq for record in self._waiting]
        available: list[Interval] = []
        for seq in seqs:
            if available and available[-1][1] == seq - 1:
                available[-1] = (available[-1][0], seq)
            else:
                available.append((seq, seq))
        return EpochState(self.epoch, self.boot_id, self.next_seq, tuple(available))

    def backlog(self) -> Backlog:
        """Return what waits."""
        return Backlog(len(self._waiting), sum(len(r.data) for r in self._waiting), 0)

    def _add(self, kind: int, readings: int, payload: bytes) -> Record:
        if len(self._waiting) >= LIMIT:
            self._lose(LIMIT // 8)
        record = pack(self._seed, self.next_seq, kind, readings, payload)
        self.next_seq += 1
        self._waiting.append(record)
        return record

    def _lose(self, count: int) -> None:
        """Make room, and say what is gone."""
        gone = [self._waiting.popleft() for _ in range(count)]
        gap = Gap(
            self.epoch,
            gone[0].seq,
            gone[-1].seq,
            GapReason.QUOTA,
            0,
            0,
            sum(record.readings for record in gone),
        )
        self._add(RecordKind.GAP, 0, pack_gap(gap))
