"""Pins which points may be written, and what."""

import pytest

from gateway.config.agent import parse
from gateway.config.writes import DEFAULT_INTERVAL_S, WriteLimits

FILE = """
[gateway]
id = "g"
[uplink]
url = "wss://c/g"
[[bus]]
name = "b"
port = "/dev/x"
[[bus.device]]
name = "d"
unit_id = 1
[[bus.device.point]]
name = "p"
table = "{table}"
address = 0
{keys}
"""


def parsed(keys: str, table: str = "holding") -> tuple[list[str], WriteLimits | None]:
    """Return the problems (key and cure) and the limits of the one point."""
    result = parse(FILE.format(keys=keys, table=table), "f.toml", {})
    if result.settings is None:
        return [f"{one.key.rpartition('.')[2]}: {one.cure}" for one in result.problems], None
    return [], result.settings.buses[0].devices[0].points[0].write


def test_a_point_is_read_only_unless_it_says_otherwise() -> None:
    """No key, no writing; writable = false neither."""
    assert parsed('type = "u16"') == ([], None)
    assert parsed('type = "u16"\nwritable = false') == ([], None)


def test_limits_are_taken_over() -> None:
    """All four keys arrive; the interval has a default that spares EEPROM."""
    keys = 'type = "s16"\nwritable = true\nwrite_min = -5\nwrite_max = 30'
    assert parsed(keys) == ([], WriteLimits(-5, 30, None, DEFAULT_INTERVAL_S))
    keys += "\nwrite_step = 0.5\nwrite_interval_s = 60"
    assert parsed(keys) == ([], WriteLimits(-5, 30, 0.5, 60.0))


def test_bools_and_enums_need_no_limits() -> None:
    """A coil is on or off; an enum has its names."""
    assert parsed("writable = true", "coil") == ([], WriteLimits())
    keys = 'type = "enum"\nenum = { 0 = "off", 1 = "on" }\nwritable = true'
    assert parsed(keys) == ([], WriteLimits())


@pytest.mark.parametrize(
    ("keys", "table", "problem"),
    [
        ('type = "u16"\nwritable = true', "holding", "write_min: add write_min"),
        ('type = "u16"\nwritable = true\nwrite_min = 0', "holding", "write_max: add write_max"),
        (
            'type = "u16"\nwritable = true\nwrite_min = 9\nwrite_max = 1',
            "holding",
            "write_min: at most write_max",
        ),
        (
            'type = "u16"\nwritable = true\nwrite_min = 0\nwrite_max = 1',
            "input",
            'writable: only table = "holding"',
        ),
        ("writable = true", "discrete", 'writable: only table = "holding"'),
        ('type = "str"\nregisters = 4\nwritable = true', "holding", "writable: make a whole"),
        ('type = "bits"\nbit = 1\nwritable = true', "holding", "writable: make a whole"),
        ('type = "u16"\nwrite_max = 3', "holding", "write_max: add writable = true"),
        ('type = "u16"\nwritable = 1', "holding", "writable: give true or false"),
    ],
)
def test_what_is_wrong_is_said_with_its_cure(keys: str, table: str, problem: str) -> None:
    """A number without limits, a table that cannot be written, a part of a register."""
    problems, _ = parsed(keys, table)
    assert any(one.startswith(problem) for one in problems), problems


def test_values_outside_are_refused() -> None:
    """Limits and steps hold; float noise is no other step."""
    limits = WriteLimits(0.0, 30.0, 0.1)
    assert limits.refusal(21.3) is None
    assert limits.refusal(30) is None
    assert "outside write_min 0 to write_max 30" in str(limits.refusal(30.1))
    assert "outside" in str(limits.refusal(-0.1))
    assert "not on a step of 0.1" in str(limits.refusal(21.34))
    assert "no number" in str(limits.refusal(float("nan")))
    assert WriteLimits(None, None, 2.0).refusal(3.0) is not None
    assert WriteLimits().refusal(True) is None
    assert WriteLimits().refusal("on") is None
