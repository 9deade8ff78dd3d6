"""`[host]`: where the supply and the radio are read, and what a slip is told."""

import pytest

from gateway.config.agent import parse
from gateway.config.host import HostSettings

FILE = """
[gateway]
id = "a"
[uplink]
url = "wss://centre.example.net/gateway"
[[bus]]
name = "b"
port = "/dev/ttyS0"
[[bus.device]]
name = "dc-meter"
unit_id = 1
[[bus.device.point]]
name = "voltage"
table = "input"
address = 0
type = "u16"
[[bus.device.point]]
name = "slow"
table = "input"
address = 1
type = "u16"
poll_interval_s = 60
[[serial]]
name = "charger"
port = "/dev/ttyS1"
format = "json"
[[serial.point]]
name = "battery_voltage"
[host]
"""


def test_nothing_given() -> None:
    """Found by itself."""
    settings = parse(FILE, "f", {}).settings
    assert settings is not None and settings.host == HostSettings()


def test_everything_given() -> None:
    """Each key comes through."""
    text = (
        'supply = "dc-meter.voltage"\nsupply_ratio = 2\nsupply_warn_v = 22\nsupply_crit_v = 20.5\n'
        'interfaces = ["eth0", "wwan0"]\nmodem = "/dev/ttyUSB2"\naggregate_s = 60\n'
    )
    settings = parse(FILE + text, "f", {}).settings
    assert settings is not None
    assert settings.host == HostSettings(
        *("dc-meter.voltage", 2.0, 22.0, 20.5, ("eth0", "wwan0"), "/dev/ttyUSB2", 60.0)
    )


@pytest.mark.parametrize(
    "supply",
    [
        "auto",
        "none",
        "pmic",
        "hwmon:nct6775/in3",
        "power_supply:BAT0",
        "iio:ads1015/voltage0",
        "nut:ups",
        "nut:ups@10.0.0.5:3493/battery.voltage",
        "charger.battery_voltage",
    ],
)
def test_sources(supply: str) -> None:
    """Every form of a source."""
    settings = parse(f'{FILE}supply = "{supply}"\n', "f", {}).settings
    assert settings is not None and settings.host.supply == supply


def test_a_supply_that_is_read_too_seldom() -> None:
    """It would be unknown between two of its readings."""
    found = parse(FILE + 'supply = "dc-meter.slow"\n', "f", {})
    (warning,) = found.warnings
    assert "dc-meter.slow is read every 60 s; poll_interval_s of at most 10" in str(warning)
    assert parse(FILE + 'supply = "dc-meter.voltage"\n', "f", {}).warnings == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('supply = "dc-meter.voltag"', 'did you mean "dc-meter.voltage"?'),
        ('supply = "charger.batery_voltage"', 'did you mean "charger.battery_voltage"?'),
        ('supply = "nut:ups@host:99999"', '"nut:UPS@HOST" or "SOURCE.POINT"'),
        ('supply = "hwmon:ina226"', 'found "hwmon:ina226"; give "auto", "none", "pmic"'),
        ("supply_crit_v = 23\nsupply_warn_v = 22", "found 23; at most supply_warn_v (22)"),
        ('modem = "ttyUSB2"', 'give "auto" (ModemManager), "none", or the path'),
        ('interfaces = ["a/b"]', "names as `ip link` shows them"),
        ("suply = 1", 'unknown key; did you mean "supply"?'),
    ],
)
def test_slips(line: str, message: str) -> None:
    """A mistake is told with its place and cure."""
    found = parse(FILE + line + "\n", "f", {})
    assert found.settings is None
    assert any(message in str(problem) for problem in found.problems), found.problems
    assert all(problem.line for problem in found.problems)
