"""When an anchor is recorded; time is a number."""

from gateway.agent.anchors import PERIOD_NS, STEP_NS, Anchors, Verdict
from gateway.wire.message import ClockReading, ClockSource

SECOND = 1_000_000_000


def _at(boottime_ns: int, offset_ns: int, source: ClockSource = ClockSource.NTP) -> ClockReading:
    return ClockReading(boottime_ns, boottime_ns + offset_ns, source, -1)


def test_the_first_reading_is_an_anchor() -> None:
    """Every epoch has one anchor at least."""
    assert Anchors().compare(_at(0, 5)) == Verdict(True)


def test_a_steady_clock_gives_one_an_hour() -> None:
    """Slewing below 100 ms is no reason; an hour is."""
    anchors = Anchors()
    anchors.compare(_at(0, 0))
    assert not anchors.compare(_at(PERIOD_NS - 1, STEP_NS)).record
    assert anchors.compare(_at(PERIOD_NS, STEP_NS)) == Verdict(True)
    assert not anchors.compare(_at(PERIOD_NS + SECOND, STEP_NS)).record


def test_first_sync() -> None:
    """The moment the clock becomes right is recorded even if it does not move."""
    anchors = Anchors()
    anchors.compare(_at(0, 0, ClockSource.NONE))
    assert not anchors.compare(_at(SECOND, 0, ClockSource.NONE)).record
    assert anchors.compare(_at(2 * SECOND, 0)) == Verdict(True)


def test_a_step_either_way() -> None:
    """A jump is recorded with its size and sign."""
    anchors = Anchors()
    anchors.compare(_at(0, 0))
    assert anchors.compare(_at(SECOND, 300 * SECOND)) == Verdict(True, 300 * SECOND)
    assert anchors.compare(_at(2 * SECOND, 0)) == Verdict(True, -300 * SECOND)


def test_a_long_slew_is_followed() -> None:
    """Slewing that adds up past 100 ms is anchored anew, without being called a step."""
    anchors = Anchors()
    anchors.compare(_at(0, 0))
    verdicts = [anchors.compare(_at(i * SECOND, i * 60_000_000)) for i in range(1, 3)]
    assert verdicts == [Verdict(False), Verdict(True)]
