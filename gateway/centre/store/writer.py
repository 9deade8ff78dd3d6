"""The writer thread: jobs in, one transaction for many, answers out after COMMIT.

Owns the queue, the transactions and what happens when the disk refuses: nothing is answered, the
jobs wait and are tried again. Live jobs go first; a turn of backlog is short, so that live ones
never wait long, and comes at the latest after `PATIENCE` transactions, so that a busy fleet does
not starve it. Never runs on the loop's thread.
"""

import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gateway.centre.store import incidents, layout, series
from gateway.centre.store.intake import Intake
from gateway.centre.store.jobs import (
    Alive,
    Binding,
    Connections,
    Farewell,
    Greeting,
    Incidents,
    Ingest,
    Job,
    Note,
    Progress,
    Purge,
    RestartLog,
)
from gateway.centre.store.prune import purge
from gateway.centre.store.registry import Registry, checked_node
from gateway.errors import StoreError
from gateway.process.clock import Clock
from gateway.reading import TICK_NS

LOGGER = logging.getLogger(__name__)
MAX_LIVE_JOBS = 512
"""Jobs of one transaction of live data."""
BACKLOG_S = 0.010
"""Seconds of work after which a transaction of backlog commits."""
PATIENCE = 4
"""Transactions of live data in a row while backlog waits."""
RETRY_S = 1.0
"""Seconds between attempts while the disk refuses."""
_OF_THE_DISK = (sqlite3.Error, MemoryError, OSError)
_OF_THE_JOB = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError)
"""SQLite's errors that what was to be stored can cause. Every other is the disk's or the file's:
the jobs wait, however long, and no gateway is told that its records are bad."""


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
        self._waiting: dict[int, int] = {}
        """Jobs of backlog in the queue of each gateway that has some."""
        self._wake = threading.Condition()
        self._closing = False
        self._db = layout.open_writer(path)
        self._impatient = 0
        self._intake = Intake(self._db, shared)
        self.latest = self._intake.latest
        self._node = checked_node(node)
        self._registry = Registry(self._db, self._intake, self._node, shared)
        self._thread = threading.Thread(target=self._run, name="centre.store", daemon=True)

    def start(self) -> int:
        """Start; return how many sessions a killed process left open (they are closed now)."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            left = self._registry.close_left_open(self._clock.wall_ns())
            series.close_run(self._db, self._node, self._clock.wall_ns())
            self._registry.alive(Alive(wall_ns=self._clock.wall_ns()))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            LOGGER.warning("store cannot write at start error=%s", error)
            self.trouble = str(error)
            left = 0
        self._thread.start()
        return left

    @property
    def boots(self) -> int:
        """How many boots gateways told since the start."""
        return self._intake.boots

    def submit(self, job: Job) -> None:
        """Queue a job; it never blocks. The caller holds its sources when `queued` is too much."""
        with self._wake:
            (self._backlog if job.backlog else self._live).append(job)
            self._count(job, 1)
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
                    break
            try:
                going = self._turn()
            except Exception as error:  # a bug here; the thread must live on, or all gateways wait
                LOGGER.exception("the store's thread stumbled")
                self.trouble, going = f"{type(error).__name__}: {error}", False
            if not going:
                with self._wake:
                    if self._closing:
                        return
                    self._wake.wait_for(lambda: self._closing, RETRY_S)
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("BEGIN IMMEDIATE")
            self._intake.write_sums()
            self.latest.write_all()
            self._db.execute("COMMIT")

    def _turn(self) -> bool:
        """Run one transaction; ``False`` when the disk refused and the jobs wait."""
        done: list[Job] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._fill(done)
            self._end_of_transaction(done)
            self._db.execute("COMMIT")
        except _OF_THE_DISK as error:
            self._rollback()
            if not isinstance(error, _OF_THE_JOB):
                self._put_back(done, error)
                return False
            LOGGER.error("a job broke the transaction jobs=%d error=%s", len(done), error)
            return self._one_by_one(done)
        except Exception:
            LOGGER.exception("a job broke the transaction jobs=%d", len(done))
            self._rollback()
            return self._one_by_one(done)
        self._answer(done)
        return True

    def _fill(self, done: list[Job]) -> None:
        live, backlog = self._live, self._backlog
        while live and len(done) < MAX_LIVE_JOBS:
            if isinstance(live[0], Greeting):
                self._before_greeting(live[0], done)
            job = live.popleft()
            done.append(job)
            self._apply(job)
        self._impatient = self._impatient + 1 if done and backlog else 0
        if done and self._impatient < PATIENCE:
            return
        self._impatient = 0
        began = self._clock.now()
        while backlog and (done or not live):
            with self._wake:
                job = backlog.popleft()
                self._count(job, -1)
            done.append(job)
            self._apply(job)
            if self._clock.now() - began > BACKLOG_S:
                return

    def _before_greeting(self, greeting: Greeting, done: list[Job]) -> None:
        """Store what an earlier session of the gateway left in the queue, before it is judged.

        A gateway's backlog in the queue is bounded by its window.
        """
        gateway = self._registry.gateway(greeting.hello.gateway_id)
        if gateway is None or gateway not in self._waiting:
            return
        with self._wake:
            waiting = [
                job for job in self._backlog if isinstance(job, Ingest) and job.gateway == gateway
            ]
            for job in waiting:
                self._backlog.remove(job)
            del self._waiting[gateway]
        done += waiting
        for job in waiting:
            self._apply(job)

    def _count(self, job: Job, change: int) -> None:
        """Keep `_waiting` right; the lock is held."""
        if isinstance(job, Ingest) and job.backlog:
            left = self._waiting.get(job.gateway, 0) + change
            if left:
                self._waiting[job.gateway] = left
            else:
                del self._waiting[job.gateway]

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
        elif isinstance(job, Connections):
            series.write(self._db, self._node, job)
        elif isinstance(job, Incidents):
            incidents.write(self._db, job)
        elif isinstance(job, Purge):
            job.deleted = purge(self._db, self._intake, job)
        elif not isinstance(job, RestartLog):
            raise StoreError(f"{type(job).__name__}: not a job of the store")

    def _end_of_transaction(self, done: list[Job]) -> None:
        touched = self._intake.write()
        if touched:
            gaps = self._registry.touched(touched, self._clock.wall_ns())
            if gaps:
                first = next(job for job in done if isinstance(job, Ingest))
                first.lost += gaps
        now = self._clock.now()
        if self.latest.due(now):
            self.latest.write(now)

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
            with contextlib.suppress(sqlite3.Error):  # else the next BEGIN says it again
                self._db.execute("ROLLBACK")

    def _put_back(self, jobs: list[Job], error: BaseException) -> None:
        """Let jobs wait for the disk, before those that came later."""
        text = str(error) or type(error).__name__
        if not self.trouble:
            LOGGER.error(
                "store cannot write; nothing is acked until it can path=%s error=%s",
                self.path,
                text,
            )
        self.trouble = text
        with self._wake:
            for job in reversed(jobs):
                _reset(job)
                (self._backlog if job.backlog else self._live).appendleft(job)
                self._count(job, 1)

    def _one_by_one(self, jobs: list[Job]) -> bool:
        """Find the job that cannot be stored; the others are stored. ``False``: the disk refused
        meanwhile, and the rest waits."""
        for at, job in enumerate(jobs):
            _reset(job)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._apply(job)
                self._end_of_transaction([job])
                self._db.execute("COMMIT")
            except Exception as error:
                self._rollback()
                if isinstance(error, _OF_THE_DISK) and not isinstance(error, _OF_THE_JOB):
                    self._put_back(jobs[at:], error)
                    return False
                LOGGER.exception("job cannot be stored kind=%s", type(job).__name__)
                job.failed = f"{type(error).__name__}: {error}"
            self._answer([job])
        return True


def _reset(job: Job) -> None:
    """Take back what an undone transaction wrote into a job."""
    if isinstance(job, Ingest):
        job.intervals, job.conflicts, job.stored, job.readings = (), (), 0, 0
        job.lost, job.newest, job.replaced = (), -1, False
    elif isinstance(job, Greeting):
        job.refused, job.gaps = False, ()
    elif isinstance(job, Incidents):
        job.settled = []
