"""Pins what registers mean, type by type, and that writing is reading backwards."""

import math
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.modbus.point import REGISTERS, DataType, Order, PointSpec, Table
from gateway.modbus.values import decode, encode, write_point
from gateway.reading import Cause, Value


def spec(kind: DataType, **changes: Any) -> PointSpec:
    """A holding point of a type, at address 10."""
    changes.setdefault("registers", REGISTERS.get(kind, 1))
    return PointSpec("p", Table.HOLDING, 10, kind, **changes)


@pytest.mark.parametrize(
    ("point", "registers", "value"),
    [
        (spec(DataType.U16), (0xFFFE,), 65534),
        (spec(DataType.S16), (0xFFFE,), -2),
        (spec(DataType.U32), (0x0001, 0x86A0), 100_000),
        (spec(DataType.U32, word_order=Order.LITTLE), (0x86A0, 0x0001), 100_000),
        (spec(DataType.U32, byte_order=Order.LITTLE), (0x0100, 0xA086), 100_000),
        (
            spec(DataType.U32, word_order=Order.LITTLE, byte_order=Order.LITTLE),
            (0xA086, 0x0100),
            100_000,
        ),
        (spec(DataType.S32), (0xFFFF, 0xFFFF), -1),
        (spec(DataType.U64), (1, 0, 0, 2), (1 << 48) + 2),
        (spec(DataType.S64), (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD), -3),
        (spec(DataType.F32), (0x4366, 0x8000), 230.5),
        (spec(DataType.F64), (0x406C, 0xD000, 0, 0), 230.5),
        (spec(DataType.BOOL), (2,), True),
        (spec(DataType.BOOL, bit=0), (2,), False),
        (spec(DataType.STR, registers=3), (0x4142, 0x4320, 0), "ABC"),
        (spec(DataType.STR, registers=1, byte_order=Order.LITTLE), (0x4241,), "AB"),
        (spec(DataType.STR, registers=1), (0xB043,), "°C"),
        (spec(DataType.BITS, registers=2), (1, 2), 0x10002),
        (spec(DataType.BITS, registers=2, bit=16), (1, 2), True),
        (spec(DataType.BITS, mask=0xF0, shift=4), (0x1234,), 3),
        (spec(DataType.ENUM, enum=((1, "on"), (2, "off"))), (2,), "off"),
        (spec(DataType.ENUM, enum=((3, "x"),), mask=0xF00, shift=8), (0x0300,), "x"),
        # Scaling: decimal, binary (APC), offset, a scale-free zero stays an int.
        (spec(DataType.U16, scale=0.1), (2305,), 230.5),
        (spec(DataType.U16, scale=0.1), (3,), 0.3),
        (spec(DataType.U16, scale=1000.0), (3,), 3000.0),
        (spec(DataType.U16, scale=0.3), (10,), 3.0),
        (spec(DataType.U16, binary_scale=9), (51200,), 100.0),
        (spec(DataType.S16, offset=-273.0), (300,), 27.0),
        (spec(DataType.F32, scale=1000.0), (0x3FC0, 0), 1500.0),
    ],
)
def test_registers_become_values(
    point: PointSpec, registers: tuple[int, ...], value: Value
) -> None:
    """Each type, order and scaling gives its value, good."""
    got, cause = decode(point, registers)
    assert (got, cause) == (value, Cause.NONE)
    assert type(got) is type(value)


def test_a_bit_of_a_bit_table_is_a_bool() -> None:
    """Coils and discrete inputs hold bools, whatever else the point says."""
    point = PointSpec("p", Table.DISCRETE, 1, DataType.BOOL)
    assert decode(point, (True,)) == (True, Cause.NONE)
    assert decode(point, (False,)) == (False, Cause.NONE)


@pytest.mark.parametrize(
    ("point", "registers", "factor", "expected"),
    [
        (spec(DataType.S16, null_patterns=(0x8000,)), (0x8000,), None, (None, Cause.NULL_PATTERN)),
        (
            spec(DataType.F32, null_patterns=(0x7FC00000,)),
            (0x7FC0, 0),
            None,
            (None, Cause.NULL_PATTERN),
        ),
        (spec(DataType.F32), (0x7FC0, 0), None, (None, Cause.NOT_A_NUMBER)),
        (spec(DataType.F32), (0x7F80, 0), None, (None, Cause.NOT_A_NUMBER)),
        (spec(DataType.F64), (0xFFF0, 0, 0, 0), None, (None, Cause.NOT_A_NUMBER)),
        # A finite float that scaling takes out of its type's range cannot be sent.
        (spec(DataType.F32, scale=1e6), (0x7F7F, 0), None, (None, Cause.NOT_A_NUMBER)),
        (spec(DataType.U16, minimum=1, maximum=5), (6,), None, (6, Cause.OUT_OF_RANGE)),
        (spec(DataType.U16, minimum=1, maximum=5), (0,), None, (0, Cause.OUT_OF_RANGE)),
        (spec(DataType.U16, minimum=1, maximum=5), (5,), None, (5, Cause.NONE)),
        (spec(DataType.ENUM, enum=((1, "on"),)), (9,), None, ("9", Cause.OUT_OF_RANGE)),
        # SunSpec: value = raw * 10^factor; 0x8000 is "not implemented".
        (spec(DataType.U16, scale_register=3), (2305,), 0xFFFF, (230.5, Cause.NONE)),
        (spec(DataType.U16, scale_register=3), (23,), 2, (2300.0, Cause.NONE)),
        (spec(DataType.U16, scale_register=3), (23,), 0x8000, (None, Cause.NULL_PATTERN)),
        (spec(DataType.U16, scale_register=3), (23,), None, (None, Cause.NULL_PATTERN)),
        (spec(DataType.U16, scale_register=3), (23,), 11, (None, Cause.NOT_A_NUMBER)),
    ],
)
def test_what_is_not_good_has_a_cause(
    point: PointSpec,
    registers: tuple[int, ...],
    factor: int | None,
    expected: tuple[Value, Cause],
) -> None:
    """The value is absent exactly when the cause makes it bad."""
    assert decode(point, registers, factor) == expected


NUMBERS = {
    DataType.U16: st.integers(0, 2**16 - 1),
    DataType.S16: st.integers(-(2**15), 2**15 - 1),
    DataType.U32: st.integers(0, 2**32 - 1),
    DataType.S32: st.integers(-(2**31), 2**31 - 1),
    DataType.U64: st.integers(0, 2**64 - 1),
    DataType.S64: st.integers(-(2**63), 2**63 - 1),
    DataType.F32: st.floats(width=32, allow_nan=False, allow_infinity=False),
    DataType.F64: st.floats(allow_nan=False, allow_infinity=False),
}
ORDERS = st.sampled_from(list(Order))


@given(st.data(), st.sampled_from(list(NUMBERS)), ORDERS, ORDERS)
def test_a_number_written_reads_back(
    data: st.DataObject, kind: DataType, words: Order, order: Order
) -> None:
    """Every number of every type survives, in every order."""
    value = data.draw(NUMBERS[kind])
    point = spec(kind, word_order=words, byte_order=order)
    got, cause = decode(point, encode(point, value))
    assert (got, cause) == (value, Cause.NONE)
    assert math.copysign(1, got or 1) == math.copysign(1, value or 1)


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0.1, 0.01, 0.001, 1.0, 10.0]))
def test_every_scaled_raw_number_reads_back(raw: int, scale: float) -> None:
    """Reading then writing gives the same registers: no drift by scaling."""
    point = spec(DataType.S32, scale=scale, offset=5.0)
    registers = struct.unpack(">2H", struct.pack(">i", raw))
    value, _ = decode(point, registers)
    assert encode(point, value) == registers


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8), ORDERS)
def test_text_written_reads_back(text: str, order: Order) -> None:
    """Strings survive, padded with NULs."""
    point = spec(DataType.STR, registers=4, byte_order=order)
    assert decode(point, encode(point, text)) == (text, Cause.NONE)


@given(st.sampled_from(list(DataType)), st.data(), ORDERS, st.integers(0, 0xFFFF))
def test_any_registers_give_a_value_or_a_cause(
    kind: DataType, data: st.DataObject, words: Order, factor: int
) -> None:
    """No content of the registers raises."""
    point = spec(kind, registers=REGISTERS.get(kind, 2), word_order=words, scale=0.1)
    if data.draw(st.booleans()):
        point = replace(point, scale_register=1)
    count = point.registers
    content = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=count, max_size=count))
    value, cause = decode(point, content, factor)
    assert (value is None) == (cause.quality.name == "BAD")


@pytest.mark.parametrize(
    ("point", "value", "text"),
    [
        (spec(DataType.U16), 65536, "does not fit u16"),
        (spec(DataType.U16), "1", "is no number"),
        (spec(DataType.U16), True, "is no number"),
        (spec(DataType.U16, scale=0.1), 1.23, "finer than the device's step"),
        (spec(DataType.U16), math.inf, "no finite number"),
        (spec(DataType.U16, maximum=5), 6, "outside None to 5"),
        (spec(DataType.F32), 1e39, "does not fit f32"),
        (spec(DataType.BITS, bit=1), True, "a part of its registers"),
        (spec(DataType.BITS), 65536, "does not fit 1 registers"),
        (spec(DataType.BOOL), 1, "is no bool"),
        (spec(DataType.STR), "abc", "longer than 2 bytes"),
        (spec(DataType.ENUM, enum=((1, "on"),)), "off", "none of on"),
        (spec(DataType.U16, null_patterns=(7,)), 7, "null pattern"),
        (spec(DataType.U16, scale_register=3), 7, "scale factor"),
    ],
)
def test_what_a_point_cannot_hold_is_refused(point: PointSpec, value: Value, text: str) -> None:
    """The message names the point, the value and the limit."""
    with pytest.raises(ValueError, match=text):
        encode(point, value)


@pytest.mark.parametrize(
    ("point", "value", "frame"),
    [
        (PointSpec("c", Table.COIL, 1, DataType.BOOL), True, "01050001ff00"),
        (spec(DataType.BOOL), True, "0106000a0001"),
        (spec(DataType.S16, scale=0.1), -1.0, "0106000afff6"),
        (spec(DataType.BITS), 0x1234, "0106000a1234"),
        (spec(DataType.ENUM, enum=((1, "on"),)), "on", "0106000a0001"),
        (spec(DataType.F32), 230.5, "0110000a00020443668000"),
    ],
)
def test_a_point_is_written_with_the_right_function(
    point: PointSpec, value: Value, frame: str
) -> None:
    """FC 5 for a coil, 6 for one register, 16 for more."""
    assert write_point(1, point, value).frame.hex().startswith(frame)


def test_inputs_are_read_only() -> None:
    """Nothing writes a discrete input or an input register."""
    with pytest.raises(ValueError, match="read only"):
        write_point(1, replace(spec(DataType.U16), table=Table.INPUT), 1)
