"""The sample of `ws_active_connections` that this process keeps of itself, once a second.

Owns when it is looked at; what is worth writing and where it goes is `store.series`'s. Runs on the
loop: two integers a second.
"""

import asyncio
from collections.abc import Callable

from gateway.centre.session import StoreQueue
from gateway.centre.store.jobs import Connections
from gateway.centre.store.series import Sampler
from gateway.process.clock import Clock

PERIOD_S = 1.0


class Sampling:
    """One per process. `counts` returns (sessions now, sessions since the start)."""

    def __init__(
        self, store: StoreQueue, clock: Clock, counts: Callable[[], tuple[int, int]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._counts = counts
        self._sampler = Sampler()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and then every second."""
        self.look()
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self.start)

    def stop(self) -> None:
        """Look once more, and no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.look()

    def look(self) -> None:
        """Write a sample if it tells something."""
        active, opened = self._counts()
        at_ns = self._clock.wall_ns()
        if self._sampler.see(at_ns, active, opened):
            self._store.submit(Connections(at_ns=at_ns, active=active, opened=opened))
