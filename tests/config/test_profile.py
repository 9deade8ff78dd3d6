"""Device profiles: the shipped ones against golden vectors, and what broken ones are told."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.config.profile import Profile, parse_profile
from gateway.modbus.point import DataType, Order, Table
from gateway.modbus.values import decode
from gateway.polling.blocks import Limits, Timing, items_of, plan
from gateway.polling.device import NOMINAL_TURNAROUND_S, schema_point
from gateway.reading import Cause, Value

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "config/profiles").glob("*.toml"))
GOLDEN = ROOT / "tests/golden/profiles"
TABLES = {"holding": Table.HOLDING, "input": Table.INPUT, "discrete": Table.DISCRETE}
PACKED = {"f32": float, "f64": float, "i64": int, "bool": bool, "str": str}
PACKED |= {f"d{places}": float for places in range(1, 10)}


def shipped(name: str) -> Profile:
    path = ROOT / "config/profiles" / f"{name}.toml"
    parsed = parse_profile(path.read_text("utf-8"), path.name, name)
    assert parsed.settings is not None, parsed.problems
    return parsed.settings


def test_the_seven() -> None:
    """The profiles promised are there."""
    assert {
        *("abb-b23", "carlo-gavazzi-em340", "eastron-sdm120", "eastron-sdm630"),
        *("peacefair-pzem-016", "schneider-iem3155", "xy-md02"),
    } <= set(SHIPPED)


def test_the_other_models() -> None:
    """So are those of the rest of the field."""
    assert {
        *("eastron-sdm220", "eastron-sdm230", "peacefair-pzem-003", "peacefair-pzem-017"),
        *("carlo-gavazzi-em24", "carlo-gavazzi-em24-e1"),
        *("delta-vfd-b", "delta-vfd-el", "eaton-ups"),
    } <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_golden_vectors(name: str) -> None:
    """Register words become exactly the values and causes written down for them."""
    profile = shipped(name)
    vectors = tomllib.loads((GOLDEN / f"{name}.toml").read_text("utf-8"))["vector"]
    seen: set[str] = set()
    for vector in vectors:
        words = {
            int(address, 16) + offset: word
            for address, block in vector["registers"].items()
            for offset, word in enumerate(block)
        }
        values: dict[str, Any] = vector["values"]
        causes: dict[str, str] = vector.get("causes", {})
        assert values or causes
        for point in {**values, **causes}:
            spec = profile.point(point)
            assert spec is not None and spec.table is TABLES[vector["table"]], point
            registers = [words[spec.address + i] for i in range(spec.registers)]
            found: tuple[Value, Cause] = decode(spec, registers)
            cause = Cause[causes.get(point, "none").upper()]
            assert found == (values.get(point), cause), (vector["note"], point)
            if found[0] is not None:
                assert type(found[0]) is PACKED[schema_point(spec).type], point
            seen.add(point)
    # Every way a point of this profile is decoded is pinned by at least one vector.
    kinds = {
        (s.type, s.word_order, s.scale, s.null_patterns): s.name
        for s in sorted(profile.points, key=lambda s: s.name not in seen, reverse=True)
    }
    assert set(kinds.values()) <= seen


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_can_be_planned(name: str) -> None:
    """Every point of a shipped profile fits into reads the device takes; names are unique."""
    profile = shipped(name)
    limits = Limits(profile.max_registers)
    timing = Timing(10 / 9600, 3.5 * 10 / 9600, NOMINAL_TURNAROUND_S)
    planned = plan(items_of(profile.points, limits, range(len(profile.points))), timing, limits)
    assert not planned.unreadable
    assert all(block.count <= profile.max_registers for block in planned.blocks)
    assert len({spec.name for spec in profile.points}) == len(profile.points)
    if profile.shape_step == 2:
        assert all(block.count % 2 == 0 for block in planned.blocks)


GOOD = """
vendor = "V"
model = "M"
max_registers = 20
shape_step = 2
[serial]
baud = 19200
parity = "even"
unit_id = 5
[defaults]
table = "holding"
type = "u32"
word_order = "little"
[[hole]]
table = "holding"
first = 100
last = 110
[[probe]]
table = "holding"
address = 11
words = [1648, 0]
masks = [0xFFF0, 0]
[[point]]
name = "a"
address = 0
[[point]]
name = "b"
address = 4
type = "u16"
word_order = "big"
"""


def test_everything_a_profile_can_say() -> None:
    """Defaults stand where a point is silent; serial settings, holes and probes come through."""
    profile = parse_profile(GOOD, "p.toml", "v-m").settings
    assert profile is not None and profile.name == "v-m"
    assert (profile.serial.baud, profile.serial.parity, profile.serial.unit_id) == (
        19200,
        "even",
        5,
    )
    assert profile.holes == ((3, 100, 110),)
    assert profile.probes[0].words == (1648, 0) and profile.probes[0].masks == (0xFFF0, 0)
    a, b = profile.points
    assert (a.type, a.registers, a.word_order) == (DataType.U32, 2, Order.LITTLE)
    assert (b.type, b.registers, b.word_order) == (DataType.U16, 1, Order.BIG)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('model = "M"', "", "p.toml:1:1: model: missing; add model = … (a text in quotes)"),
        ("[1648, 0]", "[70000]", "words: found 70000; register words are 0 to 0xFFFF"),
        ("0xFFF0, 0", "1", "probe[#1].masks: found 1; 2, as words has"),
        ("address = 4", "address = 105", "point[b].address: found 105, inside the hole 100 to 110"),
        ('name = "b"', 'name = "a"', 'point[a].name: found "a" again; give each point its name'),
        ("max_registers", "max_register", 'unknown key; did you mean "max_registers"?'),
        ("words = [1648, 0]", "", "probe[#1].words: missing; add words = [0x4232, 0x3320]"),
        ("[[probe]]", "x = = 1", "p.toml:18:5: no value that TOML knows; give"),
        ("parity", "party", 'unknown key; did you mean "parity"?'),
    ],
)
def test_broken_profiles(old: str, new: str, message: str) -> None:
    """A mistake in a profile is told with its place and cure."""
    assert old in GOOD
    parsed = parse_profile(GOOD.replace(old, new), "p.toml", "v-m")
    assert parsed.settings is None
    assert any(message in str(problem) for problem in parsed.problems), parsed.problems
