"""CRCs of the records stored last of an epoch: is a record that comes again the same record?

Owns the memory behind `Nack` CONFLICT: of each epoch the `KEPT` chunks of `CHUNK` seqs below the
highest. A chunk is written when it is full or another takes its place, so live records cost no page
of their own; a centre that is killed forgets the sums of the chunk it was filling. A sum that is
not known is never a conflict.
"""

import sqlite3
from collections.abc import Iterable

from gateway.wire.record import Record

CHUNK = 64
KEPT = 64
_HELD = 2
"""Chunks of an epoch in memory: the live lane's and the backlog's."""
_SIZE = 4
_UNKNOWN = bytes(_SIZE)


class Sums:
    """The memory of one epoch. `seq // CHUNK` numbers a chunk."""

    __slots__ = ("_held", "_top", "_unwritten")

    def __init__(self) -> None:
        self._held: dict[int, bytearray] = {}
        self._unwritten: set[int] = set()
        self._top = 0

    def note(self, db: sqlite3.Connection, epoch: int, records: Iterable[Record]) -> None:
        """Remember records that are stored in this transaction."""
        number, chunk = -1, bytearray()
        for record in records:
            seq = record.seq
            if seq // CHUNK != number:
                number = seq // CHUNK
                chunk = self._chunk(db, epoch, number)
                self._unwritten.add(number)
            at = seq % CHUNK * _SIZE
            chunk[at : at + _SIZE] = record.data[:_SIZE]
            if at == (CHUNK - 1) * _SIZE:
                self._write(db, epoch, number)

    def differs(self, db: sqlite3.Connection, epoch: int, record: Record) -> bool:
        """Tell whether another record is known to be stored under this seq."""
        at = record.seq % CHUNK * _SIZE
        known = self._chunk(db, epoch, record.seq // CHUNK)[at : at + _SIZE]
        return known not in (_UNKNOWN, record.data[:_SIZE])

    def write(self, db: sqlite3.Connection, epoch: int) -> None:
        """Write what is only in memory."""
        for number in sorted(self._unwritten):
            self._write(db, epoch, number)

    def _chunk(self, db: sqlite3.Connection, epoch: int, number: int) -> bytearray:
        held = self._held
        chunk = held.get(number)
        if chunk is None:
            row = db.execute(
                "SELECT body FROM sums WHERE epoch = ? AND chunk = ?", (epoch, number)
            ).fetchone()
            chunk = bytearray(CHUNK * _SIZE) if row is None else bytearray(row[0])
            while len(held) >= _HELD:
                self._write(db, epoch, next(iter(held)))
                del held[next(iter(held))]
            held[number] = chunk
            self._top = max(self._top, number)
        return chunk

    def _write(self, db: sqlite3.Connection, epoch: int, number: int) -> None:
        if number not in self._unwritten:
            return
        self._unwritten.discard(number)
        if number > self._top - KEPT:
            db.execute(
                "INSERT OR REPLACE INTO sums VALUES (?, ?, ?)",
                (epoch, number, bytes(self._held[number])),
            )
        if number == self._top:
            db.execute("DELETE FROM sums WHERE epoch = ? AND chunk <= ?", (epoch, number - KEPT))
