"""How a test waits for something: by looking, bounded, and long enough for a busy machine."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 60.0
"""Only a test that fails waits this long."""


async def until(check: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let the loop turn until it is so. Raises: AssertionError when it never is."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not check():
        assert loop.time() < end, f"it did not happen within {timeout_s:g} s"
        await asyncio.sleep(0.005)


@contextmanager
def bounded(process: "subprocess.Popen[Any]", seconds: float = 2 * PATIENCE_S) -> Iterator[None]:
    """Kill a process when the block fails or takes too long: who reads its pipe sees the end then,
    and it holds no port that the next test gets."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()
