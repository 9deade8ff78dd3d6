"""One point of a device as a table in a TOML file, in a profile or in a device's own list.

Owns the reading of every `PointSpec` key and the rules between them. Never knows which device the
point belongs to. Source for the limits: Modbus application protocol V1.1b3 §4.3, §6.1–6.4.
"""

import re
from dataclasses import dataclass

from gateway.config.document import Section
from gateway.config.problems import did_you_mean, nearest, shown
from gateway.host.sample import SOURCE, TRACE_SOURCE
from gateway.modbus.point import MAX_READ_REGISTERS, REGISTERS, DataType, Order, PointSpec, Table

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
NAME_EXPECTED = "a name of letters, digits, _ . - (at most 64)"
OWN_SOURCES = (SOURCE, TRACE_SOURCE)
"""Names of the gateway's own readings, which no device or serial source can have."""
TABLES = {
    "coil": Table.COIL,
    "discrete": Table.DISCRETE,
    "holding": Table.HOLDING,
    "input": Table.INPUT,
}
_CODE = r"[0-9]{1,20}|0x[0-9A-Fa-f]{1,16}"
_ORDERS = {"big": Order.BIG, "little": Order.LITTLE}
# What other programs call the types: only for the cure of an unknown one.
_TYPE_ALIASES = {
    **dict.fromkeys(("float", "float32", "real", "single"), "f32"),
    **dict.fromkeys(("double", "float64", "lreal"), "f64"),
    **dict.fromkeys(("uint", "uint16", "word", "16uint"), "u16"),
    **dict.fromkeys(("int", "int16", "short", "i16", "16int"), "s16"),
    **dict.fromkeys(("uint32", "dword", "32uint"), "u32"),
    **dict.fromkeys(("int32", "long", "i32", "32int"), "s32"),
    **dict.fromkeys(("uint64", "qword", "64uint"), "u64"),
    **dict.fromkeys(("int64", "i64", "64int"), "s64"),
    **dict.fromkeys(("string", "text", "ascii"), "str"),
    **dict.fromkeys(("boolean", "bit", "coil"), "bool"),
    **dict.fromkeys(("bitfield", "flags", "bitfield16"), "bits"),
    **dict.fromkeys(("enum16", "code"), "enum"),
}
_NUMBERS = frozenset(DataType) - {DataType.BOOL, DataType.STR, DataType.BITS, DataType.ENUM}


@dataclass(frozen=True, slots=True)
class PointDefaults:
    """What a point is where its table does not say: a profile's ``[defaults]``."""

    table: Table | None = None
    type: DataType | None = None
    word_order: Order = Order.BIG
    byte_order: Order = Order.BIG


def parse_defaults(section: Section) -> PointDefaults:
    """Read a profile's ``[defaults]``."""
    defaults = PointDefaults(
        table=_table(section, None, required=False),
        type=_type(section, None, required=False),
        word_order=_order(section, "word_order", Order.BIG),
        byte_order=_order(section, "byte_order", Order.BIG),
    )
    section.close()
    return defaults


def parse_point(section: Section, base: PointSpec | None, defaults: PointDefaults) -> PointSpec:
    """Read one point; `base` is the profile's point of that name, whose values stand where the
    table is silent. Every key is asked for, so the caller only closes the section."""
    name = section.text("name", "", required=True, pattern=NAME, expected=NAME_EXPECTED)
    table = _table(section, base.table if base else defaults.table, required=base is None)
    bits = table is not None and table.is_bits
    default_type = base.type if base else DataType.BOOL if bits else defaults.type
    kind = _type(section, default_type, required=base is None) or DataType.U16
    address = section.integer(
        "address", base.address if base else 0, low=0, high=65535, required=base is None
    )
    spec = PointSpec(
        name=name,
        table=table or Table.HOLDING,
        address=address,
        type=kind,
        registers=_registers(section, kind, base.registers if base else None, bits),
        unit=section.text("unit", base.unit if base else "", longest=16),
        word_order=_order(section, "word_order", (base or defaults).word_order),
        byte_order=_order(section, "byte_order", (base or defaults).byte_order),
        scale=section.number("scale", base.scale if base else 1.0, low=-1e12, high=1e12),
        offset=section.number("offset", base.offset if base else 0.0, low=-1e12, high=1e12),
        binary_scale=section.integer(
            "binary_scale", base.binary_scale if base else 0, low=-63, high=63
        ),
        scale_register=section.integer(
            "scale_register", base.scale_register if base else None, low=0, high=65535
        ),
        null_patterns=_null_patterns(section, base.null_patterns if base else ()),
        bit=section.integer("bit", base.bit if base else None, low=0, high=63),
        mask=section.integer("mask", base.mask if base else None, low=1, high=2**64 - 1),
        shift=section.integer("shift", base.shift if base else 0, low=0, high=63),
        enum=_enum(section, base.enum if base else ()),
        minimum=section.number("minimum", base.minimum if base else None),
        maximum=section.number("maximum", base.maximum if base else None),
        decimals=section.integer("decimals", base.decimals if base else None, low=0, high=9),
    )
    _check_together(section, spec)
    return spec


def _table(section: Section, default: Table | None, *, required: bool) -> Table | None:
    if "table" in section and "function_code" in section:
        section.problem("function_code", "table is given too", "give one of the two")
    word = section.text("table", None, choices=tuple(TABLES))
    value = section.values.get("function_code")
    if isinstance(value, int) and value not in (1, 2, 3, 4):
        section.note_asked("function_code")
        cure = "1 coils, 2 discrete inputs, 3 holding registers, 4 input registers"
        section.problem("function_code", f"found {shown(value)}", f"give a code that reads: {cure}")
        return default
    code = section.integer("function_code", None, low=1, high=4)
    if code is not None or value is not None:
        return Table(code) if code is not None else default
    if word is None and default is None and required and "table" not in section:
        section.problem("table", "missing", 'add table = "input" or "holding" (coil, discrete)')
    return TABLES[word] if word else default


def _type(section: Section, default: DataType | None, *, required: bool) -> DataType | None:
    listed = ", ".join(str(kind) for kind in DataType)
    word = section.text(
        "type",
        None,
        required=required and default is None,
        expected=f"one of {listed}",
        known=tuple(map(str, DataType)),
    )
    if word is None:
        return default
    try:
        return DataType(word)
    except ValueError:
        known = {**_TYPE_ALIASES, **{str(kind): str(kind) for kind in DataType}}
        close = nearest(word, known)
        cure = f'did you mean "{known[close]}"? (types: {listed})' if close else f"types: {listed}"
        section.problem("type", f"found {shown(word)}", cure)
        return default


def _order(section: Section, key: str, default: Order) -> Order:
    word = section.text(key, None, choices=tuple(_ORDERS))
    return _ORDERS[word] if word else default


def _registers(section: Section, kind: DataType, base: int | None, bits: bool) -> int:
    fixed = 1 if bits else REGISTERS.get(kind)
    if kind is DataType.STR and not bits:
        return section.integer(
            "registers", base or 1, low=1, high=MAX_READ_REGISTERS, required=base is None
        )
    if fixed is None:  # BITS, ENUM
        default = base if base in (1, 2, 4) else 1
        return section.integer("registers", default, low=1, high=4, choices=(1, 2, 4))
    given = section.integer("registers", fixed, low=1, high=MAX_READ_REGISTERS)
    if given != fixed:
        what = "a coil or discrete input" if bits else f'type "{kind}"'
        section.problem("registers", f"found {given}", f"leave it out: {what} takes {fixed}")
    return fixed


def _null_patterns(section: Section, base: tuple[int, ...]) -> tuple[int, ...]:
    found = section.items("null_patterns", "a list of raw numbers, [0xFFFF]", 16, of=int)
    if found is None:
        return base
    patterns = []
    for value in found:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            section.problem(
                "null_patterns", f"found {shown(value)}", "give raw unsigned numbers, [0xFFFF]"
            )
        else:
            patterns.append(value)
    return tuple(patterns)


def _enum(section: Section, base: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    if "enum" not in section:
        section.section("enum").free_keys(_CODE)
        return base
    table = section.section("enum")
    table.free_keys(_CODE)
    names: dict[int, str] = {}
    for key in table.values:
        text = table.text(key, "", longest=64)
        if not re.fullmatch(_CODE, key):
            table.problem(key, "the code is not a number", 'write { 0 = "off", 1 = "on" }')
            continue
        code = int(key, 16 if key.startswith("0x") else 10)
        if code in names:
            table.problem(key, "the same code again", "give each code once")
        names[code] = text
    return tuple(sorted(names.items()))


def _check_together(section: Section, spec: PointSpec) -> None:
    """Note what no key alone can show."""
    width = 16 * spec.registers
    if spec.table.is_bits:
        if spec.type is not DataType.BOOL:
            section.problem("type", f"found {shown(str(spec.type))}", 'bits are type "bool"')
    elif spec.address + spec.registers > 65536:
        section.problem("address", f"found {spec.address}", "the last register is 65535")
    if spec.bit is not None and (spec.type is not DataType.BITS or spec.bit >= width):
        cure = f"a bit from 0 to {width - 1} of a point of type bits"
        section.problem("bit", f"found {spec.bit} on type {spec.type}", cure)
    if (spec.mask is not None or spec.shift) and spec.type not in (DataType.BITS, DataType.ENUM):
        key = "mask" if spec.mask is not None else "shift"
        section.problem(key, f"found on type {spec.type}", 'mask and shift need type "bits"')
    elif spec.shift >= width or (spec.mask or 0) >= 1 << width:
        section.problem("mask", "it is wider than the point", f"the point has {width} bits")
    if spec.enum and spec.type is not DataType.ENUM:
        section.problem("enum", f"found on type {spec.type}", 'names of codes need type "enum"')
    if spec.type is DataType.ENUM and not spec.enum:
        section.problem("enum", "missing", 'add enum = { 0 = "off", 1 = "on" }')
    scaled = spec.scale != 1.0 or spec.offset or spec.binary_scale
    scaled = scaled or spec.scale_register is not None
    if scaled and (spec.type not in _NUMBERS or spec.table.is_bits):
        section.problem("scale", f"found on type {spec.type}", "only numbers can be scaled")
    if spec.scale == 0.0:
        section.problem("scale", "found 0", "a scale other than 0 (1.0 leaves the value as it is)")
    for pattern in spec.null_patterns:
        if pattern >= 1 << width:
            section.problem(
                "null_patterns", f"found {pattern:#x}", f"the point has {width} bits only"
            )
    if spec.minimum is not None and spec.maximum is not None and spec.minimum >= spec.maximum:
        section.problem("minimum", f"found {spec.minimum:g}", f"less than maximum {spec.maximum:g}")


def source_name(section: Section) -> str:
    """Read the name of a device or a serial source: what its readings are stored under."""
    name = section.text("name", "", required=True, pattern=NAME, expected=NAME_EXPECTED)
    if name in OWN_SOURCES:
        found = f"found {shown(name)}, which the gateway's own readings (supply, radio) have"
        section.problem("name", found, f'another name, "{name}-1"')
    return name


def unknown_point(section: Section, key: str, name: str, known: tuple[str, ...]) -> None:
    """Note a point name that the profile does not have."""
    section.problem(key, f"found {shown(name)}", did_you_mean(name, known, "points of the profile"))
