"""A device's plan and what it learns, against a model of registers that refuses as devices do."""

from collections.abc import Set
from math import ceil, log2
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.agent import DeviceSettings, PointSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.polling.blocks import Block
from gateway.polling.device import (
    PLANS_KEPT,
    REFUSED_KEPT,
    RETRY_REFUSED_S,
    DevicePolling,
)
from gateway.reading import Cause

ANY = (Table.INPUT, 0, 0)


def u16(address: int, name: str = "") -> PointSpec:
    return PointSpec(name or f"p{address}", Table.INPUT, address, DataType.U16)


def device(*points: tuple[PointSpec, float], **settings: Any) -> DevicePolling:
    """Make a device at 19200 baud with 2 ms nominal turnaround."""
    chosen = tuple(PointSettings(spec, interval) for spec, interval in points)
    made = DeviceSettings("d", 1, chosen, **settings)
    return DevicePolling(made, 11 / 19200, 3.5 * 11 / 19200, start=0.0)


class RegisterModel:
    """A device that gives register n as n, refuses a read that touches a bad address or is longer
    than it likes, and is silent to one that touches a mute address. Counts its requests."""

    def __init__(self, bad: set[int], longest: int = 125, mute: Set[int] = frozenset()) -> None:
        self.bad = bad
        self.mute = mute
        self.longest = longest
        self.requests: list[tuple[int, int]] = []
        self.refusals = 0

    def poll(self, polling: DevicePolling, now: float = 0.0) -> dict[str, int | Cause]:
        """Make one poll of every group; return each point's value or cause."""
        groups = tuple(range(len(polling.schedule.grids)))
        poll = polling.begin(groups, now)
        while (block := poll.current) is not None:
            self.requests.append((block.address, block.count))
            if self.mute & set(range(block.address, block.address + block.count)):
                poll.silent_s += 0.1
                poll.unanswered(search=polling.silent.is_mute(block, poll))
            elif self.gives(block):
                poll.given(tuple(range(block.address, block.address + block.count)), 1)
            else:
                self.refusals += 1
                poll.refused()
        polling.learn(poll, now)
        return {
            spec.name: poll.causes[index]
            if index in poll.causes
            else poll.registers(index, spec)[0]
            for index, spec in enumerate(polling.specs)
        }

    def gives(self, block: Block) -> bool:
        wanted = range(block.address, block.address + block.count)
        return block.count <= self.longest and not self.bad & set(wanted)


@pytest.mark.parametrize("count", [2, 10, 33, 100, 125])
def test_one_bad_register_never_costs_the_device(count: int) -> None:
    """The first poll finds the bad point with log2 further refusals and gives all others; from the
    second poll on there are two blocks and no refusal."""
    for bad in {0, 1, count // 2, count - 1}:
        polling = device(*((u16(i), 1.0) for i in range(count)))
        model = RegisterModel({bad})
        first = model.poll(polling)
        assert first.pop(f"p{bad}") is Cause.EXCEPTION
        assert first == {f"p{i}": i for i in range(count) if i != bad}
        assert model.refusals - 1 <= ceil(log2(count))
        model.requests.clear()
        before = model.refusals
        assert model.poll(polling)[f"p{bad}"] is Cause.EXCEPTION
        assert model.refusals == before
        assert len(model.requests) == (1 if bad in (0, count - 1) else 2)


def test_bad_point_is_retried_rarely_and_taken_back() -> None:
    """A refused point is asked for once in `RETRY_REFUSED_S`; when it answers, the plan is whole
    again."""
    polling = device(*((u16(i), 1.0) for i in range(10)))
    model = RegisterModel({4})
    for second in range(1, int(RETRY_REFUSED_S)):
        model.poll(polling, float(second))
    assert model.requests.count((4, 1)) == 1
    model.bad.clear()
    assert model.poll(polling, RETRY_REFUSED_S + 1)["p4"] == 4
    model.requests.clear()
    assert model.poll(polling, RETRY_REFUSED_S + 2)["p4"] == 4
    assert model.requests == [(0, 10)]


def test_unlisted_hole_is_learnt() -> None:
    """A gap that does not exist is found, and never crossed again."""
    polling = device(*((u16(i), 1.0) for i in (*range(8), *range(12, 20))))
    model = RegisterModel({9, 10})
    for _ in range(6):
        model.poll(polling)
    model.requests.clear()
    model.refusals = 0
    assert all(not isinstance(value, Cause) for value in model.poll(polling).values())
    assert model.requests == [(0, 8), (12, 8)] and model.refusals == 0


def test_device_that_takes_only_short_reads() -> None:
    """A device with a smaller maximum than its profile says ends with shorter reads and no loss."""
    polling = device(*((u16(i), 1.0) for i in range(100)))
    model = RegisterModel(set(), longest=20)
    for _ in range(10):
        values = model.poll(polling)
        assert values == {f"p{i}": i for i in range(100)}
    model.requests.clear()
    before = model.refusals
    model.poll(polling)
    assert model.refusals == before and len(model.requests) <= 8


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(0, 300), min_size=1, max_size=60),
    st.sets(st.integers(0, 300), max_size=12),
    st.sampled_from([10, 60, 125]),
)
def test_every_good_register_is_read_whatever_is_refused(
    wanted: set[int], bad: set[int], longest: int
) -> None:
    """After a few polls every point that exists has its value, every other its cause, and nothing
    that was refused is asked again."""
    polling = device(*((u16(address), 1.0) for address in sorted(wanted)))
    model = RegisterModel(bad, longest)
    for _ in range(25):
        model.poll(polling)
    before = model.refusals
    values = model.poll(polling)
    assert model.refusals == before
    for address in wanted:
        expected = Cause.EXCEPTION if address in bad else address
        assert values[f"p{address}"] == expected


def test_device_that_refuses_at_random_is_forgotten() -> None:
    """What is learnt of refusals is bounded: past the bound it starts afresh."""
    polling = device(*((u16(2 * i), 1.0) for i in range(600)))
    model = RegisterModel(set(range(2000)))
    for _ in range(40):
        model.poll(polling)
    assert len(polling._limits.refused) <= REFUSED_KEPT


def test_plans_kept_are_bounded() -> None:
    """However many sets of groups come due together, a bounded number of plans is kept."""
    polling = device(*((u16(i), 1.0 + i) for i in range(12)))
    for number in range(1, 200):
        groups = tuple(i for i in range(12) if number >> i & 1)
        polling.begin(groups, 0.0)
    assert len(polling._plans) <= PLANS_KEPT


def test_everything_refused_stays_bounded() -> None:
    """A device that refuses all spends a bounded number of requests in any one poll."""
    polling = device(*((u16(2 * i), 1.0) for i in range(300)))
    model = RegisterModel(set(range(1000)))
    for _ in range(5):
        start = len(model.requests)
        assert set(model.poll(polling).values()) == {Cause.EXCEPTION}
        assert len(model.requests) - start <= 60


def test_groups_due_together_share_requests() -> None:
    """Points of three intervals side by side: one request when all are due, and the schema keeps
    one block for each interval."""
    polling = device(*((u16(i), (0.5, 1.0, 5.0)[i % 3]) for i in range(12)))
    model = RegisterModel(set())
    model.poll(polling)
    assert model.requests == [(0, 12)]
    assert [b.schema.period_s for b in polling.blocks] == [0.5, 1.0, 5.0]
    assert [len(b.points) for b in polling.blocks] == [4, 4, 4]


def test_schema_is_the_same_whatever_was_learnt() -> None:
    """A new start of the agent gives the same schema blocks, although turnaround differs."""
    points = [(u16(i), 1.0) for i in (0, 1, 30, 31, 200)]
    polling = device(*points)
    for _ in range(50):
        polling.health.replied(ANY, 0.2)
    RegisterModel({30}).poll(polling)
    assert [b.schema for b in polling.blocks] == [b.schema for b in device(*points).blocks]


def test_plan_follows_the_turnaround() -> None:
    """A slow device is asked with fewer, longer reads once its turnaround is known."""
    polling = device(*((u16(address), 1.0) for address in (0, 40, 80)))
    model = RegisterModel(set())
    model.poll(polling)
    assert len(model.requests) == 3
    for _ in range(10):
        polling.health.replied(ANY, 0.060)
    model.requests.clear()
    model.poll(polling)
    assert model.requests == [(0, 81)]


def test_silent_register_becomes_a_hole() -> None:
    """Found in the third poll, a silent register is in no read but its probes; its reading has a
    cause; once it answers a probe the plan is whole again."""
    polling = device(*((u16(i), 1.0) for i in (*range(10), 500)))
    model = RegisterModel(set(), mute={4})
    for second in range(3):
        values = model.poll(polling, float(second))
    whole = {f"p{i}": i for i in (*range(10), 500)}
    assert values == whole | {"p4": Cause.NO_REPLY}
    model.requests.clear()
    assert model.poll(polling, 3.0) == values
    assert model.requests == [(0, 4), (5, 5), (500, 1)]
    assert polling.silent.ranges == {(Table.INPUT, 4, 4)}
    model.mute = frozenset()
    assert model.poll(polling, 100.0) == whole
    model.requests.clear()
    assert model.poll(polling, 101.0) == whole
    assert model.requests == [(0, 10), (500, 1)]


def test_probes_of_a_demoted_device_take_turns() -> None:
    """Every other probe begins with a single item, another each time; one item needs none."""
    polling = device(*((u16(i), 1.0) for i in range(3)))
    polling.health.failed(0.0, 0.5, silent=True)
    first = [polling.begin((0,), 0.0).current for _ in range(8)]
    assert [(b.address, b.count) for b in first if b is not None] == [
        *((0, 3), (1, 1), (0, 3), (2, 1)),
        *((0, 3), (0, 1), (0, 3), (1, 1)),
    ]
    assert not polling.is_probe_due(1.0) and polling.is_probe_due(100.0)
    alone = device((u16(0), 1.0))
    alone.health.failed(0.0, 0.5, silent=True)
    for _ in range(2):
        poll = alone.begin((0,), 0.0)
        poll.given([0], 1)
        assert poll.current is None


def test_far_scale_register_makes_no_schema_block() -> None:
    """A scale register that is read by itself belongs to its point's block."""
    far = PointSpec("w", Table.INPUT, 0, DataType.S16, scale_register=900)
    polling = device((far, 1.0), (u16(1), 1.0))
    assert [block.points for block in polling.blocks] == [(0, 1)]


def test_pending_poll_is_due_when_it_goes_on() -> None:
    """A device whose poll waits wants the bus when the poll does, whatever its schedule says."""
    polling = device((u16(0), 1.0))
    assert polling.due == 0.0
    polling.begin((0,), 0.0).resume_at = 7.0
    assert polling.due == 7.0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (PointSpec("a", Table.INPUT, 0, DataType.F32, 2), "f32"),
        (PointSpec("a", Table.INPUT, 0, DataType.U64, 4), "i64"),
        (PointSpec("a", Table.INPUT, 0, DataType.U16, scale=0.1), "d1"),
        (PointSpec("a", Table.INPUT, 0, DataType.S32, 2, scale=0.001), "d3"),
        (PointSpec("a", Table.INPUT, 0, DataType.U16, scale=0.1, offset=-40.0), "f64"),
        (PointSpec("a", Table.INPUT, 0, DataType.U16, scale=0.5), "f64"),
        (PointSpec("a", Table.INPUT, 0, DataType.S16, scale_register=9), "f64"),
        (PointSpec("a", Table.COIL, 0, DataType.BOOL), "bool"),
        (PointSpec("a", Table.INPUT, 0, DataType.BITS, bit=3), "bool"),
        (PointSpec("a", Table.INPUT, 0, DataType.BITS), "i64"),
        (PointSpec("a", Table.INPUT, 0, DataType.ENUM, enum=((0, "off"),)), "str"),
        (PointSpec("a", Table.INPUT, 0, DataType.STR, 8), "str"),
    ],
)
def test_announced_types(spec: PointSpec, expected: str) -> None:
    """Each kind of point is announced as what its values are."""
    assert device((spec, 1.0)).blocks[0].schema.points[0].type == expected
