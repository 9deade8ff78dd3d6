"""`gateway write DEVICE.POINT VALUE`: write a point that the config marks writable, and read back.

Owns what is printed; limits and the write are `agent.bus_jobs`', in the running agent or here.
"""

import argparse

from gateway.agent.bus import Bus
from gateway.agent.bus_jobs import write_value
from gateway.cli.paint import value_text
from gateway.cli.read import frame_lines, registers_text
from gateway.cli.site import Site, add_site_arguments, site
from gateway.config.agent import DeviceSettings, PointSettings
from gateway.errors import RefusedError, RemoteProtocolError
from gateway.process.control_messages import PointRead, Request, WriteResult

EXIT_OK, EXIT_DIFFERS = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the point and its value."""
    parser.add_argument("name", metavar="DEVICE.POINT", help="a point with writable = true")
    parser.add_argument("value", metavar="VALUE", help="a number, on or off, a name of an enum")
    parser.add_argument("--frames", action="store_true", help="show the frames in hex")
    add_site_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write and print; status 1 when what was read back is something else."""
    result = write(site(args), args.name, args.value)
    for line in lines(args.name, args.value, result):
        print(line)
    if args.frames:
        print("\n".join(frame_lines(result.frames)))
    return EXIT_OK if result.agrees else EXIT_DIFFERS


def write(where: Site, name: str, value: str) -> WriteResult:
    """Write through the agent, or on the port itself when none runs."""
    client = where.try_client()
    if client is not None:
        with client:
            reply = client.ask(Request("write", name, value))
        if reply.write is None:
            raise RemoteProtocolError("the agent answered something else; is it of this version?")
        return reply.write

    def job(bus: Bus, device: DeviceSettings, point: PointSettings | None) -> WriteResult:
        if point is None:
            raise RefusedError(f"{name}: is a device; name one of its points, {name}.POINT")
        return write_value(bus, device, point, value)

    return where.on_bus(name, job)


def lines(name: str, value: str, result: WriteResult) -> list[str]:
    """Return what was written, what was there before, what is there now."""
    words = " ".join(f"{word:04x}" for word in result.registers)
    verdict = "as written" if result.agrees else _differs(result.after)
    told = "the centre is told" if result.told else "no agent runs: the centre is not told"
    return [
        f"{name} on {result.bus}, unit id {result.unit_id}, function {result.function}",
        f"before     {_shown(result.before)}",
        f"written    {value} ({words})",
        f"read back  {_shown(result.after)}: {verdict}",
        told,
    ]


def _shown(point: PointRead) -> str:
    if not point.registers:
        return f"not read: {point.text}"
    return f"{value_text(point.value)} {point.unit}".rstrip() + f" ({registers_text(point)})"


def _differs(after: PointRead) -> str:
    if not after.registers:
        return "cannot be read back; see the device itself"
    return (
        "NOT as written; the device took the request and kept its value: is it locked "
        "(a selector, a password), or does it round?"
    )
