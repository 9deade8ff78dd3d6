"""Records into tables: dedupe, ledger, strips, events, gaps, anchors, in the open transaction.

Owns what each kind of record becomes. Never begins or commits a transaction (`writer`) and never
refuses a record: what it does not understand is stored as it came.
"""

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence

import msgpack

from gateway.centre.store.epochs import OVER, EpochLedger, Stream, signed, unsigned
from gateway.centre.store.have import Have
from gateway.centre.store.jobs import Ingest
from gateway.centre.store.latest import Latest
from gateway.centre.store.looks import Layouts
from gateway.centre.store.strips import Regrouper, Strip
from gateway.errors import RemoteProtocolError
from gateway.event import EventKind
from gateway.reading import TICK_NS
from gateway.wire import rows
from gateway.wire.ledger import count, normalise, of_seqs, subtract
from gateway.wire.message import Gap, GapReason, Interval
from gateway.wire.record import Record, RecordKind

CACHED_EPOCHS = 50_000
"""Epochs whose ledger is kept in memory (1 to 2 KiB each)."""


class Intake:
    """Stores records. One per writer thread. `shared`: other processes write to the file too."""

    def __init__(self, connection: sqlite3.Connection, shared: bool = False) -> None:
        self._db = connection
        self._shared = shared
        self._epochs: OrderedDict[tuple[int, int], EpochLedger] = OrderedDict()
        self._of_gateway: dict[int, set[int]] = {}
        self._touched: dict[tuple[int, int], EpochLedger] = {}
        self._strips: list[tuple[int, int, int, int, int, bytes]] = []
        self._regrouper = Regrouper()
        self.layouts = Layouts(connection)
        self.latest = Latest(connection)
        self.boots = 0
        """Boots told since the start; a reading of another thread may be a bit old."""

    # Epochs

    def epoch(self, gateway: int, epoch: int, received_ns: int) -> EpochLedger:
        """Return an epoch's ledger, from memory, the tables, or new."""
        key = (gateway, epoch)
        found = self._epochs.get(key)
        if found is not None:
            self._epochs.move_to_end(key)
            return found
        ledger = self._load(gateway, epoch) or self._create(gateway, epoch, received_ns)
        self._epochs[key] = ledger
        self._of_gateway.setdefault(gateway, set()).add(epoch)
        if len(self._epochs) > CACHED_EPOCHS:
            old = next(iter(self._epochs))
            if old not in self._touched:  # else it is not in the tables yet
                self._epochs[old].sums.write(self._db, self._epochs[old].pk)
                self.drop(*old)
        return ledger

    def _create(self, gateway: int, epoch: int, received_ns: int) -> EpochLedger:
        pk = self._db.execute(
            "INSERT INTO epoch (gateway, epoch, first_ns) VALUES (?, ?, ?)",
            (gateway, signed(epoch), received_ns),
        ).lastrowid
        assert pk is not None
        return EpochLedger(pk, gateway, None)

    def _load(self, gateway: int, epoch: int) -> EpochLedger | None:
        row = self._db.execute(
            "SELECT id, boot, end_seq, over, promised FROM epoch WHERE gateway = ? AND epoch = ?",
            (gateway, signed(epoch)),
        ).fetchone()
        if row is None:
            return None
        ledger = EpochLedger(row[0], gateway, row[1])
        ledger.end_seq, ledger.over = row[2], row[3]
        if row[4] is not None:
            ledger.promised = [(a, b) for a, b in msgpack.unpackb(row[4])]
        select = self._db.execute
        ledger.have = Have(select("SELECT first, last FROM ledger WHERE epoch = ?", (row[0],)))
        ledger.sids = dict(select("SELECT sid, schema FROM binding WHERE epoch = ?", (row[0],)))
        for pk, schema, block, span in select(
            "SELECT id, schema, block, span FROM stream WHERE epoch = ?", (row[0],)
        ):
            ledger.streams[schema, block] = Stream(pk, span, self.layouts.of(schema).get(block))
        return ledger

    def drop(self, gateway: int, epoch: int) -> None:
        """Forget one epoch's ledger."""
        self._epochs.pop((gateway, epoch), None)
        if gateway in self._of_gateway:
            self._of_gateway[gateway].discard(epoch)

    def drop_empty(self, stream: int) -> None:
        """Remove a stream that has no strip left and whose epoch is over."""
        if any(strip[0] == stream for strip in self._strips):
            return  # late records of this very transaction
        row = self._db.execute(
            "DELETE FROM stream WHERE id = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM strip WHERE stream = ?1) AND epoch IN"
            " (SELECT id FROM epoch WHERE over = ?2) RETURNING epoch, schema, block",
            (stream, OVER),
        ).fetchone()
        if row is None:
            return
        key = self._db.execute(
            "SELECT gateway, epoch FROM epoch WHERE id = ?", (row[0],)
        ).fetchone()
        ledger = self._epochs.get((key[0], unsigned(key[1])))
        if ledger is not None:
            ledger.streams.pop((row[1], row[2]), None)

    def forget_gateway(self, gateway: int) -> None:
        """Read a gateway's ledgers from the tables again: another process may have written.

        Nothing may be gathered: call `write` before.
        """
        for epoch in self._of_gateway.pop(gateway, ()):
            self._epochs.pop((gateway, epoch), None)

    def forget(self) -> None:
        """Drop what is remembered: the tables are right, memory may not be."""
        self._epochs.clear()
        self._of_gateway.clear()
        self._touched.clear()
        self._strips.clear()
        self._regrouper = Regrouper()
        self.layouts = Layouts(self._db)
        self.latest.undone()

    def bind(self, ledger: EpochLedger, sid: int, digest: bytes, body: bytes) -> None:
        """Note that (epoch, sid) means a schema."""
        execute = self._db.execute
        row = execute("SELECT id FROM schema WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            pk = execute(
                "INSERT INTO schema (digest, body) VALUES (?, ?)", (digest, body)
            ).lastrowid
            assert pk is not None
        else:
            pk = row[0]
        if ledger.sids.get(sid) != pk:
            execute("INSERT OR REPLACE INTO binding VALUES (?, ?, ?)", (ledger.pk, sid, pk))
            ledger.sids[sid] = pk

    # Records

    def ingest(self, job: Ingest) -> None:
        """Store what is new of a job and fill in its answer."""
        ledger = self.epoch(job.gateway, job.epoch, job.received_ns)
        if self._shared and ledger.over == OVER and (job.gateway, job.epoch) not in self._touched:
            self.drop(job.gateway, job.epoch)  # another process may have deleted its streams
            ledger = self.epoch(job.gateway, job.epoch, job.received_ns)
        have = ledger.have
        records = job.records
        seqs = [record.seq for record in records]
        intervals = of_seqs(seqs)
        fresh: Sequence[Record] = records
        if len(intervals) > 1 or intervals[0][0] <= have.last:
            intervals = normalise((seq, seq) for seq in seqs)
            fresh = list({r.seq: r for r in reversed(records) if r.seq not in have}.values())
            fresh.reverse()
            if len(fresh) < len(records):
                job.conflicts = self._conflicts(ledger, records)
                intervals = subtract(intervals, job.conflicts)
        for first, last in intervals:
            have.add(first, last)
        if fresh:
            self._touched[job.gateway, job.epoch] = ledger
            ledger.sums.note(self._db, ledger.pk, fresh)
        regrouper = self._regrouper
        regrouper.newest = -1
        for record in fresh:
            job.readings += record.readings
            if record.kind != RecordKind.ROWS or not regrouper.add(record):
                self._one(ledger, record, job)
        for strip in regrouper.strips():
            self._strip(ledger, strip, job)
        job.stored = len(fresh)
        job.newest = regrouper.newest
        if job.newest >= 0 and job.offset_ns:
            self.latest.reading(ledger.gateway, job.newest * TICK_NS + job.offset_ns)
        job.intervals = tuple(intervals)

    def _conflicts(self, ledger: EpochLedger, records: Sequence[Record]) -> tuple[Interval, ...]:
        """Return the seqs under which another record is known to be stored."""
        found = [
            record.seq
            for record in records
            if record.seq in ledger.have and ledger.sums.differs(self._db, ledger.pk, record)
        ]
        return tuple(normalise((seq, seq) for seq in found))

    def _strip(self, ledger: EpochLedger, strip: Strip, job: Ingest) -> None:
        schema = ledger.sids.get(strip.sid)
        if schema is None:
            payload = msgpack.packb([strip.sid, strip.block, strip.t, strip.body])
            self._other(ledger, strip.seq, RecordKind.ROWS, payload, job.received_ns)
            return
        stream = ledger.streams.get((schema, strip.block))
        if stream is None:
            pk = self._db.execute(
                "INSERT INTO stream (epoch, schema, block) VALUES (?, ?, ?)",
                (ledger.pk, schema, strip.block),
            ).lastrowid
            assert pk is not None
            host = self.layouts.of(schema).get(strip.block)
            stream = ledger.streams[schema, strip.block] = Stream(pk, 0, host)
        if strip.span > stream.span:
            # Rounded up, so that a stream's span is written a few times in its life.
            stream.span = 1 << strip.span.bit_length()
            self._db.execute("UPDATE stream SET span = ? WHERE id = ?", (stream.span, stream.pk))
        self._strips.append((stream.pk, strip.t, strip.seq, strip.span, strip.rows, strip.body))
        if stream.host is not None and job.offset_ns:
            self.latest.strip(
                ledger.gateway, strip.block, strip.t, job.offset_ns, strip.body, stream.host
            )

    def _one(self, ledger: EpochLedger, record: Record, job: Ingest) -> None:
        """Store a record that is not rows (or pretends to be)."""
        payload = bytes(record.payload)
        try:
            if record.kind == RecordKind.EVENT:
                self._event(ledger, record.seq, payload, job)
            elif record.kind == RecordKind.GAP:
                self._gap(ledger, payload, job)
            elif record.kind == RecordKind.ANCHOR:
                self._anchor(ledger, payload)
            elif record.kind == RecordKind.END:
                ledger.end_seq = record.seq
                self._db.execute(
                    "UPDATE epoch SET end_seq = ? WHERE id = ?", (record.seq, ledger.pk)
                )
            else:
                self._other(ledger, record.seq, record.kind, payload, job.received_ns)
        except RemoteProtocolError:
            self._other(ledger, record.seq, record.kind, payload, job.received_ns)

    def _event(self, ledger: EpochLedger, seq: int, payload: bytes, job: Ingest) -> None:
        source_ns, kind, fields = rows.unpack_event(payload)
        self.boots += kind in (EventKind.BOOT_CLASSIFIED, EventKind.BOOT_REVISED)
        self._db.execute(
            "INSERT INTO event (gateway, epoch, seq, t, received_ns, kind, fields)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                ledger.gateway,
                ledger.pk,
                seq,
                source_ns // TICK_NS,
                job.received_ns,
                kind,
                json.dumps(dict(fields)),
            ),
        )

    def _gap(self, ledger: EpochLedger, payload: bytes, job: Ingest) -> None:
        gap = rows.unpack_gap(payload)
        lost = self.epoch(ledger.gateway, gap.epoch, job.received_ns)
        self._touched[ledger.gateway, gap.epoch] = lost
        missing = self._account(lost, gap)
        if not missing:
            return  # all of it is stored, or was given up before
        records = count(missing)
        whole = records == gap.last - gap.first + 1
        self._db.execute(
            "INSERT INTO gap (gateway, epoch, first, last, reason, t_from, t_to, readings,"
            " records, received_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                lost.gateway,
                lost.pk,
                missing[0][0],
                missing[-1][1],
                gap.reason,
                *_ticks(gap),
                gap.readings if whole else -1,
                records,
                job.received_ns,
            ),
        )
        job.lost += ((gap_name(gap.reason), records),)

    def _account(self, lost: EpochLedger, gap: Gap) -> list[Interval]:
        """Note that a GAP's seqs are not waited for; return those that are lost by it.

        Accounted for, not stored: should such a record come after all, it is taken.
        """
        execute = self._db.execute
        before = execute(
            "SELECT first, last FROM accounted WHERE epoch = ? AND first <= ? AND last >= ?",
            (lost.pk, gap.last + 1, gap.first - 1),
        ).fetchall()
        held = normalise([*before, *lost.have.within(gap.first, gap.last)])
        execute(
            "DELETE FROM accounted WHERE epoch = ? AND first <= ? AND last >= ?",
            (lost.pk, gap.last + 1, gap.first - 1),
        )
        ((first, last),) = normalise([*before, (gap.first, gap.last)])
        execute("INSERT INTO accounted VALUES (?, ?, ?)", (lost.pk, first, last))
        return subtract([(gap.first, gap.last)], held)

    def _anchor(self, ledger: EpochLedger, payload: bytes) -> None:
        clock = rows.unpack_anchor(payload)
        if ledger.boot is not None:
            self._db.execute(
                "INSERT OR IGNORE INTO anchor VALUES (?, ?, ?, ?, ?)",
                (ledger.boot, clock.boottime_ns, clock.wall_ns, int(clock.source), clock.error_us),
            )

    def _other(
        self, ledger: EpochLedger, seq: int, kind: int, payload: bytes, received_ns: int
    ) -> None:
        self._db.execute(
            "INSERT INTO other (epoch, seq, kind, received_ns, payload) VALUES (?, ?, ?, ?, ?)",
            (ledger.pk, seq, int(kind), received_ns, payload),
        )

    # Before COMMIT

    def write_sums(self) -> None:
        """Write the sums that are only in memory, before the file is closed."""
        for ledger in self._epochs.values():
            ledger.sums.write(self._db, ledger.pk)

    def write(self) -> list[EpochLedger]:
        """Write what was gathered; return the epochs that changed."""
        if self._strips:
            # The key is unique: a record gives each stream one strip at most, once.
            self._db.executemany("INSERT INTO strip VALUES (?, ?, ?, ?, ?, ?)", self._strips)
            self._strips.clear()
        touched = list(self._touched.values())
        self._touched.clear()
        for ledger in touched:
            written, gone = ledger.have.take_changes()
            if gone:
                self._db.executemany(
                    "DELETE FROM ledger WHERE epoch = ? AND first = ?",
                    [(ledger.pk, first) for first in gone],
                )
            self._db.executemany(
                "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?)",
                [(ledger.pk, first, last) for first, last in written],
            )
        return touched


def _ticks(gap: Gap) -> tuple[int | None, int | None]:
    return (
        gap.from_ns // TICK_NS if gap.from_ns else None,
        gap.to_ns // TICK_NS if gap.to_ns else None,
    )


def gap_name(reason: int) -> str:
    """Return a reason as a label: a closed set, whatever a stranger sends."""
    try:
        return GapReason(reason).name.lower()
    except ValueError:
        return "other"
