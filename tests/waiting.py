"""How a test waits for something: by looking, bounded, and long enough for a busy machine."""

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 20.0
"""Only a test that fails waits this long. Less than the 30 s or 60 s that tests give to what must
not be waited for (a heartbeat, `commit_s`, a backoff): that it came then would be no proof."""
RUN_S = 120.0
"""What a command may run for in a test."""


async def until(check: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let the loop turn until it is so. Raises: AssertionError when it never is."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not check():
        assert loop.time() < end, f"it did not happen within {timeout_s:g} s"
        await asyncio.sleep(0.005)


def wait_until(check: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """The same without a loop: other threads or processes do it."""
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, f"it did not happen within {timeout_s:g} s"
        time.sleep(0.005)


@contextmanager
def bounded(process: "subprocess.Popen[Any]", seconds: float = RUN_S) -> Iterator[None]:
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
