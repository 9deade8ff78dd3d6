"""The writer thread: jobs in, one transaction for many, answers out after COMMIT.

Owns the queue, the transactions and what happens when the disk refuses: nothing is answered, the
jobs wait and are tried again. Live jobs go first; a transaction of backlog is short, so that live
ones never wait long. Never runs on the loop's thread.
"""

import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gateway.centre.store import layout
from gateway.centre.store.intake import Intake
from gateway.centre.store.jobs import (
    Alive,
    Binding,
    Farewell,
    Greeting,
    Ingest,
    Job,
    Note,
    Progress,
    Purge,
    RestartLog,
)
from gateway.centre.store.registry import Registry, checked_node
from gateway.errors import StoreError
from gateway.process.clock import Clock
from gateway.reading import TICK_NS

LOGGER = logging.getLogger(__name__)
MAX_LIVE_JOBS = 512
"""Jobs of one transaction of live data."""
BACKLOG_S = 0.010
"""Seconds of work after which a transaction of backlog commits."""
RETRY_S = 1.0
"""Seconds between attempts while the disk refuses."""
_WAITING_ERRORS = ("full", "readonly", "disk i/o", "unable to open", "locked", "busy", "malformed")


class Writer:
    """Hand over jobs with `submit`; they come back through `deliver` (called from the thread)."""

    def __init__(
        self,
        path: Path,
        node: str,
        clock: Clock,
        deliver: Callable[[list[Job]], None],
        shared: bool = False,
    ) -> None:
        self.path = path
        self.queued = 0
        """Bytes in the queue, in work included; a reading of another thread may be a bit old."""
        self.trouble = ""
        """Why the store cannot write now; empty when it can."""
        self.commits = 0
        self._clock = clock
        self._deliver = deliver
        self._shared = shared
        self._live: deque[Job] = deque()
        self._backlog: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._db = layout.open_writer(path)
        self._intake = Intake(self._db)
        self._registry = Registry(self._db, self._intake, checked_node(node), shared)
        self._thread = threading.Thread(target=self._run, name="centre.store", daemon=True)

    def start(self) -> int:
        """Start; return how many sessions a killed process left open (they are closed now)."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            left = self._registry.close_left_open()
            self._registry.alive(Alive(wall_ns=self._clock.wall_ns()))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            LOGGER.warning("store cannot write at start error=%s", error)
            self.trouble = str(error)
            left = 0
        self._thread.start()
        return left

    def submit(self, job: Job) -> None:
        """Queue a job; it never blocks. The caller holds its sources when `queued` is too much."""
        with self._wake:
            (self._backlog if job.backlog else self._live).append(job)
            self.queued += job.size
            self._wake.notify()

    def close(self, timeout_s: float = 30.0) -> bool:
        """Finish every job in the queue and stop; ``False`` if some could not be committed."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        finished = not self._live and not self._backlog
        self._db.close()
        return finished

    # The thread

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._live and not self._backlog and not self._closing:
                    self._wake.wait()
                if not self._live and not self._backlog:
                    return
            if not self._turn():
                with self._wake:
                    if self._closing:
                        return
                    self._wake.wait_for(lambda: self._closing, RETRY_S)

    def _turn(self) -> bool:
        """Run one transaction; ``False`` when the disk refused and the jobs wait."""
        done: list[Job] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._fill(done)
            self._end_of_transaction(done)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            return self._refused(done, error)
        except Exception:
            LOGGER.exception("a job broke the transaction jobs=%d", len(done))
            self._rollback()
            self._one_by_one(done)
            return True
        self._answer(done)
        return True

    def _fill(self, done: list[Job]) -> None:
        live, backlog = self._live, self._backlog
        while live and len(done) < MAX_LIVE_JOBS:
            job = live.popleft()
            done.append(job)
            self._apply(job)
        if done:
            return
        began = self._clock.now()
        while backlog and not live:
            job = backlog.popleft()
            done.append(job)
            self._apply(job)
            if self._clock.now() - began > BACKLOG_S:
                return

    def _apply(self, job: Job) -> None:
        if isinstance(job, Ingest):
            if self._shared and not self._registry.owns(job.gateway, job.session):
                job.replaced = True
            else:
                self._intake.ingest(job)
        elif isinstance(job, Binding):
            ledger = self._intake.epoch(job.gateway, job.epoch, self._clock.wall_ns())
            self._intake.bind(ledger, job.sid, job.digest, job.body)
        elif isinstance(job, Greeting):
            self._registry.greet(job)
        elif isinstance(job, Farewell):
            self._registry.farewell(job)
        elif isinstance(job, Progress):
            self._registry.progress(job)
        elif isinstance(job, Note):
            self._registry.note(job)
        elif isinstance(job, Alive):
            self._registry.alive(job)
        elif isinstance(job, Purge):
            job.deleted = purge(self._db, job)
            if job.stream and job.deleted:
                self._intake.drop_empty(job.stream)
        elif not isinstance(job, RestartLog):
            raise StoreError(f"{type(job).__name__}: not a job of the store")

    def _end_of_transaction(self, done: list[Job]) -> None:
        touched = self._intake.write()
        if touched:
            gaps = self._registry.touched(touched, self._clock.wall_ns())
            if gaps:
                first = next(job for job in done if isinstance(job, Ingest))
                first.lost += gaps

    def _answer(self, done: list[Job]) -> None:
        now_ns = self._clock.wall_ns()
        size = 0
        for job in done:
            size += job.size
            if isinstance(job, Ingest) and job.newest >= 0 and not job.backlog:
                job.latency_s = (now_ns - job.newest * TICK_NS - job.offset_ns) / 1e9
        if any(isinstance(job, RestartLog) for job in done):
            # Between two transactions of this thread: the rest of the log is small (`keeper`).
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        with self._wake:
            self.queued -= size
        self.commits += 1
        if self.trouble:
            LOGGER.info("store writes again path=%s", self.path)
            self.trouble = ""
        self._deliver(done)

    # Trouble

    def _rollback(self) -> None:
        self._intake.forget()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _refused(self, done: list[Job], error: sqlite3.Error) -> bool:
        text = str(error)
        waits = isinstance(error, sqlite3.DatabaseError) and any(
            word in text.lower() for word in _WAITING_ERRORS
        )
        if not waits and done:
            LOGGER.error("a job broke the transaction jobs=%d error=%s", len(done), text)
            self._one_by_one(done)
            return True
        if not self.trouble:
            LOGGER.error(
                "store cannot write; nothing is acked until it can path=%s error=%s",
                self.path,
                text,
            )
        self.trouble = text
        for job in reversed(done):
            _reset(job)
            (self._backlog if job.backlog else self._live).appendleft(job)
        return False

    def _one_by_one(self, done: list[Job]) -> None:
        """Find the job that cannot be stored; the others are stored."""
        for job in done:
            _reset(job)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._apply(job)
                self._end_of_transaction([job])
                self._db.execute("COMMIT")
            except Exception as error:
                LOGGER.exception("job cannot be stored kind=%s", type(job).__name__)
                self._rollback()
                job.failed = f"{type(error).__name__}: {error}"
            self._answer([job])


def _reset(job: Job) -> None:
    """Take back what an undone transaction wrote into a job."""
    if isinstance(job, Ingest):
        job.intervals, job.stored, job.readings = (), 0, 0
        job.lost = ()
    elif isinstance(job, Greeting):
        job.refused, job.gaps = False, ()


def purge(db: sqlite3.Connection, job: Purge) -> int:
    """Delete one small step of what is older than retention allows."""
    if job.stream:
        bound = db.execute(
            "SELECT t FROM strip WHERE stream = ? AND t < ? ORDER BY t LIMIT 1 OFFSET ?",
            (job.stream, job.before, job.limit),
        ).fetchone()
        before = job.before if bound is None else bound[0]
        return db.execute(
            "DELETE FROM strip WHERE stream = ? AND t < ?", (job.stream, before)
        ).rowcount
    return db.execute(
        f"DELETE FROM {job.table} WHERE rowid IN (SELECT rowid FROM {job.table}"
        f" WHERE {PURGED[job.table]} < ? ORDER BY rowid LIMIT ?)",
        (job.before, job.limit),
    ).rowcount


PURGED = {
    "event": "received_ns",
    "gap": "received_ns",
    "other": "received_ns",
    "session": "coalesce(closed_ns, 9223372036854775807)",
}
"""Tables that retention empties by the time they were received, and their column."""
