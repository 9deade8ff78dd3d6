"""Formats that installed packages add: found by entry point, told when they cannot be used."""

from importlib.metadata import EntryPoint, EntryPoints, distribution

import pytest

from gateway.config.serial import Unavailable
from gateway.process.formats import GROUP, InstalledFormats
from gateway.serial.builtin import BUILT_IN


def formats(name: str, value: str) -> InstalledFormats:
    """Return the formats beside one entry point."""
    return InstalledFormats(EntryPoints([EntryPoint(name, value, GROUP)]))


def test_ours_are_there() -> None:
    """The built-in ones by their names, whatever is installed."""
    found = InstalledFormats(EntryPoints([]))
    assert dict(found) == BUILT_IN and len(found) == len(BUILT_IN)
    assert "nmea" in found and "dsmr" not in found


def test_dsmr_is_registered_like_a_strangers() -> None:
    """Our own package's metadata names it, and the extra it needs."""
    (point,) = (p for p in distribution("edge-gateway").entry_points if p.group == GROUP)
    assert (point.name, point.extras) == ("dsmr", ["dsmr"])
    pytest.importorskip("dsmr_parser", reason="the extra dsmr is not installed")
    kind = InstalledFormats()["dsmr"]
    assert isinstance(kind, type) and "current_electricity_usage" in kind.FIELDS


def test_a_strangers_format_is_loaded() -> None:
    """By name, once."""
    found = formats("tank", "tests.serial.tank_format:Tank")
    assert set(found) == {*BUILT_IN, "tank"}
    kind = found["tank"]
    assert isinstance(kind, type) and kind is found["tank"]


def test_ours_cannot_be_replaced() -> None:
    """An entry point of the same name is passed over."""
    assert formats("nmea", "tests.serial.tank_format:Tank")["nmea"] is BUILT_IN["nmea"]


@pytest.mark.parametrize(
    ("value", "found", "cure"),
    [
        ("tests.serial.not_there:X [dsmr]", "which needs tests.serial.not_there", "tests[dsmr]"),
        ("tests.serial.not_there:X", "cannot be imported", "pip install --upgrade tests"),
        ("tests.serial.tank_format:Missing", "fails: AttributeError", "update or remove"),
        ("tests.serial.tank_format:height", "is no format", "docs/serial.md"),
    ],
)
def test_what_cannot_be_used_says_why(value: str, found: str, cure: str) -> None:
    """The config check has what is wrong and what to do."""
    kind = formats("own", value)["own"]
    assert isinstance(kind, Unavailable)
    assert 'found "own"' in kind.found and found in kind.found
    assert cure in kind.cure
