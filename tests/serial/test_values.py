"""Fields to readings: 0 is a value, noise is none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reading import Cause, Value
from gateway.serial.line import Field
from gateway.serial.values import MAX_TEXT, FieldSpec, FieldType, value_of

PLAIN = FieldSpec("p", "f")
TENTH = FieldSpec("p", "f", scale=0.1, offset=-40.0, minimum=-40.0, maximum=100.0)
GERMAN = FieldSpec("p", "f", decimal_comma=True, null_patterns=("---", "9999"))
TEXT = FieldSpec("p", "f", type=FieldType.TEXT)
BOOL = FieldSpec("p", "f", type=FieldType.BOOL)
GOOD = Cause.NONE


@pytest.mark.parametrize(
    ("spec", "field", "value", "cause"),
    [
        (PLAIN, "0", 0.0, GOOD),
        (PLAIN, 0, 0.0, GOOD),
        (PLAIN, "-0.0", 0.0, GOOD),
        (PLAIN, " +00012.3\t", 12.3, GOOD),
        (PLAIN, ".5", 0.5, GOOD),
        (PLAIN, "5.", 5.0, GOOD),
        (PLAIN, "1e-3", 0.001, GOOD),
        (PLAIN, 21, 21.0, GOOD),
        (PLAIN, 21.5, 21.5, GOOD),
        (TENTH, "613", 21.3, GOOD),
        (TENTH, "0", -40.0, GOOD),
        (TENTH, "9999", 959.9, Cause.OUT_OF_RANGE),
        (TENTH, "-1", -40.1, Cause.OUT_OF_RANGE),
        (GERMAN, "12,5", 12.5, GOOD),
        (GERMAN, "---", None, Cause.NULL_PATTERN),
        (GERMAN, " 9999 ", None, Cause.NULL_PATTERN),
        (PLAIN, "", None, Cause.NULL_PATTERN),
        (PLAIN, "  ", None, Cause.NULL_PATTERN),
        (PLAIN, None, None, Cause.NULL_PATTERN),
        (PLAIN, "12,5", None, Cause.FORMAT),
        (PLAIN, "1_000", None, Cause.FORMAT),
        (PLAIN, "nan", None, Cause.FORMAT),
        (PLAIN, "inf", None, Cause.FORMAT),
        (PLAIN, "0x10", None, Cause.FORMAT),
        (PLAIN, "1 2", None, Cause.FORMAT),
        (PLAIN, "²", None, Cause.FORMAT),
        (PLAIN, "٣", None, Cause.FORMAT),
        (PLAIN, True, None, Cause.FORMAT),
        (PLAIN, "1e999", None, Cause.NOT_A_NUMBER),
        (PLAIN, 10**400, None, Cause.NOT_A_NUMBER),
        (PLAIN, math.nan, None, Cause.NOT_A_NUMBER),
        (TEXT, "M", "M", GOOD),
        (TEXT, "x" * (MAX_TEXT + 1), None, Cause.FORMAT),
        (TEXT, "\ud800", None, Cause.FORMAT),
        (TEXT, "a\x00b", None, Cause.FORMAT),
        (TEXT, 5, None, Cause.FORMAT),
        (BOOL, "1", True, GOOD),
        (BOOL, 0, False, GOOD),
        (BOOL, "ON", True, GOOD),
        (BOOL, False, False, GOOD),
        (BOOL, "2", None, Cause.FORMAT),
        (BOOL, "maybe", None, Cause.FORMAT),
    ],
)
def test_values(spec: FieldSpec, field: Field, value: Value, cause: Cause) -> None:
    """Each spelling has one meaning."""
    found = value_of(spec, field)
    assert found[1] is cause
    assert found[0] == (pytest.approx(value) if isinstance(value, float) else value)
    assert type(found[0]) is type(value)


def test_a_scaled_value_is_the_nearest_float() -> None:
    """2305 tenths are 230.5, not 230.50000000000003."""
    assert value_of(FieldSpec("p", "f", scale=0.1), "2305") == (230.5, GOOD)
    assert value_of(FieldSpec("p", "f", scale=1000.0), "1.5") == (1500.0, GOOD)


def test_what_is_announced() -> None:
    """Numbers are doubles, or decimals where the config says how many."""
    assert PLAIN.schema.type == "f64"
    assert FieldSpec("p", "f", decimals=2).schema.type == "d2"
    assert (TEXT.schema.type, BOOL.schema.type) == ("str", "bool")


@given(
    st.sampled_from([PLAIN, TENTH, GERMAN, TEXT, BOOL]),
    st.one_of(st.text(max_size=20), st.none(), st.integers(), st.floats(), st.booleans()),
)
def test_bad_exactly_without_a_value(spec: FieldSpec, field: Field) -> None:
    """Whatever a field is: a value that can be packed, or a cause."""
    value, cause = value_of(spec, field)
    assert (value is None) == (cause not in (GOOD, Cause.OUT_OF_RANGE))
    assert not isinstance(value, float) or math.isfinite(value)
