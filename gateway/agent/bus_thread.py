"""The thread of one bus: worker, jobs and the port's coming and going.

Owns when the bus is used: jobs that other threads submit first, then the worker (the poller) when
it is due, else waiting in a way that a job, a stop or a hang-up ends at once. A lost port is opened
again by its path after a fixed delay. Never decides what to poll.
"""

import contextlib
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from gateway.agent.bus import Bus
from gateway.agent.port import precise_timers
from gateway.errors import PortLostError

_LOG = logging.getLogger(__name__)

REOPEN_S = 0.25
"""Fixed, by path: a growing delay would keep readings away long after the adapter is back."""
IDLE_S = 60.0
"""Longest wait without asking the worker again."""
MAX_JOBS = 256
SWITCH_INTERVAL_S = 0.0002
"""Python's thread switch interval: the default 5 ms would stand between a bus thread and its
deadline. Set by whoever starts the threads."""

T = TypeVar("T")


class Worker(Protocol):
    """What the bus thread serves; all four are called in the bus thread."""

    def next_due(self, now: float) -> float | None:
        """Return when `work` wants to be called (CLOCK_BOOTTIME s), ``None`` for never."""

    def work(self, bus: Bus, now: float) -> None:
        """Do one due poll of one device (a few transactions), then return.

        Called also while the port is lost: then `transact` raises PortLostError at once.
        """

    def port_lost(self, now: float, reason: str) -> None:
        """The port vanished, or could not be opened at the start. Told once per loss."""

    def port_returned(self, now: float) -> None:
        """The port is open (again). Also told after the first successful open."""


class _Job:
    """A call to make in the bus thread, and who waits for it."""

    def __init__(self, call: Callable[[Bus], T], future: "Future[T]") -> None:
        self._settle: Callable[[Bus], None] = lambda bus: future.set_result(call(bus))
        self._fail = future.set_exception
        self._claim = future.set_running_or_notify_cancel
        self.cancel = future.cancel

    def run(self, bus: Bus) -> None:
        """Call and settle the future."""
        if not self._claim():
            return
        try:
            self._settle(bus)
        except Exception as error:  # noqa: BLE001 - the error belongs to who waits for the future
            self._fail(error)


class BusThread:
    """Runs a bus and its worker until stopped.

    `ended` completes when the thread ends: without a result after `stop`, with the exception when
    the worker raised one (a bug: the supervisor decides).
    """

    def __init__(self, bus: Bus, worker: Worker) -> None:
        self.ended: Future[None] = Future()
        self._bus = bus
        self._worker = worker
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._opened = False
        self._told_lost = False
        self._reopen_at = 0.0
        self._thread = threading.Thread(
            target=self._run, name=f"bus[{bus.settings.name}]", daemon=True
        )

    def start(self) -> None:
        """Start the thread; the port is opened in it (and retried every 0.25 s)."""
        self._thread.start()

    def submit(self, job: Callable[[Bus], T]) -> "Future[T]":
        """Run `job(bus)` in the bus thread before the next `work`. Any thread may call this.

        The future fails with what the job raised, and is cancelled when the thread stops first.
        Raises: RuntimeError with more than `MAX_JOBS` waiting.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._bus.stopping or self.ended.done():
                future.cancel()
                return future
            if len(self._jobs) >= MAX_JOBS:
                raise RuntimeError(
                    f"bus {self._bus.settings.name}: {MAX_JOBS} jobs wait; slow the caller down"
                )
            self._jobs.append(_Job(job, future))
            os.eventfd_write(self._wake_fd, 1)
        return future

    @property
    def jobs_waiting(self) -> bool:
        """Tell a worker with a long poll in hand that it should come back soon."""
        return bool(self._jobs)

    def stop(self) -> None:
        """Ask the thread to end after the transaction in hand, from any thread."""
        with self._lock:
            self._bus.stopping = True
            if not self.ended.done():
                os.eventfd_write(self._wake_fd, 1)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether the thread is gone."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            precise_timers()
            while not self._bus.stopping:
                self._step()
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    def _step(self) -> None:
        """Open the port if need be, run the jobs in hand, then one piece of work or a wait."""
        bus, worker, now = self._bus, self._worker, self._bus.clock.now
        if not bus.is_open:
            self._reopen()
        for _ in range(len(self._jobs)):
            self._jobs.popleft().run(bus)
        at = now()
        due = worker.next_due(at)
        if due is not None and due <= at:
            worker.work(bus, at)
            return
        until = at + IDLE_S if due is None else min(due, at + IDLE_S)
        self._wait(until)

    def _wait(self, until: float) -> None:
        bus = self._bus
        if bus.is_open:
            with contextlib.suppress(PortLostError):
                bus.idle(until, self._wake_fd)
        else:
            left = min(until, self._reopen_at) - bus.clock.now()
            select.select((self._wake_fd,), (), (), max(0.0, left))
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def _reopen(self) -> None:
        """Tell of a loss at once; try to open each `REOPEN_S`."""
        bus, at = self._bus, self._bus.clock.now()
        if self._opened:
            self._opened = False
            self._tell_lost(at)
            self._reopen_at = at + REOPEN_S
        if at < self._reopen_at:
            return
        try:
            bus.open()
        except PortLostError:
            self._tell_lost(at)
            self._reopen_at = at + REOPEN_S
            return
        self._opened, self._told_lost = True, False
        _LOG.info("port open bus=%s port=%s", bus.settings.name, bus.settings.port)
        self._worker.port_returned(bus.clock.now())

    def _tell_lost(self, at: float) -> None:
        if self._told_lost:
            return
        self._told_lost = True
        _LOG.warning("port lost bus=%s reason=%s", self._bus.settings.name, self._bus.lost_reason)
        self._worker.port_lost(at, self._bus.lost_reason)

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            self._bus.close()
            for job in self._jobs:
                job.cancel()
            self._jobs.clear()
            os.close(self._wake_fd)
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)
