"""How the buses and serial sources are right now, as a technician's commands show it.

Owns putting the numbers of their threads together with the last readings; decides nothing. Used by
the running agent's desk and by a command that polls by itself while no agent runs.
"""

import asyncio

from gateway.agent.fleet import Fleet, SerialUnit, Unit
from gateway.agent.latest import Latest
from gateway.config.agent import DeviceSettings
from gateway.polling.load import bus_load
from gateway.process.clock import Clock
from gateway.process.control_messages import BusState, DeviceState, SerialState

SAMPLE_S = 2.0
"""How often the buses' use is looked at; the share shown is that of the last interval."""


class Survey:
    """Looks at a fleet. `sample` must run for the shares of bus time to be known."""

    def __init__(self, fleet: Fleet, latest: Latest, clock: Clock) -> None:
        self._fleet = fleet
        self._latest = latest
        self._clock = clock
        self._busy: dict[str, tuple[float, float]] = {}
        self._share: dict[str, float] = {}
        self._planned: dict[str, tuple[tuple[DeviceSettings, ...], float]] = {}

    async def sample(self) -> None:
        """Follow how much of their time the buses are used, until cancelled."""
        while True:
            now = self._clock.now()
            for unit in self._fleet.units():
                name, busy_s = unit.settings.name, unit.bus.stats.busy_s
                since, before_s = self._busy.get(name, (now, busy_s))
                if now > since and busy_s >= before_s:
                    self._share[name] = min(1.0, (busy_s - before_s) / (now - since))
                self._busy[name] = (now, busy_s)
            await asyncio.sleep(SAMPLE_S)

    def buses(self) -> tuple[BusState, ...]:
        """Return every bus with its devices."""
        health, ages = self._latest.health(), self._good_ages()
        return tuple(self._bus(unit, health, ages) for unit in self._fleet.units())

    def serials(self) -> tuple[SerialState, ...]:
        """Return every plain serial source."""
        health, ages = self._latest.health(), self._good_ages()
        return tuple(self._serial(unit, health, ages) for unit in self._fleet.serials())

    def _good_ages(self) -> dict[str, float]:
        now_ns = self._clock.boottime_ns()
        return {name: (now_ns - at) / 1e9 for name, at in self._latest.good_ns().items()}

    def _bus(self, unit: Unit, health: dict[str, str], ages: dict[str, float]) -> BusState:
        settings, bus = unit.settings, unit.bus
        turnarounds = {
            dict(sample.labels).get("device"): sample.value
            for sample in unit.poller.samples()
            if sample.name == "gateway_device_turnaround_seconds"
        }
        devices = tuple(
            DeviceState(
                device.name,
                device.unit_id,
                device.profile or "",
                health.get(device.name, ""),
                turnarounds.get(device.name),
                ages.get(device.name),
                len(device.points),
                device.discover_s is not None,
            )
            for device in unit.poller.devices
        )
        stats = bus.stats
        return BusState(
            settings.name,
            settings.port,
            settings.baud,
            bus.is_open,
            "" if bus.is_open else bus.lost_reason,
            self._plan(unit),
            self._share.get(settings.name, 0.0),
            stats.transactions,
            stats.no_replies,
            stats.bad_frames,
            stats.exceptions,
            devices,
            unit.poller.counters.skipped,
        )

    def _plan(self, unit: Unit) -> float:
        """Return the share of a bus's time that its polls ask for; planned anew when points were
        found."""
        name, devices = unit.settings.name, unit.poller.devices
        known = self._planned.get(name)
        if known is None or known[0] != devices:
            known = self._planned[name] = (devices, bus_load(unit.known_settings).share)
        return known[1]

    def _serial(
        self, unit: SerialUnit, health: dict[str, str], ages: dict[str, float]
    ) -> SerialState:
        settings, reader = unit.settings, unit.poller
        counters = reader.counters
        return SerialState(
            settings.name,
            settings.port,
            settings.baud,
            settings.format,
            None if settings.asking is None else settings.asking.interval_s,
            reader.is_open,
            "" if reader.is_open else reader.lost_reason,
            health.get(settings.name, ""),
            ages.get(settings.name),
            len(settings.points),
            counters.lines,
            counters.bytes,
            counters.questions,
            counters.unanswered,
            counters.silent,
            tuple((kind.value, count) for kind, count in tuple(counters.faults.items())),
        )
