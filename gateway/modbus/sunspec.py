"""SunSpec: what a device says it is made of, and the points that follow from it.

Owns the walk along the chain of models as a state machine (it wants a read, is given registers or
told of a refusal) and the models known here: 1, 101 to 103, 203. Never reads anything itself. Every
chain ends: addresses only grow, and there are at most `MAX_MODELS`.

Source: SunSpec Information Model Specification 1.x; sunspec/models json/model_*.json; the order of
reads is pysunspec2's (`sunspec2/modbus/client.py` scan): identifier and length by themselves, since
some devices give no length behind the end of the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.modbus.point import DataType, PointSpec, Table

BASES = (40000, 0, 50000)
"""Where the chain may begin, in the order tried."""
MARKER = (0x5375, 0x6E53)
"""``SunS``."""
COMMON = 1
END = 0xFFFF
MAX_MODELS = 64
LAST_ADDRESS = 0xFFFF


@dataclass(frozen=True, slots=True)
class Read:
    """Holding registers that the walk wants next."""

    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the chain. `address`: of its identifier. `length`: registers behind the
    length register."""

    id: int
    address: int
    length: int


class Ending(Enum):
    """How a walk ended."""

    COMPLETE = "complete"
    """At the end marker."""
    CUT = "cut"
    """The device stopped answering within the chain; what was found stands."""
    TOO_LONG = "too_long"
    """More models than `MAX_MODELS`, or past the last register: not to be believed further."""
    NOT_SUNSPEC = "not_sunspec"


@dataclass(frozen=True, slots=True)
class Chain:
    """What a walk found. `base`: where ``SunS`` stands."""

    base: int
    models: tuple[Model, ...]
    ending: Ending


class Discovery:
    """One walk. While `wanted` is a read, make it and call `given` or `refused`; then take
    `chain`."""

    def __init__(self) -> None:
        self._bases = list(BASES)
        self._base = self._bases.pop(0)
        self._models: list[Model] = []
        self._id: int | None = None
        self.wanted: Read | None = Read(self._base, 3)
        self.chain: Chain | None = None

    def given(self, registers: Sequence[int]) -> None:
        """Take the registers of `wanted`; too few count as refused."""
        wanted = self.wanted
        if wanted is None:
            return
        if len(registers) < wanted.count:
            self.refused()
        elif wanted.count == 3:
            if tuple(registers[:2]) == MARKER:
                self._identified(wanted.address + 2, registers[2])
            else:
                self._next_base()
        elif self._id is None:
            self._identified(wanted.address, registers[0])
        else:
            self._sized(wanted.address - 1, self._id, registers[0])

    def refused(self) -> None:
        """The device gave no answer to `wanted`, or an exception."""
        if self.wanted is None:
            return
        if self.wanted.count == 3:
            self._next_base()
        else:
            self._end(Ending.CUT)

    def _next_base(self) -> None:
        if self._bases:
            self._base = self._bases.pop(0)
            self.wanted = Read(self._base, 3)
        else:
            self._end(Ending.NOT_SUNSPEC)

    def _identified(self, address: int, model: int) -> None:
        """The identifier is known: the length is next, or the chain is over."""
        if model == END:
            self._end(Ending.COMPLETE)
        elif not self._models and model != COMMON:
            self._next_base()  # the common model is always the first
        else:
            self._id = model
            self.wanted = Read(address + 1, 1)

    def _sized(self, address: int, model: int, length: int) -> None:
        following = address + 2 + length
        if following > LAST_ADDRESS or len(self._models) == MAX_MODELS:
            self._end(Ending.TOO_LONG)
            return
        self._models.append(Model(model, address, length))
        self._id = None
        self.wanted = Read(following, 1)

    def _end(self, ending: Ending) -> None:
        self.wanted = None
        self.chain = Chain(self._base, tuple(self._models), ending)


# --- models ---------------------------------------------------------------------------------------


class Kind(Enum):
    """SunSpec's types: data type, registers, and the raw number of "not implemented"
    (pysunspec2 `mb.py`). An accumulator that never counted is zero and not implemented alike."""

    INT16 = (DataType.S16, 1, 0x8000)
    UINT16 = (DataType.U16, 1, 0xFFFF)
    ENUM16 = (DataType.ENUM, 1, 0xFFFF)
    ACC32 = (DataType.U32, 2, 0)
    BITS32 = (DataType.BITS, 2, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Field:
    """A point of a model: offsets are from its identifier. `scale`: its scale factor's."""

    name: str
    offset: int
    kind: Kind
    scale: int | None = None
    unit: str = ""


OPERATING_STATES = (
    (1, "off"),
    (2, "sleeping"),
    (3, "starting"),
    (4, "mppt"),
    (5, "throttled"),
    (6, "shutting_down"),
    (7, "fault"),
    (8, "standby"),
)
"""`St` of the inverter models."""

_I, _U, _ACC, _BITS = Kind.INT16, Kind.UINT16, Kind.ACC32, Kind.BITS32
INVERTER = (
    Field("current", 2, _U, 6, "A"),
    Field("current_l1", 3, _U, 6, "A"),
    Field("current_l2", 4, _U, 6, "A"),
    Field("current_l3", 5, _U, 6, "A"),
    Field("voltage_l1_l2", 7, _U, 13, "V"),
    Field("voltage_l2_l3", 8, _U, 13, "V"),
    Field("voltage_l3_l1", 9, _U, 13, "V"),
    Field("voltage_l1", 10, _U, 13, "V"),
    Field("voltage_l2", 11, _U, 13, "V"),
    Field("voltage_l3", 12, _U, 13, "V"),
    Field("active_power", 14, _I, 15, "W"),
    Field("frequency", 16, _U, 17, "Hz"),
    Field("apparent_power", 18, _I, 19, "VA"),
    Field("reactive_power", 20, _I, 21, "var"),
    Field("power_factor", 22, _I, 23, "%"),
    Field("export_energy", 24, _ACC, 26, "Wh"),
    Field("dc_current", 27, _U, 28, "A"),
    Field("dc_voltage", 29, _U, 30, "V"),
    Field("dc_power", 31, _I, 32, "W"),
    Field("cabinet_temperature", 33, _I, 37, "°C"),
    Field("heat_sink_temperature", 34, _I, 37, "°C"),
    Field("operating_state", 38, Kind.ENUM16),
    Field("vendor_state", 39, _U),
    Field("events", 40, _BITS),
    Field("vendor_events", 44, _BITS),
)
"""Models 101 (one phase), 102 (split phase) and 103 (three phases) share their offsets."""
METER = (
    Field("current", 2, _I, 6, "A"),
    Field("current_l1", 3, _I, 6, "A"),
    Field("current_l2", 4, _I, 6, "A"),
    Field("current_l3", 5, _I, 6, "A"),
    Field("voltage", 7, _I, 15, "V"),
    Field("voltage_l1", 8, _I, 15, "V"),
    Field("voltage_l2", 9, _I, 15, "V"),
    Field("voltage_l3", 10, _I, 15, "V"),
    Field("frequency", 16, _I, 17, "Hz"),
    Field("active_power", 18, _I, 22, "W"),
    Field("active_power_l1", 19, _I, 22, "W"),
    Field("active_power_l2", 20, _I, 22, "W"),
    Field("active_power_l3", 21, _I, 22, "W"),
    Field("apparent_power", 23, _I, 27, "VA"),
    Field("reactive_power", 28, _I, 32, "var"),
    Field("power_factor", 33, _I, 37, "%"),
    Field("export_energy", 38, _ACC, 54, "Wh"),
    Field("import_energy", 46, _ACC, 54, "Wh"),
    Field("events", 105, _BITS),
)
"""Model 203: three-phase wye meter."""
MODELS = {
    101: ("inverter", INVERTER),
    102: ("inverter", INVERTER),
    103: ("inverter", INVERTER),
    203: ("meter", METER),
}
_TEXTS = (
    ("manufacturer", 2, 16),
    ("model", 18, 16),
    ("options", 34, 8),
    ("version", 42, 8),
    ("serial_number", 50, 16),
)


def points_of(chain: Chain) -> tuple[PointSpec, ...]:
    """Return the points of the models known here, named by what the model is:
    ``inverter.active_power``; a second one of a kind is ``meter2``.

    A field beyond the length that the device states, or whose scale factor is, is left out.
    """
    points: list[PointSpec] = []
    count: dict[str, int] = {}
    for model in chain.models:
        if model.id not in MODELS:
            continue
        name, fields = MODELS[model.id]
        number = count[name] = count.get(name, 0) + 1
        prefix = name if number == 1 else f"{name}{number}"
        points.extend(
            _point(f"{prefix}.{field.name}", field, model.address)
            for field in fields
            if _within(field, model)
        )
    return tuple(points)


def identity_of(chain: Chain) -> tuple[PointSpec, ...]:
    """Return the texts of the common model: read them once, they do not change."""
    if not chain.models:
        return ()
    common = chain.models[0]
    return tuple(
        PointSpec(name, Table.HOLDING, common.address + offset, DataType.STR, registers)
        for name, offset, registers in _TEXTS
        if offset + registers <= common.length + 2
    )


def _within(field: Field, model: Model) -> bool:
    size = model.length + 2
    scaled = field.scale is None or field.scale < size
    return scaled and field.offset + field.kind.value[1] <= size


def _point(name: str, field: Field, base: int) -> PointSpec:
    kind, registers, null = field.kind.value
    return PointSpec(
        name,
        Table.HOLDING,
        base + field.offset,
        kind,
        registers,
        unit=field.unit,
        scale_register=None if field.scale is None else base + field.scale,
        null_patterns=(null,),
        enum=OPERATING_STATES if field.kind is Kind.ENUM16 else (),
    )
