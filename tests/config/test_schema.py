"""The JSON Schema and the parsers it was made from agree, key by key."""

import copy
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.config import agent, centre
from gateway.config.problems import Problem
from gateway.config.profile import parse_profile
from gateway.config.schema import agent_schema, centre_schema, profile_schema
from gateway.process.files import Profiles
from tests.toml_text import toml

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/config/agent"
PROFILES = Profiles((ROOT / "config/profiles",))
SCHEMAS = {
    "agent": agent_schema(tuple(PROFILES)),
    "centre": centre_schema(),
    "profile": profile_schema(),
}
GOOD = {
    "agent": [
        ROOT / "config/agent.example.toml",
        *(
            path
            for path in sorted(GOLDEN.glob("*.toml"))
            if not path.with_suffix(".expected").exists()
        ),
    ],
    "centre": [ROOT / "config/centre.example.toml"],
    "profile": sorted((ROOT / "config/profiles").glob("*.toml")),
}

OPEN = {("serial", "[]", "options")}
"""Tables whose keys are a serial format's: a plug-in's cannot be known."""


def problems(kind: str, text: str) -> tuple[Problem, ...]:
    if kind == "agent":
        return agent.parse(text, "f", PROFILES).problems
    if kind == "centre":
        return centre.parse(text, "f").problems
    return parse_profile(text, "f", "f").problems


def properties(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key the schema knows; a list of tables adds ``[]``."""
    for key, below in schema.get("properties", {}).items():
        yield (*path, key)
        inner = below.get("items", below)
        here = (*path, key, *(("[]",) if "items" in below else ()))
        yield from properties(inner, here)


def tables(schema: dict[str, Any]) -> list[tuple[str, ...]]:
    return sorted({path[:-1] for path in properties(schema)})


def put(values: dict[str, Any], path: tuple[str, ...], key: str, value: object) -> None:
    """Set a key of the table at `path`, making what is missing on the way."""
    for at, part in enumerate(path):
        if part == "[]":
            continue
        if path[at + 1 : at + 2] == ("[]",):
            values = values.setdefault(part, [{}])[0]
        else:
            values = values.setdefault(part, {})
    values[key] = value


CASES = [(kind, path) for kind, schema in SCHEMAS.items() for path in properties(schema)]


@pytest.mark.parametrize(("kind", "path"), CASES, ids=lambda value: ".".join(value))
def test_every_key_of_the_schema_is_known_to_the_parser(kind: str, path: tuple[str, ...]) -> None:
    """No key of the schema is an unknown one to the parser."""
    values: dict[str, Any] = {}
    put(values, path[:-1], path[-1], "?")
    found = problems(kind, toml(values))
    assert [str(one) for one in found if "unknown key" in one.found] == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_key_that_nobody_knows_is_refused_by_both(kind: str) -> None:
    """In every table, both the parser and the schema refuse a misspelt key, and name it."""
    validator = Draft202012Validator(SCHEMAS[kind])
    for path in tables(SCHEMAS[kind]):
        if path in OPEN:
            continue
        values: dict[str, Any] = {}
        put(values, path, "qqqq", 1)
        assert any(one.found == "unknown key" for one in problems(kind, toml(values))), path
        errors = [error for error in validator.iter_errors(values) if "qqqq" in error.message]
        assert [error.validator for error in errors] == ["additionalProperties"], path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_good_file_is_valid(kind: str) -> None:
    """What the parser takes, the schema takes: every example, golden file and profile."""
    Draft202012Validator.check_schema(SCHEMAS[kind])
    validator = Draft202012Validator(SCHEMAS[kind])
    assert GOOD[kind]
    for path in GOOD[kind]:
        values = tomllib.loads(path.read_text("utf-8"))
        assert [error.message for error in validator.iter_errors(values)] == [], path.name


def test_own_keys_of_labels_and_enums() -> None:
    """Labels and codes are the writer's own, in their spelling only."""
    validator = Draft202012Validator(SCHEMAS["agent"])
    for labels, valid in (({"site": "north"}, True), ({"Site": "north"}, False), ({"a": 1}, False)):
        wrong = [error for error in validator.iter_errors({"labels": labels}) if error.path]
        assert (wrong == []) == valid


VALUES = st.one_of(
    st.sampled_from([0, 1, -1, 2, 7, 247, 248, 65535, 65536, 9600, 2**70, True, False]),
    st.sampled_from([0.0, 0.5, -0.5, 1e9, 1e13, [], [1], ["a"], [1.5], {}]),
    st.sampled_from(["", "a", "even", "input", "u16", "f32", "wss://c/g", "/x", "x" * 200, "ä"]),
)


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 10**9), VALUES)
def test_what_the_parser_takes_the_schema_takes(seed: int, value: object) -> None:
    """Whatever value is put at whatever key: if the parser accepts it, so does the schema."""
    rng = random.Random(seed)
    kind = rng.choice(sorted(SCHEMAS))
    values = copy.deepcopy(tomllib.loads(rng.choice(GOOD[kind]).read_text("utf-8")))
    path = rng.choice(list(properties(SCHEMAS[kind])))
    try:
        put(values, path[:-1], path[-1], value)
    except (TypeError, KeyError, IndexError):
        return
    if not problems(kind, toml(values)):
        errors = Draft202012Validator(SCHEMAS[kind]).iter_errors(values)
        assert [error.message for error in errors] == []
