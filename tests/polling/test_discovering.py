"""The course of a walk over a bus that loses answers, without a bus."""

import pytest

from gateway.config.agent import DeviceSettings
from gateway.modbus.point import Table
from gateway.polling.discovering import FIRST_PAUSE_S, Discovering
from gateway.polling.health import FIRST_TIMEOUT_S, MAX_PROBE_INTERVAL_S, PROBE_SHARE
from gateway.reading import Cause
from tests.modbus.test_sunspec import COMMON, INVERTER
from tests.modbus.test_sunspec import device as registers_of

REGISTERS = registers_of(0, COMMON, INVERTER)


def walker(only: tuple[str, ...] = (), retries: int = 1) -> Discovering:
    """Return a walk of unit 5."""
    return Discovering(
        DeviceSettings("d", 5, (), retries=retries, discover_s=2.0, discover_only=only), 10.0
    )


def step(walk: Discovering, now: float) -> Cause | None:
    """Answer one read as a device at base 0 would."""
    request = walk.request()
    assert (request.unit_id, request.function) == (5, Table.HOLDING.value)
    wanted = range(request.address, request.address + request.count)
    if all(address in REGISTERS for address in wanted):
        return walk.given([REGISTERS[address] for address in wanted], now)
    return walk.refused(now)


def test_a_device_is_found() -> None:
    """Each read wants the next at once; in the end there are points at the interval asked for."""
    walk = walker()
    assert walk.due == 10.0 and walk.timeout_s == FIRST_TIMEOUT_S
    now = 10.0
    while walk.found is None:
        assert walk.due <= now
        assert step(walk, now) is None
        now += 0.1
    assert {point.poll_interval_s for point in walk.found.points} == {2.0}
    assert walk.found.discover_s is None
    assert "inverter.active_power" in {point.spec.name for point in walk.found.points}


def test_points_that_are_not_there() -> None:
    """None of those wanted: not found, told, and looked for again."""
    walk = walker(("meter.frequency",))
    cause = None
    while cause is None:
        cause = step(walk, 20.0)
    assert cause is Cause.EXCEPTION and walk.found is None
    assert walk.due == 20.0 + FIRST_PAUSE_S


def test_silence_everywhere() -> None:
    """Each base is tried once; the pause grows, and what it costs stays a small share."""
    walk, now, pauses = walker(retries=3), 10.0, []
    for _ in range(10):
        causes = [walk.lost(Cause.NO_REPLY, now, 0.5) for _ in range(3)]
        assert causes == [None, None, Cause.NO_REPLY]
        pauses.append(walk.due - now)
        now = walk.due
    assert pauses == sorted(pauses)
    assert pauses[0] == 1.5 / PROBE_SHARE and pauses[-1] >= MAX_PROBE_INTERVAL_S


@pytest.mark.parametrize("cause", [Cause.NO_REPLY, Cause.BAD_FRAME, Cause.BUSY])
def test_a_read_within_the_chain_is_repeated(cause: Cause) -> None:
    """As often as the device's retries allow; then the walk begins anew, at the first base."""
    walk = walker(retries=2)
    step(walk, 10.0)
    step(walk, 10.1)
    lost = walk.request()
    for _ in range(2):
        assert walk.lost(cause, 11.0, 0.1) is None
        assert walk.request() == lost
    assert walk.lost(cause, 11.0, 0.1) is cause
    assert walk.request().address == 40000 and walk.due > 11.0


def test_a_pause() -> None:
    """The port is gone: later."""
    walk = walker()
    walk.pause(12.0)
    assert walk.due == 12.0
