"""What a bus's settings ask of its wire."""

import pytest

from gateway.config.agent import BusSettings, DeviceSettings, PointSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.polling.load import bus_load


def points(count: int, interval_s: float, first: int = 0) -> tuple[PointSettings, ...]:
    return tuple(
        PointSettings(PointSpec(f"p{first + i}", Table.INPUT, first + i, DataType.U16), interval_s)
        for i in range(count)
    )


def test_load_of_intervals_and_devices_adds_up() -> None:
    """Each interval of each device counts its own requests; t3.5 is 1.75 ms above 19200 baud."""
    devices = (
        DeviceSettings("a", 1, points(10, 1.0) + points(2, 10.0, 500)),
        DeviceSettings("b", 2, points(125, 0.5), max_registers=60),
    )
    load = bus_load(BusSettings("b", "/dev/x", 38400, "even", 1, devices=devices))
    character_s, fixed_s = 11 / 38400, 13 * 11 / 38400 + 0.010 + 0.00175
    share = (fixed_s + 20 * character_s) + (fixed_s + 4 * character_s) / 10
    share += 2 * (3 * fixed_s + 250 * character_s)
    assert load.blocks == 5
    assert load.requests == pytest.approx(1 + 0.1 + 6)
    assert load.readings == pytest.approx(10 + 0.2 + 250)
    assert load.share == pytest.approx(share)
