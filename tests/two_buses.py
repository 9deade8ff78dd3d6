"""A site with two buses as real processes: each bus a counting device behind a by-id link.

Owns plugging adapters in and out (a pty that is closed, a link that is gone) and asking the centre
what was stored. Each device's point `answer` is the number of its answer, so nothing is lost or
made twice without being seen.
"""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.rig import CountingDevice, Daemon
from tests.site import GATEWAY_ID, Site, wait_for

INTERVAL_S = 0.1
BUS = """
[[bus]]
name = "bus{number}"
port = "{port}"
baud = 115200
parity = "none"

[[bus.device]]
name = "device{number}"
unit_id = 1
timeout_s = 1.0
retries = 0
poll_interval_s = {interval_s}

[[bus.device.point]]
name = "answer"
table = "holding"
address = 0
type = "u32"
"""


@dataclass(slots=True)
class TwoBuses:
    """The site. `devices` by bus number, 1 and 2."""

    site: Site
    agent: Daemon
    centre: Daemon
    links: dict[int, Path]
    devices: dict[int, CountingDevice] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The agent's file."""
        return self.site.directory / "gateway.toml"

    def plug(self, number: int) -> None:
        """Put an adapter in: a new pty, under the same lasting name."""
        self.devices[number] = device = CountingDevice().start()
        self.links[number].symlink_to(device.port)

    def unplug(self, number: int) -> None:
        """Pull the adapter out: its device node and its name are gone."""
        self.links[number].unlink()
        self.devices[number].stop()

    def readings(self, number: int) -> list[dict[str, Any]]:
        """Return what the centre has stored of a bus's device, oldest first."""
        path = f"/api/gateways/{GATEWAY_ID}/readings?point=device{number}.answer"
        try:
            found: list[dict[str, Any]] = self.site.api(path)["readings"]
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return []  # the centre has not heard of the gateway, or of the point
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind, oldest first."""
        found = self.site.api(f"/api/gateways/{GATEWAY_ID}/events?limit=1000")
        return [event for event in reversed(found) if event["kind"] == kind]

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions, newest first."""
        found: list[dict[str, Any]] = self.site.api(f"/api/gateways/{GATEWAY_ID}/sessions")
        return found

    def stored(self, number: int, answers: int) -> None:
        """Wait until the device has given so many answers more and the last is stored."""
        device = self.devices[number]
        wanted = len(device.answers) + answers
        wait_for(f"{answers} answers of bus {number}", lambda: len(device.answers) >= wanted)

        def is_stored() -> bool:
            return any((one["value"] or -1) >= wanted - 1 for one in self.readings(number)[-50:])

        wait_for(f"answer {wanted - 1} of bus {number} in the store", is_stored)


def answers(port: int) -> bool:
    """Say whether somebody listens at a port of this machine."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1.0).close()
        return True
    return False


@contextlib.contextmanager
def two_buses(directory: Path, control: bool = True) -> Iterator[TwoBuses]:
    """Start the site, wait until both buses are stored, stop it at the end.

    `control`: the agent has its control socket.
    """
    by_id = directory / "by-id"
    by_id.mkdir()
    links = {number: by_id / f"usb-adapter-{number}" for number in (1, 2)}
    toml = "".join(
        BUS.format(number=number, port=link, interval_s=INTERVAL_S)
        for number, link in links.items()
    )
    site = Site(directory, bus_toml=toml).write()
    if not control:
        config = directory / "gateway.toml"
        config.write_text(config.read_text().replace("[gateway]", '[gateway]\ncontrol = ""'))
    rig = TwoBuses(site, site.agent(), site.centre(), links)
    for number in links:
        rig.plug(number)
    try:
        rig.centre.start()
        wait_for("the centre's API", lambda: answers(site.admin_port))
        rig.agent.start()
        for number in links:
            rig.stored(number, 3)
        yield rig
    finally:
        for daemon in (rig.agent, rig.centre):
            if daemon.running:
                daemon.stop()
        for device in rig.devices.values():
            with contextlib.suppress(OSError):
                device.stop()


def missing(rig: TwoBuses, number: int) -> set[int]:
    """Return the answers a device gave, but for the last second's, that are not stored."""
    given = rig.devices[number].answers
    settled = {n for n, at in enumerate(given) if at < given[-1] - 1_000_000_000}
    return settled - {one["value"] for one in rig.readings(number)}
