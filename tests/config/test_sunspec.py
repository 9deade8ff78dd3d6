"""`profile = "sunspec"`: the device is asked for its points."""

import pytest

from gateway.config.agent import parse

HEAD = """
[gateway]
id = "g"
[uplink]
url = "wss://centre.example.net/g"
[[bus]]
name = "b"
port = "/dev/ttyS0"
[[bus.device]]
name = "inverter"
unit_id = 5
profile = "sunspec"
poll_interval_s = 5.0
"""


def test_discovered_at_the_start() -> None:
    """No points until the device says them; those wanted may be named, also of a second model."""
    parsed = parse(HEAD, "g.toml", {})
    assert parsed.settings is not None
    (device,) = parsed.settings.buses[0].devices
    assert (device.points, device.discover_s, device.discover_only) == ((), 5.0, ())
    assert device.profile == "sunspec"
    points = ["inverter.active_power", "meter2.frequency"]
    parsed = parse(HEAD + f"points = {points}\n", "g.toml", {})
    assert parsed.settings is not None
    assert parsed.settings.buses[0].devices[0].discover_only == tuple(points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('points = ["inverter.activ_power"]', 'did you mean "inverter.active_power"?'),
        ('points = ["active_power"]', "found"),
        ('[[bus.device.point]]\nname = "p"', "the device itself says its points"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """Names that no model has, and points that only the device can say."""
    problems = [str(problem) for problem in parse(HEAD + text + "\n", "g.toml", {}).problems]
    assert any(message in problem for problem in problems), problems


def test_a_misspelt_sunspec() -> None:
    """It is among the profiles that are offered."""
    (problem,) = parse(HEAD.replace('"sunspec"', '"sunspek"'), "g.toml", {}).problems
    assert 'did you mean "sunspec"?' in str(problem)
