"""Pins the words of the point room."""

from gateway.modbus.point import REGISTERS, DataType, Table


def test_tables_of_bits_and_of_registers() -> None:
    """Function codes 1 and 2 read bits, 3 and 4 registers."""
    assert [table.value for table in Table if table.is_bits] == [1, 2]


def test_every_type_knows_its_length_or_must_say_it() -> None:
    """Strings, bit fields and enums state their registers."""
    stated = {DataType.STR, DataType.BITS, DataType.ENUM}
    assert set(REGISTERS) == set(DataType) - stated
