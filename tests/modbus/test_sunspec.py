"""SunSpec's walk along the chain of models, and the values of the models known here."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.modbus.point import Table
from gateway.modbus.sunspec import (
    BASES,
    END,
    MARKER,
    MAX_MODELS,
    MODELS,
    Chain,
    Discovery,
    Ending,
    Model,
    Read,
    identity_of,
    points_of,
)
from gateway.modbus.values import decode
from gateway.polling.blocks import Limits, Timing, items_of, plan
from gateway.reading import Cause, Value

WALK_LIMIT = len(BASES) + 2 * MAX_MODELS + 2


def words(text: str, registers: int) -> list[int]:
    """Return a text as registers, padded with zeros."""
    raw = text.encode().ljust(2 * registers, b"\0")
    return [raw[i] << 8 | raw[i + 1] for i in range(0, len(raw), 2)]


COMMON = [
    *(1, 66),
    *words("Fronius", 16),
    *words("Symo 8.2-3-M", 16),
    *words("3.28.1-3", 8),
    *words("0.3.28.3", 8),
    *words("29300012", 16),
    *(1, 0x8000),
]
# A three-phase inverter at noon, written out by hand from model_103.json: values and scale factors
# as 16-bit two's complement (0xFFFF is -1, 0xFFFE is -2).
INVERTER = [
    *(103, 50),
    *(1172, 391, 390, 391, 0xFFFE),  # A, AphA-C, A_SF -2
    *(4001, 3998, 4003, 2310, 2308, 2312, 0xFFFF),  # PPV, PhV, V_SF -1
    *(811, 1),  # W 8110 W, W_SF +1
    *(4998, 0xFFFE),  # Hz 49.98
    *(812, 1),  # VA 8120
    *(0xFFF6, 1),  # VAr -10 * 10
    *(0xFC19, 0xFFFF),  # PF -999 * 0.1 = -99.9 %
    *(0x0123, 0x4567, 0),  # WH 19088743, WH_SF 0
    *(0xFFFF, 0xFFFE),  # DCA not implemented
    *(6234, 0xFFFF),  # DCV 623.4
    *(8300, 0x8000),  # DCW has a value, its scale factor is not implemented
    *(0xFFCE, 0x8000, 0x8000, 0x8000, 0xFFFF),  # TmpCab -50 * 0.1, others not implemented
    *(4, 17),  # St MPPT, StVnd
    *(0, 0, 0, 0),  # Evt1, Evt2
    *(0xFFFF, 0xFFFF, 0, 0, 0, 0, 0, 0),  # EvtVnd1 not implemented
]
METER = [
    *(203, 105),
    *(0xFF9C, 0xFFDF, 0xFFDE, 0xFFDF, 0xFFFF),  # A -10.0, phases -3.3 -3.4 -3.3
    *(2301, 2300, 2301, 2302, 3985, 3984, 3985, 3986, 0xFFFF),
    *(50, 0),  # Hz, SF 0
    *(0xFD44, 0xFF16, 0xFF17, 0xFF17, 1),  # W -700 * 10
    *(700, 0, 0, 0, 1),  # VA
    *(0x8000, 0, 0, 0, 0x8000),  # VAR not implemented
    *(0xFF9C, 0, 0, 0, 0xFFFE),  # PF -100 * 0.01
    *(0x0001, 0x0000, 0, 0, 0, 0, 0, 0),  # TotWhExp 65536
    *(0, 0, 0, 0, 0, 0, 0, 0),  # TotWhImp: 0 is "not implemented" of an accumulator
    2,  # TotWh_SF
    *([0] * 50),
    *(0, 4),  # Evt
]


def device(base: int = 40000, *models: list[int]) -> dict[int, int]:
    """Return the registers of a device with these models and the end marker."""
    data = [*MARKER, *(word for model in models for word in model), END, 0]
    return dict(enumerate(data, base))


def walk(registers: Mapping[int, int], most: int = WALK_LIMIT) -> tuple[Chain, list[Read]]:
    """Run a walk against registers; what is not there is refused."""
    discovery = Discovery()
    reads: list[Read] = []
    while (read := discovery.wanted) is not None:
        reads.append(read)
        assert len(reads) <= most
        addresses = range(read.address, read.address + read.count)
        if all(address in registers for address in addresses):
            discovery.given([registers[address] for address in addresses])
        else:
            discovery.refused()
    assert discovery.chain is not None
    return discovery.chain, reads


def values(chain: Chain, registers: Mapping[int, int]) -> dict[str, tuple[Value, Cause]]:
    """Return what the points of a chain become."""
    found = {}
    for spec in (*points_of(chain), *identity_of(chain)):
        own = [registers[spec.address + i] for i in range(spec.registers)]
        factor = None if spec.scale_register is None else registers[spec.scale_register]
        found[spec.name] = decode(spec, own, factor)
    return found


def test_the_fixtures_are_as_long_as_they_say() -> None:
    """Each model has its identifier, its length and that many registers."""
    for model in (COMMON, INVERTER, METER):
        assert len(model) == model[1] + 2


@pytest.mark.parametrize("base", BASES)
def test_an_inverter(base: int) -> None:
    """Found at each base; model, scale factors, signs and "not implemented" come out right."""
    registers = device(base, COMMON, INVERTER)
    chain, reads = walk(registers)
    assert chain.ending is Ending.COMPLETE and chain.base == base
    assert [(model.id, model.length) for model in chain.models] == [(1, 66), (103, 50)]
    # Identifier and length one after the other, as devices without a length at the end need it.
    assert [(one.address - base, one.count) for one in reads if one.address >= base][-4:] == [
        *((3, 1), (70, 1)),
        *((71, 1), (122, 1)),
    ]
    good = {
        "manufacturer": "Fronius",
        "model": "Symo 8.2-3-M",
        "serial_number": "29300012",
        "inverter.current": 11.72,
        "inverter.current_l2": 3.9,
        "inverter.voltage_l1_l2": 400.1,
        "inverter.voltage_l3": 231.2,
        "inverter.active_power": 8110.0,
        "inverter.frequency": 49.98,
        "inverter.apparent_power": 8120.0,
        "inverter.reactive_power": -100.0,
        "inverter.power_factor": -99.9,
        "inverter.export_energy": 19088743.0,
        "inverter.dc_voltage": 623.4,
        "inverter.cabinet_temperature": -5.0,
        "inverter.operating_state": "mppt",
        "inverter.vendor_state": 17,
        "inverter.events": 0,
    }
    found = values(chain, registers)
    for name, value in good.items():
        assert found[name] == (
            pytest.approx(value) if isinstance(value, float) else value,
            Cause.NONE,
        ), name
    for name in ("dc_current", "dc_power", "heat_sink_temperature", "vendor_events"):
        assert found[f"inverter.{name}"] == (None, Cause.NULL_PATTERN), name


def test_a_meter_behind_a_model_nobody_knows() -> None:
    """What is not known here is stepped over; a second one of a kind has its own name."""
    unknown = [64999, 3, 7, 7, 7]
    registers = device(40000, COMMON, unknown, METER, METER)
    chain, _ = walk(registers)
    assert [model.id for model in chain.models] == [1, 64999, 203, 203]
    found = values(chain, registers)
    good = {
        "meter.current": -10.0,
        "meter.current_l2": -3.4,
        "meter.voltage_l1": 230.0,
        "meter.frequency": 50.0,
        "meter.active_power": -7000.0,
        "meter.apparent_power": 7000.0,
        "meter.power_factor": -1.0,
        "meter.export_energy": 6553600.0,
        "meter.events": 4,
        "meter2.active_power": -7000.0,
    }
    for name, value in good.items():
        assert found[name][0] == pytest.approx(value) and found[name][1] is Cause.NONE, name
    for name in ("meter.reactive_power", "meter.import_energy"):
        assert found[name] == (None, Cause.NULL_PATTERN)


@pytest.mark.parametrize("model", [101, 102, 103])
def test_the_inverter_models_share_their_offsets(model: int) -> None:
    """One, two and three phases; phases that are not there say so themselves."""
    chain, _ = walk(device(40000, COMMON, [model, *INVERTER[1:]]))
    assert {spec.name for spec in points_of(chain)} == {
        f"inverter.{field.name}" for field in MODELS[model][1]
    }


def test_an_unknown_state_stays_a_number() -> None:
    """Uncertain, as every enum."""
    inverter = list(INVERTER)
    inverter[38] = 99
    registers = device(40000, COMMON, inverter)
    found = values(walk(registers)[0], registers)
    assert found["inverter.operating_state"] == ("99", Cause.OUT_OF_RANGE)


def test_a_short_model_has_the_points_that_fit() -> None:
    """A device that states a shorter length is not read beyond it."""
    short = [103, 15, *INVERTER[2:17]]
    chain, _ = walk(device(40000, COMMON, short))
    names = {spec.name for spec in points_of(chain)}
    assert "inverter.active_power" in names
    assert "inverter.frequency" not in names and "inverter.events" not in names
    assert identity_of(Chain(0, (), Ending.NOT_SUNSPEC)) == ()
    assert identity_of(Chain(0, (Model(1, 2, 32),), Ending.CUT))[-1].name == "model"


@pytest.mark.parametrize(
    ("registers", "ending", "models"),
    [
        ({}, Ending.NOT_SUNSPEC, 0),
        (dict.fromkeys(range(65536), 0), Ending.NOT_SUNSPEC, 0),
        (dict(enumerate((*MARKER, 103, 50), 40000)), Ending.NOT_SUNSPEC, 0),
        (dict(enumerate((*MARKER, END), 40000)), Ending.COMPLETE, 0),
        (dict(enumerate((*MARKER, 1), 40000)), Ending.CUT, 0),
        (dict(enumerate((*MARKER, 1, 66), 40000)), Ending.CUT, 1),
        (dict(enumerate((*MARKER, 1, 0xFFFF), 40000)), Ending.TOO_LONG, 0),
        (dict(enumerate((*MARKER, *([1, 0] * 10000)), 40000)), Ending.TOO_LONG, MAX_MODELS),
    ],
)
def test_chains_that_are_none(registers: dict[int, int], ending: Ending, models: int) -> None:
    """Refusals, endless chains and lengths beyond the last register end the walk."""
    chain, _ = walk(registers)
    assert chain.ending is ending and len(chain.models) == models


def test_calls_after_the_end_change_nothing() -> None:
    """A driver that is late does no harm; too few registers count as refused."""
    discovery = Discovery()
    discovery.given([MARKER[0]])
    assert discovery.wanted == Read(BASES[1], 3)
    discovery.refused()
    discovery.refused()
    chain = discovery.chain
    discovery.given([1, 2, 3])
    discovery.refused()
    assert discovery.wanted is None and discovery.chain is chain


@given(st.lists(st.integers(0, 0xFFFF), max_size=300), st.sampled_from(BASES))
def test_any_registers_end(data: list[int], base: int) -> None:
    """Whatever a device holds, a walk is short, and its points can be read and decoded."""
    registers = dict(enumerate((*MARKER, 1, *data), base))
    chain, reads = walk(registers)
    assert len(reads) <= WALK_LIMIT
    points = points_of(chain)
    assert len({spec.name for spec in points}) == len(points)
    assert all(spec.table is Table.HOLDING and spec.address <= 0xFFFF for spec in points)


def test_points_can_be_planned() -> None:
    """With their scale factors, in reads the device takes."""
    chain, _ = walk(device(40000, COMMON, INVERTER, METER))
    points = points_of(chain)
    limits = Limits(125)
    planned = plan(
        items_of(points, limits, range(len(points))), Timing(0.001, 0.004, 0.005), limits
    )
    assert not planned.unreadable and len(planned.blocks) <= 3
