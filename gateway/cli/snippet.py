"""The part of a config file that a scan ends with: a bus and the devices found on it.

Owns the TOML text; whether it is right, `gateway check` says. Poll intervals are chosen so that the
bus is at most half busy. What was not recognised is a comment that says how to go on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.agent.scanner import Found
from gateway.config.agent import BusSettings, DeviceSettings, PointSettings
from gateway.config.profile import Profile
from gateway.modbus.identify import Certainty
from gateway.modbus.point import REGISTERS, PointSpec
from gateway.modbus.search import Settings
from gateway.polling.load import bus_load

BY_ID = Path("/dev/serial/by-id")
INTERVALS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
BUSY = 0.5
"""Share of the bus's time that the intervals chosen may take."""
_WORD = re.compile(r"[^A-Za-z0-9]+")


def stable_port(port: str, links: Path = BY_ID) -> str:
    """Return the path below /dev/serial/by-id that leads to `port`, or `port` itself."""
    target = Path(port).resolve()
    try:
        found = sorted(link for link in links.iterdir() if link.resolve() == target)
    except OSError:
        found = []
    return str(found[0]) if found else str(Path(port).absolute())


def bus_name(port: str) -> str:
    """Return a name for the bus at `port`: an adapter's serial number, or the device's name."""
    name = Path(port).name
    adapter = re.fullmatch(r"usb-.*_([A-Za-z0-9]{4,})-if\d+.*", name)
    if adapter:
        return f"rs485-{adapter.group(1)[-12:]}"
    word = _WORD.sub("-", str(Path(port).absolute()).removeprefix("/dev/")).strip("-")
    return f"rs485-{word or 'port'}"[:32]


def device_name(bus: str, found: Found, profiles: Mapping[str, Profile | None]) -> str:
    """Return a name for a device: its profile's model (else `device`), its bus, its unit id."""
    profile = profiles.get(found.identity.profile or "")
    if profile is not None:
        text = profile.model
    else:
        text = found.identity.said[-1] if found.identity.points and found.identity.said else ""
    model = _WORD.sub("-", text.lower()).strip("-") or "device"
    return f"{model[:24]}-{bus.removeprefix('rs485-')}-{found.unit_id}"


def snippet(
    port: str, bus: str, found: Sequence[Found], profiles: Mapping[str, Profile | None]
) -> str:
    """Return the TOML of each setting at which devices were found; a bus has only one, so that the
    smaller groups come as comments."""
    groups: dict[Settings, list[Found]] = {}
    for one in sorted(found, key=lambda one: one.unit_id):
        groups.setdefault(one.settings, []).append(one)
    parts: list[str] = []
    for settings, members in sorted(groups.items(), key=lambda group: -len(group[1])):
        text = _bus(port, bus, settings, members, profiles)
        if parts:
            head = (
                f"# Also on this port, but at {settings}: one bus has one setting. Change the "
                f"device's own\n# to that of the bus above, scan again, and remove this.\n"
            )
            text = head + "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())
        parts.append(text)
    return "\n".join(parts)


def _bus(
    port: str,
    bus: str,
    settings: Settings,
    members: Sequence[Found],
    profiles: Mapping[str, Profile | None],
) -> str:
    interval_s = _interval(port, bus, settings, members, profiles)
    lines = [
        f"# {port} at {settings}: found by gateway scan",
        "[[bus]]",
        f'name = "{bus}"',
        f'port = "{port}"',
        f"baud = {settings.baud}",
        f'parity = "{settings.parity}"',
        f"stop_bits = {settings.stop_bits}",
        "",
    ]
    for one in members:
        lines += [*_device(device_name(bus, one, profiles), one, interval_s), ""]
    return "\n".join(lines)


def _device(name: str, one: Found, interval_s: float) -> list[str]:
    identity = one.identity
    said = [f"# says of itself: {', '.join(identity.said)}"] if identity.said else []
    table = [
        "[[bus.device]]",
        f'name = "{name}"',
        f"unit_id = {one.unit_id}",
    ]
    if identity.points:
        lines = [f"# {', '.join(identity.evidence)}", *said, *table]
        lines.append(f"poll_interval_s = {interval_s:g}")
        for spec in identity.points:
            lines += ["", *_point(spec)]
        return lines
    if identity.profile is None:
        example = [
            "# [[bus.device.point]]        # from its manual: docs/commissioning.md",
            '# name = "first"',
            '# table = "holding"',
            "# address = 0",
            '# type = "u16"',
        ]
        head = f"# Unit id {one.unit_id} answers, but no profile fits."
        return [head, *said, *(f"# {line}" for line in table), *example]
    sure = identity.certainty is Certainty.CERTAIN
    evidence = ", ".join(identity.evidence)
    head = f"# {evidence}" if sure else f"# probably: {evidence}"
    if identity.others:
        head += f"; or {', '.join(identity.others)}"
    return [
        head,
        *said,
        *table,
        f'profile = "{identity.profile}"',
        f"poll_interval_s = {interval_s:g}",
    ]


def _point(spec: PointSpec) -> list[str]:
    """Return a point's table, what is at its default left out."""
    lines = [
        "[[bus.device.point]]",
        f'name = "{spec.name}"',
        f'table = "{spec.table.name.lower()}"',
        f"address = {spec.address}",
        f'type = "{spec.type}"',
    ]
    if spec.type not in REGISTERS:
        lines.append(f"registers = {spec.registers}")
    if spec.unit:
        lines.append(f'unit = "{spec.unit}"')
    if spec.scale_register is not None:
        lines.append(f"scale_register = {spec.scale_register}")
    if spec.null_patterns:
        patterns = ", ".join(f"{pattern:#x}" for pattern in spec.null_patterns)
        lines.append(f"null_patterns = [{patterns}]")
    if spec.enum:
        names = ", ".join(f'{code} = "{name}"' for code, name in spec.enum)
        lines.append(f"enum = {{ {names} }}")
    return lines


def _interval(
    port: str,
    bus: str,
    settings: Settings,
    members: Sequence[Found],
    profiles: Mapping[str, Profile | None],
) -> float:
    """Return the shortest usual interval that leaves half of the bus's time."""
    devices = []
    for one in members:
        profile = profiles.get(one.identity.profile or "") or Profile("", one.identity.points)
        points = tuple(PointSettings(spec, INTERVALS_S[0]) for spec in profile.points)
        devices.append(
            DeviceSettings(
                device_name(bus, one, profiles),
                one.unit_id,
                points,
                max_registers=profile.max_registers,
                holes=profile.holes,
            )
        )
    plain = BusSettings(bus, port, settings.baud, settings.parity, settings.stop_bits)
    share = bus_load(replace(plain, devices=tuple(devices))).share
    fits = [one for one in INTERVALS_S if share * INTERVALS_S[0] / one <= BUSY]
    return fits[0] if fits else INTERVALS_S[-1]
