"""What can be said of a config file before it is used: its problems, doubts and what it asks for.

Owns judging one file whole: what it says, the files it names, the ports of this machine, the load
of each bus, what the centre can be told. `check` prints a verdict, `edit` acts on it. Never changes
anything.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.agent.spool.opening import DEFAULT_BYTES, DEFAULT_SHARE
from gateway.cli.forecast import forecast
from gateway.config import centre
from gateway.config.agent import AgentSettings, BusSettings
from gateway.config.centre import CentreSettings
from gateway.config.positions import Path as KeyPath
from gateway.config.positions import key_positions
from gateway.config.problems import Problem, nearest
from gateway.modbus.point import Table
from gateway.polling.load import USUAL_TURNAROUND_S, BusLoad, GroupLoad, bus_load
from gateway.process.adapters import is_there, lasting_name, lasting_names
from gateway.process.clock import HostFiles
from gateway.process.files import Profiles, read_agent, read_text, uplink_files
from gateway.process.fit import CURE_LOAD, largest_text, overload, too_much, wire_text

WARN_SHARE = 0.8
WORTH_SAYING = 0.8
"""Gathering readings for a second is mentioned when it leaves less than this of the bytes."""
MAX_LISTED = 8
"""Groups of a bus that the summary shows, and blocks of a group."""
_HEADER = re.compile(r"^[ \t]*\[\[?[ \t]*([A-Za-z0-9_-]+)", re.MULTILINE)
_AGENT_TABLES = frozenset({"gateway", "uplink", "bus", "spool", "metrics", "serial", "host"})
_CENTRE_TABLES = frozenset({"centre", "tls", "link", "store", "admin", "drain"})
_TABLES = {
    Table.COIL: "coil",
    Table.DISCRETE: "discrete",
    Table.HOLDING: "holding",
    Table.INPUT: "input",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`settings` is ``None`` when there are problems. `summary`: lines for a person."""

    settings: AgentSettings | CentreSettings | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    summary: tuple[str, ...] = ()


def judge(
    path: Path, profiles: Profiles, host: HostFiles | None = None, name: str | None = None
) -> Verdict:
    """Judge a file; `name` is what messages call it. Raises: ConfigError if it cannot be read."""
    text = read_text(path)
    name = str(path) if name is None else name
    if _is_centre(text):
        read = centre.parse(text, name)
        return Verdict(read.settings, read.problems, read.warnings)
    parsed = read_agent(path, profiles, name)
    if parsed.settings is None:
        return Verdict(None, parsed.problems, parsed.warnings)
    judging = _Judging(name, text, parsed.settings, HostFiles() if host is None else host)
    judging.warnings.extend(parsed.warnings)
    return judging.verdict()


def _is_centre(text: str) -> bool:
    tables = _HEADER.findall(text)
    agents = sum(table in _AGENT_TABLES for table in tables)
    return sum(table in _CENTRE_TABLES for table in tables) > agents


class _Judging:
    """One file whose text is in order: what only the machine and the sums can show."""

    def __init__(self, name: str, text: str, settings: AgentSettings, host: HostFiles) -> None:
        self.name = name
        self.settings = settings
        self.host = host
        self.places = key_positions(text)
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.loads = [(bus, bus_load(bus)) for bus in settings.buses]

    def verdict(self) -> Verdict:
        self._secrets()
        self._ports()
        for index, (bus, load) in enumerate(self.loads):
            self._load(index, bus, load)
        excess = too_much(self.settings)
        if excess is not None:
            self.problems.append(self._at(("bus",), "bus", *excess))
        return Verdict(
            None if self.problems else self.settings,
            tuple(self.problems),
            tuple(sorted(self.warnings, key=lambda one: (one.line, one.column))),
            tuple(self._summary()),
        )

    def _at(self, path: KeyPath, key: str, found: str, cure: str) -> Problem:
        """Make a problem at the place of a key, or of the nearest table above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return Problem(self.name, *self.places[path[:length]], key, found, cure)
        return Problem(self.name, 1, 1, key, found, cure)

    def _secrets(self) -> None:
        """Look at the files of [uplink]: who may read the secrets, and what is not here."""
        uplink = self.settings.uplink
        for key, secret in uplink_files(uplink):
            path, file = ("uplink", key), secret.path
            if secret.missing:
                found, cure = f"{file} is not on this machine", "put it there, or correct the path"
                self.warnings.append(self._at(path, f"uplink.{key}", found, cure))
            elif secret.fault is not None:
                what, _, cure = secret.fault.partition("; ")
                self.problems.append(self._at(path, f"uplink.{key}", f"{file}: {what}", cure))
        if uplink.token_file is None and uplink.certificate_file is None:
            cure = (
                "add token_file (the centre's `gateway centre token add` makes the token), or put "
                "it beside this file as `token`"
            )
            found = "neither token nor client certificate"
            self.warnings.append(self._at(("uplink",), "uplink", found, cure))

    def _ports(self) -> None:
        """Compare the ports with those of this machine."""
        here = lasting_names(self.host)
        named = [("bus", i, bus.name, bus.port) for i, bus in enumerate(self.settings.buses)]
        serials = enumerate(self.settings.serials)
        named += [("serial", i, source.name, source.port) for i, source in serials]
        for table, index, name, port in named:
            key = f"{table}[{name}].port"
            if not is_there(port, self.host):
                found = f"{port} is not on this machine"
                cure = _port_cure(port, here)
                self.warnings.append(self._at((table, index, "port"), key, found, cure))
                continue
            better = lasting_name(port, self.host)
            for at, warning in enumerate(self.warnings):
                if warning.key == key and better is not None:
                    self.warnings[at] = replace(warning, cure=f'use "{better}", the same adapter')

    def _load(self, index: int, bus: BusSettings, load: BusLoad) -> None:
        path, key = ("bus", index, "baud"), f"bus[{bus.name}]"
        excess = overload(bus, load)
        if excess is not None:
            self.problems.append(self._at(path, key, excess, CURE_LOAD))
        elif load.share > WARN_SHARE:
            then = "polls will be left out" if load.share > 1 else "little is left for retries"
            found = f"{_share(bus, load)}{largest_text(load)}: {then}"
            self.warnings.append(self._at(path, key, found, CURE_LOAD))

    def _summary(self) -> Iterator[str]:
        settings = self.settings
        yield f"gateway {settings.gateway_id} → {settings.uplink.url}"
        for bus, load in self.loads:
            points = sum(len(device.points) for device in bus.devices)
            yield (
                f"bus {bus.name}: devices {len(bus.devices)}, points {points}, blocks "
                f"{load.blocks}, {load.readings:.4g} readings/s in {load.requests:.4g} requests/s"
            )
            yield f"  {_share(bus, load)}"
            yield from (f"  {_group(group)}" for group in load.groups[:MAX_LISTED])
            if len(load.groups) > MAX_LISTED:
                yield f"  … and {len(load.groups) - MAX_LISTED} more"
            for device in bus.devices:
                if device.discover_s is not None:
                    every = f"{device.name} every {device.discover_s:g} s"
                    yield f"  {every}: points found by discovery (SunSpec) are not counted"
        for source in settings.serials:
            said = (
                f"asked every {source.asking.interval_s:g} s"
                if source.asking
                else "talks by itself"
            )
            yield f"serial {source.name}: {source.format}, {said}, points {len(source.points)}"
        day = forecast(settings)
        gathered = forecast(replace(settings, uplink=replace(settings.uplink, batch_s=1.0)))
        less = f" ({_decimal(gathered.network)} with batch_s = 1.0)"
        yield (
            f"uplink: {day.readings:.4g} readings/s with the gateway's own, "
            f"{_decimal(day.messages)} a day in messages, "
            f"about {_decimal(day.network)} with TLS, TCP and acks"
            f"{less if gathered.network < WORTH_SAYING * day.network else ''}"
        )
        quota, why = self._quota()
        days = day.spool_days(quota)
        if days is not None:
            yield f"spool: {_binary(quota)}{why} hold {_days(days)} without the centre"
        unknown = [d.name for bus, _ in self.loads for d in bus.devices if d.discover_s is not None]
        if unknown:
            yield (
                "not counted in load, uplink and spool: points found by discovery "
                f"({', '.join(unknown)}); `gateway status` shows the load once they are found"
            )

    def _quota(self) -> tuple[int, str]:
        """Return how large the spool will be on this machine, and why where it is not said."""
        spool = self.settings.spool
        if spool.max_bytes:
            return spool.max_bytes, ""
        free = shutil.disk_usage(_existing(Path(spool.directory))).free
        return int(min(DEFAULT_BYTES, free * DEFAULT_SHARE)), " (by the space free here)"


def _existing(path: Path) -> Path:
    while not os.path.isdir(path) and path != path.parent:
        path = path.parent
    return path


def _port_cure(port: str, here: tuple[str, ...]) -> str:
    if not here:
        return "plug the adapter in; no serial adapter is seen here (ls /dev/serial/by-id)"
    close = nearest(port, here)
    if close is not None:
        return f'did you mean "{close}"?'
    return "plug the adapter in, or use one that is here: " + ", ".join(here[:MAX_LISTED])


def _share(bus: BusSettings, load: BusLoad) -> str:
    """Say a bus's load: what its characters take, and with answers that begin as usual."""
    return (
        f"load {load.wire:.1%} of what {wire_text(bus)} can carry, {load.share:.1%} "
        f"if each answer begins within {USUAL_TURNAROUND_S * 1000:g} ms"
    )


def _group(group: GroupLoad) -> str:
    """Say what is asked of a device each time: ``meter every 1 s: 39 points in input 0–79``."""
    parts = [
        f"{_TABLES[block.table]} {block.address}"
        + (f"–{block.address + block.count - 1}" if block.count > 1 else "")
        for block in group.blocks[:MAX_LISTED]
    ]
    more = ", …" if len(group.blocks) > MAX_LISTED else ""
    points = f"{group.points} point{'s' * (group.points != 1)}"
    return f"{group.device} every {group.interval_s:g} s: {points} in {', '.join(parts)}{more}"


def _decimal(size: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} bytes"


def _binary(size: float) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1024:.3g} KiB"


def _days(days: float) -> str:
    if days < 1:
        return f"{days * 24:.2g} hours"
    return f"{days:.2g} days" if days < 10 else f"{days:.0f} days"
