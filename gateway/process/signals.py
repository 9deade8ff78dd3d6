"""Signals of a daemon as asyncio events: SIGTERM and SIGINT stop it, SIGHUP reloads its config.

Owns which signal means what; never acts on them.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Signals:
    """What the outside asked for. `stop` stays set; whoever handles `reload` clears it."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()

    @contextmanager
    def installed(self) -> Iterator["Signals"]:
        """Catch the signals inside the block. Call in the main thread, with the loop running."""
        loop = asyncio.get_running_loop()
        events = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self.reload,
        }
        for number, event in events.items():
            loop.add_signal_handler(number, event.set)
        try:
            yield self
        finally:
            for number in events:
                loop.remove_signal_handler(number)
