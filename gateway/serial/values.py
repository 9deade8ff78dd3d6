"""Fields of a line to readings: number, scale, range, and what a source writes for "no value".

Owns what a point of a serial source is and how a raw field becomes its value. Strict: a text is a
number only in plain decimal spelling, so that noise does not become a reading. ``0`` is a value.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.reading import Cause, SchemaPoint, Value
from gateway.serial.line import Field

MAX_TEXT = 256
"""Characters of a reading that is a text."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TRUE = frozenset(("1", "true", "on", "yes"))
_FALSE = frozenset(("0", "false", "off", "no"))


class FieldType(StrEnum):
    """What a field is read as."""

    NUMBER = "number"
    TEXT = "text"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One point of a serial source: the field it is read from and how.

    `value = number * scale + offset`. `null_patterns`: texts that mean "not available".
    `decimal_comma`: the source writes 12,5. `minimum`, `maximum`: outside is quality uncertain.
    `decimals` (1-9): as many are sent exactly, which is shorter; ``None``: a double.
    """

    name: str
    field: str
    type: FieldType = FieldType.NUMBER
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    null_patterns: tuple[str, ...] = ()
    decimal_comma: bool = False
    decimals: int | None = None

    @property
    def schema(self) -> SchemaPoint:
        """Return how the point is announced."""
        kind = f"d{self.decimals}" if self.decimals else "f64"
        if self.type is not FieldType.NUMBER:
            kind = "str" if self.type is FieldType.TEXT else "bool"
        return SchemaPoint(self.name, self.unit, kind)


def value_of(spec: FieldSpec, field: Field) -> tuple[Value, Cause]:
    """Return a field's value and cause; the value is ``None`` when the cause makes it bad.

    An empty text is "not available".
    """
    if isinstance(field, str):
        text = field.strip(" \t")
        if not text or text in spec.null_patterns:
            return None, Cause.NULL_PATTERN
        field = text
    elif field is None:
        return None, Cause.NULL_PATTERN
    if spec.type is FieldType.TEXT:
        return _text(field)
    if spec.type is FieldType.BOOL:
        return _bool(field)
    number = _number(spec, field)
    if number is None:
        return None, Cause.FORMAT
    return _ranged(spec, number)


def _text(field: str | float | bool) -> tuple[Value, Cause]:
    if isinstance(field, str) and len(field) <= MAX_TEXT and field.isprintable():
        return field, Cause.NONE
    return None, Cause.FORMAT


def _bool(field: str | float | bool) -> tuple[Value, Cause]:
    word = str(field).lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE, Cause.NONE
    return None, Cause.FORMAT


def _number(spec: FieldSpec, field: str | float | bool) -> float | None:
    """Return a number, infinite for one that is too large; ``None`` for what is none."""
    if isinstance(field, bool):
        return None
    if isinstance(field, str):
        text = field.replace(",", ".") if spec.decimal_comma else field
        return float(text) if _NUMBER.fullmatch(text) else None
    try:
        return float(field)
    except OverflowError:
        return math.inf


def _ranged(spec: FieldSpec, number: float) -> tuple[Value, Cause]:
    value = number
    if spec.scale != 1.0 or spec.offset:
        value = _times(number, spec.scale) + spec.offset
    if not math.isfinite(value):
        return None, Cause.NOT_A_NUMBER
    below = spec.minimum is not None and value < spec.minimum
    above = spec.maximum is not None and value > spec.maximum
    return value, Cause.OUT_OF_RANGE if below or above else Cause.NONE


def _times(number: float, scale: float) -> float:
    """Multiply; by 0.1 as a division by 10, which alone gives the nearest float."""
    if 0 < abs(scale) < 1:
        divisor = round(1 / scale)
        if abs(divisor * scale - 1) < 1e-9:
            return number / divisor
    return number * scale
