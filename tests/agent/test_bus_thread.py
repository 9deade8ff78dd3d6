"""Pins the bus thread: work, jobs, the port's coming and going, and a clean stop."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import pytest
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.agent.bus import Bus
from gateway.agent.bus_thread import MAX_JOBS, BusThread
from gateway.config.agent import BusSettings
from gateway.errors import BusError, NoReplyError, PortLostError
from gateway.modbus.crc import seal
from gateway.modbus.point import Table
from gateway.modbus.request import Reply, read_request, write_register
from gateway.process.clock import Clock
from tests.paced import PacedServer, registers
from tests.system import need
from tests.waiting import wait_until

WAIT_S = 20.0
REQUEST = read_request(1, Table.HOLDING, 5, 2)


class Asker:
    """A worker that asks for one block at an interval and notes everything."""

    def __init__(self, interval_s: float | None = 0.01) -> None:
        self.interval_s = interval_s
        self.due = 0.0
        self.replies: list[Reply] = []
        self.errors: list[BusError] = []
        self.told: list[str] = []

    def next_due(self, now: float) -> float | None:
        return None if self.interval_s is None else self.due

    def work(self, bus: Bus, now: float) -> None:
        assert self.interval_s is not None
        self.due = now + self.interval_s
        try:
            self.replies.append(bus.transact(REQUEST, 0.2))
        except BusError as error:
            self.errors.append(error)

    def port_lost(self, now: float, reason: str) -> None:
        self.told.append(f"lost: {reason}")

    def port_returned(self, now: float) -> None:
        self.told.append("returned")


class Clumsy(Asker):
    """A worker with a bug."""

    def work(self, bus: Bus, now: float) -> None:
        raise ZeroDivisionError("a bug")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PacedServer]:
    """A paced server at 115200 baud."""
    need("gcc")
    with PacedServer(tmp_path / "bus", baud=115200) as server:
        yield server


Run = Callable[[Asker], BusThread]


@pytest.fixture
def run(server: PacedServer) -> Iterator[Run]:
    """Start bus threads that are stopped at the end."""
    threads: list[BusThread] = []

    def start(worker: Asker) -> BusThread:
        threads.append(BusThread(Bus(server.bus_settings(), Clock()), worker))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.stop()
        assert thread.join(WAIT_S)


def test_the_worker_polls_at_its_interval(run: Run) -> None:
    """The port is opened by the thread, which says so first."""
    worker = Asker()
    thread = run(worker)
    wait_until(lambda: len(worker.replies) >= 10)
    assert worker.told == ["returned"]
    assert not worker.errors
    thread.stop()
    assert thread.join(WAIT_S)
    assert thread.ended.result(0) is None


def test_jobs_run_while_it_polls(run: Run) -> None:
    """Writes from other threads come between the polls and give their results."""
    worker = Asker(interval_s=0.0)
    thread = run(worker)
    wait_until(lambda: worker.replies)
    for value in range(5):
        thread.submit(lambda bus, v=value: bus.transact(write_register(1, 5, v), 0.2)).result(
            WAIT_S
        )
        reply = thread.submit(lambda bus: bus.transact(REQUEST, 0.2)).result(WAIT_S)
        assert reply.registers[0] == value
    assert not worker.errors


def test_a_job_wakes_an_idle_thread_and_its_error_is_the_caller_s(run: Run) -> None:
    """The thread goes on after a job that failed."""
    thread = run(Asker(interval_s=None))
    absent = read_request(9, Table.HOLDING, 0, 1)
    with pytest.raises(NoReplyError):
        thread.submit(lambda bus: bus.transact(absent, 0.02)).result(WAIT_S)
    with pytest.raises(ZeroDivisionError):
        thread.submit(lambda bus: 1 // 0).result(WAIT_S)
    assert thread.submit(lambda bus: threading.current_thread().name).result(WAIT_S) == "bus[bus1]"


def test_jobs_are_bounded_and_cancelled_by_a_stop(run: Run) -> None:
    """Nobody waits for a job that will never run."""
    thread = run(Asker(interval_s=None))
    hold = threading.Event()
    begun = threading.Event()

    def block(bus: Bus) -> None:
        begun.set()
        hold.wait(WAIT_S)

    thread.submit(block)
    assert begun.wait(WAIT_S)
    given_up = thread.submit(lambda bus: 0)
    assert given_up.cancel()
    waiting = [thread.submit(lambda bus: None) for _ in range(MAX_JOBS - 1)]
    assert thread.jobs_waiting
    with pytest.raises(RuntimeError, match="jobs wait"):
        thread.submit(lambda bus: None)
    hold.set()
    waiting[0].result(WAIT_S)
    thread.stop()
    assert thread.join(WAIT_S)
    assert thread.submit(lambda bus: None).cancelled()


def test_a_stop_ends_what_waits(run: Run) -> None:
    """Jobs in the queue are cancelled."""
    thread = run(Asker(interval_s=None))
    late = []

    def stop_first(bus: Bus) -> None:
        late.append(thread.submit(lambda bus: None))
        thread.stop()

    thread.submit(stop_first).result(WAIT_S)
    assert thread.join(WAIT_S)
    with pytest.raises(CancelledError):
        late[0].result(WAIT_S)


def test_an_adapter_pulled_and_plugged_while_polling(server: PacedServer, run: Run) -> None:
    """One word each way, failed polls in between, good readings after."""
    worker = Asker(interval_s=0.02)
    run(worker)
    wait_until(lambda: len(worker.replies) >= 3)
    server.tell("unplug")
    wait_until(lambda: len(worker.errors) >= 3)
    assert all(isinstance(error, PortLostError) for error in worker.errors)
    server.tell("plug")
    seen = len(worker.replies)
    wait_until(lambda: len(worker.replies) > seen + 3)
    assert [told[:4] for told in worker.told] == ["retu", "lost", "retu"]
    assert worker.replies[-1].registers == registers(1, 5, 2)


def test_an_idle_bus_notices_a_pulled_adapter(server: PacedServer, run: Run) -> None:
    """Nobody need ask anything."""
    worker = Asker(interval_s=None)
    run(worker)
    wait_until(lambda: worker.told == ["returned"])
    server.tell("unplug")
    wait_until(lambda: len(worker.told) == 2)
    server.tell("plug")
    wait_until(lambda: len(worker.told) == 3)


def test_a_port_missing_at_the_start_is_told_once(server: PacedServer, tmp_path: Path) -> None:
    """And opened when it appears."""
    path = tmp_path / "late"
    worker = Asker()
    thread = BusThread(Bus(replace(server.bus_settings(), port=str(path)), Clock()), worker)
    thread.start()
    wait_until(lambda: len(worker.errors) >= 3)
    assert len(worker.told) == 1
    path.symlink_to(os.readlink(server.path))
    wait_until(lambda: worker.replies)
    thread.stop()
    assert thread.join(WAIT_S)
    assert worker.told[1] == "returned"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_s_bug_ends_the_thread_and_is_told(run: Run) -> None:
    """The supervisor sees the exception; nothing polls on silently."""
    thread = run(Clumsy())
    assert isinstance(thread.ended.exception(WAIT_S), ZeroDivisionError)


async def test_pymodbus_answers(tmp_path: Path) -> None:
    """pymodbus's simulator behind the pacer."""
    need("gcc")
    relay = tmp_path / "relay"
    values = [230.5, -1.25]
    simulated = SimDevice(id=1, simdata=[SimData(0, values=values, datatype=DataType.FLOAT32)])
    with PacedServer(tmp_path / "bus", baud=115200, relay=relay) as server:
        peer = ModbusSerialServer(simulated, port=str(relay), baudrate=115200)
        await peer.serve_forever(background=True)
        thread = BusThread(Bus(server.bus_settings(), Clock()), Asker(interval_s=None))
        thread.start()
        for table in (Table.HOLDING, Table.INPUT):
            request = read_request(1, table, 0, 4)
            future = thread.submit(lambda bus, r=request: bus.transact(r, 1.0))
            reply = await asyncio.wrap_future(future)
            assert reply.registers == (0x4366, 0x8000, 0xBFA0, 0)
        thread.stop()
        await peer.shutdown()
        assert thread.join(WAIT_S)


async def test_a_bare_pty_works_though_it_has_no_wire_time(tmp_path: Path) -> None:
    """Replies that come faster than the request could have left are taken there."""
    adapter, tty = os.openpty()
    os.set_blocking(adapter, True)
    path = tmp_path / "bare"
    path.symlink_to(os.ttyname(tty))

    def answer() -> None:
        while True:
            try:
                request = os.read(adapter, 256)
            except OSError:
                return
            if not request:
                return
            os.write(adapter, seal(request[:2] + bytes((2 * request[5],)) + bytes(2 * request[5])))

    threading.Thread(target=answer, daemon=True).start()
    bus = Bus(BusSettings("bare", str(path), baud=9600, parity="none"), Clock())
    bus.open()
    for _ in range(4):
        assert bus.transact(REQUEST, 0.2).registers == (0, 0)
    bus.close()
    os.close(tty)
    os.close(adapter)
