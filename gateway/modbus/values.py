"""Registers to values, and values to registers.

Owns what a point's registers mean: word and byte order, types (through pymodbus's converters),
null patterns, scaling, bit fields, enums, strings, range. Never reads anything.

Source: Modbus application protocol V1.1b3 §4.2 (a register is big-endian; 32 bits and strings are
each maker's own); SunSpec Information Model Specification (scale factors, "not implemented").
"""

import math
import struct
from collections.abc import Sequence
from typing import TypeVar

from pymodbus.client.mixin import ModbusClientMixin

from gateway.modbus.point import DataType, Order, PointSpec, Table
from gateway.modbus.request import Request, write_coil, write_register, write_registers
from gateway.reading import Cause, Value

SCALE_FACTOR_MISSING = 0x8000
"""SunSpec's "not implemented" of a scale factor (sunssf)."""
MAX_SCALE_FACTOR = 10
"""SunSpec's scale factors lie within -10 to 10."""
MAX_F32 = 3.4028234663852886e38
STEP_TOLERANCE = 1e-6
"""How far from a whole raw number a written value may lie: float noise, not a finer value."""
_RECIPROCAL_TOLERANCE = 1e-9

T = TypeVar("T")

_CONVERT = ModbusClientMixin.convert_from_registers
_CONVERT_BACK = ModbusClientMixin.convert_to_registers
_DATATYPE = ModbusClientMixin.DATATYPE
_NUMBERS = {
    DataType.U16: _DATATYPE.UINT16,
    DataType.S16: _DATATYPE.INT16,
    DataType.U32: _DATATYPE.UINT32,
    DataType.S32: _DATATYPE.INT32,
    DataType.U64: _DATATYPE.UINT64,
    DataType.S64: _DATATYPE.INT64,
    DataType.F32: _DATATYPE.FLOAT32,
    DataType.F64: _DATATYPE.FLOAT64,
}


def decode(
    spec: PointSpec, registers: Sequence[int], factor: int | None = None
) -> tuple[Value, Cause]:
    """Return a point's value and cause; the value is ``None`` when the cause makes it bad.

    `registers`: the point's own, in address order (one bit for a coil or discrete input).
    `factor`: the register at `scale_register`, as read.
    """
    if spec.table.is_bits:
        return bool(registers[0]), Cause.NONE
    words = _ordered(spec, registers)
    raw = _unsigned(words)
    if raw in spec.null_patterns:
        return None, Cause.NULL_PATTERN
    kind = spec.type
    if kind is DataType.BOOL:
        return _picked(spec, raw) != 0, Cause.NONE
    if kind is DataType.STR:
        return _text(words), Cause.NONE
    if kind is DataType.ENUM:
        return _name(spec, _picked(spec, raw))
    if kind is DataType.BITS:
        picked = _picked(spec, raw)
        if spec.bit is not None:
            return picked != 0, Cause.NONE
        return _scaled(spec, picked, factor)
    return _scaled(spec, _number(kind, words), factor)


def encode(spec: PointSpec, value: Value, factor: int | None = None) -> tuple[int, ...]:
    """Return the registers (one bit for a coil) that hold `value`: `decode` backwards.

    Raises: ValueError for a value the point cannot hold, or a point that shares its registers.
    """
    if spec.table.is_bits:
        return (int(_wanted(spec, value, bool)),)
    kind = spec.type
    if spec.bit is not None or spec.mask is not None:
        raise ValueError(f"point {spec.name}: is a part of its registers; write the whole of them")
    if kind is DataType.BOOL:
        words: list[int] = [int(_wanted(spec, value, bool))]
    elif kind is DataType.STR:
        words = _text_words(spec, _wanted(spec, value, str))
    elif kind is DataType.ENUM:
        words = _words(spec, _code(spec, _wanted(spec, value, str)))
    else:
        words = _number_words(spec, _unscaled(spec, value, factor))
    if _unsigned(words) in spec.null_patterns:
        raise ValueError(f"point {spec.name}: {value!r} reads back as the null pattern")
    return tuple(_ordered(spec, words))


def write_point(unit_id: int, spec: PointSpec, value: Value, factor: int | None = None) -> Request:
    """Build the request that writes a point: FC 5 for a coil, 6 for one register, else 16.

    Raises: ValueError as `encode`, or for a table that cannot be written.
    """
    if spec.table in (Table.DISCRETE, Table.INPUT):
        raise ValueError(f"point {spec.name}: a {spec.table.name.lower()} table is read only")
    registers = encode(spec, value, factor)
    if spec.table is Table.COIL:
        return write_coil(unit_id, spec.address, bool(registers[0]))
    if len(registers) == 1:
        return write_register(unit_id, spec.address, registers[0])
    return write_registers(unit_id, spec.address, registers)


def _ordered(spec: PointSpec, registers: Sequence[int]) -> list[int]:
    """Put words and bytes in big-endian order (or back: it is its own inverse).

    The words of a string stay: makers swap bytes within a word, never the text's words.
    """
    words = list(registers)
    if spec.byte_order is Order.LITTLE:
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    if spec.word_order is Order.LITTLE and spec.type is not DataType.STR:
        words.reverse()
    return words


def _unsigned(words: Sequence[int]) -> int:
    raw = 0
    for word in words:
        raw = raw << 16 | word
    return raw


def _number(kind: DataType, words: list[int]) -> float | int:
    number = _CONVERT(words, _NUMBERS[kind])
    assert isinstance(number, int | float)
    return number


def _picked(spec: PointSpec, raw: int) -> int:
    """Return the bit or the masked number of a bit field."""
    if spec.bit is not None:
        return raw >> spec.bit & 1
    return (raw if spec.mask is None else raw & spec.mask) >> spec.shift


def _name(spec: PointSpec, raw: int) -> tuple[Value, Cause]:
    for number, name in spec.enum:
        if number == raw:
            return name, Cause.NONE
    return str(raw), Cause.OUT_OF_RANGE


def _text(words: list[int]) -> str:
    """Return a string without its padding; devices that know no UTF-8 mean Latin-1."""
    raw = b"".join(word.to_bytes(2, "big") for word in words)
    raw = raw.split(b"\0", 1)[0].rstrip(b" ")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _scaled(spec: PointSpec, number: float | int, factor: int | None) -> tuple[Value, Cause]:
    if not math.isfinite(number):
        return None, Cause.NOT_A_NUMBER
    value: float | int = number
    if _is_scaled(spec):
        exponent = _exponent(spec, factor)
        if exponent is None:
            null = factor is None or factor == SCALE_FACTOR_MISSING
            return None, Cause.NULL_PATTERN if null else Cause.NOT_A_NUMBER
        value = _times(number, spec.scale) / 2.0**spec.binary_scale
        value = _times_ten(value, exponent) + spec.offset
        limit = MAX_F32 if spec.type is DataType.F32 else math.inf
        if not abs(value) <= limit or math.isinf(value):
            return None, Cause.NOT_A_NUMBER
    below = spec.minimum is not None and value < spec.minimum
    above = spec.maximum is not None and value > spec.maximum
    return value, Cause.OUT_OF_RANGE if below or above else Cause.NONE


def _is_scaled(spec: PointSpec) -> bool:
    return bool(
        spec.scale != 1.0 or spec.offset or spec.binary_scale or spec.scale_register is not None
    )


def _exponent(spec: PointSpec, factor: int | None) -> int | None:
    """Return the power of ten that the scale-factor register asks for, ``None`` if it is none."""
    if spec.scale_register is None:
        return 0
    if factor is None:
        return None
    signed = factor - 0x10000 if factor & 0x8000 else factor
    return signed if abs(signed) <= MAX_SCALE_FACTOR else None


def _times(number: float | int, scale: float) -> float:
    """Multiply; by 0.1 as a division by 10, which alone gives the nearest float (230.5)."""
    if 0 < abs(scale) < 1:
        divisor = round(1 / scale)
        if abs(divisor * scale - 1) < _RECIPROCAL_TOLERANCE:
            return number / divisor
    return number * scale


def _times_ten(number: float, exponent: int) -> float:
    return number / 10.0**-exponent if exponent < 0 else number * 10.0**exponent


def _unscaled(spec: PointSpec, value: Value, factor: int | None) -> float | int:
    """Return the raw number for a value: whole for whole types."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"point {spec.name}: {value!r} is no number")
    below = spec.minimum is not None and value < spec.minimum
    above = spec.maximum is not None and value > spec.maximum
    if below or above:
        limits = f"{spec.minimum} to {spec.maximum}"
        raise ValueError(f"point {spec.name}: {value!r} is outside {limits}")
    number: float | int = value
    if _is_scaled(spec):
        exponent = _exponent(spec, factor)
        if exponent is None:
            raise ValueError(f"point {spec.name}: the scale factor register holds {factor}")
        number = _times_ten(value - spec.offset, -exponent) * 2.0**spec.binary_scale / spec.scale
    if spec.type in (DataType.F32, DataType.F64):
        return float(number)
    if not math.isfinite(number):
        raise ValueError(f"point {spec.name}: {value!r} is no finite number")
    if abs(number - round(number)) > STEP_TOLERANCE * max(1.0, abs(number)):
        raise ValueError(f"point {spec.name}: {value!r} is finer than the device's step")
    return round(number)


def _number_words(spec: PointSpec, number: float | int) -> list[int]:
    if spec.type is DataType.BITS:
        assert isinstance(number, int)
        return _words(spec, number)
    try:
        return _CONVERT_BACK(number, _NUMBERS[spec.type])
    except (struct.error, OverflowError) as error:
        raise ValueError(f"point {spec.name}: {number!r} does not fit {spec.type}") from error


def _words(spec: PointSpec, raw: int) -> list[int]:
    """Return an unsigned number of the point's width."""
    if not 0 <= raw < 1 << 16 * spec.registers:
        raise ValueError(f"point {spec.name}: {raw} does not fit {spec.registers} registers")
    return [raw >> 16 * place & 0xFFFF for place in reversed(range(spec.registers))]


def _code(spec: PointSpec, name: str) -> int:
    for number, known in spec.enum:
        if known == name:
            return number
    names = ", ".join(known for _, known in spec.enum)
    raise ValueError(f"point {spec.name}: {name!r} is none of {names}")


def _text_words(spec: PointSpec, text: str) -> list[int]:
    raw = text.encode("utf-8")
    if len(raw) > 2 * spec.registers:
        raise ValueError(f"point {spec.name}: {text!r} is longer than {2 * spec.registers} bytes")
    raw = raw.ljust(2 * spec.registers, b"\0")
    return [raw[i] << 8 | raw[i + 1] for i in range(0, len(raw), 2)]


def _wanted(spec: PointSpec, value: Value, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"point {spec.name}: {value!r} is no {kind.__name__}")
    return value
