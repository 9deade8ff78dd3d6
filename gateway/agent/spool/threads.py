"""The spool's two threads: one writes, one reads, so that neither waits for the other's disk.

Owns the threads, what a cancelled wait for the writer means, and the end of all patience when the
agent leaves. Nothing else of the spool touches files while the daemon runs; the event loop only
ever awaits these threads.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from gateway.errors import SpoolError

P = ParamSpec("P")
T = TypeVar("T")


class DiskStuckError(SpoolError):
    """The disk did not answer by the time the agent must leave; what it was doing is unknown."""


class _Worker:
    """A thread that makes one call after the other.

    It is a daemon thread, unlike those of `concurrent.futures`: a call that the kernel never
    returns from must not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = False

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Make a call after those before it; its result comes to the running loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T) -> None:
            if not future.done():
                future.set_result(result)

        def fail(error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        def work() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                try:
                    result = call()
                except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
                    loop.call_soon_threadsafe(fail, error)
                else:
                    loop.call_soon_threadsafe(settle, result)

        self._put(work)
        return future

    def last(self, call: Callable[[], None] | None) -> None:
        """Make a last call when those before it are done, and end."""
        if call is not None:
            self._put(call)
        if self._started:
            self._calls.put(None)
            self._started = False

    def _put(self, call: Callable[[], None]) -> None:
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        self._calls.put(call)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class DiskThreads:
    """The writer's and the reader's thread."""

    def __init__(self) -> None:
        self._writing = _Worker("spool-writer")
        self._reading = _Worker("spool-reader")
        self._write: asyncio.Future[Any] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.interrupted = False
        """Whether a cancellation waits for `give_way`."""
        self.stuck = False
        """Whether the writer's thread was given up: nothing is written any more."""

    async def write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the writer's thread to its end, cancelled or not; one at a time.

        What it did must be entered into the books; then the caller calls `give_way`.
        Raises: DiskStuckError once `leave_within` is over.
        """
        if self.stuck:
            raise DiskStuckError("the disk does not answer")
        future = self._writing.submit(partial(call, *args, **kwargs))
        self._write = future
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self.interrupted = True
                if future.cancelled():
                    raise

    async def read(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the reader's thread; a cancelled wait drops its result."""
        return await self._reading.submit(partial(call, *args, **kwargs))

    def give_way(self) -> None:
        """Pass on a cancellation that came while the disk was busy."""
        if self.interrupted:
            self.interrupted = False
            raise asyncio.CancelledError

    def leave_within(self, seconds: float) -> None:
        """Wait for the disk no longer than that from now on, whatever it is doing. Idempotent."""
        if self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.stuck = True
        if self._write is not None and not self._write.done():
            self._write.set_exception(DiskStuckError("the disk does not answer"))

    def shutdown(self, last: Callable[[], None] | None) -> None:
        """Make a last call when the writer's thread is done (the disk may be stuck), and let the
        threads end."""
        if self._patience is not None:
            self._patience.cancel()
        if last is not None and not self.stuck:
            last()
        self._writing.last(last if self.stuck else None)
        self._reading.last(None)
