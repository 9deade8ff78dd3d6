"""What a Modbus point is: where its registers are and how they become a value.

Owns the value types of the room; decoding is in `values`. Addresses are 0-based (Modbus application
protocol V1.1b3 §4.4); the 4xxxx numbers of manuals are a profile's comment at most.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

MAX_READ_REGISTERS = 125
"""Modbus application protocol V1.1b3 §6.3, §6.4."""
MAX_READ_BITS = 2000
"""Modbus application protocol V1.1b3 §6.1, §6.2."""


class Table(Enum):
    """The four tables; the value is the function code that reads them."""

    COIL = 1
    DISCRETE = 2
    HOLDING = 3
    INPUT = 4

    @property
    def is_bits(self) -> bool:
        return self in (Table.COIL, Table.DISCRETE)


class DataType(StrEnum):
    """How registers are read. `BITS` and `ENUM` read `PointSpec.registers` as one unsigned
    number."""

    BOOL = "bool"
    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"
    STR = "str"
    BITS = "bits"
    ENUM = "enum"


REGISTERS = {
    DataType.BOOL: 1,
    DataType.U16: 1,
    DataType.S16: 1,
    DataType.U32: 2,
    DataType.S32: 2,
    DataType.F32: 2,
    DataType.U64: 4,
    DataType.S64: 4,
    DataType.F64: 4,
}
"""Registers a type takes; `STR`, `BITS`, `ENUM` state theirs."""


class Order(StrEnum):
    """Order of words in a value, and of bytes in a word."""

    BIG = "big"
    LITTLE = "little"


@dataclass(frozen=True, slots=True)
class PointSpec:
    """One point of a device.

    `registers` is the length in registers (bits: 1). `value = raw * scale / 2**binary_scale
    * 10**(value of the register at scale_register) + offset`, scaled only when any of them is set.
    `scale_register` (0-based address in the same table, s16) is SunSpec's scale factor and is read
    with the point.
    `null_patterns` are raw unsigned numbers of the point's whole width (before sign) that mean
    "not available".
    `bit` picks one bit of a `BITS` field and makes the value a bool; `mask`/`shift` pick a number.
    `enum` maps raw numbers to names; an unknown number keeps its number as text, quality uncertain.
    `minimum`, `maximum`: outside is quality uncertain, cause out of range. `decimals` is display
    only.
    """

    name: str
    table: Table
    address: int
    type: DataType
    registers: int = 1
    unit: str = ""
    word_order: Order = Order.BIG
    byte_order: Order = Order.BIG
    scale: float = 1.0
    offset: float = 0.0
    binary_scale: int = 0
    scale_register: int | None = None
    null_patterns: tuple[int, ...] = ()
    bit: int | None = None
    mask: int | None = None
    shift: int = 0
    enum: tuple[tuple[int, str], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
