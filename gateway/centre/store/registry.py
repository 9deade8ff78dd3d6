"""Gateways, boots, epochs and sessions: who said `Hello`, what is known, what is lost for good.

Owns the answer to `Hello` and the centre's own gaps: an epoch that will get no more records, and
ended without END or with holes. Runs inside the writer's transaction.
"""

import json
import sqlite3
from dataclasses import asdict

import msgpack

from gateway.centre.store.intake import OPEN, OVER, WAITING, EpochLedger, Intake, gap_name
from gateway.centre.store.jobs import Alive, Farewell, Greeting, Note, Pairs, Progress
from gateway.errors import StoreError
from gateway.reading import TICK_NS
from gateway.wire.ledger import loss, normalise, subtract
from gateway.wire.limits import MAX_INTERVALS
from gateway.wire.message import EpochHave, EpochState, GapReason, Hello, Interval

ALIVE_S = 5.0
"""How often a node says that it is alive."""
DEAD_NS = 20_000_000_000
"""A node silent for longer holds no session any more."""
_SCHEMA_EPOCHS = 16
_MAX_TOLD_SCHEMAS = 256


class Registry:
    """One per writer thread; shares the intake's ledgers."""

    def __init__(
        self, connection: sqlite3.Connection, intake: Intake, node: str, shared: bool
    ) -> None:
        self._db = connection
        self._intake = intake
        self._node = node
        self._shared = shared

    # Hello

    def greet(self, job: Greeting) -> None:
        """Note the gateway, its boots, epochs and session, and fill in the answer."""
        hello = job.hello
        job.gateway = gateway = self._gateway(hello, job.received_ns)
        if self._held_elsewhere(gateway, hello.instance, job.received_ns):
            job.refused = True
            return
        if self._shared:  # another process may have written since
            self._intake.forget_gateway(gateway)
        boot = self._boot(gateway, hello.boot_id, job.received_ns)
        self._offset(boot, job.received_ns - hello.clock.boottime_ns)
        self._db.execute(
            "INSERT OR IGNORE INTO anchor VALUES (?, ?, ?, ?, ?)",
            (
                boot,
                hello.clock.boottime_ns,
                hello.clock.wall_ns,
                int(hello.clock.source),
                hello.clock.error_us,
            ),
        )
        ledgers = [self._epoch(gateway, state, job) for state in hello.epochs]
        self._take_over(gateway, ledgers, job)
        job.have = tuple(
            EpochHave(state.epoch, tuple(ledger.have.intervals()[-MAX_INTERVALS:]))
            for state, ledger in zip(hello.epochs, ledgers, strict=True)
        )
        self._open_session(job, boot, ledgers[-1].pk if ledgers else None)
        job.schemas = self._schemas(gateway)
        job.previous = self._previous(gateway, hello.boot_id)

    def _gateway(self, hello: Hello, received_ns: int) -> int:
        row = self._db.execute(
            "SELECT id FROM gateway WHERE name = ?", (hello.gateway_id,)
        ).fetchone()
        if row is not None:
            return int(row[0])
        pk = self._db.execute(
            "INSERT INTO gateway (name, instance, first_ns) VALUES (?, ?, ?)",
            (hello.gateway_id, hello.instance, received_ns),
        ).lastrowid
        assert pk is not None
        return pk

    def _held_elsewhere(self, gateway: int, instance: bytes, now_ns: int) -> bool:
        """Tell whether another box holds the gateway's session in another living process."""
        row = self._db.execute(
            "SELECT s.instance, n.alive_ns FROM gateway g JOIN session s ON s.id = g.session"
            " JOIN node n ON n.name = s.node"
            " WHERE g.id = ? AND s.closed_ns IS NULL AND s.node <> ?",
            (gateway, self._node),
        ).fetchone()
        return row is not None and row[0] != instance and now_ns - row[1] < DEAD_NS

    def _boot(self, gateway: int, boot_id: bytes, received_ns: int) -> int:
        row = self._db.execute(
            "SELECT id FROM boot WHERE gateway = ? AND boot_id = ?", (gateway, boot_id)
        ).fetchone()
        if row is not None:
            return int(row[0])
        pk = self._db.execute(
            "INSERT INTO boot (gateway, boot_id, first_ns) VALUES (?, ?, ?)",
            (gateway, boot_id, received_ns),
        ).lastrowid
        assert pk is not None
        return pk

    def _offset(self, boot: int, offset_ns: int) -> None:
        """Keep the least difference seen: the message that was under way for the shortest time."""
        self._db.execute(
            "UPDATE boot SET offset_ns = ? WHERE id = ? AND (offset_ns IS NULL OR offset_ns > ?)",
            (offset_ns, boot, offset_ns),
        )

    def _epoch(self, gateway: int, state: EpochState, job: Greeting) -> EpochLedger:
        ledger = self._intake.epoch(gateway, state.epoch, job.received_ns)
        if ledger.boot is None:
            ledger.boot = self._boot(gateway, state.boot_id, job.received_ns)
        ledger.promised = list(state.available)
        self._db.execute(
            "UPDATE epoch SET boot = ?, promised = ?, known_next = max(known_next, ?) WHERE id = ?",
            (ledger.boot, msgpack.packb(ledger.promised), state.next_seq, ledger.pk),
        )
        return ledger

    def _take_over(self, gateway: int, ledgers: list[EpochLedger], job: Greeting) -> None:
        """The last epoch in `Hello` is current; every other is waited for, or over."""
        listed = {ledger.pk for ledger in ledgers}
        current = ledgers[-1] if ledgers else None
        if current is not None and current.over != OPEN:
            self._reopen(current, OPEN)
        rows = self._db.execute(
            "SELECT epoch FROM epoch WHERE gateway = ? AND over <> ?", (gateway, OVER)
        ).fetchall()
        for (number,) in rows:
            ledger = self._intake.epoch(gateway, number & (1 << 64) - 1, job.received_ns)
            if ledger is current:
                continue
            self._state(ledger, WAITING)
            if ledger.pk not in listed:
                if not job.hello.complete:
                    continue  # there was no room in `Hello`: the agent may hold some of it
                ledger.promised = []
            job.gaps += self.finish(ledger, job.received_ns)
        for ledger in ledgers[:-1]:
            if ledger.over == OVER and subtract(ledger.promised, self._covered(ledger)):
                self._reopen(ledger, WAITING)

    def _state(self, ledger: EpochLedger, over: int) -> None:
        if ledger.over != over:
            ledger.over = over
            self._db.execute("UPDATE epoch SET over = ? WHERE id = ?", (over, ledger.pk))

    def _reopen(self, ledger: EpochLedger, over: int) -> None:
        """More of an epoch comes after all (a restored card): our gaps of it do not stand."""
        self._state(ledger, over)
        self._db.execute(
            "DELETE FROM gap WHERE epoch = ? AND reason >= ?",
            (ledger.pk, int(GapReason.NOT_RECEIVED)),
        )

    def _covered(self, ledger: EpochLedger) -> list[Interval]:
        """Return the seqs of an epoch that are stored or accounted for."""
        accounted = self._db.execute(
            "SELECT first, last FROM accounted WHERE epoch = ?", (ledger.pk,)
        )
        return normalise([*ledger.have.intervals(), *accounted])

    def touched(self, ledgers: list[EpochLedger], received_ns: int) -> tuple[tuple[str, int], ...]:
        """Look at epochs that got records; return the gaps found as (reason, records or -1)."""
        gaps: tuple[tuple[str, int], ...] = ()
        for ledger in ledgers:
            if ledger.over == OVER:
                self._reopen(ledger, WAITING)
            if ledger.over == WAITING:
                gaps += self.finish(ledger, received_ns)
        return gaps

    def finish(self, ledger: EpochLedger, received_ns: int) -> tuple[tuple[str, int], ...]:
        """Close an epoch that will get no more records; write the gaps it leaves."""
        covered = self._covered(ledger)
        if subtract(ledger.promised, covered):
            return ()
        self._state(ledger, OVER)
        known, following = self._db.execute(
            "SELECT known_next, (SELECT min(n.id) FROM epoch n WHERE n.gateway = e.gateway"
            " AND n.id > e.id) FROM epoch e WHERE e.id = ?",
            (ledger.pk,),
        ).fetchone()
        verdict = loss(covered, ledger.end_seq, (known, ()), current=False)
        newest = self._newest(ledger)
        written: list[tuple[object, ...]] = []
        found = []
        for first, last in verdict.lost:
            after = newest if first > ledger.have.top else None  # else `queries` finds its place
            written.append((after, following, first, last, int(GapReason.NOT_RECEIVED)))
            found.append((gap_name(GapReason.NOT_RECEIVED), last - first + 1))
        if verdict.tail_from is not None:
            written.append((newest, following, verdict.tail_from, None, int(GapReason.CUT_OFF)))
            found.append((gap_name(GapReason.CUT_OFF), -1))
        self._db.executemany(
            "INSERT INTO gap (t_from, next_epoch, first, last, reason, gateway, epoch,"
            " readings, received_ns) VALUES (?, ?, ?, ?, ?, ?, ?, -1, ?)",
            [(*row, ledger.gateway, ledger.pk, received_ns) for row in written],
        )
        return tuple(found)

    def _newest(self, ledger: EpochLedger) -> int | None:
        """Return the ticks of the last row stored of an epoch."""
        row = self._db.execute(
            "SELECT max((SELECT t + span FROM strip WHERE stream = s.id ORDER BY t DESC LIMIT 1))"
            " FROM stream s WHERE s.epoch = ?",
            (ledger.pk,),
        ).fetchone()
        return None if row is None else row[0]

    # Sessions

    def _open_session(self, job: Greeting, boot: int, epoch: int | None) -> None:
        hello = job.hello
        facts = {
            "software": hello.software,
            "clock": asdict(hello.clock),
            "backlog": asdict(hello.backlog),
            "last_session": hello.last_session,
            "ended": dict(hello.ended),
            "facts": dict(hello.facts),
            "epochs": len(hello.epochs),
        }
        self._db.execute(
            "INSERT INTO session (id, gateway, node, boot, epoch, instance, remote, proxy,"
            " opened_ns, hello) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                job.session,
                job.gateway,
                self._node,
                boot,
                epoch,
                hello.instance,
                job.remote,
                job.proxy,
                job.received_ns,
                json.dumps(facts),
            ),
        )
        self._db.execute(
            "UPDATE gateway SET session = ?, instance = ?, facts = ? WHERE id = ?",
            (job.session, hello.instance, json.dumps(dict(hello.facts)), job.gateway),
        )

    def owns(self, gateway: int, session: int) -> bool:
        """Tell whether `session` is still the gateway's: another process may have taken over."""
        row = self._db.execute("SELECT session FROM gateway WHERE id = ?", (gateway,)).fetchone()
        return row is not None and row[0] == session

    def farewell(self, job: Farewell) -> None:
        """Note how a session ended."""
        self._db.execute(
            "UPDATE session SET closed_ns = ?, side = ?, cause = ?, code = ?, reason = ?,"
            " evidence = ? WHERE id = ?",
            (
                job.closed_ns,
                job.side,
                job.cause,
                job.code,
                job.reason,
                json.dumps(job.evidence),
                job.session,
            ),
        )

    def progress(self, job: Progress) -> None:
        """Note what a heartbeat proves."""
        ledger = self._intake.epoch(job.gateway, job.epoch, 0)
        self._db.execute(
            "UPDATE epoch SET known_next = max(known_next, ?) WHERE id = ?",
            (job.next_seq, ledger.pk),
        )
        if ledger.boot is not None:
            self._offset(ledger.boot, job.offset_ns)

    def note(self, job: Note) -> None:
        """Store an event of the centre itself."""
        row = self._db.execute("SELECT id FROM gateway WHERE name = ?", (job.gateway,)).fetchone()
        self._db.execute(
            "INSERT INTO event (gateway, received_ns, kind, fields) VALUES (?, ?, ?, ?)",
            (None if row is None else row[0], job.wall_ns, job.kind, json.dumps(dict(job.fields))),
        )

    def alive(self, job: Alive) -> None:
        """Note that this node runs."""
        self._db.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (self._node, job.wall_ns))

    def close_left_open(self) -> int:
        """Close the sessions a killed process of this node left open; return how many."""
        row = self._db.execute("SELECT alive_ns FROM node WHERE name = ?", (self._node,)).fetchone()
        alive_ns = 0 if row is None else row[0]
        return self._db.execute(
            "UPDATE session SET closed_ns = max(opened_ns, ?), side = 'centre',"
            " cause = 'centre_lost', code = 1006, reason = 'the centre was killed'"
            " WHERE closed_ns IS NULL AND node = ?",
            (alive_ns, self._node),
        ).rowcount

    # What Welcome tells

    def _schemas(self, gateway: int) -> tuple[bytes, ...]:
        rows = self._db.execute(
            "SELECT body FROM schema WHERE id IN (SELECT schema FROM binding WHERE epoch IN"
            " (SELECT id FROM epoch WHERE gateway = ? ORDER BY id DESC LIMIT ?))"
            " ORDER BY id DESC LIMIT ?",
            (gateway, _SCHEMA_EPOCHS, _MAX_TOLD_SCHEMAS),
        )
        return tuple(row[0] for row in rows)

    def _previous(self, gateway: int, boot_id: bytes) -> Pairs:
        """Say what was last stored of the gateway's previous boot."""
        row = self._db.execute(
            "SELECT id, boot_id, offset_ns FROM boot WHERE gateway = ? AND boot_id <> ?"
            " ORDER BY id DESC LIMIT 1",
            (gateway, boot_id),
        ).fetchone()
        if row is None:
            return ()
        newest, ended = self._db.execute(
            "SELECT max((SELECT max(t + span) FROM (SELECT t, span FROM strip WHERE stream = s.id"
            " ORDER BY t DESC LIMIT 1))), (SELECT end_seq IS NOT NULL FROM epoch WHERE boot = ?1"
            " ORDER BY id DESC LIMIT 1) FROM stream s JOIN epoch e ON e.id = s.epoch"
            " WHERE e.boot = ?1",
            (row[0],),
        ).fetchone()
        pairs: Pairs = (("boot_id", row[1].hex()), ("clean", bool(ended)))
        if newest is not None:
            pairs += (("last_source_time_ns", newest * TICK_NS),)
            if row[2] is not None:
                pairs += (("last_wall_ns", newest * TICK_NS + row[2]),)
        return pairs


def checked_node(node: str) -> str:
    """Return a node's name. Raises: StoreError."""
    if not node or len(node) > 64 or not node.isprintable():
        raise StoreError(f"node name {node!r}: 1 to 64 printable characters are needed")
    return node
