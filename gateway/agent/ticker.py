"""A thread that does one thing on a fixed grid, off the event loop.

Owns the grid and the end. Used for what may block where no time-out reaches (a sensor behind a hung
I2C bus): a tick that does not return delays only itself, and never the process's end.
"""

import logging
import threading
from collections.abc import Callable

from gateway.process.clock import Clock

logger = logging.getLogger(__name__)


class Ticker:
    """Calls `work` every `period_s`; missed ticks are left out, not made up for. `done` is called
    in the thread at its end."""

    def __init__(
        self,
        name: str,
        period_s: float,
        work: Callable[[], None],
        clock: Clock,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._done = done
        self._period_s = period_s
        self._work = work
        self._clock = clock
        self._stopping = False
        self._wake = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with a first tick at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let no further tick begin; does not wait for one that is under way."""
        self._stopping = True
        self._wake.set()

    def nudge(self) -> None:
        """Let a tick come at once, out of turn; those of the grid stay where they are."""
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Say whether the thread has ended within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = self._clock.now()
        while True:
            nudged = self._wake.is_set()
            self._wake.clear()
            if self._stopping:
                self._done()
                return
            self._tick()
            now = self._clock.now()
            if not nudged:
                due += self._period_s
            if due <= now:
                due = now + self._period_s - (now - due) % self._period_s
            self._wake.wait(due - now)

    def _tick(self) -> None:
        try:
            self._work()
            self._failed = False
        except Exception:  # supervised here: the next tick tries again, the log says it once
            if not self._failed:
                logger.exception("tick failed thread=%s", self._thread.name)
            self._failed = True
