"""How a live command reaches the devices: through the running agent, else by its own hands.

Owns that choice. While an agent listens at the control socket nothing else is used: two programs on
one port hear each other's replies. Without one the command opens the port itself, with the config.
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.agent.bus import Bus
from gateway.agent.bus_jobs import point_of, split, with_points
from gateway.agent.latest import Latest
from gateway.agent.serial_reader import SerialReader
from gateway.agent.source_jobs import LOOK_S, check_point, source_read
from gateway.config.agent import AgentSettings, BusSettings, DeviceSettings, PointSettings
from gateway.config.serial import SerialSettings
from gateway.errors import ConfigError, PortLostError, RefusedError
from gateway.process.clock import Clock
from gateway.process.control_client import ControlClient, NoAgentError, control_path
from gateway.process.control_messages import SourceRead
from gateway.process.files import load_agent
from gateway.process.port_owner import port_owner
from gateway.reading import Schema

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")
STOP_S = 2.0

R = TypeVar("R")


def add_site_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the config file, and the socket for those who may not read it."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="the agent's config file (default %(default)s)",
    )
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="the agent's control socket, if not the usual"
    )


@dataclass(frozen=True, slots=True)
class Site:
    """What is known of the agent: its settings (``None``: the file cannot be used now, `problem`
    says why) and where it listens."""

    settings: AgentSettings | None
    socket: Path | None
    problem: ConfigError | None

    def client(self) -> ControlClient:
        """Return a conversation with the running agent. Raises: NoAgentError."""
        if self.socket is None:
            raise NoAgentError('the config has gateway.control = "": the agent has no socket')
        return ControlClient(self.socket)

    def try_client(self) -> ControlClient | None:
        """Return a conversation with the running agent, ``None`` when none listens."""
        try:
            return self.client()
        except NoAgentError:
            return None

    def needed(self) -> AgentSettings:
        """Return the settings, which a command without an agent cannot do without."""
        if self.settings is None:
            raise self.problem or ConfigError("no config")
        return self.settings

    def find(self, name: str) -> tuple[BusSettings | SerialSettings, str, str]:
        """Return the bus or serial source that reads `name`, its source and its point ("": all).

        Raises: RefusedError when there is none.
        """
        settings = self.needed()
        owners: dict[str, BusSettings | SerialSettings] = {
            one.name: one for one in settings.serials
        }
        for bus in settings.buses:
            owners.update((device.name, bus) for device in bus.devices)
        source, point = split(owners, name)
        return owners[source], source, point

    def on_bus(self, name: str, job: Callable[[Bus, DeviceSettings, PointSettings | None], R]) -> R:
        """Open the port of the device (or point) `name` and do a job there. No agent runs."""
        settings, source, wanted = self.find(name)
        if not isinstance(settings, BusSettings):
            raise RefusedError(f"{name}: {source} is a plain serial source, which is only read")
        device = next(device for device in settings.devices if device.name == source)
        if device.discover_s is None:
            point_of(device, wanted)  # a wrong name is told before the port is touched
        with _opened(settings) as bus:
            known = with_points(bus, device)
            return job(bus, known, point_of(known, wanted))

    def on_source(self, name: str, wait_s: float) -> SourceRead:
        """Open the port of the serial source (or point) `name` and hear what it says.

        One that talks by itself has `wait_s` to do so. No agent runs.
        """
        settings, _, point = self.find(name)
        assert isinstance(settings, SerialSettings)
        check_point(settings, point)
        return hear(settings, point, wait_s)


def site(args: argparse.Namespace) -> Site:
    """Return what the arguments say; a file with problems does not keep live commands away."""
    settings: AgentSettings | None = None
    problem: ConfigError | None = None
    try:
        settings = load_agent(args.config)
    except ConfigError as error:
        problem = error
    return Site(settings, args.socket or control_path(settings), problem)


@contextlib.contextmanager
def _opened(settings: BusSettings) -> Iterator[Bus]:
    bus = Bus(settings, Clock())
    try:
        bus.open()
    except PortLostError as error:
        raise RefusedError(f"{error}{owner_text(settings.port)}") from error
    try:
        yield bus
    finally:
        bus.close()


def hear(settings: SerialSettings, point: str, wait_s: float) -> SourceRead:
    """Read a serial source by our own hands until every point has a reading.

    Raises: RefusedError when the port cannot be opened.
    """
    clock, latest = Clock(), Latest()
    reader = SerialReader(settings, clock, lambda _, rows: latest.rows(rows), lambda _: None)
    latest.use_schema(Schema(reader.schema_blocks))
    began, began_ns = clock.now(), clock.boottime_ns()
    until = began + (wait_s if settings.asking is None else settings.asking.timeout_s + wait_s)
    reader.start()
    lost = ""
    try:
        while clock.now() < until and not latest.read_since(settings.name, began_ns):
            time.sleep(LOOK_S)
        lost = "" if reader.is_open else reader.lost_reason
    finally:
        reader.stop()
        reader.join(STOP_S)
    if lost:
        raise RefusedError(f"{lost}{owner_text(settings.port)}")
    return source_read(reader, latest, clock, point, settings.asking is not None, began)


def owner_text(port: str) -> str:
    """Name who has a port open, as far as that can be seen; "" if nobody is seen."""
    owner = port_owner(port)
    return "" if owner is None else f"; pid {owner.pid} ({owner.command}) has it open"
