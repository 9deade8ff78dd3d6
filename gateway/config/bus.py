"""Settings of the buses: `[[bus]]`, `[[bus.device]]`, `[[bus.device.point]]`.

Owns these settings' types and reading, with a device's profile applied: what comes out needs no
profile any more. Never knows the rest of the file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.document import Section
from gateway.config.points import (
    NAME,
    NAME_EXPECTED,
    PointDefaults,
    parse_point,
    source_name,
    unknown_point,
)
from gateway.config.problems import did_you_mean, shown
from gateway.config.profile import (
    BAUDS,
    MAX_POINTS,
    PARITIES,
    Profile,
    check_readable,
    parse_holes,
)
from gateway.config.writes import WriteLimits, parse_write
from gateway.modbus.point import MAX_READ_REGISTERS, PointSpec
from gateway.modbus.sunspec import MODELS

MAX_BUSES = 64
MAX_DEVICES = 247
MIN_INTERVAL_S = 0.01
MAX_INTERVAL_S = 86400.0
DEFAULT_INTERVAL_S = 1.0
SUNSPEC = "sunspec"
"""The profile that stands for "ask the device": its SunSpec models say which points there are."""
DISCOVERED = Profile(SUNSPEC, ())
SUNSPEC_POINTS = tuple(
    dict.fromkeys(f"{name}.{field.name}" for name, fields in MODELS.values() for field in fields)
)


@dataclass(frozen=True, slots=True)
class PointSettings:
    """A point to poll: what to read and how often. `write`: ``None`` for read only."""

    spec: PointSpec
    poll_interval_s: float
    write: WriteLimits | None = None


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """`[[bus.device]]` with its profile applied.

    `holes`: (table function code, first, last) address ranges that must never be read (marked by
    the profile).
    `max_registers`: longest read the device takes. `shape_step`: registers by which a read may be
    lengthened so that two requests differ in shape (2 on word-aligned meters, 0 forbids it).
    `discover_s`: the points are asked of the device itself (SunSpec) and then polled this often;
    `discover_only`: those wanted, empty for all.
    """

    name: str
    unit_id: int
    points: tuple[PointSettings, ...]
    profile: str | None = None
    timeout_s: float | None = None
    retries: int = 1
    max_registers: int = 125
    holes: tuple[tuple[int, int, int], ...] = ()
    shape_step: int = 1
    discover_s: float | None = None
    discover_only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BusSettings:
    """`[[bus]]`: one RS-485 pair. `strict_end`: devices pause inside frames, take no credit for
    early ends."""

    name: str
    port: str
    baud: int = 19200
    parity: str = "even"
    stop_bits: int = 1
    strict_end: bool = False
    devices: tuple[DeviceSettings, ...] = ()

    @property
    def character_s(self) -> float:
        """Seconds one character takes: start, 8 data, parity, stop bits."""
        return (9 + (self.parity != "none") + self.stop_bits) / self.baud


def parse_buses(root: Section, profiles: Mapping[str, Profile | None]) -> tuple[BusSettings, ...]:
    """Read every ``[[bus]]``. A profile that is ``None`` is there but has problems of its own."""
    buses = []
    names = _Unique("name", "bus")
    ports = _Unique("port", "bus")
    devices = _Unique("name", "device")
    for section in root.sections("bus", MAX_BUSES):
        bus = _bus(section, profiles, devices)
        names.check(section, bus.name)
        ports.check(section, bus.port)
        buses.append(bus)
    return tuple(buses)


class _Unique:
    """Notes a value that two tables share, with the line of the first."""

    def __init__(self, key: str, what: str) -> None:
        self._key = key
        self._what = what
        self._seen: dict[object, int] = {}

    def check(self, section: Section, value: object) -> None:
        if value == "" or section.values.get(self._key) != value:
            return  # missing, or wrong and noted already
        if value in self._seen:
            found = f"found {shown(value)}, already taken in line {self._seen[value]}"
            section.problem(self._key, found, f"give each {self._what} its own {self._key}")
            return
        self._seen[value] = section.document.place((*section.path, self._key))[0]


def _bus(section: Section, profiles: Mapping[str, Profile | None], names: _Unique) -> BusSettings:
    name = section.text("name", "", required=True, pattern=NAME, expected=NAME_EXPECTED)
    port = section.text(
        "port", "", required=True, pattern=r"/.+", expected='a device path, "/dev/serial/by-id/…"'
    )
    if re.fullmatch(r"/dev/tty(USB|ACM)[0-9]+", port):
        section.warning(
            "port",
            f"{port} can be another adapter after the next start",
            "use the path below /dev/serial/by-id/ that leads to it",
        )
    plain = BusSettings(name, port)
    baud = section.integer("baud", plain.baud, low=0, high=10**6, choices=BAUDS, unit="baud")
    parity = section.text("parity", plain.parity, choices=PARITIES)
    stop_bits = section.integer("stop_bits", plain.stop_bits, low=1, high=2)
    strict_end = section.flag("strict_end", plain.strict_end)
    unit_ids = _Unique("unit_id", "device of a bus")
    devices = []
    for table in section.sections("device", MAX_DEVICES):
        device = _device(table, profiles)
        names.check(table, device.name)
        unit_ids.check(table, device.unit_id)
        devices.append(device)
    if "device" not in section:
        section.warning("", "this bus has no devices", "add [[bus.device]] tables")
    section.close()
    return BusSettings(name, port, baud, parity, stop_bits, strict_end, tuple(devices))


def _device(section: Section, profiles: Mapping[str, Profile | None]) -> DeviceSettings:
    problems_before = len(section.document.problems.problems)
    name = source_name(section)
    unit_id = section.integer("unit_id", 1, low=1, high=247, required=True)
    profile = _profile(section, profiles)
    base = profile or Profile("", ())
    holes = base.holes + parse_holes(section)
    max_registers = section.integer(
        "max_registers", base.max_registers, low=1, high=MAX_READ_REGISTERS
    )
    interval_s = _interval(section, DEFAULT_INTERVAL_S)
    timeout_s = section.number("timeout_s", None, low=0.005, high=30.0, unit="seconds")
    retries = section.integer("retries", 1, low=0, high=10)
    shape_step = section.integer("shape_step", base.shape_step, low=0, high=8)
    discovered = profile is DISCOVERED
    only = _discovered_points(section) if discovered else ()
    points = () if discovered else _points(section, base, interval_s, max_registers, holes)
    section.close()
    if not points and not discovered and len(section.document.problems.problems) == problems_before:
        section.problem("", "no points to read", 'add profile = "…" or [[bus.device.point]] tables')
    return DeviceSettings(
        name,
        unit_id,
        points,
        profile.name if profile else None,
        timeout_s,
        retries,
        max_registers,
        holes,
        shape_step,
        interval_s if discovered else None,
        only,
    )


def _discovered_points(section: Section) -> tuple[str, ...]:
    """Return which of the points that SunSpec's models can have are wanted; empty: all."""
    chosen = section.texts("points", f'names of points, ["{SUNSPEC_POINTS[0]}"]', MAX_POINTS) or ()
    for name in chosen:
        if re.sub(r"^([a-z]+)[0-9]+\.", r"\1.", name) not in SUNSPEC_POINTS:
            unknown_point(section, "points", name, SUNSPEC_POINTS)
    if "point" in section:
        section.note_asked("point")
        cure = "leave it out, or describe the device by [[bus.device.point]] tables alone"
        section.problem("point", "the device itself says its points (SunSpec)", cure)
    return chosen


def _profile(section: Section, profiles: Mapping[str, Profile | None]) -> Profile | None:
    name = section.text("profile", None)
    if name is None:
        return None
    if name == SUNSPEC and name not in profiles:
        return DISCOVERED
    if name not in profiles:
        known = (*profiles, SUNSPEC)
        section.problem("profile", f"found {shown(name)}", did_you_mean(name, known, "profiles"))
        return None
    profile = profiles[name]
    if profile is None:
        cure = "correct the profile's own file: its problems are listed too"
        section.problem("profile", f"the profile {shown(name)} has problems", cure)
    return profile


def _interval(section: Section, default: float) -> float:
    return section.number(
        "poll_interval_s", default, low=MIN_INTERVAL_S, high=MAX_INTERVAL_S, unit="seconds"
    )


def _points(
    section: Section,
    base: Profile,
    interval_s: float,
    max_registers: int,
    holes: tuple[tuple[int, int, int], ...],
) -> tuple[PointSettings, ...]:
    """Return the profile's points (those chosen), then the device's own, in order."""
    known = tuple(spec.name for spec in base.points)
    chosen = section.texts("points", 'names of points of the profile, ["voltage_l1"]', MAX_POINTS)
    for name in chosen or ():
        if name not in known:
            unknown_point(section, "points", name, known)
    points = {
        spec.name: PointSettings(spec, interval_s)
        for spec in base.points
        if chosen is None or spec.name in chosen
    }
    own: set[str] = set()
    for table in section.sections("point", MAX_POINTS):
        given = table.values.get("name")
        of_profile = base.point(given) if isinstance(given, str) else None
        spec = parse_point(table, of_profile, PointDefaults())
        point = PointSettings(spec, _interval(table, interval_s), parse_write(table, spec))
        table.close()
        check_readable(table, spec, max_registers, holes)
        if spec.name and spec.name in own:
            table.problem("name", f"found {shown(spec.name)} again", "give each point its name")
        own.add(spec.name)
        points[spec.name] = point
    return tuple(points.values())
