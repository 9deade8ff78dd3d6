"""The course of one poll: what is asked next, what failures teach, whose values are whose."""

from collections.abc import Set
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.modbus.point import DataType, PointSpec, Table
from gateway.polling.blocks import Block, Item, block_of
from gateway.polling.poll import MAX_EXTRA, Poll
from gateway.reading import Cause


def spec(address: int, registers: int = 1, **changes: Any) -> PointSpec:
    return PointSpec(f"p{address}", Table.INPUT, address, DataType.U16, registers, **changes)


def block(*addresses: int) -> Block:
    """Make a block of single registers; each point has its address as index."""
    return block_of([Item(Table.INPUT, one, one, (one,)) for one in addresses])


def ask(poll: Poll, mute: Set[int], refused: Set[int] = frozenset()) -> list[tuple[int, int]]:
    """Let a device answer that is silent to reads of `mute`; return what it was asked."""
    asked = []
    while (wanted := poll.current) is not None:
        asked.append((wanted.address, wanted.count))
        touched = set(range(wanted.address, wanted.address + wanted.count))
        if touched & mute:
            poll.unanswered(search=True)
        elif touched & refused:
            poll.silent, poll.answered = 0, True
            poll.refused()
        else:
            poll.given(sorted(touched), 1)
    return asked


@pytest.mark.parametrize("guilty", [0, 5, 63, 64, 99])
def test_search_finds_the_silent_register(guilty: int) -> None:
    """One silent register among a hundred is found with one silence for each halving; everything
    else is read."""
    poll = Poll((0,))
    poll.add([block(*range(100))])
    asked = ask(poll, {guilty})
    assert [one.range for one in poll.mute] == [(Table.INPUT, guilty, guilty)]
    assert poll.causes == {guilty: Cause.NO_REPLY}
    assert len(asked) <= 2 * 7 + 1 and not poll.learnt
    assert poll.is_settled(range(100))


def test_search_ends_when_the_device_is_gone() -> None:
    """Three silences in a row end a search: nothing is halved any further, nothing is learnt."""
    poll = Poll((0,))
    poll.add([block(*range(64))])
    assert ask(poll, set(range(64))) == [(0, 64), (0, 32), (32, 32), (0, 16), (16, 16)]
    assert sorted(one.range for one in poll.mute) == [
        (Table.INPUT, 0, 15),
        (Table.INPUT, 16, 31),
        (Table.INPUT, 32, 63),
    ]
    assert set(poll.causes.values()) == {Cause.NO_REPLY} and len(poll.causes) == 64


def test_silence_without_a_search_is_left_at_that() -> None:
    """Outside a search a silent block is noted and given up whole."""
    poll = Poll((0,))
    poll.add([block(0, 1), block(9)])
    assert poll.unanswered() is False and poll.silent == 1
    assert [one.range for one in poll.silent_blocks] == [(Table.INPUT, 0, 1)] and not poll.mute
    poll.given([9], 1)
    assert poll.silent == 0 and poll.causes == {0: Cause.NO_REPLY, 1: Cause.NO_REPLY}


def test_search_that_is_cut_off_keeps_what_it_had() -> None:
    """When the port goes away during a search, what was not asked stays silent; what the device
    garbles is not."""
    poll = Poll((0,))
    poll.add([block(*range(8))], search=True)
    poll.unanswered()
    assert poll.searching
    poll.give_up(Cause.BAD_FRAME)
    poll.give_up_all(Cause.PORT_LOST)
    assert [one.range for one in poll.mute] == [(Table.INPUT, 4, 7)]
    assert poll.causes[0] is Cause.BAD_FRAME and poll.causes[7] is Cause.PORT_LOST


def test_halving_is_bounded() -> None:
    """However much is refused or silent, a poll spends at most `MAX_EXTRA` transactions more."""
    for refused, mute in ((set(range(200)), set()), (set(), set(range(0, 200, 2)))):
        poll = Poll((0,))
        poll.add([block(*range(200))])
        assert len(ask(poll, mute, refused)) <= 1 + MAX_EXTRA
        assert poll.is_settled(range(200)) and poll.causes


def test_a_point_waits_for_all_its_items() -> None:
    """A point with a scale register is settled when both its items are, and has both values."""
    point = spec(0, scale_register=50)
    poll = Poll((0,))
    poll.add(
        [block_of([Item(Table.INPUT, 0, 0, (0,))]), block_of([Item(Table.INPUT, 50, 50, (0,))])]
    )
    poll.given([7], 1)
    assert not poll.is_settled((0,))
    poll.given([3], 2)
    assert poll.is_settled((0,)) and poll.times == {0: 2}
    assert poll.registers(0, point) == (7,) and poll.factor(0, point) == 3
    assert poll.factor(0, spec(0)) is None
    with pytest.raises(LookupError, match="51"):
        poll.registers(0, spec(51))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True), max_size=4),
    st.lists(st.sampled_from(["give", "refuse", "silent", "search", "up", "all"]), max_size=80),
)
def test_every_point_ends_read_or_with_a_cause(asked: list[list[int]], acts: list[str]) -> None:
    """Whatever happens, a poll ends, and each point has values or a cause by then."""
    poll = Poll((0,))
    poll.add([block(*sorted(one)) for one in asked])
    todo = iter(acts)
    while (wanted := poll.current) is not None:
        act = next(todo, "give")
        if act == "give":
            poll.given(range(wanted.address, wanted.address + wanted.count), 5)
        elif act == "refuse":
            poll.refused()
        elif act in ("silent", "search"):
            poll.unanswered(search=act == "search")
        elif act == "up":
            poll.give_up(Cause.BUSY)
        else:
            poll.give_up_all(Cause.PORT_LOST)
    points = {one for addresses in asked for one in addresses}
    assert poll.is_settled(points)
    for one in points:
        if one not in poll.causes:
            assert poll.registers(one, spec(one)) == (one,) and poll.times[one] == 5
