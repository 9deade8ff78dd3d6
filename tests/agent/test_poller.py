"""The poller on a simulated bus: which outcome becomes which row, event and count.

Time is a number: the bus moves the clock by what a transaction would take.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.agent.poller import Poller
from gateway.config.agent import BusSettings, DeviceSettings, PointSettings
from gateway.errors import BadFrameError, DeviceExceptionError, NoReplyError, PortLostError
from gateway.event import Event, EventKind
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.modbus.request import Reply, Request
from gateway.polling.health import BUSY_RETRIES, FAILURES_SILENT
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
    `late[unit]`: until when it may answer late. `bad`: addresses refused with exception 2.
    """

    clock: SimulatedClock
    off: set[int] = field(default_factory=set)
    bad: set[int] = field(default_factory=set)
    script: dict[int, list[Any]] = field(default_factory=dict)
    lost: bool = False
    late: dict[int, float] = field(default_factory=dict)
    requests: list[tuple[float, int, int, int]] = field(default_factory=list)
    busy_s: Counter[int] = field(default_factory=Counter)

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
        if unit in self.off or act == "silent":
            self.clock.at += timeout_s
            raise NoReplyError("no reply")
        self.clock.at += WIRE_S + TURNAROUND_S
        if act == "garbled":
            raise BadFrameError("wrong CRC")
        if isinstance(act, int):
            raise DeviceExceptionError("refused", act)
        wanted = range(request.address, request.address + request.count)
        if self.bad & set(wanted):
            raise DeviceExceptionError("refused", 2)
        time_ns = self.clock.boottime_ns()
        if request.is_bits:
            return Reply(time_ns, TURNAROUND_S, bits=tuple(bool(n % 2) for n in wanted))
        return Reply(time_ns, TURNAROUND_S, registers=tuple(wanted))


class Rig:
    """A poller on a scripted bus; `run` does what the bus thread does."""

    def __init__(self, *devices: DeviceSettings) -> None:
        self.clock = SimulatedClock()
        self.bus = ScriptedBus(self.clock)
        self.rows: list[Row] = []
        self.events: list[Event] = []
        settings = BusSettings("b", "/dev/x", devices=devices)
        self.poller = Poller(
            settings, self.clock, lambda _, rows: self.rows.extend(rows), self.events.append
        )
        self.poller.port_returned(self.clock.at)

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
    rig.run(40.0)
    probes = [request for request in rig.bus.requests if request[0] > 1001]
    assert len(probes) == 1
    assert rig.poller.counters.bad[Cause.BAD_FRAME] == 1


def test_one_silent_block_does_not_take_the_device_down() -> None:
    """A device that never answers one of its blocks keeps giving the others."""
    rig = Rig(device(1, point(0), point(500), point(1000), retries=0))

    def silent(request: Request, timeout_s: float) -> Reply:
        if request.address == 0:
            rig.clock.at += timeout_s
            raise NoReplyError("no reply")
        return answer(request, timeout_s)

    answer = rig.bus.transact
    rig.bus.script[1] = ["ok"]
    rig.run(0.5)
    rig.bus.transact = silent
    rig.rows.clear()
    rig.run(20.0)
    assert rig.events == []
    for row in rig.rows:
        name = rig.poller.schema_blocks[row.block].points[0].name
        assert row.causes == ((Cause.NO_REPLY,) if name == "p0" else None)


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
