"""`gateway watch` while no agent runs: the command polls by itself, and gives way to an agent.

Owns that polling: the same threads and plans as the agent's, without spool, link and journal.
Nothing is stored or sent. As soon as an agent listens the ports are given back to it.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from gateway.agent.bus_thread import SWITCH_INTERVAL_S
from gateway.agent.fleet import Fleet
from gateway.agent.latest import Latest
from gateway.agent.metrics import Metrics
from gateway.agent.port import IN_USE
from gateway.agent.survey import Survey
from gateway.cli.site import Site, owner_text
from gateway.config.agent import AgentSettings, BusSettings
from gateway.config.serial import SerialSettings
from gateway.errors import RefusedError
from gateway.event import Event
from gateway.process.clock import Clock
from gateway.process.control_client import ControlClient
from gateway.process.control_messages import LinkState, Reply, Status
from gateway.reading import Row, Schema

LINK = LinkState(text="no agent runs: nothing is stored or sent")

Units = list[BusSettings | SerialSettings]


class Readings:
    """Takes the place of the agent's recorder: only the last readings are kept."""

    def __init__(self) -> None:
        self.latest = Latest()
        self.count = 0

    def use_schema(self, schema: Schema) -> None:
        """See `agent.fleet.Sink`."""
        self.latest.use_schema(schema)

    def rows(self, rows: Sequence[Row]) -> None:
        """See `agent.fleet.Sink`."""
        self.count += sum(len(row.values) for row in rows)
        self.latest.rows(rows)

    def event(self, event: Event) -> None:
        """See `agent.fleet.Sink`. What it tells is seen in the table, too."""


def wanted(settings: AgentSettings, names: Sequence[str]) -> Units:
    """Return the buses and serial sources that patterns of names ask for; none means all.

    Raises: RefusedError when nothing fits, or there is nothing.
    """
    units: Units = [unit for unit in settings.units if _fits(unit, names)]
    if not units:
        known = [d.name for bus in settings.buses for d in bus.devices]
        known += [source.name for source in settings.serials]
        what = " ".join(names) or "nothing to watch"
        raise RefusedError(f"{what}: the config has {', '.join(known[:20]) or 'no device'}")
    return units


def _fits(unit: BusSettings | SerialSettings, names: Sequence[str]) -> bool:
    if not names:
        return True
    found: list[str] = []
    if isinstance(unit, SerialSettings):
        found = [unit.name, *(f"{unit.name}.{point.name}" for point in unit.points)]
    else:
        for device in unit.devices:
            found.append(device.name)
            found += [f"{device.name}.{point.spec.name}" for point in device.points]
            if device.discover_s is not None and any("." in name for name in names):
                return True  # its points are not known yet
    return any(fnmatchcase(one, name) for one in found for name in names)


async def poll(
    where: Site, names: Sequence[str], every_s: float, show: Callable[[Reply], bool]
) -> ControlClient | None:
    """Poll and `show` updates as a subscription's, until it says stop: then ``None``.

    When an agent begins to listen, its conversation is returned. Raises: ConfigError, RefusedError.
    """
    settings = where.needed()
    units = wanted(settings, names)
    # What is wrong with a port stands in the table, not across it.
    logging.getLogger("gateway").addHandler(logging.NullHandler())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    clock, readings = Clock(), Readings()
    fleet = Fleet(readings, Metrics(), clock)
    survey = Survey(fleet, readings.latest, clock)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(survey.sample(), name="watch.survey")]
            tasks.append(group.create_task(fleet.supervise(), name="watch.fleet"))
            fleet.start(units)
            try:
                return await _updates(where, settings, readings, survey, clock, every_s, show)
            finally:
                for task in tasks:
                    task.cancel()
                await fleet.stop()
    except BaseExceptionGroup as found:  # the reader of our output left, say: no group to others
        raise found.exceptions[0] from None


async def _updates(
    where: Site,
    settings: AgentSettings,
    readings: Readings,
    survey: Survey,
    clock: Clock,
    every_s: float,
    show: Callable[[Reply], bool],
) -> ControlClient | None:
    began, seen, going = clock.now(), -1, True
    while going:
        status = Status(
            settings.gateway_id,
            revision=settings.revision,
            running_s=clock.now() - began,
            link=LINK,
            buses=tuple(
                replace(bus, reason=_with_owner(bus.reason, bus.port)) for bus in survey.buses()
            ),
            readings=readings.count,
            serials=tuple(
                replace(source, reason=_with_owner(source.reason, source.port))
                for source in survey.serials()
            ),
        )
        after, seen = seen, readings.latest.rows_seen
        points = tuple(readings.latest.points(clock.boottime_ns(), after))
        show(Reply(status=status, more=True))
        going = show(Reply(points=points))
        if going:
            await asyncio.sleep(every_s)
            client = where.try_client()
            if client is not None:
                return client
    return None


def _with_owner(reason: str, port: str) -> str:
    """Name who has the port where that is why it is closed."""
    return f"{reason}{owner_text(port)}" if IN_USE in reason else reason
