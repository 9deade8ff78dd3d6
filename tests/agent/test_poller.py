"""The poller on a simulated bus: which outcome becomes which row, event and count.

Time is a number: the bus moves the clock by what a transaction would take.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.agent.poller import TURN_S, Poller
from gateway.config.agent import BusSettings, DeviceSettings, PointSettings
from gateway.errors import BadFrameError, DeviceExceptionError, NoReplyError, PortLostError
from gateway.event import Event, EventKind
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.modbus.request import Reply, Request
from gateway.polling.health import (
    BUSY_RETRIES,
    EARLY_INTERVAL_S,
    EARLY_S,
    FAILURES_SILENT,
    FRESH_S,
    PROBE_SHARE,
    PROBES_SHARE,
)
from gateway.process.clock import Clock
from gateway.reading import TICK_NS, Cause, Row

WIRE_S = 0.010
TURNAROUND_S = 0.004


class SimulatedClock(Clock):
    """A clock that stands still until the bus moves it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def boottime_ns(self) -> int:
        return round(self.at * 1e9)


@dataclass
class ScriptedBus:
    """A bus whose units answer register n with n, unless told to misbehave.

    `off`: units that are silent. `script[unit]`: what the next requests to it meet: an exception
    code, ``"garbled"``, ``"silent"`` or ``"ok"``.
    `late[unit]`: until when it may answer late. `bad`: addresses refused with exception 2. `mute`:
    a request that touches them is not answered. `slow`: turnaround of a read from that address.
    """

    clock: SimulatedClock
    off: set[int] = field(default_factory=set)
    bad: set[int] = field(default_factory=set)
    mute: set[int] = field(default_factory=set)
    slow: dict[int, float] = field(default_factory=dict)
    script: dict[int, list[Any]] = field(default_factory=dict)
    lost: bool = False
    late: dict[int, float] = field(default_factory=dict)
    requests: list[tuple[float, int, int, int]] = field(default_factory=list)
    busy_s: Counter[int] = field(default_factory=Counter)
    silent_s: Counter[int] = field(default_factory=Counter)

    def clear_at(self, request: Request) -> float:
        return self.late.get(request.unit_id, 0.0)

    def transact(self, request: Request, timeout_s: float) -> Reply:
        unit = request.unit_id
        if self.lost:
            raise PortLostError("bus b: unplugged")
        self.requests.append((self.clock.at, unit, request.address, request.count))
        began = self.clock.at
        try:
            return self._answer(request, unit, timeout_s)
        finally:
            self.busy_s[unit] += self.clock.at - began

    def _answer(self, request: Request, unit: int, timeout_s: float) -> Reply:
        script = self.script.get(unit)
        act = script.pop(0) if script else "ok"
        wanted = range(request.address, request.address + request.count)
        turnaround_s = self.slow.get(request.address, TURNAROUND_S)
        silent = unit in self.off or act == "silent" or self.mute & set(wanted)
        if silent or turnaround_s > timeout_s:
            self.clock.at += timeout_s
            self.silent_s[unit] += timeout_s
            raise NoReplyError("no reply")
        self.clock.at += WIRE_S + turnaround_s
        if act == "garbled":
            raise BadFrameError("wrong CRC")
        if isinstance(act, int):
            raise DeviceExceptionError("refused", act)
        if self.bad & set(wanted):
            raise DeviceExceptionError("refused", 2)
        time_ns = self.clock.boottime_ns()
        if request.is_bits:
            return Reply(time_ns, turnaround_s, bits=tuple(bool(n % 2) for n in wanted))
        return Reply(time_ns, turnaround_s, registers=tuple(wanted))


class Rig:
    """A poller on a scripted bus; `run` does what the bus thread does."""

    def __init__(self, *devices: DeviceSettings) -> None:
        self.clock = SimulatedClock()
        self.bus = ScriptedBus(self.clock)
        self.rows: list[Row] = []
        self.events: list[Event] = []
        bus = BusSettings("b", "/dev/x", devices=devices)
        self.handed: list[tuple[float, Row]] = []
        """Each row with the time at which it was handed on."""
        self.poller = Poller(bus, self.clock, self.take_rows, self.events.append)
        self.poller.port_returned(self.clock.at)

    def take_rows(self, _: str, rows: list[Row]) -> None:
        assert rows
        self.rows += rows
        self.handed += [(self.clock.at, row) for row in rows]

    def run(self, seconds: float) -> None:
        """Let `seconds` pass; a due poll starts at once, as the bus thread's would."""
        until = self.clock.at + seconds
        while True:
            due = self.poller.next_due(self.clock.at)
            assert due is not None
            if max(due, self.clock.at) >= until:
                break
            self.clock.at = max(due, self.clock.at)
            self.poller.work(self.bus, self.clock.at)
        self.clock.at = max(self.clock.at, until)

    def of(self, source: str) -> list[Row]:
        """Return the rows of one device."""
        return [r for r in self.rows if self.poller.schema_blocks[r.block].source == source]

    def readings(self, source: str) -> dict[str, Any]:
        """Return each point's last value, or its cause if it is bad."""
        found: dict[str, Any] = {}
        for row in self.of(source):
            names = [point.name for point in self.poller.schema_blocks[row.block].points]
            causes = row.causes or [Cause.NONE] * len(names)
            for name, value, cause in zip(names, row.values, causes, strict=True):
                found[name] = cause if value is None else value
        return found

    def bad(self, source: str) -> set[str]:
        """Return the points whose last reading is bad."""
        return {name for name, v in self.readings(source).items() if isinstance(v, Cause)}

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


def point(address: int, interval_s: float = 1.0, **changes: Any) -> PointSettings:
    values: dict[str, Any] = {"table": Table.INPUT, "type": DataType.U16, **changes}
    return PointSettings(PointSpec(f"p{address}", address=address, **values), interval_s)


def device(unit_id: int, *points: PointSettings, **changes: Any) -> DeviceSettings:
    return DeviceSettings(f"d{unit_id}", unit_id, points or (point(7), point(8)), **changes)


def test_ten_consecutive_registers_make_one_request() -> None:
    """A device with ten registers in a row costs one request a poll."""
    rig = Rig(device(1, *(point(100 + i) for i in range(10))))
    rig.run(10.0)
    assert [request[1:] for request in rig.bus.requests] == [(1, 100, 10)] * 10
    assert rig.rows[0].values == tuple(range(100, 110))
    assert rig.poller.counters.polls == 10 and not rig.poller.counters.bad


def test_source_time_is_the_replys_rounded_down() -> None:
    """A row's time is the reply's in whole ticks, and all blocks of a request share it."""
    rig = Rig(device(1, point(0, 1.0), point(1, 5.0)))
    rig.clock.at += 0.123456789
    rig.run(0.5)
    assert len(rig.bus.requests) == 1
    (first, second) = rig.rows
    assert first.source_time_ns == second.source_time_ns
    exact = round((1000.123456789 + WIRE_S + TURNAROUND_S) * 1e9)
    assert first.source_time_ns == exact // TICK_NS * TICK_NS


def test_values_and_their_causes() -> None:
    """Each point becomes what its own registers say; one null does not touch its neighbours."""
    rig = Rig(
        device(
            1,
            point(0, type=DataType.F32, registers=2),
            point(2, null_patterns=(2,)),
            point(3, scale=0.1, maximum=0.2),
            point(4, type=DataType.S16, scale_register=5),
            point(9, table=Table.COIL, type=DataType.BOOL),
        )
    )
    rig.run(0.9)
    values = dict(
        zip(
            (p.name for b in rig.poller.schema_blocks for p in b.points),
            (v for row in rig.rows for v in zip(row.values, row.causes or [0] * 9, strict=False)),
            strict=True,
        )
    )
    assert values["p0"] == (struct.unpack(">f", struct.pack(">HH", 0, 1))[0], Cause.NONE)
    assert values["p2"] == (None, Cause.NULL_PATTERN)
    assert values["p3"] == (0.3, Cause.OUT_OF_RANGE)
    assert values["p4"] == (400_000, Cause.NONE)
    assert values["p9"] == (True, Cause.NONE)


def test_switched_off_device_leaves_the_other_four_their_rates() -> None:
    """Over an hour with one of five devices off from minute one, the other four miss no poll, the
    fifth costs at most 2 % of the bus, and each of its due times has a row with a cause."""
    rig = Rig(*(device(unit) for unit in range(1, 6)))
    rig.run(60.0)
    assert rig.poller.counters.skipped == 0
    rig.bus.off.add(5)
    rig.rows.clear()
    rig.bus.busy_s.clear()
    rig.run(3600.0)
    for unit in range(1, 5):
        rows = rig.of(f"d{unit}")
        assert len(rows) == 3600 and all(row.causes is None for row in rows)
    assert rig.poller.counters.skipped == 0
    dead = rig.of("d5")
    assert len(dead) == 3600
    causes = Counter(cause for row in dead for cause in row.causes or ())
    assert set(causes) == {Cause.NO_REPLY, Cause.DEVICE_DOWN}
    assert causes[Cause.NO_REPLY] == 2 * FAILURES_SILENT + 2 * sum(
        1 for request in rig.bus.requests if request[1] == 5 and request[0] > 1063
    )
    assert rig.bus.busy_s[5] <= 0.02 * 3600
    assert rig.kinds() == [EventKind.DEVICE_DOWN]
    rig.bus.off.clear()
    rig.rows.clear()
    rig.run(65.0)
    assert rig.kinds() == [EventKind.DEVICE_DOWN, EventKind.DEVICE_UP]
    assert rig.of("d5")[-1].causes is None


def test_device_off_from_the_start() -> None:
    """A device that never answered is demoted with its first poll."""
    rig = Rig(device(1), device(2))
    rig.bus.off.add(2)
    rig.run(2.0)
    assert rig.kinds() == [EventKind.DEVICE_DOWN]
    assert len([r for r in rig.bus.requests if r[1] == 2]) == 1
    assert len(rig.of("d1")) == 2


def test_lost_reply_is_asked_again() -> None:
    """One silent or garbled transaction is repeated within the poll and nobody notices."""
    rig = Rig(device(1))
    rig.run(1.0)
    rig.bus.script[1] = ["silent", "ok", "garbled"]
    rig.run(2.0)
    assert [row.causes for row in rig.rows] == [None] * 3
    assert len(rig.bus.requests) == 5 and not rig.poller.counters.bad


def test_damaged_replies_are_bad_frames() -> None:
    """When the retry is garbled too, the readings are bad with that cause."""
    rig = Rig(device(1))
    rig.run(1.0)
    rig.bus.script[1] = ["garbled", "garbled"]
    rig.run(2.0)
    assert rig.rows[1].causes == (Cause.BAD_FRAME,) * 2 and rig.rows[1].values == (None, None)
    assert rig.rows[2].causes is None
    assert rig.poller.counters.bad == {Cause.BAD_FRAME: 1}


@pytest.mark.parametrize("code", [5, 6])
def test_busy_is_asked_again_later(code: int) -> None:
    """A busy device gets pauses in which the others are polled, and its reading in the end."""
    rig = Rig(device(1), device(2))
    rig.run(1.0)
    rig.bus.requests.clear()
    rig.bus.script[1] = [code, code]
    rig.run(1.0)
    assert [request[1] for request in rig.bus.requests] == [1, 2, 1, 1]
    assert [row.causes for row in rig.of("d1")] == [None, None]


def test_busy_without_end() -> None:
    """Busy until the retries ran out: bad, with that cause, and the device is not called dead."""
    rig = Rig(device(1))
    rig.run(1.0)
    rig.bus.script[1] = [6] * (BUSY_RETRIES + 1)
    rig.run(4.0)
    assert Counter(c for row in rig.rows for c in row.causes or ()) == {Cause.BUSY: 2}
    assert rig.events == [] and rig.poller.counters.bad == {Cause.BUSY: 1}


def test_poll_still_pending_is_skipped_and_counted() -> None:
    """Due times that pass while a poll is pending are counted, not made up for."""
    rig = Rig(device(1, point(0, 0.1)))
    rig.run(0.1)
    rig.bus.script[1] = [6] * 4
    rig.run(2.0)
    counters = rig.poller.counters
    # Pauses of 50, 100, 200 and 400 ms and five transactions: seven due times passed meanwhile.
    assert counters.skipped == 7
    assert counters.polls + counters.skipped == 21


def test_refused_register_costs_only_itself() -> None:
    """A register refused with exception 2 is found, told once, and the rest keeps its values."""
    rig = Rig(device(1, *(point(i) for i in range(20))))
    rig.bus.bad = {13}
    rig.run(5.0)
    for row in rig.rows:
        assert row.values == tuple(None if i == 13 else i for i in range(20))
        assert row.causes == tuple(Cause.EXCEPTION if i == 13 else Cause.NONE for i in range(20))
    (event,) = rig.events
    assert event.kind is EventKind.BLOCK_SPLIT
    assert dict(event.fields) | {"first": 13, "last": 13} == dict(event.fields)
    assert len([r for r in rig.bus.requests if r[0] >= 1001]) == 8


def test_refused_function_is_not_halved() -> None:
    """An exception that splitting cannot cure (1, illegal function) is taken as it is."""
    rig = Rig(device(1))
    rig.bus.script[1] = [1]
    rig.run(1.0)
    assert rig.rows[0].causes == (Cause.EXCEPTION,) * 2 and len(rig.bus.requests) == 1


def test_others_go_first_while_a_late_answer_is_waited_out() -> None:
    """A device that may still answer late is asked when that is over; the others are not kept
    waiting."""
    rig = Rig(device(1), device(2))
    rig.bus.late[1] = 1000.3
    rig.run(1.0)
    assert [(request[1], round(request[0], 1)) for request in rig.bus.requests] == [
        (2, 1000.0),
        (1, 1000.3),
    ]
    assert [row.causes for row in rig.rows] == [None, None]


def test_long_poll_lets_others_in() -> None:
    """A poll that takes many transactions is cut in parts; another device is polled in between, and
    the parts make one row."""
    rig = Rig(device(1, *(point(i) for i in range(100)), max_registers=2), device(2))
    rig.run(0.9)
    units = [request[1] for request in rig.bus.requests]
    assert units.index(2) < 50 and units.count(1) == 50 and units.count(2) == 1
    assert sum(len(row.values) for row in rig.of("d1")) == 100


def test_demoted_device_that_garbles_is_left_at_once() -> None:
    """A probe that comes back damaged ends with the first block."""
    rig = Rig(device(1, point(0), point(500)))
    rig.bus.off.add(1)
    rig.run(1.0)
    rig.bus.off.clear()
    rig.bus.script[1] = ["garbled"]
    rig.run(EARLY_INTERVAL_S + 1.0)
    probes = [request for request in rig.bus.requests if request[0] > 1001]
    assert len(probes) == 1
    assert rig.poller.counters.bad[Cause.BAD_FRAME] == 1


def test_silent_register_costs_only_itself() -> None:
    """A register that silences every read of it is found within a few polls, told once, and costs
    2 % at most; the other registers and devices keep their rates and come back whole with it."""
    rig = Rig(device(1, *(point(i) for i in range(20)), point(500)), device(2))
    rig.run(5.0)
    rig.bus.mute = {13}
    rig.run(5.0)
    expected = {f"p{i}": i for i in (*range(20), 500)} | {"p13": Cause.NO_REPLY}
    assert rig.readings("d1") == expected
    assert rig.kinds() == [EventKind.BLOCK_DOWN]
    assert dict(rig.events[0].fields) == {
        "bus": "b",
        "device": "d1",
        "table": "input",
        "first": 13,
        "last": 13,
    }
    assert rig.poller.counters.blocks_down == 1
    rig.rows.clear()
    rig.bus.silent_s.clear()
    rig.run(3600.0)
    assert rig.bus.silent_s[1] <= 0.02 * 3600
    assert rig.poller.counters.skipped == 0
    assert len(rig.of("d2")) == 3600 and all(row.causes is None for row in rig.of("d2"))
    assert len(rig.of("d1")) == 7200 and rig.readings("d1") == expected
    assert all(sum(map(bool, row.causes or ())) <= 1 for row in rig.of("d1"))
    rig.bus.mute = set()
    rig.run(700.0)
    assert rig.readings("d1") == expected | {"p13": 13}
    assert rig.kinds() == [EventKind.BLOCK_DOWN, EventKind.BLOCK_UP]
    assert rig.poller.counters.blocks_down == 0
    rig.bus.requests.clear()
    rig.run(1.0)
    assert [request[2:] for request in rig.bus.requests if request[1] == 1] == [(0, 20), (500, 1)]


@pytest.mark.parametrize("mute", [{0}, {19}, {3, 11}, set(range(8, 20)), set(range(0, 20, 3))])
def test_any_silent_registers_are_found(mute: set[int]) -> None:
    """Whatever registers silence the reads that touch them, the others are read again in the end,
    and the silent ones are not asked but in probes."""
    rig = Rig(device(1, *(point(i) for i in range(20)), point(500)))
    rig.run(2.0)
    rig.bus.mute = mute
    rig.run(1800.0)
    expected = {f"p{i}": Cause.NO_REPLY if i in mute else i for i in (*range(20), 500)}
    assert rig.readings("d1") == expected
    assert rig.bus.silent_s[1] <= 0.02 * 1800 + 5


def test_silent_register_in_the_only_block() -> None:
    """A device whose one block was silent from the start is not taken for dead: probes of single
    registers show that it is there, and the guilty one is found."""
    for guilty in (0, 5):
        rig = Rig(device(1, *(point(i) for i in range(8))), device(2))
        rig.bus.mute = {guilty}
        rig.run(30.0)
        assert rig.readings("d1") == {f"p{i}": i for i in range(8)} | {f"p{guilty}": Cause.NO_REPLY}
        down, up, block = rig.kinds()
        assert (down, up, block) == (
            EventKind.DEVICE_DOWN,
            EventKind.DEVICE_UP,
            EventKind.BLOCK_DOWN,
        )


def test_gap_that_silences_is_not_crossed_again() -> None:
    """Reading through a gap that makes the device silent is unlearnt; no reading is given up."""
    rig = Rig(device(1, *(point(i) for i in (*range(4), *range(8, 12))), point(500)))
    rig.run(2.0)
    rig.bus.mute = {5}
    rig.run(6.0)
    assert rig.bad("d1") == set()
    assert rig.kinds() == [EventKind.BLOCK_SPLIT]
    rig.bus.silent_s.clear()
    rig.run(3600.0)
    assert not rig.bus.silent_s


def test_short_outage_is_not_blamed_on_a_block() -> None:
    """Polls lost while the device was away for a moment demote no block."""
    rig = Rig(device(1, point(0), point(500), point(1000)))
    rig.run(2.0)
    for silences in range(1, 9):
        rig.bus.script[1] = ["silent"] * silences
        rig.run(60.0)
        assert EventKind.BLOCK_DOWN not in rig.kinds()


def test_slow_block_that_is_read_rarely() -> None:
    """A block that takes far longer than the others is waited for, once it has shown so, however
    many fast answers come in between."""
    rig = Rig(device(1, point(0, 0.5), point(500, 30.0)))
    rig.bus.slow[500] = 0.3
    rig.run(600.0)
    rig.rows.clear()
    rig.run(3600.0)
    assert rig.readings("d1") == {"p0": 0, "p500": 500}
    assert all(row.causes is None for row in rig.rows)


def test_rows_do_not_wait_for_later_transactions() -> None:
    """Each row is handed on with the reply that completes it, while the poll goes on."""
    rig = Rig(device(1, point(0), point(500), point(1000)))
    rig.bus.script[1] = ["ok", 6, "ok", "silent"]
    rig.run(5.0)
    first = {row.block: at for at, row in reversed(rig.handed)}
    assert first[0] == pytest.approx(1000.0 + WIRE_S + TURNAROUND_S)
    for at, row in rig.handed:
        if row.causes is None:
            assert row.source_time_ns == round(at * 1e9) // TICK_NS * TICK_NS
    assert Counter(row.block for row in rig.rows) == {0: 5, 1: 5, 2: 5}


ACTS = st.sampled_from(["ok", "ok", "ok", "silent", "garbled", 1, 2, 2, 6])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(ACTS, max_size=60),
    st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True),
    st.sampled_from([4, 125]),
)
def test_a_row_for_each_block_and_poll_exactly_once(
    acts: list[Any], addresses: list[int], longest: int
) -> None:
    """Whatever a device does, each schema block has one row for each of its due times that was not
    skipped, and the last ones are good."""
    points = [point(a * 7, (10.0, 20.0)[a % 2]) for a in addresses]
    points.append(point(9000, 10.0, type=DataType.U32, registers=2))
    points.append(point(9001, 20.0))
    points.append(point(9010, 10.0, type=DataType.S16, scale_register=5))
    rig = Rig(device(1, *points, max_registers=longest))
    rig.bus.script[1] = list(acts)
    while rig.bus.script[1]:
        rig.run(50.0)
    rig.run(700.0)
    elapsed_s = rig.clock.at - 1000.0
    counts = Counter(row.block for row in rig.rows)
    assert set(counts) == set(range(len(rig.poller.schema_blocks)))
    skipped = rig.poller.counters.skipped
    for block, count in counts.items():
        due = elapsed_s / rig.poller.schema_blocks[block].period_s
        assert due - skipped - 1 <= count <= due + 1
    assert rig.bad("d1") == set()


def test_value_is_never_put_together_from_two_replies() -> None:
    """Two points that overlap and cannot be read at once keep each to its own reply."""
    wide = point(0, type=DataType.U32, registers=2)
    rig = Rig(device(1, wide, point(1, type=DataType.U32, registers=2), max_registers=2))
    answer = rig.bus.transact

    def counting(request: Request, timeout_s: float) -> Reply:
        """Give a new number in every register of every reply."""
        reply = answer(request, timeout_s)
        number = len(rig.bus.requests)
        return Reply(reply.source_time_ns, TURNAROUND_S, registers=(number,) * request.count)

    rig.bus.transact = counting
    rig.run(10.0)
    values = [value for row in rig.rows for value in row.values]
    assert len(values) == 20 and all(value >> 16 == value & 0xFFFF for value in values)


def test_point_and_its_scale_factor_refused_at_different_times() -> None:
    """A point is good again only when both its registers are, however they were refused."""
    rig = Rig(device(1, point(0), point(100, type=DataType.S16, scale_register=300)))
    rig.bus.bad = {100}
    rig.run(100.0)
    rig.bus.bad = {100, 300}
    rig.run(100.0)
    rig.bus.bad = {300}
    rig.run(450.0)
    assert rig.readings("d1") == {"p0": 0, "p100": Cause.EXCEPTION}
    rig.bus.bad = set()
    rig.run(1300.0)
    assert "p100" in rig.readings("d1")


def test_meter_that_boots_later_than_the_gateway() -> None:
    """Within the first half minute a silent device is probed every few seconds; its neighbours
    keep their rates, and over ten minutes it costs 2 % at most."""
    rig = Rig(device(1), device(2))
    rig.bus.off.add(2)
    rig.run(12.0)
    rig.bus.off.clear()
    rig.run(EARLY_INTERVAL_S + 1.5)
    assert rig.kinds() == [EventKind.DEVICE_DOWN, EventKind.DEVICE_UP]
    rig = Rig(device(1), device(2))
    rig.bus.off.add(2)
    rig.run(EARLY_S)
    assert len([request for request in rig.bus.requests if request[1] == 2]) >= 5
    rig.run(FRESH_S - EARLY_S)
    assert rig.bus.busy_s[2] <= PROBE_SHARE * FRESH_S
    assert rig.poller.counters.skipped == 0
    assert len(rig.of("d1")) == FRESH_S and all(row.causes is None for row in rig.of("d1"))


def test_many_absent_devices_leave_the_bus_to_the_others() -> None:
    """Thirty devices that are not there cost a fifth of the bus together; every one is probed, and
    the two that are there miss no poll."""
    rig = Rig(*(device(unit) for unit in range(1, 33)))
    absent = set(range(3, 33))
    rig.bus.off |= absent
    rig.run(30.0)
    rig.rows.clear()
    rig.bus.requests.clear()
    rig.bus.busy_s.clear()
    rig.run(900.0)
    assert sum(rig.bus.busy_s[unit] for unit in absent) <= PROBES_SHARE * 900
    assert {request[1] for request in rig.bus.requests} == set(range(1, 33))
    for source in ("d1", "d2"):
        assert len(rig.of(source)) == 900
        assert all(row.causes is None for row in rig.of(source))


def test_slow_transactions_of_one_poll_let_others_in() -> None:
    """A poll of slow transactions gives way after `TURN_S`: neither another device nor a stop of
    the thread waits for its end."""
    rig = Rig(device(1, *(point(1000 * i) for i in range(12))), device(2))
    rig.bus.slow = {1000 * i: 0.09 for i in range(12)}
    rig.run(1.0)
    began = rig.clock.at
    rig.poller.work(rig.bus, rig.clock.at)
    assert rig.clock.at - began <= TURN_S + 0.1
    rig.run(0.5)
    units = [request[1] for request in rig.bus.requests]
    assert units.index(2) <= 2


def test_port_lost_and_back() -> None:
    """While the port is gone rows keep their intervals with that cause; one event each way; the
    devices are asked at once when it is back, demoted or not."""
    rig = Rig(device(1), device(2))
    rig.bus.off.add(2)
    rig.run(3.0)
    rig.bus.lost = True
    rig.run(0.5)
    rig.poller.port_lost(rig.clock.at, "hang-up")
    rig.poller.port_lost(rig.clock.at, "hang-up")
    rig.run(19.5)
    assert len(rig.of("d1")) == 23
    assert [row.causes for row in rig.of("d1")[3:]] == [(Cause.PORT_LOST,) * 2] * 20
    assert rig.of("d2")[-1].causes == (Cause.PORT_LOST,) * 2
    rig.bus.lost = False
    rig.bus.off.clear()
    rig.rows.clear()
    rig.poller.port_returned(rig.clock.at)
    rig.run(1.0)
    assert [row.causes for row in rig.rows] == [None, None]
    kinds = [EventKind.DEVICE_DOWN, EventKind.PORT_LOST, EventKind.PORT_RETURNED]
    assert rig.kinds() == [*kinds, EventKind.DEVICE_UP]
    assert dict(rig.events[2].fields)["lost_s"] == 19.5


def test_metrics_name_the_bus() -> None:
    """Every metric carries the bus; a cause and a device only where they say something."""
    rig = Rig(device(1), device(2))
    rig.bus.off.add(2)
    rig.run(5.0)
    samples = list(rig.poller.samples())
    assert all(sample.labels[0] == ("bus", "b") for sample in samples)
    found = {sample.name: sample.value for sample in samples}
    assert found["gateway_polls"] == 6
    assert found["gateway_polls_bad"] == 1
    assert found["gateway_devices_down"] == 1
    assert found["gateway_device_turnaround_seconds"] == TURNAROUND_S
