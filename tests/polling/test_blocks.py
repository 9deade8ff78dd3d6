"""The plan of read blocks: never worse than brute force, never past a limit, every point once."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.modbus.point import REGISTERS, DataType, PointSpec, Table
from gateway.polling.blocks import (
    Block,
    Item,
    Limits,
    Timing,
    block_of,
    halves,
    items_of,
    plan,
    plan_cost,
    refusal,
)

AT_19200 = Timing(character_s=11 / 19200, silence_s=3.5 * 11 / 19200, turnaround_s=0.002)


def spec(address: int, kind: DataType = DataType.U16, table: Table = Table.INPUT) -> PointSpec:
    """Make a point called by its address."""
    bits = table.is_bits
    registers = 1 if bits else REGISTERS[kind]
    return PointSpec(f"p{address}", table, address, DataType.BOOL if bits else kind, registers)


def planned(points: Sequence[PointSpec], limits: Limits, timing: Timing = AT_19200) -> list[Block]:
    result = plan(items_of(points, limits, range(len(points))), timing, limits)
    assert not result.unreadable
    return list(result.blocks)


def test_ten_consecutive_registers_make_one_request() -> None:
    """Ten points side by side are one block of ten."""
    blocks = planned([spec(100 + i) for i in range(10)], Limits())
    assert [(b.table, b.address, b.count) for b in blocks] == [(Table.INPUT, 100, 10)]


@pytest.mark.parametrize(("turnaround_s", "gap"), [(0.002, 10.0), (0.010, 17.0), (0.060, 60.6)])
def test_break_even_gap(turnaround_s: float, gap: float) -> None:
    """A gap is read through exactly up to the break-even g* = (13 tc + turnaround + t35) / 2 tc."""
    timing = Timing(11 / 19200, 3.5 * 11 / 19200, turnaround_s)
    for free in range(1, 100):
        blocks = planned([spec(0), spec(1 + free)], Limits(), timing)
        if abs(free - gap) > 0.5:
            assert len(blocks) == (1 if free < gap else 2), free


def test_longest_read_and_both_ends_of_the_table() -> None:
    """125 registers make one read, 126 two; a device's own maximum is kept."""
    points = [spec(65535 - i) for i in range(126)]
    assert [b.count for b in planned(points[:125], Limits())] == [125]
    assert sorted(b.count for b in planned(points, Limits())) != [126]
    assert all(b.count <= 16 for b in planned(points, Limits(max_registers=16)))
    assert len(planned(points[:64], Limits(max_registers=16))) == 4


def test_bits_go_by_eight() -> None:
    """Bits cost an eighth of a character each, so a gap of hundreds is read through."""
    points = [spec(0, table=Table.COIL), spec(150, table=Table.COIL)]
    assert len(planned(points, Limits())) == 1
    far = [spec(0, table=Table.DISCRETE), spec(2000, table=Table.DISCRETE)]
    assert len(planned(far, Limits())) == 2


def test_scale_register_is_read_with_its_point() -> None:
    """A scale factor next to its point costs no request of its own."""
    point = PointSpec("w", Table.HOLDING, 14, DataType.S16, scale_register=15)
    (block,) = planned([point], Limits())
    assert (block.address, block.count) == (14, 2)
    assert {index for item in block.items for index in item.points} == {0}


tables = st.sampled_from([Table.INPUT, Table.HOLDING, Table.COIL])
kinds = st.sampled_from([DataType.U16, DataType.F32, DataType.U64])
points_near = st.lists(st.builds(spec, st.integers(0, 60), kinds, tables), min_size=1, max_size=9)
timings = st.builds(
    Timing,
    st.sampled_from([11 / 9600, 11 / 19200, 11 / 115200]),
    st.just(0.002),
    st.sampled_from([0.0, 0.002, 0.02, 0.06]),
)
ranges = st.tuples(
    st.sampled_from([Table.INPUT, Table.HOLDING]), st.integers(0, 60), st.integers(0, 8)
).map(lambda r: (r[0], r[1], r[1] + r[2]))
all_limits = st.builds(
    Limits,
    st.sampled_from([4, 8, 20, 125]),
    st.frozensets(ranges, max_size=3),
    st.frozensets(ranges, max_size=3),
)


def partitions(items: list[Item]) -> Iterator[list[list[Item]]]:
    """Yield every way to put items into groups, neighbours or not."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for rest_groups in partitions(rest):
        yield [[first], *rest_groups]
        for index, group in enumerate(rest_groups):
            yield [*rest_groups[:index], [first, *group], *rest_groups[index + 1 :]]


@settings(max_examples=150, deadline=None)
@given(points_near.filter(lambda p: len(p) <= 6), timings, all_limits)
def test_never_worse_than_brute_force(
    points: list[PointSpec], timing: Timing, limits: Limits
) -> None:
    """No partition of the items, of neighbours or not, takes less bus time than the plan."""
    items = items_of(points, limits, range(len(points)))
    result = plan(items, timing, limits)
    readable = [item for item in items if item not in result.unreadable]
    best = min(
        sum(
            timing.cost(g[0].table, max(i.last for i in g) - min(i.first for i in g) + 1) for g in p
        )
        for p in partitions(readable)
        if all(
            len({i.table for i in g}) == 1
            and limits.allows(g[0].table, min(i.first for i in g), max(i.last for i in g))
            for g in p
        )
    )
    assert plan_cost(result.blocks, timing) <= best + 1e-9


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.builds(spec, st.integers(0, 400), kinds, tables), min_size=1, max_size=60),
    timings,
    all_limits,
)
def test_against_a_register_model(points: list[PointSpec], timing: Timing, limits: Limits) -> None:
    """A device that has only the points' registers and enforces every limit gives every point
    that can be given, and none is asked for twice."""
    result = plan(items_of(points, limits, range(len(points))), timing, limits)
    covered: set[int] = set()
    for block in result.blocks:
        table, first, last = block.range
        assert 1 <= block.count <= limits.longest(table)
        addresses = set(range(first, last + 1))
        for hole_table, low, high in limits.holes:
            assert hole_table is not table or not addresses & set(range(low, high + 1))
        for refused_table, low, high in limits.refused:
            assert refused_table is not table or not set(range(low, high + 1)) <= addresses
        for item in block.items:
            assert item.points and not covered & set(item.points)
            covered |= set(item.points)
            for index in item.points:
                own = points[index]
                span = 1 if table.is_bits else own.registers
                assert own.table is table
                assert set(range(own.address, own.address + span)) <= addresses
    unreadable = {index for item in result.unreadable for index in item.points}
    assert covered | unreadable == set(range(len(points)))
    for item in result.unreadable:
        assert not limits.allows(*item.range)


def test_hundreds_of_points_are_planned_at_once() -> None:
    """1000 points with 100 refusals: the refused are left out, the rest is planned."""
    points = [spec(3 * i, DataType.F32) for i in range(1000)]
    limits = Limits(refused=frozenset((Table.INPUT, 30 * i, 30 * i + 1) for i in range(100)))
    result = plan(items_of(points, limits, range(1000)), AT_19200, limits)
    assert len(result.unreadable) == 100
    assert sum(len(block.items) for block in result.blocks) == 900


def test_halving_ends_at_one_item() -> None:
    """A refused block halves until an item stands alone; what both halves gave teaches the step."""
    points = [spec(i * 2) for i in range(5)]
    block = block_of(items_of(points, Limits(), range(5)))
    parts = halves(block)
    assert parts is not None
    left, right = parts
    assert (left.address, left.count, right.address, right.count) == (0, 3, 4, 5)
    assert refusal(block, left, right) == (Table.INPUT, 2, 4)
    assert halves(block_of(block.items[:1])) is None
