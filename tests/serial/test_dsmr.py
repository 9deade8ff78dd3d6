"""P1 telegrams: the standard's example, its check sum, and what the meter leaves out."""

import pytest

from gateway.serial.format import Format, Options
from gateway.serial.line import Fault, FaultKind, Field, Line
from tests.serial.sources import TELEGRAM, arc_of

pytest.importorskip("dsmr_parser", reason="the extra dsmr is not installed")

from gateway.serial.dsmr import Dsmr

GOOD = TELEGRAM.read_bytes()


def made(version: str = "5") -> Format:
    """Return a format that has been reset."""
    one = Dsmr(Options.of(Dsmr.OPTIONS, {"version": version}))
    one.reset(0.0, in_step=False)
    return one


def fields(found: list[Line | Fault]) -> dict[str, Field]:
    """Return the fields of the one line found."""
    (line,) = found
    assert isinstance(line, Line)
    return dict(line.fields)


def seal(text: bytes) -> bytes:
    """Return a telegram with its check sum."""
    return text + b"!%04X\r\n" % arc_of(text + b"!")


def test_the_standards_example() -> None:
    """P1 companion standard 5.0.2 §6.12; the sum is that of its text with CR LF."""
    assert seal(GOOD.rpartition(b"!")[0]) == GOOD
    found = fields(made().feed(GOOD, 1.0))
    assert found["electricity_used_tariff_1"] == 123456.789
    assert found["current_electricity_usage"] == 1.193
    assert found["current_electricity_delivery"] == 0.0
    assert found["instantaneous_voltage_l1"] == 220.1
    assert found["mbus1_meter_reading"] == 12785.123
    assert found["mbus1_meter_reading_time"] == "2010-12-09T10:25:00+00:00"
    assert found["equipment_identifier"] == "4B384547303034303436333935353037"
    assert found["mbus2_meter_reading"] is None


def test_a_wrong_sum_is_refused_before_parsing() -> None:
    """Any flipped bit, and the sum printed in the standard for its wrapped text."""
    for at in range(0, len(GOOD) - 2, 7):
        spoilt = GOOD[:at] + bytes([GOOD[at] ^ 1]) + GOOD[at + 1 :]
        found = made().feed(spoilt, 1.0) + made().feed(b"", 9.0)
        assert not any(isinstance(one, Line) for one in found), at
    (fault,) = made().feed(GOOD[:-6] + b"EF2F\r\n", 1.0)
    assert isinstance(fault, Fault) and fault.kind is FaultKind.CHECKSUM


@pytest.mark.parametrize(
    "telegram",
    [
        seal(b"/ISk5\\2MT382-1000\r\n\r\n"),
        seal(b"/ISk5\\2MT382-1000\r\n\r\n1-0:1.7.0(xx.193*kW)\r\n"),
        seal(b"/ISk5\\2MT382\xff-1000\r\n\r\n1-0:1.7.0(01.193*kW)\r\n"),
        seal(b"/ISk5\r\n")[:-2] + b"xx",
    ],
)
def test_telegrams_that_say_nothing(telegram: bytes) -> None:
    """A right sum over something else is no reading."""
    (fault,) = made().feed(telegram, 1.0)
    assert isinstance(fault, Fault) and fault.kind is FaultKind.FORMAT


def test_an_odd_line_does_not_spoil_the_others() -> None:
    """A line that its rule does not fit is not available; the telegram stands."""
    text = b"/ISk5\\2MT382-1000\r\n\r\n1-0:1.7.0(01.193*kW)\r\n1-0:2.7.0(oh)\r\n"
    found = fields(made().feed(seal(text), 1.0))
    assert found["current_electricity_usage"] == 1.193
    assert found["current_electricity_delivery"] is None


def test_version_2_has_no_sum() -> None:
    """The end is ``!`` and CR LF."""
    text = (
        b"/KMP5 KA6U001660297912\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n1-0:1.7.0(0001.01*kW)\r\n!\r\n"
    )
    found = fields(made("2.2").feed(text, 1.0))
    assert found["electricity_used_tariff_1"] == 1.001
    assert found["current_electricity_usage"] == 1.01


def test_fields_belong_to_a_version() -> None:
    """The config check learns which fields a version cannot give."""
    assert made("5").group("instantaneous_voltage_l1") == ""
    assert made("2.2").group("instantaneous_voltage_l1") is None
    assert "mbus1_meter_reading" in Dsmr.FIELDS
