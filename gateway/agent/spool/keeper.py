"""Keeping the spool on disk: when to commit, evict, give back, start again after trouble.

Owns the one task that commits (`run`). A commit that is under way when the task is cancelled is
finished and entered into the books first.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from typing import ParamSpec

from gateway.agent.spool.commit import Outcome, Writer
from gateway.agent.spool.disk import Disk
from gateway.agent.spool.epochs import EpochBook, Segment
from gateway.agent.spool.gaps import losses_of
from gateway.agent.spool.holdings import Holdings
from gateway.agent.spool.opening import Opening, open_directory
from gateway.agent.spool.reader import read_held
from gateway.agent.spool.segment import SegmentHeader
from gateway.agent.spool.threads import DiskStuckError, DiskThreads
from gateway.agent.spool.urgency import Urgency
from gateway.config.agent import SpoolSettings
from gateway.errors import SpoolError
from gateway.event import EventKind
from gateway.process.clock import Clock
from gateway.wire.message import Gap, GapReason

logger = logging.getLogger(__name__)
P = ParamSpec("P")

IDLE_S = 10.0
"""Seconds without a commit after which the newest segment, all acked, is given back."""
RETRY_S = (1.0, 30.0)
"""Seconds before a failed commit is tried again: first, and at most."""
REOPEN_S = 30.0
"""Seconds between attempts to open a directory that could not be used, or to reserve space."""
MAX_ASIDE = 16
"""Files that may wait to be written into the quarantine."""
LEAVE_S = 2.5
"""How long a leaving agent waits for the disk; SIGTERM allows 5 s for everything."""


class Keeper:
    """The disk side of a spool. `writer` is ``None`` while the directory cannot be used."""

    def __init__(
        self,
        settings: SpoolSettings,
        gateway_id: str,
        disk: Disk,
        clock: Clock,
        holdings: Holdings,
        threads: DiskThreads,
        header_of: Callable[[int, int], SegmentHeader],
    ) -> None:
        self._settings = settings
        self._gateway_id = gateway_id
        self._disk = disk
        self._clock = clock
        self._holdings = holdings
        self._header_of = header_of
        self._lock_fd = -1
        self._failing = False
        self._retry_s = 0.0
        self._retry_at = 0.0
        self._reopen_at = 0.0
        self._reserve_at = 0.0
        self._used_at = 0.0
        self._asleep_until: float | None = 0.0
        self._urgency = Urgency()
        self._urgent = False
        self._aside: list[tuple[str, bytes]] = []
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._threads = threads
        self.writer: Writer | None = None
        self.roll = False
        """Begin a new segment at the next commit (a schema was added)."""
        holdings.on_work = self._wake.set

    # -- opening -------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the directory, blocking; run from memory when it cannot be used.

        Raises: SpoolError when another process has it.
        """
        try:
            self._attach(open_directory(self._disk, self._settings, self._gateway_id))
        except OSError as error:
            self._unusable(error)

    def _attach(self, opening: Opening) -> None:
        recovered = opening.recovered
        holdings = self._holdings
        self._lock_fd = opening.lock_fd
        holdings.merge(recovered.books, recovered.ordinal)
        self.writer = Writer(self._disk, opening.pool, self._header_of, self._clock.now)
        for stranger in recovered.notes:
            logger.warning("spool file set aside path=%s why=%s", stranger.path, stranger.why)
            holdings.stats.quarantined += 1
            holdings.event(
                EventKind.SPOOL_DAMAGED, file=os.path.basename(stranger.path), why=stranger.why
            )
        for gap in recovered.gaps:
            holdings.lose(gap)

    def _unusable(self, error: OSError) -> None:
        self._reopen_at = self._clock.now() + REOPEN_S
        self._trouble(error, f"spool directory {self._settings.directory}")

    def _trouble(self, error: OSError, where: str) -> None:
        """Count a failure; tell it once per transition."""
        self._holdings.stats.write_failures += 1
        if self._failing:
            return
        self._failing = True
        why = os.strerror(error.errno) if error.errno else str(error)
        logger.warning("spool runs from memory where=%s why=%s", where, why)
        self._holdings.event(EventKind.SPOOL_WRITE_FAILED, where=where, why=why)

    # -- the task ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit what is due, for ever."""
        try:
            await self._keep()
        except DiskStuckError:  # the agent leaves
            self._threads.give_way()
            await asyncio.Future()

    async def _keep(self) -> None:
        while True:
            due = self._due_at()
            self._asleep_until = due
            timeout = None if due is None else max(0.0, due - self._clock.now())
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._asleep_until = 0.0
            self._wake.clear()
            await self._tend()

    def appended(self, *, urgent: bool) -> None:
        """Note that a record waits; wake the task if it would sleep too long."""
        now = self._clock.now()
        if urgent and self._urgency.take(now):
            self._urgent = True
            self._wake.set()
        elif self._asleep_until is None or self._asleep_until > now + self._settings.commit_s:
            self._wake.set()

    def _due_at(self) -> float | None:
        """Return when there is something to do, ``None``: not before a record is appended."""
        memory = self._holdings.memory
        times = []
        if self.writer is None:
            times.append(self._reopen_at)
        elif not memory.idle:
            due = memory.oldest_pending_ns / 1e9 + self._settings.commit_s
            times.append(max(0.0 if self._urgent else due, self._retry_at))
        elif self._idle_segment() is not None:
            times.append(self._used_at + IDLE_S)
        if self._holdings.losses and not self._holdings.ended:
            times.append(self._clock.now() + self._settings.commit_s)
        return min(times) if times else None

    async def _tend(self) -> None:
        self._holdings.tell_losses()  # live, also while there is no disk
        if self.writer is None:
            if self._clock.now() >= self._reopen_at:
                await self._reopen()
            return
        if self._holdings.emptied or self._aside:
            async with self._lock:
                await self._give_back()
                while self._aside and self.writer is not None:
                    name, data = self._aside.pop()
                    await self._attempt(self.writer.pool.keep_aside, name, data)
                self._threads.give_way()
        due = self._due_at()
        if due is None or self._clock.now() < due:
            return
        if self._holdings.memory.idle:
            await self._retire()
        else:
            await self.commit()

    async def _reopen(self) -> None:
        async with self._lock:
            try:
                opening = await self._threads.write(
                    open_directory, self._disk, self._settings, self._gateway_id
                )
            except OSError as error:
                self._unusable(error)
            except SpoolError as error:
                self._unusable(OSError(errno.EBUSY, str(error)))
            else:
                self._attach(opening)
                self._recovered()
            self._threads.give_way()

    # -- committing ----------------------------------------------------------------------------

    async def commit(self) -> None:
        """Write everything that is in memory now. Returns early while the disk refuses it."""
        async with self._lock:
            writer = self.writer
            if writer is None or self._threads.stuck:
                return
            self._urgent = False
            self._holdings.tell_losses()
            outcome = await self._write(writer)
            while (outcome.blocked or not outcome.spare) and outcome.error is None:
                if not await self._make_room(writer, outcome):
                    break
                outcome = await self._write(writer)
            if self._holdings.losses and outcome.error is None and not outcome.blocked:
                self._holdings.tell_losses()  # memory had no room for the GAP before
                outcome = await self._write(writer)
            self._holdings.full &= outcome.spare <= 1
            if outcome.past_half and not self._threads.interrupted:
                await self._attempt(writer.pool.prepare)
            self._threads.give_way()

    async def _write(self, writer: Writer) -> Outcome:
        holdings = self._holdings
        if self.roll:
            self.roll = False
            await self._threads.write(writer.seal)
        outcome = await self._threads.write(writer.commit, holdings.memory.take())
        self._settle(outcome)
        return outcome

    def _settle(self, outcome: Outcome) -> None:
        """Enter what a commit did into the books."""
        holdings = self._holdings
        stats = holdings.stats
        holdings.current.segments += outcome.opened
        for kept in outcome.kept:
            first = kept.intervals[0][0]
            kept.segment.add_landmark(first, kept.start)
            kept.segment.end = kept.end
            holdings.kept(kept.segment, kept.intervals)
            stats.committed_records += sum(b - a + 1 for a, b in kept.intervals)
        holdings.memory.settle()
        stats.commits += bool(outcome.kept)
        stats.committed_bytes += outcome.written
        for seconds in outcome.flush_s:
            stats.flushes.add(seconds)
        for segment in outcome.poisoned:
            stats.quarantined += 1
            logger.error("spool segment poisoned path=%s", segment.path)
        holdings.sweep(None if self.writer is None else self.writer.segment)
        self._used_at = self._clock.now()
        if outcome.error is not None or outcome.poisoned:
            error = outcome.error or OSError(errno.EIO, os.strerror(errno.EIO))
            self._trouble(error, "spool segment")
        if outcome.error is not None:
            low, high = RETRY_S
            self._retry_s = min(high, max(low, self._retry_s * 2))
            self._retry_at = self._clock.now() + self._retry_s
        else:
            self._recovered()
            self._retry_at = 0.0 if not outcome.blocked else self._clock.now() + RETRY_S[0]

    def _recovered(self) -> None:
        self._retry_s = 0.0
        if self._failing:
            self._failing = False
            logger.warning("spool writes again directory=%s", self._settings.directory)

    async def _make_room(self, writer: Writer, outcome: Outcome) -> bool:
        """Evict the oldest segment, if the policy is to; its GAP is on disk before it goes."""
        holdings = self._holdings
        if await self._give_back() and writer.pool.free:
            return True
        if self._clock.now() >= self._reserve_at:  # others may have left the disk by now
            self._reserve_at = self._clock.now() + REOPEN_S
            await self._attempt(writer.pool.reserve)
            if writer.pool.free:
                return True
        if not holdings.full:
            holdings.full = True
            logger.warning("spool is full policy=%s", self._settings.policy)
            holdings.event(
                EventKind.SPOOL_FULL,
                policy=self._settings.policy,
                max_bytes=writer.pool.max_bytes,
            )
        if self._settings.policy != "drop_oldest" or holdings.ended:
            return False  # nothing can be told after END; a free segment was kept for the end
        victim = holdings.oldest_segment(writer.segment)
        if victim is None:
            return False
        book, segment = victim
        for gap in await self._losses(book, segment):
            holdings.lose(gap)
        holdings.tell_losses()
        if not outcome.blocked:
            safe = await self._write(writer)
            if safe.error is not None or safe.blocked:
                return False
        await self._give_back()
        return True

    async def _losses(self, book: EpochBook, segment: Segment) -> list[Gap]:
        held = segment.held.copy()
        try:
            records = await self._threads.write(read_held, self._disk, segment, held)
        except OSError:
            records = []
        for record in records:
            self._holdings.tell_again(record)
        # What was acked while we read is not lost.
        return losses_of(book.epoch, held.common(segment.held), records, GapReason.QUOTA)

    # -- giving back ---------------------------------------------------------------------------

    async def _give_back(self) -> bool:
        """Recycle the files of segments that hold nothing; return whether there were any."""
        holdings = self._holdings
        writer = self.writer
        emptied, holdings.emptied = holdings.emptied, []
        any_left = False
        for book, segment in emptied:
            if writer is None or segment is writer.segment or segment.gone or segment.held:
                continue  # the newest is given back when it has been idle
            holdings.forget(book, segment)
            sound = segment.flaw is None
            await self._attempt(writer.pool.release, segment.path, segment.size, sound=sound)
            any_left = True
        return any_left

    def _idle_segment(self) -> Segment | None:
        segment = self.writer.segment if self.writer is not None else None
        return segment if segment is not None and not segment.held else None

    async def _retire(self) -> None:
        """Give the newest segment back when everything in it is acked."""
        async with self._lock:
            segment = self._idle_segment()
            if segment is not None and self.writer is not None and self._holdings.memory.idle:
                await self._threads.write(self.writer.seal)
                self._holdings.emptied.append((self._holdings.current, segment))
                await self._give_back()
            self._threads.give_way()

    def keep_aside(self, name: str, data: bytes) -> None:
        """Write a file into the quarantine soon; past `MAX_ASIDE` waiting files it is left."""
        if len(self._aside) < MAX_ASIDE:
            self._aside.append((name, data))
            self._wake.set()

    # -- leaving -------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Flush at once and let the disk hold nobody up: the agent leaves."""
        self._threads.leave_within(LEAVE_S)
        self._urgent = True
        self._wake.set()

    async def close(self) -> None:
        """Write what is left, give back what is empty, seal, let go of the directory.

        A disk that does not answer keeps the directory until it does, but nobody waits for it.
        """
        self._threads.leave_within(LEAVE_S)
        try:
            await self.commit()
            async with self._lock:
                await self._tidy()
        except DiskStuckError:
            logger.error("spool disk stuck unflushed=%d", len(self._holdings.memory))
        lock_fd, self._lock_fd = self._lock_fd, -1
        self.writer = None
        self._reopen_at = float("inf")
        self._threads.shutdown(None if lock_fd < 0 else lambda: self._disk.close(lock_fd))

    async def _tidy(self) -> None:
        await self._give_back()
        segment = self._idle_segment()
        if self.writer is not None:
            await self._threads.write(self.writer.seal)
            if segment is not None:
                self._holdings.emptied.append((self._holdings.current, segment))
                await self._give_back()

    async def _attempt(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a tidying call in the writer's thread; its failure costs space, not records."""
        try:
            await self._threads.write(call, *args, **kwargs)
        except OSError as error:
            self._holdings.stats.write_failures += 1
            logger.warning("spool cannot tidy up why=%s", error)
