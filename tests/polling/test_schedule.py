"""Due times: no drift, no burst, what was left out is counted."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.polling.schedule import DeviceSchedule, Grid


def test_late_polls_do_not_shift_the_grid() -> None:
    """However late each poll is, the n-th is due at start + n intervals."""
    schedule = DeviceSchedule([1.0], start=100.0)
    for number in range(1000):
        assert schedule.due == 100.0 + number
        assert schedule.take(schedule.due + 0.9) == (0,)
    assert schedule.skipped == 0


def test_a_stall_is_followed_by_one_poll() -> None:
    """After 10.4 s without a chance there is one poll, ten are counted as skipped."""
    schedule = DeviceSchedule([1.0], start=0.0)
    assert schedule.take(10.4) == (0,)
    assert schedule.skipped == 10
    assert schedule.due == 11.0


def test_groups_that_meet_are_polled_together() -> None:
    """Intervals that are multiples meet; a tenth of a second does not miss a whole second."""
    schedule = DeviceSchedule([0.1, 1.0, 60.0], start=7.3)
    polls = [schedule.take(schedule.due) for _ in range(601)]
    assert polls[0] == (0, 1, 2)
    assert polls[10] == (0, 1) and polls[600] == (0, 1, 2)
    assert sum(1 in poll for poll in polls) == 61
    assert sum(2 in poll for poll in polls) == 2
    assert schedule.skipped == 0


@given(
    st.floats(0.01, 3600),
    st.floats(0, 1e6),
    st.lists(st.floats(0, 5), min_size=1, max_size=50),
)
def test_every_due_time_is_polled_or_counted(
    interval: float, start: float, waits: list[float]
) -> None:
    """Polls made + skipped = due times passed, and the next is always on the grid, ahead."""
    schedule = DeviceSchedule([interval], start)
    now = start
    for polls, wait in enumerate(waits, 1):
        now = max(now, schedule.due) + wait * interval
        assert schedule.take(now) == (0,)
        grid: Grid = schedule.grids[0]
        assert polls + schedule.skipped == grid.number
        assert grid.due > now - 1e-6
        assert grid.due <= now + interval * (1 + 1e-6)
