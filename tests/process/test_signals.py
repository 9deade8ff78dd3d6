"""Which signal sets which event."""

import asyncio
import os
import signal

from gateway.process.signals import Signals


async def test_signals_become_events() -> None:
    """SIGHUP asks for a reload, SIGTERM and SIGINT for a stop."""
    for number, name in ((signal.SIGHUP, "reload"), (signal.SIGTERM, "stop"), (2, "stop")):
        with Signals().installed() as signals:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(30):
                await getattr(signals, name).wait()
            other = "stop" if name == "reload" else "reload"
            assert not getattr(signals, other).is_set()
