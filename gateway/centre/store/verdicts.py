"""Which epochs are waited for, and what is lost of those that will get no more records.

Owns the centre's own gaps (`docs/protocol.md` §Epochs) and when they are judged: not before all
that the agent said it holds is here, for what accounts for an old epoch's losses stands in the
records of later ones. Runs inside the writer's transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgpack

from gateway.centre.store.epochs import OPEN, OVER, WAITING, EpochLedger, unsigned
from gateway.centre.store.intake import Intake, gap_name
from gateway.wire.ledger import count, loss, normalise, subtract
from gateway.wire.limits import MAX_SEQ
from gateway.wire.message import GapReason, Interval

Gaps = tuple[tuple[str, int], ...]
"""Gaps as (reason, records); a number of records below 0 is unknown."""
_NOT_LISTED = ((1, MAX_SEQ),)
"""What an agent may still have of an epoch its `Hello` had no room for: who knows."""


class Verdicts:
    """One per writer thread; shares the intake's ledgers."""

    def __init__(self, connection: sqlite3.Connection, intake: Intake) -> None:
        self._db = connection
        self._intake = intake

    def heard(
        self, gateway: int, listed: Sequence[EpochLedger], complete: bool, now_ns: int
    ) -> Gaps:
        """Take the epochs of a `Hello`, the current one last; return the gaps found."""
        current = listed[-1]
        if current.over != OPEN:
            self._reopen(current, OPEN)
        keys = {ledger.pk for ledger in listed}
        for ledger in self._known(gateway, now_ns):
            if ledger.pk == current.pk or ledger.over == OVER:
                continue
            self._state(ledger, WAITING)
            if ledger.pk not in keys:
                self._promise(ledger, () if complete else _NOT_LISTED)
        for ledger in listed[:-1]:
            if ledger.over == OVER and self._owed(ledger):
                self._reopen(ledger, WAITING)
        gaps = self._settle(gateway, now_ns)
        if complete:
            self._let_go(gateway, keys, now_ns)
        return gaps

    def touched(self, ledgers: Iterable[EpochLedger], now_ns: int) -> Gaps:
        """Look at epochs that got records or a GAP; return the gaps found."""
        settle: set[int] = set()
        for ledger in ledgers:
            if ledger.over == OVER:
                self._reopen(ledger, WAITING)
            if (ledger.promised or ledger.over == WAITING) and not self._owed(ledger):
                ledger.promised = []
                settle.add(ledger.gateway)
        gaps: Gaps = ()
        for gateway in settle:
            gaps += self._settle(gateway, now_ns)
        return gaps

    def _known(self, gateway: int, now_ns: int) -> list[EpochLedger]:
        """Return the epochs of a gateway that its agent may still hold."""
        rows = self._db.execute(
            "SELECT epoch FROM epoch WHERE gateway = ? AND gone_ns IS NULL", (gateway,)
        ).fetchall()
        return [self._intake.epoch(gateway, unsigned(row[0]), now_ns) for row in rows]

    def _settle(self, gateway: int, now_ns: int) -> Gaps:
        """Judge what waits, unless the agent still owes something."""
        known = self._known(gateway, now_ns)
        if any(self._owed(ledger) for ledger in known):
            return ()
        gaps: Gaps = ()
        for ledger in known:
            if ledger.over == WAITING:
                gaps += self._judge(ledger, now_ns)
        return gaps

    def _let_go(self, gateway: int, keys: set[int], now_ns: int) -> None:
        """Mark the epochs that the agent has forgotten: nothing of them can come again."""
        rows = self._db.execute(
            "SELECT id FROM epoch WHERE gateway = ? AND gone_ns IS NULL AND over = ?",
            (gateway, OVER),
        ).fetchall()
        gone = [row for row in rows if row[0] not in keys]
        self._db.executemany(f"UPDATE epoch SET gone_ns = {now_ns:d} WHERE id = ?", gone)
        self._db.executemany("DELETE FROM sums WHERE epoch = ?", gone)

    def _promise(self, ledger: EpochLedger, available: Iterable[Interval]) -> None:
        ledger.promised = list(available)
        self._db.execute(
            "UPDATE epoch SET promised = ? WHERE id = ?",
            (msgpack.packb(ledger.promised), ledger.pk),
        )

    def _state(self, ledger: EpochLedger, over: int) -> None:
        if ledger.over != over:
            ledger.over = over
            self._db.execute("UPDATE epoch SET over = ? WHERE id = ?", (over, ledger.pk))

    def _reopen(self, ledger: EpochLedger, over: int) -> None:
        """More of an epoch comes after all (a restored card): our gaps of it do not stand."""
        self._state(ledger, over)
        self._db.execute("UPDATE epoch SET gone_ns = NULL WHERE id = ?", (ledger.pk,))
        rows = self._db.execute(
            "DELETE FROM gap WHERE epoch = ? AND reason >= ? RETURNING reason, records",
            (ledger.pk, int(GapReason.NOT_RECEIVED)),
        ).fetchall()
        ledger.withdrawn += [
            (gap_name(reason), -1 if records is None else records) for reason, records in rows
        ]

    def _owed(self, ledger: EpochLedger) -> list[Interval]:
        """Return what the agent said it can send and that is not here."""
        missing = [
            gap for first, last in ledger.promised for gap in ledger.have.missing(first, last)
        ]
        return subtract(missing, self._accounted(ledger)) if missing else []

    def _accounted(self, ledger: EpochLedger) -> list[Interval]:
        rows = self._db.execute(
            "SELECT first, last FROM accounted WHERE epoch = ?", (ledger.pk,)
        ).fetchall()
        return normalise(rows)

    def _judge(self, ledger: EpochLedger, now_ns: int) -> Gaps:
        """Close an epoch that will get no more records; write the gaps it leaves."""
        self._state(ledger, OVER)
        known, following = self._db.execute(
            "SELECT known_next, (SELECT min(n.id) FROM epoch n WHERE n.gateway = e.gateway"
            " AND n.id > e.id) FROM epoch e WHERE e.id = ?",
            (ledger.pk,),
        ).fetchone()
        covered = normalise([*ledger.have, *self._accounted(ledger)])
        verdict = loss(covered, ledger.end_seq, (known, ()), current=False)
        newest = self._newest(ledger)
        reason = GapReason.NOT_RECEIVED
        written: list[tuple[object, ...]] = []
        found: list[tuple[str, int]] = []
        for first, last in verdict.lost:
            after = newest if first > ledger.have.last else None  # else `queries` finds its place
            lost = count([(first, last)])
            written.append((after, following, first, last, int(reason), lost))
            found.append((gap_name(reason), lost))
        tail = verdict.tail_from
        if tail is not None and tail <= MAX_SEQ:
            written.append((newest, following, tail, None, int(GapReason.CUT_OFF), None))
            found.append((gap_name(GapReason.CUT_OFF), -1))
        self._db.executemany(
            "INSERT INTO gap (t_from, next_epoch, first, last, reason, records, gateway, epoch,"
            " readings, received_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, -1, ?)",
            [(*row, ledger.gateway, ledger.pk, now_ns) for row in written],
        )
        withdrawn, ledger.withdrawn = ledger.withdrawn, []
        return _beyond(found, withdrawn)

    def _newest(self, ledger: EpochLedger) -> int | None:
        """Return the ticks of the last row stored of an epoch."""
        row = self._db.execute(
            "SELECT max((SELECT t + span FROM strip WHERE stream = s.id ORDER BY t DESC LIMIT 1))"
            " FROM stream s WHERE s.epoch = ?",
            (ledger.pk,),
        ).fetchone()
        return None if row is None else row[0]


def _beyond(found: Sequence[tuple[str, int]], withdrawn: Sequence[tuple[str, int]]) -> Gaps:
    """Return what `found` has more than `withdrawn`, reason by reason: a counter counts once."""
    result: list[tuple[str, int]] = []
    for reason in dict.fromkeys(name for name, _ in found):
        now = [max(0, records) for name, records in found if name == reason]
        before = [max(0, records) for name, records in withdrawn if name == reason]
        gaps, records = len(now) - len(before), max(0, sum(now) - sum(before))
        if gaps > 0 or records:
            result += [(reason, records), *[(reason, 0)] * (gaps - 1)]
    return tuple(result)
