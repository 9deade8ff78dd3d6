"""The timer wheel: time is a number."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.centre.wheel import SLOTS, TimerWheel


class Entry:
    def __init__(self) -> None:
        self.due = 0.0
        self.seen: list[float] = []

    def handle_due(self, now: float) -> None:
        self.seen.append(now)


@given(st.lists(st.floats(0.0, 400.0), min_size=1, max_size=6), st.floats(0.05, 3.0))
def test_an_entry_is_seen_once_within_two_ticks_of_its_last_placing(
    dues: list[float], step: float
) -> None:
    """Placing again forgets what was asked before, earlier or later, near or far."""
    wheel, entry, now = TimerWheel(0.25, 0.0), Entry(), 0.0
    for due in dues:
        wheel.place(entry, 1.0 + due)
    while now < 500:
        now += step
        wheel.turn(now)
    assert len(entry.seen) == 1
    assert 1.0 + dues[-1] <= entry.seen[0] <= 1.0 + dues[-1] + 0.5 + step + 0.001


def test_a_loop_that_hung_catches_up() -> None:
    """After a long stall every due entry is still seen."""
    wheel = TimerWheel(0.25, 0.0)
    entries = [Entry() for _ in range(100)]
    for number, entry in enumerate(entries):
        wheel.place(entry, 1.0 + number)
    wheel.turn(10_000.0)
    assert all(entry.seen == [10_000.0] for entry in entries)
    assert SLOTS * 0.25 < 100


def test_a_forgotten_entry_is_left_alone() -> None:
    """`due` 0: never again."""
    wheel, entry = TimerWheel(0.25, 0.0), Entry()
    wheel.place(entry, 5.0)
    entry.due = 0.0
    wheel.turn(50.0)
    assert entry.seen == []
