"""Where the pages get their data: queries in threads, on read-only connections, a few at a time.

Owns the threads, the time limit of a query and the sharing of answers: pages that ask the same
within a second get one answer. Never writes.
"""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar, cast

from gateway.centre.store.layout import open_reader
from gateway.process.clock import Clock

CONCURRENT = 3
"""Queries at the same time; more wait."""
SHARED_S = 1.0
KEPT = 64
LIMIT_S = 10.0
"""A query that takes longer is broken off: the page says so, the centre goes on."""
_STEPS = 20_000
"""Steps of SQLite's virtual machine between two looks at the clock."""
T = TypeVar("T")


class _Answer:
    """An answer that several may wait for."""

    __slots__ = ("at", "lock", "value")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.at = float("-inf")
        self.value: object = None


class Shelf:
    """One store's answers."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._room = asyncio.Semaphore(CONCURRENT)
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()

    async def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query. Raises: what it raises; sqlite3.OperationalError when it took too long."""
        async with self._room:
            return await asyncio.to_thread(self._run, query)

    async def share(
        self,
        key: Hashable,
        query: Callable[[sqlite3.Connection], T],
        for_s: float = SHARED_S,
    ) -> T:
        """Run a query, or hand out the answer of `key` if it is younger than `for_s`."""
        answer = self._answers.setdefault(key, _Answer())
        self._answers.move_to_end(key)
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        async with answer.lock:
            if self._clock.now() - answer.at > for_s:
                answer.value = await self.ask(query)
                answer.at = self._clock.now()
            return cast(T, answer.value)

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        db = open_reader(self._path)
        try:
            deadline = self._clock.now() + LIMIT_S
            db.set_progress_handler(lambda: int(self._clock.now() > deadline), _STEPS)
            return query(db)
        finally:
            db.close()
