"""How soon a pulled adapter is told, and readings are back: a part of `tests.bench.bus`."""

import statistics
import threading
import time

from gateway.agent.bus import Bus
from gateway.agent.bus_thread import BusThread
from gateway.errors import BusError
from gateway.modbus.point import Table
from gateway.modbus.request import read_request
from gateway.process.clock import Clock
from tests.bench._bus_report import Report
from tests.paced import PacedServer

LOST_TARGET_MS, BACK_TARGET_MS = 10.0, 300.0


class Watcher:
    """A worker that reads all the time and notes when the port goes and readings come."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        self.good = threading.Event()
        self.lost_at = self.good_at = 0.0
        self._due = 0.0

    def next_due(self, now: float) -> float | None:
        return self._due

    def work(self, bus: Bus, now: float) -> None:
        self._due = now + 0.005
        try:
            bus.transact(read_request(1, Table.HOLDING, 0, 2), 0.2)
        except BusError:
            return
        if not self.good.is_set():
            self.good_at = time.monotonic()
            self.good.set()

    def port_lost(self, now: float, reason: str) -> None:
        self.lost_at = time.monotonic()
        self.lost.set()

    def port_returned(self, now: float) -> None:
        pass


def port(server: PacedServer, times: int, report: Report) -> None:
    """Pull the adapter and plug it in again, at many moments."""
    told, back = [], []
    watcher = Watcher()
    thread = BusThread(Bus(server.bus_settings(), Clock()), watcher)
    thread.start()
    assert watcher.good.wait(5)
    for number in range(times):
        time.sleep(0.05 + number * 0.007)
        watcher.lost.clear()
        start = time.monotonic()
        server.tell("unplug")
        assert watcher.lost.wait(5)
        told.append((watcher.lost_at - start) * 1e3)
        time.sleep(0.05 + number * 0.013)
        watcher.good.clear()
        start = time.monotonic()
        server.tell("plug")
        assert watcher.good.wait(5)
        back.append((watcher.good_at - start) * 1e3)
    thread.stop()
    thread.join(5)
    report.head("figure", "median", "worst", "target", "verdict")
    for name, figures, target in (
        ("port loss told", told, LOST_TARGET_MS),
        ("readings back after it returned", back, BACK_TARGET_MS),
    ):
        worst = max(figures)
        aim = f"<= {target:.0f} ms"
        verdict = report.judge(name, worst <= target, f"{worst:.1f} ms", aim)
        middle = statistics.median(figures)
        report.row(name, f"{middle:.1f} ms", f"{worst:.1f} ms", aim, verdict)
        report.numbers[name] = figures
    report.say()
