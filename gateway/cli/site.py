"""How a live command reaches the devices: through the running agent, else by its own hands.

Owns that choice. While an agent listens at the control socket nothing else is used: two programs on
one port hear each other's replies. Without one the command opens the port itself, with the config.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.agent.bus import Bus
from gateway.agent.bus_jobs import find
from gateway.config.agent import AgentSettings, BusSettings, DeviceSettings, PointSettings
from gateway.errors import ConfigError, PortLostError, RefusedError
from gateway.process.clock import Clock
from gateway.process.control_client import ControlClient, NoAgentError, control_path
from gateway.process.files import load_agent
from gateway.process.port_owner import port_owner

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")

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

    def on_bus(self, name: str, job: Callable[[Bus, DeviceSettings, PointSettings | None], R]) -> R:
        """Open the port of the device (or point) `name` and do a job there. No agent runs."""
        if self.settings is None:
            raise self.problem or ConfigError("no config")
        owners: dict[str, tuple[BusSettings, DeviceSettings]] = {
            device.name: (bus, device) for bus in self.settings.buses for device in bus.devices
        }
        device, point = find({key: device for key, (_, device) in owners.items()}, name)
        with _opened(owners[device.name][0]) as bus:
            return job(bus, device, point)


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
        owner = port_owner(settings.port)
        if owner is None:
            raise
        raise RefusedError(f"{error}; pid {owner.pid} ({owner.command}) has it open") from error
    try:
        yield bus
    finally:
        bus.close()
