"""What the running agent answers to a technician's commands: its state, its points, jobs on a bus.

Owns putting the parts' numbers together into messages, and how often a point may be written. Runs
in the event loop; jobs go to the bus's thread and wait their turn there, so that a command never
fights the polling for the port. Knows no socket: see `agent.control`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from gateway import __version__
from gateway.agent.bus import Bus
from gateway.agent.bus_jobs import (
    checked,
    point_of,
    read_points,
    shown_value,
    split,
    with_points,
    write_value,
)
from gateway.agent.chronicle import Past
from gateway.agent.fleet import Fleet, SerialUnit, Unit
from gateway.agent.latest import Latest
from gateway.agent.recorder import Recorder
from gateway.agent.serial_reader import SerialReader
from gateway.agent.source_jobs import LOOK_S, answer_s, check_point, source_read
from gateway.agent.spool.spool import Spool
from gateway.agent.survey import Survey
from gateway.config.agent import AgentSettings, DeviceSettings, PointSettings
from gateway.errors import RefusedError
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.process.control_messages import (
    LinkState,
    PointState,
    ReadResult,
    ReloadWord,
    SourceRead,
    SpoolState,
    Status,
    WriteResult,
)
from gateway.process.timesync import TimeSync

JOB_S = 20.0
"""A job that has not come to its end by then is given up: the bus is lost or full."""
MAX_WRITTEN = 1024

R = TypeVar("R")

ReloadNow = Callable[[], Awaitable[ReloadWord]]


class Desk:
    """Everything a command can ask of the agent."""

    def __init__(
        self,
        path: Path,
        settings: Callable[[], AgentSettings],
        fleet: Fleet,
        recorder: Recorder,
        spool: Spool,
        past: Past,
        clock: Clock,
        sync: TimeSync,
        reload_now: ReloadNow,
    ) -> None:
        self._path = path
        self._settings = settings
        self._fleet = fleet
        self._recorder = recorder
        self._spool = spool
        self._past = past
        self._clock = clock
        self._sync = sync
        self._reload_now = reload_now
        self._started = clock.now()
        self._survey = Survey(fleet, recorder.latest, clock)
        self._written: dict[tuple[str, str], float] = {}
        self.word = ReloadWord()
        """How the last reload ended, whoever asked for it."""
        self._word_at: float | None = None

    def reloaded(self, word: ReloadWord) -> None:
        """Note how a reload ended."""
        self.word, self._word_at = word, self._clock.now()

    async def sample(self) -> None:
        """Follow how much of their time the buses are used, until cancelled."""
        await self._survey.sample()

    # -- what is --------------------------------------------------------------------------------

    @property
    def latest(self) -> Latest:
        return self._recorder.latest

    def points(self, after: int = -1) -> Iterator[PointState]:
        """Yield the points; with `after` those with rows later than that `latest.rows_seen`."""
        return self.latest.points(self._clock.boottime_ns(), after)

    def status(self) -> Status:
        """Return the agent's state."""
        settings, now = self._settings(), self._clock.now()
        backlog, levels, past = self._spool.backlog(), self._spool.levels(), self._past
        since_s = None if past.since is None else now - past.since
        ago_s = None if self._word_at is None else now - self._word_at
        word = self.word
        return Status(
            settings.gateway_id,
            __version__,
            os.getpid(),
            str(self._path),
            settings.revision,
            now - self._started,
            self._sync.synced,
            LinkState(past.connected, since_s, past.session, past.text),
            SpoolState(backlog.records, backlog.size, levels.max_bytes, levels.on_disk),
            self._survey.buses(),
            ReloadWord(word.ok, word.revision, word.text, word.restarted, ago_s),
            self._recorder.readings,
            self._survey.serials(),
        )

    # -- what is done ---------------------------------------------------------------------------

    async def read(self, name: str) -> ReadResult | SourceRead:
        """Read a device, a serial source or one of their points now. Raises: GatewayError."""
        unit, source, wanted = self._find(name)
        if isinstance(unit, SerialUnit):
            return await self._hear(unit.poller, wanted)
        device = unit.device(source)

        def job(bus: Bus) -> ReadResult:
            known = with_points(bus, device)
            point = point_of(known, wanted)
            points = known.points if point is None else (point,)
            return read_points(bus, known, [one.spec for one in points])

        return await self._on_bus(unit, job)

    async def write(self, name: str, text: str, who: str) -> WriteResult:
        """Write a point and read it back; the centre is told. Raises: GatewayError."""
        unit, source, wanted = self._find(name)
        if isinstance(unit, SerialUnit):
            raise RefusedError(f"{name}: {source} is a plain serial source, which is only read")
        device = unit.device(source)
        point = point_of(device, wanted)
        if point is None:
            raise RefusedError(f"{name}: is a device; name one of its points, {name}.POINT")
        checked(device, point, text)
        self._pace(device, point)
        result = await self._on_bus(unit, lambda bus: write_value(bus, device, point, text))
        self._recorder.event(
            Event.make(
                EventKind.POINT_WRITTEN,
                self._clock.boottime_ns(),
                bus=unit.settings.name,
                device=device.name,
                point=point.spec.name,
                value=text,
                before=shown_value(result.before.value),
                read_back=shown_value(result.after.value),
                agrees=result.agrees,
                user=who,
            )
        )
        return replace(result, told=True)

    async def reload(self) -> ReloadWord:
        """Read the config file anew, as SIGHUP does, and say how that ended."""
        return await self._reload_now()

    async def _hear(self, reader: SerialReader, point: str) -> SourceRead:
        """Return what a serial source says: asked now, or what it said last."""
        settings, clock = reader.settings, self._clock
        check_point(settings, point)
        began, began_ns = clock.now(), clock.boottime_ns()
        asked = settings.asking is not None and reader.is_open
        if asked:
            reader.ask_now()
            until = began + answer_s(settings)
            while clock.now() < until:
                if self.latest.read_since(settings.name, began_ns):
                    break
                await asyncio.sleep(LOOK_S)
        return source_read(reader, self.latest, clock, point, asked, began)

    def _find(self, name: str) -> tuple[Unit | SerialUnit, str, str]:
        """Return who reads the source that is meant, its name and its point ("": all)."""
        owners: dict[str, Unit | SerialUnit] = {
            unit.settings.name: unit for unit in self._fleet.serials()
        }
        for unit in self._fleet.units():
            owners.update((device.name, unit) for device in unit.settings.devices)
        source, point = split(owners, name)
        return owners[source], source, point

    def _pace(self, device: DeviceSettings, point: PointSettings) -> None:
        """Refuse a write too soon after the one before: settings live in memory that wears out."""
        assert point.write is not None
        key, now = (device.name, point.spec.name), self._clock.now()
        wait_s = self._written.get(key, -1e9) + point.write.interval_s - now
        if wait_s > 0:
            raise RefusedError(
                f"{device.name}.{point.spec.name}: written a moment ago; wait {wait_s:.1f} s "
                f"(write_interval_s = {point.write.interval_s:g} spares the device's memory)"
            )
        if len(self._written) >= MAX_WRITTEN:
            self._written.pop(next(iter(self._written)))
        self._written[key] = now

    async def _on_bus(self, unit: Unit, job: Callable[[Bus], R]) -> R:
        """Run a job in the bus's thread, before its next poll."""
        name = unit.settings.name
        try:
            async with asyncio.timeout(JOB_S):
                return await asyncio.wrap_future(unit.thread.submit(job))
        except TimeoutError:
            raise RefusedError(
                f"bus {name}: no turn within {JOB_S:g} s; see `gateway status` for its load"
            ) from None
        except asyncio.CancelledError:
            if unit.thread.ended.done():
                raise RefusedError(f"bus {name}: is being restarted; try again") from None
            raise
        except RuntimeError as error:
            raise RefusedError(str(error)) from None
