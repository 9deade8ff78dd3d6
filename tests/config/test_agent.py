"""The agent's file: the technician's example, every problem of broken ones, and no traceback."""

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.agent import AgentSettings, is_loopback, parse
from gateway.config.problems import Parsed
from gateway.config.profile import Profile
from gateway.modbus.point import DataType, Order, PointSpec, Table
from gateway.process.files import Profiles

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/config/agent"
PROFILES = Profiles((ROOT / "config/profiles",))
BROKEN = sorted(path.stem for path in GOLDEN.glob("*.expected"))


def read(name: str) -> Parsed[AgentSettings]:
    # As bytes: a text file's line endings would be changed on the way.
    return parse((GOLDEN / name).read_bytes().decode("utf-8"), name, PROFILES)


def parsed(text: str, **profiles: Profile | None) -> Parsed[AgentSettings]:
    """Parse a device's tables below a minimal head."""
    head = '[gateway]\nid="a"\n[uplink]\nurl="wss://c/g"\n[[bus]]\nname="b"\nport="/dev/x"\n'
    return parse(head + "[[bus.device]]\nname='d'\nunit_id=7\n" + text, "f", profiles)


def good(text: str, **profiles: Profile | None) -> AgentSettings:
    result = parsed(text, **profiles)
    assert result.settings is not None, result.problems
    return result.settings


def test_technicians_example() -> None:
    """The file of the project's README is complete: a profile, a port, an address of the centre."""
    result = read("technician.toml")
    assert result.problems == () and result.warnings == ()
    assert result.settings is not None
    assert result.settings.gateway_id == "site-042"
    text = (GOLDEN / "technician.toml").read_bytes()
    assert result.settings.revision == hashlib.sha256(text).hexdigest()[:12]
    (bus,) = result.settings.buses
    assert (bus.name, bus.baud, bus.parity, bus.stop_bits) == ("rs485-1", 19200, "even", 1)
    assert bus.character_s == 11 / 19200
    (device,) = bus.devices
    assert (device.name, device.unit_id, device.profile) == ("main-meter", 1, "eastron-sdm630")
    assert (device.max_registers, device.shape_step) == (80, 2)
    assert {point.poll_interval_s for point in device.points} == {1.0}
    assert len(device.points) == 39


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str) -> None:
    """Each broken file gives exactly the messages expected: all at once, in order, with cures."""
    result = read(f"{name}.toml")
    assert result.settings is None
    expected = (GOLDEN / f"{name}.expected").read_text("utf-8").splitlines()
    assert [str(problem) for problem in result.problems] == expected
    for problem in result.problems:
        assert problem.line and problem.column and problem.found and problem.cure
    assert "do-not-show-me" not in "".join(expected)


def test_the_table_of_broken_files_is_large() -> None:
    """No fewer mistakes than a technician's imagination has."""
    assert len(BROKEN) >= 80


def test_five_planted_errors_give_five_messages() -> None:
    """Misspelt key, misspelt type, function code 33, a word for a number, a wrong period."""
    for name in ("five-errors", "bare-word"):
        problems = read(f"{name}.toml").problems
        assert len(problems) == 5
        assert all(p.file and p.line and p.column and p.key and p.cure for p in problems)


PROFILE = Profile(
    "meter",
    (
        PointSpec("v", Table.INPUT, 0, DataType.F32, 2, "V"),
        PointSpec("i", Table.INPUT, 2, DataType.F32, 2, "A"),
        PointSpec("kwh", Table.INPUT, 72, DataType.F32, 2, "kWh"),
    ),
    max_registers=40,
    holes=((4, 10, 20),),
)


def test_points_of_a_profile_can_be_chosen_and_changed() -> None:
    """`points` chooses; a point of the same name changes what it says and keeps the rest."""
    text = (
        'profile="meter"\npoll_interval_s=0.5\npoints=["v", "i"]\n'
        '[[bus.device.point]]\nname="i"\npoll_interval_s=5\nmaximum=40.0\n'
        '[[bus.device.point]]\nname="kwh"\npoll_interval_s=60\n'
        '[[bus.device.point]]\nname="relay"\ntable="coil"\naddress=3\n'
        '[[bus.device.point]]\nname="mode"\nfunction_code=3\naddress=9\ntype="enum"\n'
        'enum={0="off", 0x10="on"}\nword_order="little"\n'
    )
    (device,) = good(text, meter=PROFILE).buses[0].devices
    points = {point.spec.name: point for point in device.points}
    assert list(points) == ["v", "i", "kwh", "relay", "mode"]
    assert [p.poll_interval_s for p in points.values()] == [0.5, 5.0, 60.0, 0.5, 0.5]
    assert points["i"].spec.maximum == 40.0 and points["i"].spec.unit == "A"
    assert points["relay"].spec.type is DataType.BOOL
    assert points["mode"].spec.enum == ((0, "off"), (16, "on"))
    assert points["mode"].spec.word_order is Order.LITTLE
    assert device.holes == ((4, 10, 20),) and device.max_registers == 40


def test_profile_with_problems() -> None:
    """A profile that is there but broken is said so, not called unknown."""
    (problem,) = parsed('profile="meter"', meter=None).problems
    assert "has problems" in problem.found


def test_every_point_key() -> None:
    """Every field of a point can be set from the file."""
    text = (
        '[[bus.device.point]]\nname="x"\ntable="holding"\naddress=0x10\ntype="s32"\nunit="W"\n'
        'word_order="little"\nbyte_order="little"\nscale=0.1\noffset=-5\nbinary_scale=2\n'
        "scale_register=30\nnull_patterns=[0x80000000]\nminimum=-1e6\nmaximum=1e6\ndecimals=1\n"
        '[[bus.device.point]]\nname="y"\ntable="input"\naddress=1\ntype="bits"\nregisters=2\n'
        "mask=0xF0\nshift=4\n"
        '[[bus.device.point]]\nname="z"\ntable="input"\naddress=1\ntype="bits"\nregisters=2\n'
        "bit=31\n"
        '[[bus.device.point]]\nname="s"\ntable="input"\naddress=8\ntype="str"\nregisters=8\n'
    )
    x, y, z, s = (point.spec for point in good(text).buses[0].devices[0].points)
    assert x == PointSpec(
        *("x", Table.HOLDING, 16, DataType.S32, 2, "W", Order.LITTLE, Order.LITTLE, 0.1, -5.0, 2),
        *(30, (0x80000000,)),
        minimum=-1e6,
        maximum=1e6,
        decimals=1,
    )
    assert (y.registers, y.mask, y.shift, z.bit, s.registers) == (2, 0xF0, 4, 31, 8)


@pytest.mark.parametrize(
    ("port", "warned"),
    [("/dev/ttyUSB0", 1), ("/dev/ttyACM12", 1), ("/dev/serial/by-id/x", 0), ("/dev/ttyAMA0", 0)],
)
def test_port_that_may_change_its_name(port: str, warned: int) -> None:
    """A numbered USB port is warned of; a path that stays is not."""
    text = (GOLDEN / "technician.toml").read_text()
    name = "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0"
    assert len(parse(text.replace(name, port), "f", PROFILES).warnings) == warned


def test_listener_open_to_the_network() -> None:
    """Metrics that anybody can read are warned of; a bus without devices too."""
    text = (GOLDEN / "technician.toml").read_text().split("[[bus.device]]")[0]
    result = parse(text + '[metrics]\nlisten = "0.0.0.0:9464"\n', "f", PROFILES)
    assert result.settings is not None and result.settings.metrics.listen == "0.0.0.0:9464"
    assert [warning.key for warning in result.warnings] == ["bus[rs485-1]", "metrics.listen"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host: str) -> None:
    """This machine, and nothing that only looks like it."""
    assert is_loopback(host)
    assert not is_loopback(host + ".example.net") and not is_loopback("x" + host)


SOURCES = [path.read_text("utf-8") for path in sorted(GOLDEN.glob("*.toml"))]
SOURCES.append((ROOT / "config/agent.example.toml").read_text("utf-8"))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32))
def test_a_fuzzed_file_never_gives_a_traceback(seed: int) -> None:
    """Cut, doubled, swapped and overwritten files end in settings or in problems, never else."""
    rng = random.Random(seed)
    text = rng.choice(SOURCES)
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        to = min(to, at + 40)
        junk = rng.choice(["", "", "=", "[", "]]", '"', "'''", "\\", "\n", "{", "}", "1e999", "-1",
                           "true", "9" * 400, "\0", "é", "nan", "0x", "[[bus]]\n", "a.b.c = 1\n",
                           "\ud800", text[at:to] * 2])  # fmt: skip
        text = text[:at] + junk + text[to:]
    result = parse(text, "fuzzed.toml", PROFILES)
    assert (result.settings is None) == bool(result.problems)
    for problem in (*result.problems, *result.warnings):
        assert str(problem).startswith(f"fuzzed.toml:{problem.line}:") and problem.line > 0
        assert "\n" not in str(problem) and problem.found and problem.cure


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=4,
    ),
    st.integers(0, 10**6),
)
def test_any_value_in_any_place_is_a_problem_or_fine(value: object, number: int) -> None:
    """Whatever type stands at whatever key, the outcome is settings or problems with a line."""
    lines = SOURCES[-1].splitlines()
    number %= len(lines)
    if "=" in lines[number] and not lines[number].startswith("#"):
        lines[number] = lines[number].split("=")[0] + "= " + _toml(value)
    result = parse("\n".join(lines), "f", PROFILES)
    assert (result.settings is None) == bool(result.problems)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    text = str(value).encode("unicode_escape").decode().replace("\\x", "\\u00")
    return '"' + text.replace('"', "'") + '"'
