"""A thread on a grid: it survives its work's errors, and never holds up the end."""

import threading

import pytest

from gateway.agent.ticker import Ticker
from gateway.process.clock import Clock


def test_it_goes_on_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """A row of errors is logged once; the next tick comes all the same."""
    enough = threading.Event()
    calls = []

    def work() -> None:
        calls.append(1)
        if len(calls) >= 4:
            enough.set()
        raise OSError("a sensor gone")

    ticker = Ticker("test.tick", 0.01, work, Clock())
    ticker.start()
    assert enough.wait(10.0)
    ticker.stop()
    assert ticker.join(10.0)
    assert len([r for r in caplog.records if "tick failed" in r.message]) == 1


def test_a_tick_that_hangs_delays_nobody() -> None:
    """The end is not waited for longer than asked, and the thread keeps no process alive."""
    release, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(60.0)

    ticker = Ticker("test.hang", 0.01, work, Clock())
    ticker.start()
    assert begun.wait(10.0)
    ticker.stop()
    assert not ticker.join(0.0)
    assert ticker._thread.daemon
    release.set()
    assert ticker.join(10.0)
