"""How a test waits for something: by looking, bounded, and long enough for a busy machine."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 60.0
"""Only a test that fails waits this long."""


async def until(check: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let the loop turn until it is so. Raises: AssertionError when it never is."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not check():
        assert loop.time() < end, f"it did not happen within {timeout_s:g} s"
        await asyncio.sleep(0.005)
