"""Pins what a technician's read and write do on a bus, against pymodbus's server on a pty."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.agent.bus import Bus
from gateway.agent.bus_jobs import (
    checked,
    point_of,
    read_points,
    split,
    with_points,
    write_value,
)
from gateway.config.agent import BusSettings, DeviceSettings, PointSettings
from gateway.config.writes import WriteLimits
from gateway.errors import DeviceExceptionError, RefusedError
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.process.clock import Clock
from tests.inverter import inverter
from tests.virtual_site import virtual_bus

HUMIDITY = PointSpec("humidity", Table.INPUT, 2, DataType.U16, unit="%RH", scale=0.1)
TEMPERATURE = PointSpec("temperature", Table.INPUT, 1, DataType.S16, unit="°C", scale=0.1)
NOWHERE = PointSpec("nowhere", Table.INPUT, 900, DataType.U16)
SETTING = PointSpec("setting", Table.HOLDING, 0xFFF0, DataType.U16, scale=0.5)
RELAY = PointSpec("relay", Table.COIL, 3, DataType.BOOL)
MODE = PointSpec("mode", Table.HOLDING, 0, DataType.ENUM, enum=((0, "off"), (1, "on")))
DEVICE = DeviceSettings(
    "room",
    88,
    (
        PointSettings(TEMPERATURE, 1.0),
        PointSettings(HUMIDITY, 1.0),
        PointSettings(SETTING, 1.0, WriteLimits(0.0, 100.0)),
        PointSettings(RELAY, 1.0, WriteLimits()),
        PointSettings(MODE, 1.0, WriteLimits()),
    ),
    timeout_s=0.5,
)


def point(name: str) -> PointSettings:
    """The device's point of that name."""
    return next(one for one in DEVICE.points if one.spec.name == name)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """An open bus with one sensor."""
    with virtual_bus(tmp_path_factory.mktemp("bus"), 19200, "xymd02:88") as port:
        bus = Bus(BusSettings("b", port, 19200, "none"), Clock())
        bus.open()
        yield bus
        bus.close()


def test_a_read_shows_registers_beside_values(bus: Bus) -> None:
    """Both points come in one transaction, with the frames as they were on the wire."""
    result = read_points(bus, DEVICE, (TEMPERATURE, HUMIDITY))
    temperature, humidity = result.points
    assert temperature.value == temperature.registers[0] / 10
    assert (humidity.quality, humidity.unit, humidity.address) == ("good", "%RH", 2)
    assert [way for way, _ in result.frames] == ["out", "in"]
    assert result.frames[0][1].startswith("58 04 00 01 00 0")
    assert result.frames[1][1].startswith("58 04 0")
    assert bus.trace is None


def test_one_refused_register_does_not_hide_the_others(bus: Bus) -> None:
    """What the device refuses is named with its exception; the rest is read."""
    result = read_points(bus, DEVICE, (TEMPERATURE, NOWHERE, HUMIDITY))
    first, refused, last = result.points
    assert first.quality == last.quality == "good"
    assert (refused.cause, refused.registers, refused.value) == ("exception", (), None)
    assert "exception 2" in refused.text


def test_a_silent_device_is_a_result(bus: Bus) -> None:
    """Nobody at that unit id: every point says so, nothing is raised."""
    gone = DeviceSettings("gone", 9, DEVICE.points, timeout_s=0.05)
    (point,) = read_points(bus, gone, (TEMPERATURE,)).points
    assert (point.cause, point.registers) == ("no_reply", ())
    assert "no reply within 0.05 s" in point.text


def test_a_write_is_read_back(bus: Bus) -> None:
    """Scaled to the register, written with function 6, read back and compared."""
    result = write_value(bus, DEVICE, point("setting"), "21.5")
    assert (result.function, result.registers, result.agrees) == (6, (43,), True)
    assert result.after.value == 21.5
    assert write_value(bus, DEVICE, point("setting"), "20").before.value == 21.5


def test_a_coil_is_written_with_function_5(bus: Bus) -> None:
    """On and off, read back from the coil."""
    for text, value in (("on", True), ("0", False)):
        result = write_value(bus, DEVICE, point("relay"), text)
        assert (result.function, result.after.value, result.agrees) == (5, value, True)


def test_a_register_the_device_has_not_is_its_exception(bus: Bus) -> None:
    """The device's refusal of a write is told as it is."""
    with pytest.raises(DeviceExceptionError, match="exception 2"):
        write_value(bus, DEVICE, point("mode"), "on")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("temperature", "5", "does not mark it writable"),
        ("setting", "100.5", "outside write_min 0 to write_max 100"),
        ("setting", "warm", "is no number"),
        ("setting", "nan", "no number"),
        ("relay", "2", "give on or off"),
        ("mode", "auto", "none of off, on"),
    ],
)
def test_what_may_not_be_written_is_refused(name: str, text: str, reason: str) -> None:
    """Before anything is sent, with the reason and the cure."""
    with pytest.raises(RefusedError, match=reason):
        checked(DEVICE, point(name), text)


def test_a_value_between_two_steps_of_the_register_is_refused(bus: Bus) -> None:
    """21.3 does not exist where the register counts halves."""
    with pytest.raises(RefusedError, match="finer than the device's step"):
        write_value(bus, DEVICE, point("setting"), "21.3")


def test_names_are_found_with_their_dots() -> None:
    """Sources and points may have dots in their names; a wrong one names those there are."""
    sources = ("plant", "plant.room", "room")
    assert split(sources, "plant.room") == ("plant.room", "")
    assert split(sources, "plant.room.humidity") == ("plant.room", "humidity")
    assert split(sources, "plant.pv.power") == ("plant", "pv.power")
    assert point_of(DEVICE, "humidity") is DEVICE.points[1] and point_of(DEVICE, "") is None
    with pytest.raises(RefusedError, match=r"room\.humidty: room has no such point; it has temp"):
        point_of(DEVICE, "humidty")
    for name in ("kitchen", "", ".", "roomy.humidity"):
        with pytest.raises(RefusedError, match="no such device; the config has plant, plant"):
            split(sources, name)


def test_a_device_that_says_its_points(bus: Bus) -> None:
    """It is asked when somebody wants to read it; one that is silent is told as that."""
    assert with_points(bus, DEVICE) is DEVICE
    unknown = DeviceSettings("pv", 9, (), timeout_s=0.03, discover_s=1.0)
    with pytest.raises(RefusedError, match=r"pv: unit id 9 on b says nothing .*no_reply"):
        with_points(bus, unknown)
    with inverter() as found:
        sunspec = Bus(BusSettings("s", found.port, 19200, "none"), Clock())
        sunspec.open()
        known = with_points(sunspec, replace(unknown, unit_id=1, timeout_s=0.5))
        power = point_of(known, "inverter.active_power")
        assert power is not None
        (read,) = read_points(sunspec, known, (power.spec,)).points
        assert (read.value, read.unit) == (8110, "W")
        sunspec.close()
