"""Whether the centre can be told of everything that a config polls.

Owns the one limit that no key shows by itself: all points of a gateway are announced in one schema
(`docs/protocol.md` §Limits). Never reads a file.
"""

from gateway.config.agent import AgentSettings
from gateway.modbus.rtu import timing
from gateway.polling.device import DevicePolling
from gateway.reading import Schema
from gateway.wire.limits import MAX_BLOCKS, MAX_SCHEMA_BODY
from gateway.wire.rows import encode_schema

RESERVE = 4096
"""Bytes left for what is no bus: serial sources and the host's own readings."""


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
