"""The buses of the daemon: start, supervise, change and stop them; make one schema of all.

Owns the threads' life and where each bus's blocks stand in the common schema; never touches a port
and never decides what to poll. Everything here runs in the event loop; rows and events of a bus
thread arrive through `call_soon_threadsafe`, in order.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.agent.bus import Bus
from gateway.agent.bus_thread import BusThread
from gateway.agent.metrics import Metrics, Sample
from gateway.agent.poller import Poller
from gateway.agent.serial_reader import SerialReader
from gateway.config.agent import BusSettings, DeviceSettings
from gateway.config.serial import SerialSettings
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.reading import Row, Schema, SchemaBlock

logger = logging.getLogger(__name__)

STOP_S = 1.5
"""How long a thread may take to finish the transaction in hand."""
CHECK_S = 1.0
"""How often the threads are looked after."""


class Sink(Protocol):
    """Where rows and events go: the recorder, or the board of a command that polls by itself."""

    def use_schema(self, schema: Schema) -> None:
        """Make rows mean `schema` from now on."""

    def rows(self, rows: Sequence[Row]) -> None:
        """Take readings."""

    def event(self, event: Event) -> None:
        """Take a change of state."""


@dataclass(slots=True, eq=False)
class Unit:
    """One bus: its thread, its poller, and where its blocks begin in the schema."""

    settings: BusSettings
    poller: Poller
    bus: Bus
    """Belongs to the thread; others may read its numbers."""
    thread: BusThread
    offset: int = 0

    @property
    def known_settings(self) -> BusSettings:
        """Return the bus with the points that devices said they have."""
        return replace(self.settings, devices=self.poller.devices)

    def device(self, name: str) -> DeviceSettings:
        """Return a device of this bus, with the points known by now."""
        return next(device for device in self.poller.devices if device.name == name)


@dataclass(slots=True, eq=False)
class SerialUnit:
    """One serial source: its reader is poller and thread in one."""

    settings: SerialSettings
    poller: SerialReader
    thread: SerialReader
    offset: int = 0


Settings = BusSettings | SerialSettings


class Fleet:
    """All buses and serial sources. `start` and `change` take those wanted; the rest is kept."""

    def __init__(self, recorder: Sink, metrics: Metrics, clock: Clock) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock
        self._units: dict[str, Unit | SerialUnit] = {}
        self.host_blocks: Callable[[], tuple[SchemaBlock, ...]] = tuple
        """The blocks of the host's own rows; they stand first."""

    def start(self, buses: Iterable[Settings]) -> None:
        """Start these buses beside those that run; the schema is made anew."""
        fresh = [self._make(settings) for settings in buses]
        for unit in fresh:
            self._units[unit.settings.name] = unit
        self.compose()
        for unit in fresh:
            unit.thread.start()

    async def change(self, stop: Sequence[str], start: Sequence[Settings]) -> None:
        """Stop the buses named, then start others; the rest never notices."""
        await self._stop([self._units[name] for name in stop if name in self._units])
        self.start(start)

    async def stop(self) -> None:
        """Stop every bus; what they read before is recorded when this returns."""
        await self._stop(list(self._units.values()))

    async def supervise(self) -> None:
        """Restart a bus whose thread ended by itself, until cancelled. The others go on."""
        while True:
            await asyncio.sleep(CHECK_S)
            for unit in list(self._units.values()):
                if unit.thread.ended.done():
                    self._restart(unit)

    def units(self) -> tuple[Unit, ...]:
        """Return every bus that runs now."""
        return tuple(unit for unit in self._units.values() if isinstance(unit, Unit))

    def serials(self) -> tuple[SerialUnit, ...]:
        """Return every plain serial source that runs now."""
        return tuple(unit for unit in self._units.values() if isinstance(unit, SerialUnit))

    def samples(self) -> Iterable[Sample]:
        """Return the buses' counters for a scrape (called in the listener's thread)."""
        for unit in list(self._units.values()):
            yield from unit.poller.samples()

    # -- one bus -------------------------------------------------------------------------------

    def _make(self, settings: Settings) -> Unit | SerialUnit:
        loop = asyncio.get_running_loop()
        unit: Unit | SerialUnit

        def hand_over(call: Callable[[Unit | SerialUnit], None]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the agent has left
                loop.call_soon_threadsafe(call, unit)

        def on_rows(_: str, rows: list[Row]) -> None:
            hand_over(lambda unit: self._rows(unit, rows))

        def on_event(event: Event) -> None:
            hand_over(lambda _: self._recorder.event(event))

        if isinstance(settings, SerialSettings):
            reader = SerialReader(settings, self._clock, on_rows, on_event)
            unit = SerialUnit(settings, reader, reader)
            return unit

        def on_schema() -> None:
            hand_over(lambda _: self.compose())

        poller = Poller(settings, self._clock, on_rows, on_event, on_schema)
        bus = Bus(settings, self._clock)
        unit = Unit(settings, poller, bus, BusThread(bus, poller))
        return unit

    def compose(self) -> None:
        """Lay the blocks of the host and of all buses one after the other."""
        blocks: list[SchemaBlock] = list(self.host_blocks())
        for unit in self._units.values():
            unit.offset = len(blocks)
            blocks.extend(unit.poller.schema_blocks)
        self._recorder.use_schema(Schema(tuple(blocks)))

    def _rows(self, unit: Unit | SerialUnit, rows: Sequence[Row]) -> None:
        if self._units.get(unit.settings.name) is not unit:
            return  # a thread that would not stop in time: its blocks are not in the schema
        if unit.offset:
            rows = [replace(row, block=row.block + unit.offset) for row in rows]
        self._recorder.rows(rows)

    def _restart(self, unit: Unit | SerialUnit) -> None:
        name = unit.settings.name
        error = unit.thread.ended.exception()
        logger.error("bus thread ended by itself, restarting bus=%s", name, exc_info=error)
        self._metrics.tasks_failed.labels("bus").inc()
        self._recorder.event(
            Event.make(
                EventKind.TASK_FAILED,
                self._clock.boottime_ns(),
                task=f"agent.bus[{name}]",
                text=repr(error),
            )
        )
        self.start([unit.settings])

    async def _stop(self, units: Sequence[Unit | SerialUnit]) -> None:
        if not units:
            return
        for unit in units:
            unit.thread.stop()
        deadline = self._clock.now() + STOP_S
        for unit in units:
            left = max(0.0, deadline - self._clock.now())
            if not await asyncio.to_thread(unit.thread.join, left):
                logger.error("bus thread does not stop bus=%s", unit.settings.name)
        await asyncio.sleep(0)  # what the threads handed over before they ended comes first
        for unit in units:
            self._units.pop(unit.settings.name, None)
