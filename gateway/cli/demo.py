"""`gateway demo`: a bus, an agent and a centre on this machine, live in the terminal.

Owns the command: what is shown comes from the agent's and the centre's metrics and API, what is
said at the end from comparing what the agent made with what is in the centre's store
(`demo_report`). Exit status 1 when a reading is missing or duplicated.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import count
from types import FrameType

from gateway.cli.demo_report import Report, compare, snapshot
from gateway.cli.demo_site import Site
from gateway.cli.demo_view import Screen, milli
from gateway.errors import GatewayError

REDRAW_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's arguments."""
    parser.add_argument(
        "--seconds", type=_seconds, metavar="N", help="end by itself after N seconds"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="show nothing while it runs (needs --seconds), print one JSON object at the end",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C or for the seconds asked for; return the exit status."""
    if args.json and args.seconds is None:
        raise GatewayError("--json needs --seconds N: unattended, the demo must end by itself")
    with _terminated_as_interrupted(), Site() as site:
        started = time.monotonic()
        try:
            if not args.json:
                print(f"starting bus, centre and agent in {site.directory} …", flush=True)
            site.start()
            started = time.monotonic()
            _watch(site, args.seconds, None if args.json else Screen(sys.stdout))
        except KeyboardInterrupt:
            if site.agent is None:
                raise  # nothing ran yet: nothing to sum up
        with _undisturbed():
            report = compare(site, time.monotonic() - started)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        print(summary(report))
    return 1 if report.missing or report.duplicated else 0


def _watch(site: Site, seconds: float | None, screen: Screen | None) -> None:
    """Show the site once a second until the time is over. Ctrl-C comes out as it is."""
    started = time.monotonic()
    try:
        for tick in count(1):
            due = tick * REDRAW_S if seconds is None else min(tick * REDRAW_S, seconds)
            time.sleep(max(0.0, started + due - time.monotonic()))
            site.check()
            if screen is not None:
                with suppress(TimeoutError):  # a busy machine: this second is not drawn
                    screen.show(snapshot(site, time.monotonic() - started))
            if due == seconds:
                return
    finally:
        if screen is not None:
            screen.close()


def summary(report: Report) -> str:
    """Return the report as a few lines for a person."""
    verdict = (
        "every reading the agent made is in the centre's store exactly once"
        if not (report.missing or report.duplicated)
        else f"{report.missing} readings MISSING, {report.duplicated} DUPLICATED"
    )
    return (
        f"\n  {report.polls:,} polls, {report.bad_polls} bad; "
        f"bus busy {report.bus_utilisation:.1%}; {report.sessions} session(s)\n"
        f"  {report.readings_made:,} readings made, {report.stored:,} stored; sensor to store "
        f"p50 {milli(report.latency_p50_s)}, p99 {milli(report.latency_p99_s)}\n"
        f"  {verdict}"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: give 1 to 86400 seconds")
    return value


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP (a closed terminal) as Ctrl-C, so that they too clean up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C not spoil the orderly end, which takes a second or two."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
