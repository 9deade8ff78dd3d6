"""A thread on a grid: it survives its work's errors, and never holds up the end."""

import threading
import time

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


def test_a_nudge_is_a_tick_out_of_turn() -> None:
    """It comes at once, and the grid stays where it was."""
    calls, ended = [], threading.Event()
    called = threading.Condition()

    def work() -> None:
        with called:
            calls.append(Clock().now())
            called.notify_all()

    def until(count: int) -> None:
        with called:
            assert called.wait_for(lambda: len(calls) >= count, 10.0), calls

    ticker = Ticker("test.nudge", 30.0, work, Clock(), ended.set)
    ticker.start()
    until(1)
    ticker.nudge()
    until(2)
    ticker.nudge()
    until(3)
    ticker.stop()
    assert ticker.join(10.0) and ended.is_set()
    assert len(calls) == 3


def test_a_nudge_moves_no_tick_of_the_grid() -> None:
    """One between two ticks is one more, not one instead."""
    calls: list[float] = []
    enough = threading.Event()

    def work() -> None:
        calls.append(Clock().now())
        if len(calls) == 6:
            enough.set()

    ticker = Ticker("test.grid", 0.1, work, Clock())
    ticker.start()
    time.sleep(0.13)
    ticker.nudge()
    assert enough.wait(10.0)
    ticker.stop()
    assert ticker.join(10.0)
    assert calls[5] - calls[0] > 0.35  # four steps of the grid and one nudge
