"""The spool's two threads: one writes, one reads, so that neither waits for the other's disk.

Owns the threads and what a cancelled wait for the writer means. Nothing else of the spool touches
files while the daemon runs; the event loop only ever awaits these threads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DiskThreads:
    """The writer's and the reader's thread."""

    def __init__(self) -> None:
        self._writing = ThreadPoolExecutor(1, "spool-writer")
        self._reading = ThreadPoolExecutor(1, "spool-reader")
        self.interrupted = False
        """Whether a cancellation waits for `give_way`."""

    async def write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the writer's thread to its end, cancelled or not.

        What it did must be entered into the books; then the caller calls `give_way`.
        """
        future = asyncio.wrap_future(self._writing.submit(call, *args, **kwargs))
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self.interrupted = True
                if future.cancelled():
                    raise

    async def read(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the reader's thread; a cancelled wait drops its result."""
        return await asyncio.wrap_future(self._reading.submit(call, *args, **kwargs))

    def give_way(self) -> None:
        """Pass on a cancellation that came while the disk was busy."""
        if self.interrupted:
            self.interrupted = False
            raise asyncio.CancelledError

    def shutdown(self) -> None:
        """Let the threads end once they are idle."""
        self._writing.shutdown(wait=False)
        self._reading.shutdown(wait=False)
