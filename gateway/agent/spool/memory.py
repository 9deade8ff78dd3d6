"""Records that are not on disk (yet): waiting for an ack or for their commit.

Owns the memory the spool may use while the disk stalls, refuses or is full. Never decides what is
lost when that is not enough. Pure.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from gateway.wire.message import Interval
from gateway.wire.record import Record

MEMORY_BYTES = 4 * 1024 * 1024
"""The bound, counted as record plus `RECORD_OVERHEAD`: 12,000 poll rows of 11 readings, 12 minutes
of a site of 16 rows a second."""
RECORD_OVERHEAD = 280
"""Bytes Python takes around a record's data."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record and when it was appended (ns of CLOCK_BOOTTIME)."""

    record: Record
    at_ns: int

    @property
    def cost(self) -> int:
        """Bytes of memory it is counted as."""
        return len(self.record.data) + RECORD_OVERHEAD


class Memory:
    """Unacked records in RAM by seq, ascending; those a commit is writing are kept apart."""

    def __init__(self) -> None:
        self._pending: dict[int, Waiting] = {}
        self._writing: dict[int, Waiting] = {}
        self.bytes = 0
        self.limit = MEMORY_BYTES

    def __len__(self) -> int:
        return len(self._pending) + len(self._writing)

    def __iter__(self) -> Iterator[Waiting]:
        return chain(self._writing.values(), self._pending.values())

    @property
    def idle(self) -> bool:
        """Whether nothing waits for a commit to begin."""
        return not self._pending

    @property
    def oldest_pending_ns(self) -> int:
        """When the oldest record that no commit is writing was appended. Raises: StopIteration."""
        return next(iter(self._pending.values())).at_ns

    @property
    def oldest_ns(self) -> int:
        """When the oldest record was appended, 0 if there is none (or it just went)."""
        for part in (self._writing, self._pending):
            with suppress(StopIteration, RuntimeError):  # the metrics listener's thread asks too
                return next(iter(part.values())).at_ns
        return 0

    @property
    def size(self) -> int:
        """Bytes of the records alone."""
        return self.bytes - RECORD_OVERHEAD * len(self)

    def put(self, record: Record, at_ns: int) -> None:
        """Keep a record; seqs ascend."""
        waiting = Waiting(record, at_ns)
        self._pending[record.seq] = waiting
        self.bytes += waiting.cost

    def has_room(self, record: Record) -> bool:
        """Tell whether the bound allows one more record."""
        return self.bytes + len(record.data) + RECORD_OVERHEAD <= self.limit

    def drop_oldest(self) -> Waiting | None:
        """Let go of the oldest record that no commit is writing."""
        for seq in self._pending:
            waiting = self._pending.pop(seq)
            self.bytes -= waiting.cost
            return waiting
        return None

    def drop(self, intervals: Iterable[Interval]) -> int:
        """Let go of records (acked, or safe on disk); return how many were here."""
        count = 0
        for first, last in intervals:
            for part in (self._writing, self._pending):
                if last - first < len(part):
                    seqs: Iterable[int] = range(first, last + 1)
                else:
                    seqs = [seq for seq in part if first <= seq <= last]
                for seq in seqs:
                    waiting = part.pop(seq, None)
                    if waiting is not None:
                        self.bytes -= waiting.cost
                        count += 1
        return count

    def take(self) -> list[Record]:
        """Return what waits for a commit; until `settle` it counts as being written."""
        assert not self._writing
        self._writing, self._pending = self._pending, {}
        return [waiting.record for waiting in self._writing.values()]

    def settle(self) -> None:
        """Let what the commit did not keep wait again."""
        self._pending = self._writing | self._pending
        self._writing = {}

    def records_from(self, seq: int, size: int) -> list[Record]:
        """Return about `size` bytes of records from `seq` on, [] when `seq` itself is not here."""
        if seq not in self._writing and seq not in self._pending:
            return []
        records = []
        for waiting in self:
            if waiting.record.seq >= seq:
                records.append(waiting.record)
                size -= len(waiting.record.data)
                if size <= 0:
                    break
        return records
