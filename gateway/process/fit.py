"""Whether a config asks for more than there is: of the centre's announcement, of a bus's time.

Owns the two limits that no key shows by itself: all points of a gateway are announced in one schema
(`docs/protocol.md` §Limits), and a bus carries no more than its baud rate. Never reads a file.
"""

from gateway.config.agent import AgentSettings, BusSettings
from gateway.modbus.rtu import timing
from gateway.polling.device import DevicePolling
from gateway.polling.load import BusLoad, bus_load
from gateway.reading import Schema
from gateway.wire.limits import MAX_BLOCKS, MAX_SCHEMA_BODY
from gateway.wire.rows import encode_schema

RESERVE = 4096
"""Bytes left for what is no bus: serial sources and the host's own readings."""
CURE_LOAD = "raise poll_interval_s or baud, or choose fewer points"


def pollings(settings: AgentSettings) -> tuple[DevicePolling, ...]:
    """Return every device of the buses with the schema blocks the agent will announce for it."""
    devices: list[DevicePolling] = []
    first = 0
    for bus in settings.buses:
        wire = timing(bus.baud, bus.character_s)
        for device in bus.devices:
            polling = DevicePolling(device, wire.character_s, wire.silence_s, 0.0, first)
            first += len(polling.blocks)
            devices.append(polling)
    return tuple(devices)


def too_much(settings: AgentSettings) -> tuple[str, str] | None:
    """Return what is too much, and the cure; ``None``: everything can be announced."""
    blocks = tuple(block.schema for device in pollings(settings) for block in device.blocks)
    points = sum(len(block.points) for block in blocks)
    cure = "choose fewer points (`points = [...]`), or divide the buses between two gateways"
    try:
        size = len(encode_schema(Schema(blocks)))
    except ValueError:
        size = MAX_SCHEMA_BODY
    if size + RESERVE <= MAX_SCHEMA_BODY and len(blocks) < MAX_BLOCKS:
        return None
    return f"{points} points are more than one gateway can announce", cure


def overload(bus: BusSettings, load: BusLoad) -> str | None:
    """Say by how much a bus's polls alone are more than its baud rate carries; ``None``: they fit.

    Past that no device, however quick, makes the intervals true: `check`, `edit` and a reload
    refuse the file. A start does not: readings that come too seldom are better than none.
    """
    if load.wire <= 1.0:
        return None
    return f"needs {load.wire:.0%} of what {wire_text(bus)} can carry{largest_text(load)}"


def overloads(settings: AgentSettings) -> tuple[str, ...]:
    """Return a line for each bus whose polls cannot fit, with the cure."""
    found = ((bus.name, overload(bus, bus_load(bus))) for bus in settings.buses)
    return tuple(f"bus[{name}]: {text}; {CURE_LOAD}" for name, text in found if text is not None)


def wire_text(bus: BusSettings) -> str:
    """Return how a bus is set: ``9600 baud 8N1``."""
    return f"{bus.baud} baud 8{bus.parity[0].upper()}{bus.stop_bits}"


def largest_text(load: BusLoad) -> str:
    """Say which group takes most of a bus's time, where there are several."""
    if len(load.groups) < 2:
        return ""
    most = max(load.groups, key=lambda group: group.share)
    return f" (most of it: {most.device} every {most.interval_s:g} s)"
