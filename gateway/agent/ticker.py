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
    """Calls `work` every `period_s`; missed ticks are left out, not made up for."""

    def __init__(self, name: str, period_s: float, work: Callable[[], None], clock: Clock) -> None:
        self._period_s = period_s
        self._work = work
        self._clock = clock
        self._stop = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with a first tick at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let no further tick begin; does not wait for one that is under way."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Say whether the thread has ended within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = self._clock.now()
        while not self._stop.is_set():
            try:
                self._work()
                self._failed = False
            except Exception:  # supervised here: the next tick tries again, the log says it once
                if not self._failed:
                    logger.exception("tick failed thread=%s", self._thread.name)
                self._failed = True
            now = self._clock.now()
            due += self._period_s
            if due <= now:
                due = now + self._period_s - (now - due) % self._period_s
            self._stop.wait(due - now)
