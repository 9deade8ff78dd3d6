"""The poller over a pty, its requests counted by an independent server of baud-true pace."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.agent.bus import Bus
from gateway.agent.bus_thread import BusThread
from gateway.agent.poller import Poller
from gateway.config.agent import DeviceSettings, PointSettings
from gateway.event import Event, EventKind
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.process.clock import Clock
from gateway.reading import Cause, Row
from tests.paced import PacedServer, registers
from tests.system import need

INTERVAL_S = 0.25
CLOCK = Clock()


@pytest.fixture(autouse=True)
def compiler() -> None:
    """The paced server is compiled on the spot."""
    need("gcc")


def ten_registers(unit_id: int, interval_s: float = INTERVAL_S) -> DeviceSettings:
    """Return a device with ten points side by side."""
    points = tuple(
        PointSettings(PointSpec(f"p{i}", Table.HOLDING, 40 + i, DataType.U16), interval_s)
        for i in range(10)
    )
    return DeviceSettings(f"d{unit_id}", unit_id, points)


class Seen:
    """What a poller handed on; `until` waits for it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def take_rows(self, _: str, rows: list[Row]) -> None:
        with self._changed:
            self.rows.extend(rows)
            self._changed.notify_all()

    def take_event(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def until(self, what: Callable[[], bool], timeout_s: float = 20.0) -> None:
        with self._changed:
            assert self._changed.wait_for(what, timeout_s), (self.rows[-5:], self.events)


@contextmanager
def polling(server: PacedServer, *devices: DeviceSettings) -> Iterator[tuple[Poller, Seen]]:
    """Run a poller in its bus thread until the block ends."""
    settings = server.bus_settings(devices=devices)
    seen = Seen()
    poller = Poller(settings, CLOCK, seen.take_rows, seen.take_event)
    thread = BusThread(Bus(settings, CLOCK), poller)
    thread.start()
    try:
        yield poller, seen
    finally:
        thread.stop()
        assert thread.join(5.0)


def test_ten_consecutive_registers_make_one_request(tmp_path: Path) -> None:
    """The server counts one request for each poll of ten registers, and the values are its own."""
    with PacedServer(tmp_path / "bus", 19200, 10) as server:
        with polling(server, ten_registers(1)) as (poller, seen):
            seen.until(lambda: len(seen.rows) >= 6)
        stats = server.stats()
        assert stats["requests"] == poller.counters.polls == len(seen.rows)
        assert stats["violations"] == 0
    assert {row.values for row in seen.rows} == {registers(1, 40, 10)}
    print(f"polls={poller.counters.polls} requests={stats['requests']}")


def test_switched_off_device_leaves_the_other_four_their_rates(tmp_path: Path) -> None:
    """Five devices, one switched off: the server goes on answering the other four at their rate,
    and the fifth is asked next to never."""
    with PacedServer(tmp_path / "bus", 38400, 10) as server:
        for unit in range(1, 6):
            server.tell("answer", unit, 1)
        devices = [ten_registers(unit) for unit in range(1, 6)]
        with polling(server, *devices) as (poller, seen):
            seen.until(lambda: len(seen.rows) >= 5 * 5)
            server.tell("answer", 5, 0)
            seen.until(lambda: [e.kind for e in seen.events] == [EventKind.DEVICE_DOWN])
            server.tell("reset")
            skipped, began, first = poller.counters.skipped, CLOCK.now(), len(seen.rows)
            time.sleep(12 * INTERVAL_S)
            stats, rows = server.stats(), seen.rows[first:]
            due = (CLOCK.now() - began) / INTERVAL_S
            skipped = poller.counters.skipped - skipped
    good = Counter(row.block for row in rows if row.causes is None)
    print(f"replies={stats['replies']} requests={stats['requests']} due={4 * due:.1f}")
    assert set(good) == {0, 1, 2, 3}
    # Each due time was polled unless this machine held the thread up for a whole interval.
    assert min(good.values()) + skipped >= due - 2
    assert stats["requests"] - stats["replies"] <= 1
    assert {cause for row in rows if row.block == 4 for cause in row.causes or ()} <= {
        Cause.DEVICE_DOWN,
        Cause.NO_REPLY,
    }


def test_refused_register_over_the_wire(tmp_path: Path) -> None:
    """A register the server refuses is found; then two requests a poll give the other nine."""
    with PacedServer(tmp_path / "bus", 38400, 10) as server:
        server.tell("refuse", 43, 43)
        with polling(server, ten_registers(1)) as (poller, seen):
            seen.until(lambda: len(seen.rows) >= 2)
            before, polls = server.stats()["requests"], poller.counters.polls
            seen.until(lambda: len(seen.rows) >= 6)
        after, polls = server.stats()["requests"], poller.counters.polls - polls
        # A look at the counts may fall between a request and its row.
        assert abs(after - before - 2 * polls) <= 2
    expected = tuple(None if i == 3 else v for i, v in enumerate(registers(1, 40, 10)))
    assert {row.values for row in seen.rows} == {expected}
    assert [event.kind for event in seen.events] == [EventKind.BLOCK_SPLIT]


def test_unplugged_adapter_and_back(tmp_path: Path) -> None:
    """An unplugged adapter is an event, rows go on with that cause, values return by themselves."""
    with (
        PacedServer(tmp_path / "bus", 38400, 10) as server,
        polling(server, ten_registers(1)) as (_, seen),
    ):
        seen.until(lambda: any(row.causes is None for row in seen.rows))
        server.tell("unplug")
        seen.until(lambda: [e.kind for e in seen.events] == [EventKind.PORT_LOST])
        first = len(seen.rows)
        seen.until(lambda: len(seen.rows) >= first + 3)
        lost = {cause for row in seen.rows[first:] for cause in row.causes or ()}
        assert lost == {Cause.PORT_LOST}
        server.tell("plug")
        seen.until(lambda: seen.rows[-1].causes is None)
        assert [e.kind for e in seen.events] == [EventKind.PORT_LOST, EventKind.PORT_RETURNED]
