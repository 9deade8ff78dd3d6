"""The keeper thread: checkpoints and retention, so that the writer never stalls for them.

Owns when the log is copied into the file and what is too old. It copies on its own connection while
the writer goes on; what it wants deleted it hands to the writer in small steps behind the backlog.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.centre.store import layout
from gateway.centre.store.jobs import Alive, Job, Purge, RestartLog
from gateway.centre.store.prune import EPOCH, PURGED
from gateway.centre.store.registry import ALIVE_S
from gateway.centre.store.times import Offset, latest_offset
from gateway.centre.store.writer import Writer
from gateway.process.clock import Clock

LOGGER = logging.getLogger(__name__)
LOOK_S = 0.25
"""How often the log's size is looked at."""
COPY_BYTES = 4 * 1024 * 1024
"""Log size from which it is copied into the file."""
RESTART_BYTES = 32 * 1024 * 1024
"""Log size from which the writer is asked to start it again."""
STEP = 64
"""Strips of one step of deleting: a few milliseconds of the writer's time."""
STREAMS = 5000
"""Streams looked at in one query."""
DAYS_EVERY = 10
"""Looks at the size until age is looked at again: that walks through every stream."""
DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept. 0: without bound."""

    days: float
    size: int
    every_s: float = 60.0


class Keeper:
    """One per process; `first` is the process that deletes when several share a file.

    `alive` is given each `Alive` job after its COMMIT.
    """

    def __init__(
        self,
        path: Path,
        retention: Retention,
        clock: Clock,
        writer: Writer,
        *,
        first: bool = True,
        alive: Callable[[Job], None] | None = None,
    ) -> None:
        self._first = first
        self._alive = alive
        self.deleted = 0
        """Strips and rows deleted so far."""
        self._log = path.with_name(path.name + "-wal")
        self._retention = retention
        self._clock = clock
        self._writer = writer
        self._stop = threading.Event()
        self._step = threading.Event()
        self._db = layout.open_keeper(path)
        self._thread = threading.Thread(target=self._run, name="centre.keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread; call before the writer closes."""
        self._stop.set()
        self._step.set()
        self._thread.join(30.0)
        self._db.close()

    def _run(self) -> None:
        alive = retained = self._clock.now()
        looks = 0
        while not self._stop.wait(LOOK_S):
            now = self._clock.now()
            try:
                self._copy_log()
                if now - alive >= ALIVE_S:
                    alive = now
                    self._writer.submit(Alive(wall_ns=self._clock.wall_ns(), done=self._alive))
                if self._first and now - retained >= self._retention.every_s:
                    retained = now
                    self.retain(by_age=looks % DAYS_EVERY == 0)
                    looks += 1
            except sqlite3.Error as error:
                LOGGER.warning("keeper could not do its work error=%s", error)

    # The log

    def _copy_log(self) -> None:
        size = self._log_size()
        if size < COPY_BYTES:
            return
        for _ in range(4):
            began = self._clock.now()
            _, pages, copied = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages == copied and self._clock.now() - began < 0.02:
                break
        if size >= RESTART_BYTES:
            self._writer.submit(RestartLog())

    def _log_size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    # Retention

    def retain(self, *, by_age: bool = True) -> None:
        """Delete what is too old, and the oldest while there is too much."""
        now_ns = self._clock.wall_ns()
        if by_age and self._retention.days > 0:
            before = now_ns - int(self._retention.days * DAY_NS)
            self._delete_before(before)
        while self._retention.size > 0 and not self._stop.is_set():
            used = self._used()
            if used <= self._retention.size:
                return
            horizon = self._oldest_share(used)
            if horizon is None or not self._delete_before(horizon):
                return

    def _used(self) -> int:
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _oldest_share(self, used: int) -> int | None:
        """Return a wall time before which about the surplus lies, at least 1 % of the span."""
        oldest: int | None = None
        newest = 0
        for stream, offset in self._streams():
            first, last = self._db.execute(
                "SELECT (SELECT t FROM strip WHERE stream = ?1 ORDER BY t LIMIT 1),"
                " (SELECT t FROM strip WHERE stream = ?1 ORDER BY t DESC LIMIT 1)",
                (stream,),
            ).fetchone()
            if first is not None:
                start, end = offset.wall_ns(first), offset.wall_ns(last)
                oldest = start if oldest is None else min(oldest, start)
                newest = max(newest, end)
        if oldest is None:
            return None
        share = max(0.01, (used - self._retention.size) / used)
        return oldest + max(1, int((newest - oldest) * share)) + 1

    def _streams(self) -> Iterator[tuple[int, Offset]]:
        """Yield every stream with the offset of its boot, some thousand at a time."""
        offsets: dict[int | None, Offset] = {}
        last = 0
        while not self._stop.is_set():
            rows = self._db.execute(
                "SELECT s.id, e.boot FROM stream s JOIN epoch e ON e.id = s.epoch"
                " WHERE s.id > ? ORDER BY s.id LIMIT ?",
                (last, STREAMS),
            ).fetchall()
            for last, boot in rows:
                if boot not in offsets:
                    offsets[boot] = latest_offset(self._db, boot)
                yield last, offsets[boot]
            if len(rows) < STREAMS:
                return

    def _delete_before(self, wall_ns: int) -> int:
        """Delete what is older; return how much was."""
        deleted = 0
        for stream, offset in self._streams():
            ticks = offset.ticks(wall_ns)
            while not self._stop.is_set() and self._has_before(stream, ticks):
                deleted += self._purge("strip", stream, ticks)
        for table in (*PURGED, EPOCH):
            while not self._stop.is_set():
                step = self._purge(table, 0, wall_ns)
                deleted += step
                if step < STEP:
                    break
        self.deleted += deleted
        return deleted

    def _has_before(self, stream: int, ticks: int) -> bool:
        return (
            self._db.execute(
                "SELECT 1 FROM strip WHERE stream = ? AND t < ? LIMIT 1", (stream, ticks)
            ).fetchone()
            is not None
        )

    def _purge(self, table: str, stream: int, before: int) -> int:
        """Let the writer delete one step and wait for it."""
        self._step.clear()
        job = Purge(
            table=table, stream=stream, before=before, limit=STEP, backlog=True, done=self._stepped
        )
        self._writer.submit(job)
        with contextlib.suppress(RuntimeError):
            self._step.wait(60.0)
        return job.deleted

    def _stepped(self, _job: Job) -> None:
        self._step.set()
