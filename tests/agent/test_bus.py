"""Pins the bus against independent servers on a pty as slow as a real wire."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.bus import BROADCAST_TURNAROUND_S, Bus
from gateway.errors import (
    BadFrameError,
    BusError,
    DeviceExceptionError,
    NoReplyError,
    PortLostError,
)
from gateway.modbus.point import Table
from gateway.modbus.request import (
    Request,
    read_request,
    write_coil,
    write_coils,
    write_register,
    write_registers,
)
from gateway.modbus.shapes import Choice, Shapes
from gateway.process.clock import Clock
from tests.paced import FAULTS, LibmodbusServer, PacedServer, device, registers
from tests.system import need

TIMEOUT_S = 0.2
BAUD = 115200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacedServer]:
    """A paced server at 115200 baud."""
    need("gcc")
    with PacedServer(tmp_path / "bus", baud=BAUD) as server:
        yield server


@pytest.fixture
def bus(server: PacedServer) -> Iterator[Bus]:
    """An open bus to it."""
    bus = Bus(server.bus_settings(), Clock())
    bus.open()
    yield bus
    bus.close()


def test_reads_every_table(server: PacedServer, bus: Bus) -> None:
    """FC 1-4 give the values of their own table."""
    holding = bus.transact(read_request(1, Table.HOLDING, 7, 125), TIMEOUT_S)
    assert holding.registers == registers(1, 7, 125)
    inputs = bus.transact(read_request(2, Table.INPUT, 7, 1), TIMEOUT_S)
    assert inputs.registers == registers(2, 7, 1, kind=1)
    for table, kind in ((Table.COIL, 2), (Table.DISCRETE, 3)):
        reply = bus.transact(read_request(1, table, 9, 1999), TIMEOUT_S)
        assert reply.bits == tuple(bool(x & 1) for x in registers(1, 9, 1999, kind))
    assert server.stats()["violations"] == 0


def test_a_reply_knows_when_it_came(bus: Bus) -> None:
    """Source time lies within the call, the turnaround near the server's 2 ms."""
    clock = Clock()
    before = clock.boottime_ns()
    reply = bus.transact(read_request(1, Table.HOLDING, 0, 2), TIMEOUT_S)
    assert before <= reply.source_time_ns <= clock.boottime_ns()
    assert reply.turnaround_s >= 0.0019


def test_writes_are_read_back(bus: Bus) -> None:
    """FC 5, 6, 15 and 16."""
    for request in (
        write_register(1, 10, 0xABCD),
        write_registers(1, 11, [1, 2, 3]),
        write_coil(1, 10, True),
        write_coil(1, 11, False),
        write_coils(1, 12, [True, False, True] * 4),
    ):
        assert bus.transact(request, TIMEOUT_S).registers == ()
    words = bus.transact(read_request(1, Table.HOLDING, 10, 4), TIMEOUT_S)
    assert words.registers == (0xABCD, 1, 2, 3)
    bits = bus.transact(read_request(1, Table.COIL, 10, 14), TIMEOUT_S)
    assert bits.bits == (True, False, *[True, False, True] * 4)


def test_a_broadcast_reaches_every_unit_and_leaves_them_time(bus: Bus) -> None:
    """Nobody answers; the next request comes after the turnaround."""
    began = bus.clock.now()
    bus.transact(write_register(0, 30, 77), TIMEOUT_S)
    assert bus.clock.now() - began >= BROADCAST_TURNAROUND_S
    for unit_id in (1, 2):
        reply = bus.transact(read_request(unit_id, Table.HOLDING, 30, 1), TIMEOUT_S)
        assert reply.registers == (77,)


def test_refusals_and_silence_are_told_apart(server: PacedServer, bus: Bus) -> None:
    """Exceptions carry their code, silence names unit and time-out, a wrong CRC the bytes."""
    server.tell("refuse", 500, 510)
    with pytest.raises(DeviceExceptionError, match=r"unit id 1 function 3 505\+2") as refused:
        bus.transact(read_request(1, Table.HOLDING, 505, 2), TIMEOUT_S)
    assert refused.value.code == 2
    server.tell("next", "busy")
    with pytest.raises(DeviceExceptionError) as busy:
        bus.transact(read_request(1, Table.HOLDING, 5, 2), TIMEOUT_S)
    assert busy.value.code == 6
    with pytest.raises(NoReplyError, match=r"unit id 9 .* no reply within 0\.05 s"):
        bus.transact(read_request(9, Table.HOLDING, 5, 2), 0.05)
    server.tell("next", "flip")
    with pytest.raises(BadFrameError, match=r"got \d+ bytes 01 03"):
        bus.transact(read_request(1, Table.HOLDING, 5, 2), TIMEOUT_S)
    stats = bus.stats
    assert (stats.exceptions, stats.no_replies, stats.bad_frames) == (2, 1, 1)


class PlainShapes(Shapes):
    """What every other client does: the request goes out as it was asked."""

    def choose(self, request: Request, now: float) -> Choice:
        return Choice(request, now)


def one_late_reply(path: Path, model: str, shapes: Shapes | None = None) -> str:
    """Poll 24 blocks, the first of which is answered late: E error, W wrong value, `.` right."""
    with PacedServer(path, baud=19200, model=model) as server:
        bus = Bus(server.bus_settings(), Clock())
        bus.open()
        if shapes is not None:
            bus._shapes = shapes
        server.tell("late", 220)
        server.tell("next", "late")
        course = ""
        for k in range(24):
            address = k % 8 * 20
            try:
                reply = bus.transact(read_request(1, Table.HOLDING, address, 10), TIMEOUT_S)
            except (NoReplyError, BadFrameError):
                course += "E"
                continue
            course += "." if reply.registers == registers(1, address, 10) else "W"
        bus.close()
    return course


@pytest.mark.parametrize("model", ["queue", "drop", "full"])
def test_one_late_reply_then_a_healthy_server(tmp_path: Path, model: str) -> None:
    """24 polls: one is lost (two where frames collide), none is wrong."""
    need("gcc")
    course = one_late_reply(tmp_path / "bus", model)
    assert course[0] == "E"
    assert course[2:] == "." * 22
    assert course[1] in ".E"


def test_without_shapes_a_late_reply_is_taken_for_another(tmp_path: Path) -> None:
    """The test above can fail: that is what lengthening is for.

    Several tries: on a busy machine we ask so late that the late reply is there before, as noise.
    """
    need("gcc")
    courses = (one_late_reply(tmp_path / f"{n}", "full", PlainShapes({})) for n in range(6))
    assert any("W" in course for course in courses)


def test_requests_of_one_shape_get_different_shapes(server: PacedServer, bus: Bus) -> None:
    """Blocks of equal length are read a register longer; the reply is cut back."""
    for address in (0, 50, 100):
        reply = bus.transact(read_request(1, Table.HOLDING, address, 10), TIMEOUT_S)
        assert reply.registers == registers(1, address, 10)
    assert bus.stats.lengthened == 2


def test_a_longer_read_that_is_refused_is_read_plainly(server: PacedServer, bus: Bus) -> None:
    """The block is given all the same, and the refusal is not asked for again."""
    server.tell("refuse", 60, 60)
    for _ in range(3):
        for address in (0, 50):
            reply = bus.transact(read_request(1, Table.HOLDING, address, 10), TIMEOUT_S)
            assert reply.registers == registers(1, address, 10)
    assert bus.stats.exceptions == 1


def test_where_no_longer_read_is_allowed_the_late_window_is_waited_out(
    server: PacedServer,
) -> None:
    """A late reply to one block is never taken for the other's."""
    bus = Bus(server.bus_settings(devices=(device(1, shape_step=0),)), Clock())
    bus.open()
    server.tell("late", 100)
    server.tell("next", "late")
    with pytest.raises(NoReplyError):
        bus.transact(read_request(1, Table.HOLDING, 0, 10), 0.05)
    other = read_request(1, Table.HOLDING, 50, 10)
    clear_at = bus.clear_at(other)
    assert clear_at > bus.clock.now()
    assert bus.transact(other, TIMEOUT_S).registers == registers(1, 50, 10)
    assert bus.clock.now() >= clear_at
    bus.close()


@pytest.mark.parametrize("delivery", ["byte", "fifo", "ftdi1", "ftdi16"])
def test_an_echoing_bus_needs_no_telling(tmp_path: Path, delivery: str) -> None:
    """Reads and writes work, and a write to an absent unit is not taken as done."""
    need("gcc")
    with PacedServer(tmp_path / "bus", baud=19200, delivery=delivery) as server:
        server.tell("fault", "echo", 1)
        bus = Bus(server.bus_settings(), Clock())
        bus.open()
        with pytest.raises(NoReplyError):
            bus.transact(write_register(9, 5, 7), 0.05)
        bus.transact(write_register(1, 5, 7), TIMEOUT_S)
        for _ in range(3):
            reply = bus.transact(read_request(1, Table.HOLDING, 5, 1), TIMEOUT_S)
            assert reply.registers == (7,)
        bus.transact(write_register(1, 5, 8), TIMEOUT_S)
        with pytest.raises(NoReplyError):
            bus.transact(write_register(9, 5, 7), 0.05)
        bus.close()


def test_noise_before_a_request_is_waited_out(tmp_path: Path) -> None:
    """Bytes that answer nothing restart the silence and are counted."""
    # At 1200 baud the silence is 32 ms: a stall of the server between two bytes is none.
    with PacedServer(tmp_path / "slow", baud=1200) as server:
        bus = Bus(server.bus_settings(), Clock())
        bus.open()
        server.tell("noise")
        assert bus._port is not None and bus._port.wait_readable(30.0)
        reply = bus.transact(read_request(1, Table.HOLDING, 5, 2), 2.0)
        bus.close()
        assert reply.registers == registers(1, 5, 2)
        assert 1 <= bus.stats.stray_bytes <= 6
        assert server.stats()["violations"] == 0


def test_a_babbling_bus_is_an_error(server: PacedServer) -> None:
    """It cannot hold the thread for ever."""
    # At 1200 baud the silence is 32 ms: no stall of the server lets a request through.
    bus = Bus(replace(server.bus_settings(), baud=1200), Clock())
    bus.open()
    server.tell("babble", 3)
    with pytest.raises(BadFrameError, match="not silent for"):
        bus.transact(read_request(1, Table.HOLDING, 5, 2), TIMEOUT_S)
    bus.close()


def test_an_exception_that_may_be_an_old_one_is_no_answer(server: PacedServer, bus: Bus) -> None:
    """A late refusal of one block does not refuse another."""
    server.tell("refuse", 500, 510)
    server.tell("late", 60)
    server.tell("turn", 20)
    server.tell("next", "late")
    with pytest.raises(NoReplyError):
        bus.transact(read_request(1, Table.HOLDING, 500, 2), 0.03)
    request = read_request(1, Table.HOLDING, 5, 2)
    with pytest.raises(BadFrameError, match="may answer an earlier request"):
        bus.transact(request, 0.3)
    assert bus.transact(request, 0.3).registers == registers(1, 5, 2)


def test_a_pulled_adapter_is_told_at_once_and_found_again(server: PacedServer, bus: Bus) -> None:
    """Hang-up within a transaction, closed after it, open again by path."""
    request = read_request(1, Table.HOLDING, 5, 2)
    server.tell("unplug")
    with pytest.raises(PortLostError, match="is the adapter plugged in"):
        bus.transact(request, TIMEOUT_S)
    assert not bus.is_open
    with pytest.raises(PortLostError):
        bus.transact(request, TIMEOUT_S)
    with pytest.raises(PortLostError, match="does not exist"):
        bus.open()
    server.tell("plug")
    bus.open()
    assert bus.transact(request, TIMEOUT_S).registers == registers(1, 5, 2)
    assert bus.stats.port_losses == 1


def test_libmodbus_answers(tmp_path: Path) -> None:
    """An independent server: reads of all tables, writes, exceptions."""
    need("gcc")
    need("libmodbus")
    relay = tmp_path / "relay"
    with (
        PacedServer(tmp_path / "bus", baud=BAUD, relay=relay) as server,
        LibmodbusServer(relay, unit_id=1),
    ):
        bus = Bus(server.bus_settings(), Clock())
        bus.open()
        for kind, table in enumerate((Table.HOLDING, Table.INPUT)):
            reply = bus.transact(read_request(1, table, 7, 100), TIMEOUT_S)
            assert reply.registers == registers(1, 7, 100, kind)
        for kind, table in enumerate((Table.COIL, Table.DISCRETE), 2):
            reply = bus.transact(read_request(1, table, 7, 100), TIMEOUT_S)
            assert reply.bits == tuple(bool(x & 1) for x in registers(1, 7, 100, kind))
        bus.transact(write_register(1, 5, 7), TIMEOUT_S)
        bus.transact(write_registers(1, 6, [8, 9]), TIMEOUT_S)
        bus.transact(write_coil(1, 5, True), TIMEOUT_S)
        bus.transact(write_coils(1, 6, [True, False, True]), TIMEOUT_S)
        words = bus.transact(read_request(1, Table.HOLDING, 5, 3), TIMEOUT_S)
        assert words.registers == (7, 8, 9)
        bits = bus.transact(read_request(1, Table.COIL, 5, 4), TIMEOUT_S)
        assert bits.bits == (True, True, False, True)
        with pytest.raises(DeviceExceptionError) as refused:
            bus.transact(read_request(1, Table.HOLDING, 1000, 1), TIMEOUT_S)
        assert refused.value.code == 2
        bus.close()


SOAK_SEED = 20260


@pytest.mark.parametrize("model", ["queue", "drop", "full"])
def test_no_wrong_value_under_faults(tmp_path: Path, model: str) -> None:
    """A short soak of 13 faults mixed (the long one: `python -m tests.bench.bus`)."""
    need("gcc")
    print(f"seed {SOAK_SEED}")
    wrong = lost = 0
    with PacedServer(tmp_path / "bus", baud=BAUD, model=model, seed=SOAK_SEED) as server:
        bus = Bus(server.bus_settings(), Clock())
        bus.open()
        server.tell("fault", "mix", 0.25)
        for k in range(200):
            unit_id, address = 1 + k % 2, k % 8 * 20
            for _ in range(2):
                try:
                    reply = bus.transact(
                        read_request(unit_id, Table.HOLDING, address, 10), TIMEOUT_S
                    )
                except BusError:
                    continue
                wrong += reply.registers != registers(unit_id, address, 10)
                break
            else:
                lost += 1
        faults = server.stats()["faults"]
        bus.close()
    assert sum(faults[name] for name in FAULTS) > 20
    assert wrong == 0
    assert lost < 20
