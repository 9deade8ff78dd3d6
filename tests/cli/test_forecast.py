"""A day reckoned from the settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.forecast import DAY_S, forecast
from gateway.config.agent import (
    AgentSettings,
    BusSettings,
    DeviceSettings,
    PointSettings,
    UplinkSettings,
)
from gateway.config.host import HostSettings
from gateway.config.serial import SerialSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.process.files import read_agent
from gateway.serial.delimited import Delimited
from gateway.serial.format import Options
from gateway.serial.source import Asking
from gateway.serial.values import FieldSpec
from gateway.wire.record import HEADER_SIZE

ROOT = Path(__file__).parents[2]


QUIET = AgentSettings("g", UplinkSettings("wss://c/g"), host=HostSettings(aggregate_s=1e12))
"""A gateway whose own readings are too rare to count."""


def settings(interval_s: float, *types: DataType, scale: float = 1.0) -> AgentSettings:
    points = tuple(
        PointSettings(
            PointSpec(
                f"p{i}",
                Table.INPUT,
                4 * i,
                kind,
                {DataType.U64: 4, DataType.F32: 2, DataType.U32: 2}.get(kind, 1),
                scale=1.0 if kind in (DataType.F32, DataType.STR) else scale,
                enum=((0, "off"),) if kind is DataType.ENUM else (),
            ),
            interval_s,
        )
        for i, kind in enumerate(types)
    )
    bus = BusSettings("b", "/dev/x", 115200, devices=(DeviceSettings("d", 1, points),))
    return replace(QUIET, buses=(bus,))


def test_one_float_a_second() -> None:
    """A record is its header, [sid, t0, [[block, 0, [float32]]]] and nothing else."""
    day = forecast(settings(1.0, DataType.F32))
    assert day.readings == pytest.approx(1.0)
    # array, sid, t0 (9 bytes after ten days), array, row array, block, dt, values array, float32
    payload = 1 + 1 + 9 + 1 + 1 + 1 + 1 + 1 + 5
    assert day.stored == pytest.approx(DAY_S * (HEADER_SIZE + payload))
    assert day.stored < day.messages < day.network
    assert day.spool_days(round(day.stored) * 30) == pytest.approx(30.0)


def test_gathering_saves_bytes() -> None:
    """With `batch_s` many rows share a record; the readings stay."""
    plain = settings(0.1, DataType.F32)
    gathered = replace(plain, uplink=replace(plain.uplink, batch_s=1.0))
    one, other = forecast(plain), forecast(gathered)
    assert one.readings == other.readings
    assert other.stored < 0.5 * one.stored and other.network < 0.3 * one.network
    slow = settings(60.0, DataType.F32)  # a batch never holds more than there is
    late = replace(slow, uplink=replace(slow.uplink, batch_s=1.0))
    assert forecast(late).stored == pytest.approx(forecast(slow).stored)


def test_every_type_has_a_size() -> None:
    """Whatever a point is, a usual value of it is packed."""
    kinds = (DataType.BOOL, DataType.U16, DataType.U32, DataType.U64, DataType.F32, DataType.F64)
    for kind in (*kinds, DataType.STR, DataType.ENUM):
        table = settings(1.0, kind)
        assert forecast(table).stored > DAY_S * HEADER_SIZE
    assert forecast(settings(1.0, DataType.U16, scale=0.1)).stored < (
        forecast(settings(1.0, DataType.U16, scale=0.3)).stored
    )


def test_nothing_to_read() -> None:
    """No readings, no days; the heartbeats remain."""
    day = forecast(QUIET)
    assert day.readings == pytest.approx(0.0, abs=1e-6)
    assert day.stored < 1 < day.messages < day.network


def test_the_host_and_serial_sources_count() -> None:
    """What the gateway says of itself each ten seconds, and lines that come or are asked for."""
    host = forecast(replace(QUIET, host=HostSettings()))
    assert 0.5e6 < host.stored < 2e6
    fields = (FieldSpec("a", "1"), FieldSpec("b", "2"))
    talking = SerialSettings("s", "/dev/x", "delimited", Delimited, Options(()), fields)
    asked = replace(talking, asking=Asking(b"?", 10.0, 1.0))
    one, other = (forecast(replace(QUIET, serials=(source,))) for source in (talking, asked))
    assert one.readings == pytest.approx(2.0) and other.readings == pytest.approx(0.2)


def test_the_example() -> None:
    """The example file's day, so that a change of the reckoning is seen."""
    parsed = read_agent(ROOT / "config/agent.example.toml")
    assert parsed.settings is not None
    day = forecast(parsed.settings)
    assert 5.817 < day.readings < 8
    assert 10e6 < day.stored < 20e6
