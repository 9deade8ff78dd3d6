"""When the wall clock counts as synchronised."""

from pathlib import Path

from gateway.process.clock import Clock, HostFiles
from gateway.process.timesync import MARK, TimeSync, kernel_max_error_us
from gateway.wire.message import ClockSource


def test_the_mark_of_timesyncd_is_enough(tmp_path: Path) -> None:
    """Where adjtimex may not be read, systemd-timesyncd's file decides."""
    sync = TimeSync(Clock(), HostFiles(tmp_path), lambda: None)
    assert not sync.synced
    assert sync.reading().source is ClockSource.NONE
    mark = tmp_path / MARK.lstrip("/")
    mark.parent.mkdir(parents=True)
    mark.touch()
    sync.refresh()
    assert sync.synced
    assert sync.reading().source is ClockSource.NTP
    assert sync.reading().error_us == -1


def test_the_kernels_error_bound_decides(tmp_path: Path) -> None:
    """Below 16 s somebody disciplines the clock; at 16 s nobody does."""
    assert TimeSync(Clock(), HostFiles(tmp_path), lambda: 2_500).error_us == 2_500
    assert not TimeSync(Clock(), HostFiles(tmp_path), lambda: 16_000_000).synced


def test_one_reading_holds_both_clocks(tmp_path: Path) -> None:
    """The boottime of a reading lies around the wall time's instant."""
    clock = Clock()
    before = clock.boottime_ns()
    reading = TimeSync(clock, HostFiles(tmp_path), lambda: None).reading()
    assert before <= reading.boottime_ns <= clock.boottime_ns()
    assert abs(reading.wall_ns - clock.wall_ns()) < 60_000_000_000


def test_the_kernel_answers() -> None:
    """adjtimex itself can be asked (as root and as anyone) and gives a bound, not garbage."""
    error = kernel_max_error_us()
    assert error is None or 0 <= error <= 20_000_000
