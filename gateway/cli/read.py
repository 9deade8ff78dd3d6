"""`gateway read SOURCE[.POINT]`: a device polled now, raw registers beside values; a plain serial
source heard now, its bytes beside values.

Owns what is printed; the poll is `agent.bus_jobs`', in the running agent or here.
"""

import argparse

from gateway.agent.bus_jobs import read_points
from gateway.cli.paint import columns, span, value_text
from gateway.cli.site import Site, add_site_arguments, site
from gateway.config.serial import SerialSettings
from gateway.errors import ConfigError, RemoteProtocolError
from gateway.process.control_messages import PointRead, PointState, ReadResult, Request, SourceRead

EXIT_OK, EXIT_UNREAD = 0, 1
WAIT_S = 15.0
"""How long a source that talks by itself has to say something when no agent runs: more than the
10 s at which the slow ones of the field talk."""
MAX_WAIT_S = 600.0
_ARROWS = {"out": "→", "in": "←"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to read."""
    parser.add_argument(
        "name",
        metavar="SOURCE[.POINT]",
        help="a device or a serial source of the config, or a point of one",
    )
    parser.add_argument(
        "--frames", action="store_true", help="show the frames in hex, a serial source's as text"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="S",
        help="how long a serial source that talks by itself has, when no agent runs (default 15)",
    )
    add_site_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Read and print; status 1 when nothing at all could be read."""
    if not 0 < args.wait <= MAX_WAIT_S:
        raise ConfigError(f"--wait {args.wait:g}: more than 0, at most {MAX_WAIT_S:g} seconds")
    result, through = read(site(args), args.name, args.wait)
    if isinstance(result, SourceRead):
        print("\n".join(source_lines(result, through, frames=args.frames)))
        heard = any(point.quality not in ("none", "bad") for point in result.points)
        return EXIT_OK if heard else EXIT_UNREAD
    for line in lines(result, through):
        print(line)
    if args.frames:
        print("\n".join(frame_lines(result.frames)))
    return EXIT_OK if any(point.registers for point in result.points) else EXIT_UNREAD


def read(where: Site, name: str, wait_s: float = WAIT_S) -> tuple[ReadResult | SourceRead, str]:
    """Read through the agent, or on the port itself; return the result and which it was."""
    client = where.try_client()
    if client is None:
        through = "the port itself: no agent runs"
        if isinstance(where.find(name)[0], SerialSettings):
            return where.on_source(name, wait_s), through
        return where.on_bus(
            name,
            lambda bus, device, point: read_points(
                bus, device, [one.spec for one in (device.points if point is None else (point,))]
            ),
        ), through
    with client:
        reply = client.ask(Request("read", name))
    found = reply.read or reply.source
    if found is None:
        raise RemoteProtocolError("the agent answered something else; is it of this version?")
    return found, "the running agent"


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


def source_lines(result: SourceRead, through: str, *, frames: bool) -> list[str]:
    """Return what a serial source says; the bytes too where nothing came of them."""
    how = f"asked, {span(result.took_s)}" if result.asked else "talks by itself"
    rows = [("point", "value", "unit", "quality", "age")]
    rows += [_heard_row(point) for point in result.points]
    text = [
        f"{result.source}, {result.format} on {result.port}, {how}, through {through}",
        *columns(rows, right=(1, 4)),
    ]
    unread = all(point.quality in ("none", "bad") for point in result.points)
    if frames or unread:
        text += [f"{_ARROWS.get(way, '?')} {shown(data)}" for way, data in result.frames]
        text += [] if result.frames else ["nothing came from it"]
    if result.fault and unread:
        text.append(f"the last that gave no line: {result.fault}")
    return text


def shown(data: str) -> str:
    """Return bytes (in hex) as text, each that is no printable ASCII as Python writes it."""
    return ascii(bytes.fromhex(data).decode("latin-1"))


def _heard_row(point: PointState) -> tuple[str, str, str, str, str]:
    quality = point.quality if not point.cause else f"{point.quality}: {point.cause}"
    return (
        point.point,
        value_text(point.value, point.type),
        point.unit,
        "not heard yet" if point.age_s is None else quality,
        span(point.age_s),
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
