"""Pins the heartbeat's schedule and the clock offset."""

from gateway.wire.heartbeat import HeartbeatSchedule, boot_offset_ns
from tests.wire.peers import CLOCK


def test_beats_without_drift() -> None:
    """A late call does not shift the beats after it, and missed beats are not made up for."""
    schedule = HeartbeatSchedule(30.0, 100.0)
    assert schedule.due_at == 130.0
    assert not schedule.beat(129.9)
    assert schedule.beat(131.0)
    assert schedule.due_at == 160.0
    assert schedule.beat(250.0)
    assert not schedule.beat(250.0)
    assert schedule.due_at == 280.0


def test_no_interval_no_beat() -> None:
    """A centre that wants no heartbeat gets none."""
    schedule = HeartbeatSchedule(0.0, 100.0)
    assert schedule.due_at is None
    assert not schedule.beat(1e9)


def test_offset_takes_half_the_round_trip() -> None:
    """The message was under way for about half a round trip."""
    assert boot_offset_ns(CLOCK, 1_000_000_000, 0.1) == 1_000_000_000 - 50_000_000 - 5
