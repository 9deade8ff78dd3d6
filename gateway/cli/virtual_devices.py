"""Virtual meters and sensors: register maps that answer with values as a real site would give.

Owns what each virtual device holds at which address, and how the values move; answering frames is
pymodbus's server's, timing is `virtual_bus`'s. The maps are written from the makers' register lists
and not read from our device profiles, so that the demo shows whether the profiles are right.
"""

import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

_FORMATS = {"u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "f32": ">f"}
_THIRD = 2 * math.pi / 3


@dataclass(slots=True)
class Load:
    """A three-phase load on the mains: the quantities of one instant.

    `watts`: mean power of one phase. `energy_kwh` rises with every `advance`.
    """

    watts: float
    phase: float
    energy_kwh: float
    now: float = 0.0
    voltage: list[float] = field(default_factory=lambda: [230.0] * 3)
    power: list[float] = field(default_factory=lambda: [0.0] * 3)
    frequency: float = 50.0
    power_factor: float = 0.95

    def advance(self, now: float) -> None:
        """Move to `now` (seconds since the start): slow drift, a load that comes and goes."""
        elapsed, self.now = max(0.0, now - self.now), now
        switched = 0.35 if math.sin(now / 9 + self.phase) > 0.3 else 0.0
        self.frequency = 50 + 0.015 * math.sin(now / 23 + self.phase)
        self.power_factor = 0.95 - 0.03 * math.sin(now / 41 + self.phase)
        for i in range(3):
            turn = self.phase + i * _THIRD
            drift = 2.6 * math.sin(now / 97 + turn) + 0.4 * math.sin(now / 1.7 + 2 * turn)
            swing = 0.12 * math.sin(now / 13 + turn) + 0.02 * math.sin(now * 1.3 + turn)
            self.power[i] = self.watts * (1 + switched + swing)
            self.voltage[i] = 230 + drift - 2 * switched
        self.energy_kwh += sum(self.power) * elapsed / 3.6e6

    def current(self, i: int) -> float:
        return self.power[i] / (self.voltage[i] * self.power_factor)

    def apparent(self, i: int) -> float:
        return self.power[i] / self.power_factor

    def reactive(self, i: int) -> float:
        return math.sqrt(self.apparent(i) ** 2 - self.power[i] ** 2)

    @property
    def celsius(self) -> float:
        return 21.5 + 1.5 * math.sin(self.now / 180 + self.phase) + 0.2 * math.sin(self.now / 7)

    @property
    def humidity(self) -> float:
        return 46 - 4 * math.sin(self.now / 240 + self.phase)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value at an address: raw = value x `scale`, packed as `type`; `low_word_first` as CDAB."""

    address: int
    type: str
    value: Callable[[Load], float]
    scale: int = 1
    low_word_first: bool = False

    def registers(self, load: Load) -> list[int]:
        """Return the registers that hold the quantity now."""
        raw = self.value(load) * self.scale
        packed = struct.pack(_FORMATS[self.type], raw if self.type == "f32" else round(raw))
        words = list(struct.unpack(f">{len(packed) // 2}H", packed))
        return words[::-1] if self.low_word_first else words


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """One device of the bus. `turnaround_s`: from the request's end to the reply's start.

    `areas`: (first, last) addresses that can be read; between quantities they read 0.
    """

    name: str
    profile: str
    unit_id: int
    poll_interval_s: float
    turnaround_s: float
    table: str
    areas: tuple[tuple[int, int], ...]
    quantities: tuple[Quantity, ...]
    load: Load

    def server_device(self, clock: Callable[[], float]) -> SimDevice:
        """Build what pymodbus's server answers from; `clock` gives seconds since the start."""

        async def refresh(
            function_code: int,
            start: int,
            address: int,
            count: int,
            registers: list[int],
            written: list[int] | list[bool] | None,
        ) -> ExcCodes | None:
            if written is None and function_code == (3 if self.table == "holding" else 4):
                self.load.advance(clock())
                for quantity in self.quantities:
                    if not address - 4 < quantity.address < address + count:
                        continue  # not asked for; a quantity is at most four registers
                    words = quantity.registers(self.load)
                    at = quantity.address - start
                    registers[at : at + len(words)] = words
            return None

        own = [
            SimData(first, values=[0] * (last - first + 1), datatype=DataType.REGISTERS)
            for first, last in self.areas
        ]
        settings = [SimData(0xFFF0, values=[0], datatype=DataType.REGISTERS)]
        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        registers = (own, settings) if self.table == "holding" else (settings, own)
        return SimDevice(self.unit_id, (bits, list(bits), *registers), action=refresh)


def _phases(first: int, value: Callable[[Load, int], float]) -> list[Quantity]:
    """Return three f32 quantities two registers apart, one per phase."""
    return [Quantity(first + 2 * i, "f32", _of(value, i)) for i in range(3)]


def _of(value: Callable[[Load, int], float], i: int) -> Callable[[Load], float]:
    """Return `value` of phase `i` as a quantity's value."""
    return lambda load: value(load, i)


def _voltage(load: Load, i: int) -> float:
    return load.voltage[i]


def _power(load: Load, i: int) -> float:
    return load.power[i]


def sdm630(name: str, unit_id: int) -> VirtualDevice:
    """Eastron SDM630: three phases, input registers, f32, high word first."""
    quantities = [
        *_phases(0x0000, _voltage),
        *_phases(0x0006, Load.current),
        *_phases(0x000C, _power),
        *_phases(0x0012, Load.apparent),
        *_phases(0x0018, Load.reactive),
        *_phases(0x001E, lambda load, i: load.power_factor),
        *_phases(0x00EA, lambda load, i: 1.9 + 0.2 * i),
        *_phases(0x015A, lambda load, i: load.energy_kwh / 3),
        Quantity(0x002A, "f32", lambda load: sum(load.voltage) / 3),
        Quantity(0x0030, "f32", lambda load: sum(map(load.current, range(3)))),
        Quantity(0x0034, "f32", lambda load: sum(load.power)),
        Quantity(0x0038, "f32", lambda load: sum(map(load.apparent, range(3)))),
        Quantity(0x003C, "f32", lambda load: sum(map(load.reactive, range(3)))),
        Quantity(0x003E, "f32", lambda load: load.power_factor),
        Quantity(0x0046, "f32", lambda load: load.frequency),
        Quantity(0x0048, "f32", lambda load: load.energy_kwh),
        Quantity(0x00E0, "f32", lambda load: 0.08 * load.current(0)),
        Quantity(0x00F8, "f32", lambda load: 2.1),
        Quantity(0x0156, "f32", lambda load: load.energy_kwh),
    ]
    areas = ((0x0000, 0x0181),)
    load = Load(1450.0, 0.0, 18342.6)
    return VirtualDevice(
        name, "eastron-sdm630", unit_id, 1.0, 0.006, "input", areas, tuple(quantities), load
    )


def sdm120(name: str, unit_id: int) -> VirtualDevice:
    """Eastron SDM120: one phase, input registers, f32, high word first."""
    values: list[tuple[int, Callable[[Load], float]]] = [
        (0x0000, lambda load: load.voltage[0]),
        (0x0006, lambda load: load.current(0)),
        (0x000C, lambda load: load.power[0]),
        (0x0012, lambda load: load.apparent(0)),
        (0x0018, lambda load: load.reactive(0)),
        (0x001E, lambda load: load.power_factor),
        (0x0046, lambda load: load.frequency),
        (0x0048, lambda load: load.energy_kwh),
        (0x004A, lambda load: 0.0),
        (0x004C, lambda load: load.energy_kwh * 0.31),
        (0x004E, lambda load: 0.0),
        (0x0156, lambda load: load.energy_kwh),
        (0x0158, lambda load: load.energy_kwh * 0.31),
    ]
    quantities = tuple(Quantity(address, "f32", value) for address, value in values)
    areas = ((0x0000, 0x005F), (0x0156, 0x0159))
    load = Load(610.0, 1.1, 2210.4)
    return VirtualDevice(
        name, "eastron-sdm120", unit_id, 1.0, 0.008, "input", areas, quantities, load
    )


def pzem016(name: str, unit_id: int) -> VirtualDevice:
    """Peacefair PZEM-016: ten input registers, 32-bit values low word first."""
    quantities = (
        Quantity(0, "u16", lambda load: load.voltage[0], 10),
        Quantity(1, "u32", lambda load: load.current(0), 1000, True),
        Quantity(3, "u32", lambda load: load.power[0], 10, True),
        Quantity(5, "u32", lambda load: load.energy_kwh, 1000, True),
        Quantity(7, "u16", lambda load: load.frequency, 10),
        Quantity(8, "u16", lambda load: load.power_factor, 100),
    )
    load = Load(94.0, 2.3, 731.05)
    return VirtualDevice(
        name, "peacefair-pzem-016", unit_id, 1.0, 0.015, "input", ((0, 9),), quantities, load
    )


def xymd02(name: str, unit_id: int) -> VirtualDevice:
    """XY-MD02: temperature and humidity, input registers, tenths."""
    quantities = (
        Quantity(1, "s16", lambda load: load.celsius, 10),
        Quantity(2, "u16", lambda load: load.humidity, 10),
    )
    load = Load(0.0, 0.4, 0.0)
    return VirtualDevice(name, "xy-md02", unit_id, 2.0, 0.010, "input", ((1, 2),), quantities, load)


def em340(name: str, unit_id: int) -> VirtualDevice:
    """Carlo Gavazzi EM340: three phases, input registers, signed, 32-bit values low word first."""
    quantities = [
        Quantity(0x0028, "s32", lambda load: sum(load.power), 10, True),
        Quantity(0x0031, "s16", lambda load: load.power_factor, 1000),
        Quantity(0x0033, "s16", lambda load: load.frequency, 10),
        Quantity(0x0034, "s32", lambda load: load.energy_kwh, 10, True),
        Quantity(0x004E, "s32", lambda load: 0.0, 10, True),
    ]
    for i in range(3):
        quantities += [
            Quantity(2 * i, "s32", _of(_voltage, i), 10, True),
            Quantity(0x000C + 2 * i, "s32", _of(Load.current, i), 1000, True),
            Quantity(0x0012 + 2 * i, "s32", _of(_power, i), 10, True),
            Quantity(0x002E + i, "s16", lambda load: load.power_factor, 1000),
            Quantity(0x0040 + 2 * i, "s32", lambda load: load.energy_kwh / 3, 10, True),
        ]
    load = Load(1450.0, 5.2, 4410.9)
    areas = ((0x0000, 0x0053),)
    return VirtualDevice(
        name, "carlo-gavazzi-em340", unit_id, 1.0, 0.010, "input", areas, tuple(quantities), load
    )


def abb_b23(name: str, unit_id: int) -> VirtualDevice:
    """ABB B23: three phases, holding registers, big-endian integers."""
    quantities = [
        Quantity(0x5000, "u64", lambda load: load.energy_kwh, 100),
        Quantity(0x5B14, "s32", lambda load: sum(load.power), 100),
        Quantity(0x5B2C, "u16", lambda load: load.frequency, 100),
        Quantity(0x5B3A, "s16", lambda load: load.power_factor, 1000),
        Quantity(0x8960, "u32", lambda load: 0x42323320),  # the type, "B23 "
    ]
    for i in range(3):
        quantities += [
            Quantity(0x5460 + 4 * i, "u64", lambda load: load.energy_kwh / 3, 100),
            Quantity(0x5B00 + 2 * i, "u32", _of(_voltage, i), 10),
            Quantity(0x5B0C + 2 * i, "u32", _of(Load.current, i), 100),
            Quantity(0x5B16 + 2 * i, "s32", _of(_power, i), 100),
            Quantity(0x5B3B + i, "s16", lambda load: load.power_factor, 1000),
        ]
    areas = ((0x5000, 0x5007), (0x5460, 0x5477), (0x5B00, 0x5B3D), (0x8960, 0x8961))
    load = Load(2300.0, 4.0, 90210.75)
    return VirtualDevice(
        name, "abb-b23", unit_id, 1.0, 0.012, "holding", areas, tuple(quantities), load
    )


def demo_devices() -> tuple[VirtualDevice, ...]:
    """Return the devices of the demo's bus."""
    return (
        sdm630("main-meter", 1),
        sdm120("heat-pump", 2),
        pzem016("lighting", 3),
        xymd02("control-room", 4),
        abb_b23("workshop", 5),
    )


MODELS: dict[str, Callable[[str, int], VirtualDevice]] = {
    "sdm630": sdm630,
    "sdm120": sdm120,
    "pzem016": pzem016,
    "xymd02": xymd02,
    "em340": em340,
    "abb-b23": abb_b23,
}
"""What `python -m gateway.cli.virtual_bus --device` can put on a bus."""


def start_clock() -> Callable[[], float]:
    """Return a clock that counts seconds from now."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
