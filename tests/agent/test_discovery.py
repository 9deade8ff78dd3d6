"""A SunSpec device on a simulated bus: found, named, polled; lost answers, absence and the port."""

from dataclasses import dataclass, field

import pytest

from gateway.config.agent import DeviceSettings
from gateway.errors import DeviceExceptionError
from gateway.event import EventKind
from gateway.modbus.request import Reply, Request
from gateway.reading import Cause
from tests.agent.test_poller import Rig, ScriptedBus
from tests.agent.test_poller import device as plain
from tests.modbus.test_sunspec import COMMON, INVERTER, METER
from tests.modbus.test_sunspec import device as registers_of

INVERTER_UNIT = 5


@dataclass
class SunSpecBus(ScriptedBus):
    """A scripted bus on which unit 5 has registers of its own; others are refused."""

    registers: dict[int, int] = field(default_factory=dict)

    def _answer(self, request: Request, unit: int, timeout_s: float) -> Reply:
        reply = super()._answer(request, unit, timeout_s)
        if unit != INVERTER_UNIT:
            return reply
        wanted = range(request.address, request.address + request.count)
        if not all(address in self.registers for address in wanted):
            raise DeviceExceptionError("refused", 2)
        values = tuple(self.registers[address] for address in wanted)
        return Reply(reply.source_time_ns, reply.turnaround_s, registers=values)


class SunSpecRig(Rig):
    """A poller with a plain device (unit 1) and one to be discovered (unit 5)."""

    def __init__(self, *only: str, base: int = 40000, **changes: float | int) -> None:
        unknown = DeviceSettings(
            "inverter", INVERTER_UNIT, (), discover_s=1.0, discover_only=only, **changes
        )
        super().__init__(plain(1), unknown)
        self.bus: SunSpecBus = SunSpecBus(
            self.clock, registers=registers_of(base, COMMON, INVERTER, METER)
        )
        self.schemas = 0
        self.poller._on_schema = self._new_schema

    def _new_schema(self) -> None:
        self.schemas += 1


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_found_named_and_polled(base: int) -> None:
    """Its points come behind those there are, once; the other device keeps its pace."""
    rig = SunSpecRig(base=base)
    before = rig.poller.schema_blocks
    rig.run(10.5)
    assert rig.schemas == 1
    assert rig.poller.schema_blocks[: len(before)] == before
    found = rig.readings("inverter")
    assert found["inverter.active_power"] == 8110.0
    assert found["inverter.operating_state"] == "mppt"
    assert found["meter.active_power"] == -7000.0
    assert found["inverter.dc_current"] is Cause.NULL_PATTERN
    assert len(rig.of("d1")) == 11
    assert rig.kinds() == []
    asked = [one for one in rig.bus.requests if one[1] == INVERTER_UNIT]
    assert len(asked) <= 11 + 3 * 11  # a walk, then polls whose reads are merged


def test_only_the_points_wanted() -> None:
    """`points` chooses among what is found."""
    rig = SunSpecRig("inverter.active_power", "meter.frequency")
    rig.run(3.5)
    assert set(rig.readings("inverter")) == {"inverter.active_power", "meter.frequency"}


def test_a_device_that_is_off_at_the_start() -> None:
    """An event, few attempts, and found when it is there; the other device keeps its pace."""
    rig = SunSpecRig()
    rig.bus.off.add(INVERTER_UNIT)
    rig.run(600.0)
    assert rig.kinds() == [EventKind.DEVICE_DOWN]
    assert dict(rig.events[0].fields)["cause"] == "no_reply"
    assert rig.poller.counters.devices_down == 1
    assert rig.of("inverter") == []
    assert rig.bus.busy_s[INVERTER_UNIT] < 0.03 * 600.0
    assert len(rig.of("d1")) == 600
    rig.bus.off.clear()
    rig.run(90.0)
    assert rig.kinds() == [EventKind.DEVICE_DOWN, EventKind.DEVICE_UP]
    assert rig.poller.counters.devices_down == 0
    assert rig.readings("inverter")["inverter.frequency"] == pytest.approx(49.98)


@pytest.mark.parametrize("act", ["silent", "garbled", 6])
def test_a_lost_answer_does_not_cut_the_chain(act: str | int) -> None:
    """Within a walk a lost or damaged answer, or a busy device, is asked again."""
    for place in range(1, 7):
        rig = SunSpecRig()
        rig.bus.script[INVERTER_UNIT] = ["ok"] * place + [act]
        rig.run(3.0)
        assert len(rig.poller.schema_blocks) > 1, place
        assert "meter.frequency" in rig.readings("inverter")
        assert rig.kinds() == []


def test_a_walk_that_loses_too_much_begins_anew() -> None:
    """Told as an event, then found: what was seen of a chain cut by the wire is not taken."""
    rig = SunSpecRig(retries=0)
    rig.bus.script[INVERTER_UNIT] = ["ok", "ok", "silent"]
    rig.run(30.0)
    assert rig.kinds() == [EventKind.DEVICE_DOWN, EventKind.DEVICE_UP]
    assert "meter.frequency" in rig.readings("inverter")


def test_a_device_that_is_no_sunspec() -> None:
    """It answers, but not with what is looked for: an event says so, and nothing is invented."""
    rig = SunSpecRig()
    rig.bus.registers = dict.fromkeys(range(65536), 7)
    rig.run(100.0)
    assert rig.kinds() == [EventKind.DEVICE_DOWN]
    assert dict(rig.events[0].fields)["cause"] == "exception"
    assert rig.of("inverter") == []


def test_the_port_is_gone() -> None:
    """A walk rests while there is no port, and ends when it is back."""
    rig = SunSpecRig()
    rig.bus.lost = True
    rig.run(5.0)
    assert rig.of("inverter") == [] and rig.schemas == 0
    rig.bus.lost = False
    rig.run(5.0)
    assert rig.schemas == 1


def test_late_answers_are_waited_out() -> None:
    """Others go first meanwhile."""
    rig = SunSpecRig()
    rig.bus.late[INVERTER_UNIT] = rig.clock.at + 2.0
    rig.run(1.9)
    assert all(one[1] == 1 for one in rig.bus.requests)
    rig.run(5.0)
    assert rig.schemas == 1
