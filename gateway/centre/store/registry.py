"""Gateways, boots and sessions: who said `Hello`, and what `Welcome` tells.

Owns the answer to `Hello` and the sessions' rows; what is lost is `verdicts`'. Runs inside the
writer's transaction.
"""

import json
import sqlite3
from dataclasses import asdict

import msgpack

from gateway.centre.store.epochs import EpochLedger
from gateway.centre.store.intake import Intake
from gateway.centre.store.jobs import Alive, Farewell, Greeting, Note, Progress
from gateway.centre.store.previous import previous
from gateway.centre.store.verdicts import Verdicts
from gateway.errors import StoreError
from gateway.wire.limits import MAX_INTERVALS
from gateway.wire.message import ClockReading, EpochHave, EpochState, Hello

ALIVE_S = 5.0
"""How often a node says that it is alive."""
DEAD_NS = 20_000_000_000
"""A node silent for longer holds no session any more."""
ANCHOR_EVERY_NS = 3_600_000_000_000
ANCHOR_MOVED_NS = 100_000_000
"""A gateway that reconnects all the time adds an anchor an hour, unless its clock has moved."""
_SCHEMA_EPOCHS = 16
_MAX_TOLD_SCHEMAS = 256


class Registry:
    """One per writer thread; shares the intake's ledgers."""

    def __init__(
        self, connection: sqlite3.Connection, intake: Intake, node: str, shared: bool
    ) -> None:
        self._db = connection
        self._intake = intake
        self._verdicts = Verdicts(connection, intake)
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
            job.gaps = self.touched(self._intake.write(), job.received_ns)
            self._intake.forget_gateway(gateway)
        boot = self._boot(gateway, hello.boot_id, job.received_ns)
        self._offset(boot, job.received_ns - hello.clock.boottime_ns)
        self._anchor(boot, hello.clock)
        ledgers = [self._epoch(gateway, state, job) for state in hello.epochs]
        job.gaps += self._verdicts.heard(gateway, ledgers, hello.complete, job.received_ns)
        job.have = tuple(
            EpochHave(state.epoch, tuple(ledger.have)[-MAX_INTERVALS:])
            for state, ledger in zip(hello.epochs, ledgers, strict=True)
        )
        self._open_session(job, boot, ledgers[-1].pk)
        self._intake.latest.backlog(gateway, hello.backlog, job.received_ns)
        job.schemas = self._schemas(gateway)
        job.previous = previous(
            self._db, self._intake.layouts, gateway, hello.boot_id, job.received_ns
        )

    def gateway(self, name: str) -> int | None:
        """Return a gateway's key, ``None`` if it never came in."""
        row = self._db.execute("SELECT id FROM gateway WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def _gateway(self, hello: Hello, received_ns: int) -> int:
        known = self.gateway(hello.gateway_id)
        if known is not None:
            return known
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

    def _anchor(self, boot: int, clock: ClockReading) -> None:
        """Keep the anchor that a `Hello` is, unless it says what a recent one said."""
        self._db.execute(
            "INSERT OR IGNORE INTO anchor SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"
            " (SELECT 1 FROM anchor WHERE boot = ?1 AND source = ?4 AND boottime_ns"
            " BETWEEN ?2 - ?6 AND ?2 AND abs((wall_ns - boottime_ns) - (?3 - ?2)) < ?7)",
            (
                boot,
                clock.boottime_ns,
                clock.wall_ns,
                int(clock.source),
                clock.error_us,
                ANCHOR_EVERY_NS,
                ANCHOR_MOVED_NS,
            ),
        )

    def _epoch(self, gateway: int, state: EpochState, job: Greeting) -> EpochLedger:
        ledger = self._intake.epoch(gateway, state.epoch, job.received_ns)
        if ledger.boot is None:
            ledger.boot = self._boot(gateway, state.boot_id, job.received_ns)
        ledger.promised = list(state.available)
        self._db.execute(
            "UPDATE epoch SET boot = ?, promised = ?, known_next = max(known_next, ?),"
            " gone_ns = NULL WHERE id = ?",
            (ledger.boot, msgpack.packb(ledger.promised), state.next_seq, ledger.pk),
        )
        return ledger

    def touched(self, ledgers: list[EpochLedger], received_ns: int) -> tuple[tuple[str, int], ...]:
        """Look at epochs that got records; return the gaps found as (reason, records or -1)."""
        return self._verdicts.touched(ledgers, received_ns)

    # Sessions

    def _open_session(self, job: Greeting, boot: int, epoch: int) -> None:
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
        if job.waiting is not None:
            self._intake.latest.backlog(job.gateway, job.waiting, job.wall_ns)

    def note(self, job: Note) -> None:
        """Store an event of the centre itself."""
        row = self._db.execute("SELECT id FROM gateway WHERE name = ?", (job.gateway,)).fetchone()
        self._db.execute(
            "INSERT INTO event (gateway, received_ns, kind, fields) VALUES (?, ?, ?, ?)",
            (None if row is None else row[0], job.wall_ns, job.kind, json.dumps(dict(job.fields))),
        )

    def alive(self, job: Alive) -> None:
        """Note that this node runs; see which of its sessions another process has taken."""
        self._db.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (self._node, job.wall_ns))
        if self._shared:
            rows = self._db.execute(
                "SELECT s.id FROM session s JOIN gateway g ON g.id = s.gateway"
                " WHERE s.node = ? AND s.closed_ns IS NULL AND g.session <> s.id",
                (self._node,),
            ).fetchall()
            job.taken = tuple(row[0] for row in rows)

    def close_left_open(self, now_ns: int) -> int:
        """Close the sessions that a killed process of this node, or a node long dead, left open;
        return how many."""
        return self._db.execute(
            "UPDATE session SET closed_ns = max(opened_ns, coalesce("
            "(SELECT alive_ns FROM node n WHERE n.name = session.node), 0)), side = 'centre',"
            " cause = 'centre_lost', code = 1006, reason = 'the centre was killed'"
            " WHERE closed_ns IS NULL AND (node = ? OR node NOT IN"
            " (SELECT name FROM node WHERE alive_ns > ?))",
            (self._node, now_ns - DEAD_NS),
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


def checked_node(node: str) -> str:
    """Return a node's name. Raises: StoreError."""
    if not node or len(node) > 64 or not node.isprintable():
        raise StoreError(f"node name {node!r}: 1 to 64 printable characters are needed")
    return node
