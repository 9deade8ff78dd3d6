"""`gateway status`: the running agent in one look; `--history`: why this gateway rebooted.

Owns the layout; the numbers come over the control socket. Status 3 when no agent listens, as
systemctl says it.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.history import history, trace
from gateway.cli.paint import BOLD, GREEN, RED, YELLOW, columns, paint, size, span
from gateway.cli.site import add_site_arguments, site
from gateway.errors import RemoteProtocolError
from gateway.process.control_client import STATE_DIRECTORY, NoAgentError
from gateway.process.control_messages import BusState, Request, SerialState, Status
from gateway.process.fit import CURE_LOAD

EXIT_OK, EXIT_TROUBLE, EXIT_NO_AGENT = 0, 1, 3
HIGH_LOAD = 0.8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the form of the answer."""
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")
    parser.add_argument(
        "--history", action="store_true", help="the last 32 boots, why each, and traces of trouble"
    )
    parser.add_argument("--trace", metavar="NAME", help="one trace of the history in full")
    add_site_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the state; status 1 when something is in trouble, 3 without an agent."""
    where = site(args)
    if args.history or args.trace:
        settings = where.settings
        directory = Path(STATE_DIRECTORY if settings is None else settings.state_directory)
        shown = history(directory) if args.trace is None else trace(directory, args.trace)
        print("\n".join(shown))
        return EXIT_OK
    try:
        with where.client() as client:
            status = client.ask(Request("status")).status
    except NoAgentError as error:
        print(f"gateway status: {error}", file=sys.stderr)
        return EXIT_NO_AGENT
    if status is None:
        raise RemoteProtocolError("the agent answered something else; is it of this version?")
    if args.json:
        print(json.dumps(dataclasses.asdict(status), ensure_ascii=False, indent=2))
    else:
        print("\n".join(lines(status, sys.stdout.isatty())))
    return EXIT_TROUBLE if troubles(status) else EXIT_OK


def troubles(status: Status) -> list[str]:
    """Return what a technician should not leave behind, in words."""
    found = [] if status.link.connected else [f"link down: {status.link.text}"]
    if not status.reload.ok:
        found.append(f"the last reload was refused: {status.reload.text}")
    if not status.spool.on_disk:
        found.append("the spool runs from memory: the disk refuses")
    for bus in status.buses:
        if not bus.open:
            found.append(f"bus {bus.name}: {bus.reason}")
        if bus.planned > 1:
            found.append(
                f"bus {bus.name}: its devices ask for {bus.planned:.0%} of its time, so polls are "
                f"left out; {CURE_LOAD}"
            )
        found += [
            f"{device.name}: {device.health}{_since(device.good_age_s)}"
            for device in bus.devices
            if device.health not in ("good", "")
        ]
    for source in status.serials:
        if not source.open and source.reason:
            found.append(f"serial {source.name}: {source.reason}")
        elif source.health not in ("good", ""):
            found.append(f"{source.name}: {source.health}{_since(source.good_age_s)}")
        elif source.silent:
            found.append(f"{source.name}: silent{_since(source.good_age_s)}")
    return found


def _since(good_age_s: float | None) -> str:
    return "" if good_age_s is None else f", last good reading {span(good_age_s)} ago"


def lines(status: Status, colour: bool) -> list[str]:
    """Return the screen."""
    link, spool, word = status.link, status.spool, status.reload
    up = paint(GREEN, "up", colour) if link.connected else paint(RED, "down", colour)
    share = f" of {size(spool.max_bytes)}" if spool.max_bytes else ""
    text = [
        f"{paint(BOLD, status.gateway_id, colour)}  gateway {status.version}, pid {status.pid}, "
        f"running {span(status.running_s)}",
        f"config   {status.config}, revision {status.revision}",
        f"link     {up} for {span(link.since_s)}, session {link.session}; {link.text}",
        f"spool    {spool.records} records, {size(spool.bytes)}{share} wait for the centre",
        f"readings {status.readings} since the start, clock "
        + ("synchronised" if status.clock_synchronised else "not synchronised"),
    ]
    if word.ago_s is not None:
        said = "applied" if word.ok else paint(RED, "refused", colour)
        text.append(f"reload   {said} {span(word.ago_s)} ago: {word.text}")
    for bus in status.buses:
        text += ["", *bus_lines(bus, colour)]
    if status.serials:
        text += ["", *serial_lines(status.serials, colour)]
    found = troubles(status)
    if found:
        text += ["", paint(YELLOW, "needs a look:", colour), *(f"  {one}" for one in found)]
    return text


def bus_lines(bus: BusState, colour: bool) -> list[str]:
    """Return a bus and its devices."""
    state = "open" if bus.open else paint(RED, f"closed: {bus.reason}", colour)
    busy = f"{bus.busy:.0%} busy (planned {bus.planned:.0%})"
    head = (
        f"{paint(BOLD, f'bus {bus.name}', colour)}  {bus.port} at {bus.baud} baud, {state}, "
        f"{paint(YELLOW, busy, colour and bus.busy > HIGH_LOAD)}, {bus.transactions} transactions, "
        f"{bus.no_replies} unanswered, {bus.bad_frames} damaged"
        + (f", {bus.skipped} polls left out" if bus.skipped else "")
    )
    rows = [
        (
            f"  {device.name}",
            f"unit id {device.unit_id}",
            device.profile or "–",
            "points being looked for" if device.discovers else f"{device.points} points",
            device.health or "not read yet",
            f"answers in {span(device.turnaround_s)}" if device.turnaround_s is not None else "",
        )
        for device in bus.devices
    ]
    return [head, *columns(rows)]


def serial_lines(sources: Sequence[SerialState], colour: bool) -> list[str]:
    """Return the plain serial sources, two lines each: what it is, what came from it."""
    text = []
    for source in sources:
        how = "talks by itself" if source.asked_s is None else f"asked every {span(source.asked_s)}"
        state = "open"
        if not source.open:
            state = paint(RED, f"closed: {source.reason or 'being opened'}", colour)
        health = source.health or "not heard yet"
        if source.silent:
            health = paint(YELLOW, f"silent ({health})", colour)
        age = "" if source.good_age_s is None else f", good {span(source.good_age_s)} ago"
        counts = f"{source.lines} lines, {size(source.bytes)}"
        if source.asked_s is not None:
            counts += f", {source.questions} questions, {source.unanswered} unanswered"
        counts += "".join(f", {count} {kind}" for kind, count in source.faults if count)
        text += [
            f"{paint(BOLD, f'serial {source.name}', colour)}  {source.port} at {source.baud} baud, "
            f"{state}, {source.format}, {how}",
            f"  {source.points} points, {health}{age}; {counts}",
        ]
    return text
