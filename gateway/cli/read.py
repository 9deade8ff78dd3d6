"""`gateway read DEVICE|DEVICE.POINT`: one poll now, raw registers beside values.

Owns what is printed; the poll is `agent.bus_jobs`', in the running agent or here.
"""

import argparse

from gateway.agent.bus_jobs import read_points
from gateway.cli.paint import columns, span, value_text
from gateway.cli.site import Site, add_site_arguments, site
from gateway.errors import RemoteProtocolError
from gateway.process.control_messages import PointRead, ReadResult, Request

EXIT_OK, EXIT_UNREAD = 0, 1
_ARROWS = {"out": "→", "in": "←"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to read."""
    parser.add_argument("name", metavar="DEVICE[.POINT]", help="a device of the config, or a point")
    parser.add_argument("--frames", action="store_true", help="show the frames in hex")
    add_site_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Read and print; status 1 when nothing at all could be read."""
    result, through = read(site(args), args.name)
    for line in lines(result, through):
        print(line)
    if args.frames:
        print("\n".join(frame_lines(result.frames)))
    return EXIT_OK if any(point.registers for point in result.points) else EXIT_UNREAD


def read(where: Site, name: str) -> tuple[ReadResult, str]:
    """Read through the agent, or on the port itself; return the result and which it was."""
    client = where.try_client()
    if client is None:
        return where.on_bus(
            name,
            lambda bus, device, point: read_points(
                bus, device, [one.spec for one in (device.points if point is None else (point,))]
            ),
        ), "the port itself: no agent runs"
    with client:
        reply = client.ask(Request("read", name))
    if reply.read is None:
        raise RemoteProtocolError("the agent answered something else; is it of this version?")
    return reply.read, "the running agent"


def lines(result: ReadResult, through: str) -> list[str]:
    """Return the result as a table."""
    head = (
        f"{result.device}, unit id {result.unit_id} on {result.bus}, "
        f"read in {span(result.took_s)} through {through}"
    )
    rows = [("point", "value", "unit", "quality", "table", "address", "registers")]
    rows += [_row(point) for point in result.points]
    return [head, *columns(rows, right=(1, 5))]


def _row(point: PointRead) -> tuple[str, str, str, str, str, str, str]:
    quality = point.quality if not point.cause else f"{point.quality}: {point.cause}"
    return (
        point.name,
        value_text(point.value, "" if point.decimals is None else f"d{point.decimals}"),
        point.unit,
        quality,
        point.table,
        f"{point.address:#06x}",
        registers_text(point),
    )


def registers_text(point: PointRead) -> str:
    """Return the raw registers in hex (a bit as it is), or why there are none."""
    if not point.registers:
        return point.text
    if point.table in ("coil", "discrete"):
        return str(point.registers[0])
    return " ".join(f"{word:04x}" for word in point.registers)


def frame_lines(frames: tuple[tuple[str, str], ...]) -> list[str]:
    """Return frames with the way they went: → to the device, ← from it."""
    return [f"{_ARROWS.get(way, '?')} {text}" for way, text in frames]
