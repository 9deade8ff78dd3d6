"""`gateway check [FILE]`: every problem of a config file at once, then what it asks of the buses.

Owns what is printed and the exit status: 0 usable (there may be warnings), 2 not. Which kind of
file it is (agent's or centre's) is told by its tables.
"""

import argparse
import re
import sys
from pathlib import Path

from gateway.config import centre
from gateway.config.agent import AgentSettings, BusSettings
from gateway.config.problems import Parsed, Problem
from gateway.errors import ConfigError
from gateway.polling.load import USUAL_TURNAROUND_S, BusLoad, bus_load
from gateway.process.files import Profiles, check_secret, profile_directories, read_agent, read_text

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")
WARN_SHARE = 0.8
EXIT_OK = 0
EXIT_CONFIG = 2
_HEADER = re.compile(r"^[ \t]*\[\[?[ \t]*([A-Za-z0-9_-]+)", re.MULTILINE)
_AGENT_TABLES = frozenset({"gateway", "uplink", "bus", "spool", "metrics"})
_CENTRE_TABLES = frozenset({"centre", "tls", "link", "store", "admin", "drain"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the file and where else profiles may be."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="an agent's or a centre's config file (default %(default)s)",
    )
    parser.add_argument(
        "--profiles",
        type=Path,
        metavar="DIRECTORY",
        help="look for the site's own device profiles here, not in /etc/gateway/profiles",
    )


def run(args: argparse.Namespace) -> int:
    """Check one file; problems go to stderr, the summary to stdout."""
    path: Path = args.file
    try:
        text = read_text(path)
        if _is_centre(text):
            return _report(path, centre.parse(text, str(path)), [])
        directories = (
            profile_directories() if args.profiles is None else (profile_directories(args.profiles))
        )
        parsed = read_agent(path, Profiles(directories))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    settings = parsed.settings
    if settings is None:
        return _report(path, parsed, [])
    faults, doubts = _secrets(path, settings)
    if faults:
        return _report(path, Parsed(None, tuple(faults), parsed.warnings), [])
    loads = [(bus, bus_load(bus)) for bus in settings.buses]
    summary = [f"gateway {settings.gateway_id} → {settings.uplink.url}"]
    summary += [_summary(bus, load) for bus, load in loads]
    doubts += [_overload(bus, load) for bus, load in loads if load.share > WARN_SHARE]
    return _report(path, parsed, doubts, summary)


def _is_centre(text: str) -> bool:
    tables = _HEADER.findall(text)
    agents = sum(table in _AGENT_TABLES for table in tables)
    return sum(table in _CENTRE_TABLES for table in tables) > agents


def _report(
    path: Path,
    parsed: Parsed[AgentSettings] | Parsed[centre.CentreSettings],
    doubts: list[str],
    summary: list[str] | None = None,
) -> int:
    """Print problems, warnings and the summary; return the exit status."""
    for problem in parsed.problems:
        print(problem, file=sys.stderr)
    warnings = [str(warning) for warning in parsed.warnings] + doubts
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if parsed.settings is None:
        count = len(parsed.problems)
        print(f"{path}: {count} problem{'s' * (count != 1)}; not usable", file=sys.stderr)
        return EXIT_CONFIG
    for line in summary or ():
        print(line)
    noted = f", {len(warnings)} warning{'s' * (len(warnings) != 1)}" if warnings else ""
    print(f"{path}: no problems{noted}")
    return EXIT_OK


def _secrets(path: Path, settings: AgentSettings) -> tuple[list[Problem], list[str]]:
    """Return what is wrong with the secret files named, and which are not on this machine."""
    faults: list[Problem] = []
    doubts: list[str] = []
    uplink = settings.uplink
    for key, name in (("token_file", uplink.token_file), ("key_file", uplink.key_file)):
        if name is None:
            continue
        secret = check_secret(Path(name))
        if secret.missing:
            doubts.append(f"{path}: uplink.{key}: {name} is not on this machine; put it there")
        elif secret.fault is not None:
            text, _, cure = secret.fault.partition("; ")
            faults.append(Problem(str(path), 0, 0, f"uplink.{key}", f"{name}: {text}", cure))
    for key, name in (("ca_file", uplink.ca_file), ("certificate_file", uplink.certificate_file)):
        if name is not None and check_secret(Path(name)).missing:
            doubts.append(f"{path}: uplink.{key}: {name} is not on this machine; put it there")
    if uplink.token_file is None and uplink.certificate_file is None:
        doubts.append(
            f"{path}: uplink: neither token nor client certificate; add token_file (the centre's "
            "`gateway centre token add` makes the token), or put it beside this file as `token`"
        )
    return faults, doubts


def _overload(bus: BusSettings, load: BusLoad) -> str:
    """Return the warning for a bus that has too much to do."""
    then = "polls will be left out" if load.share > 1 else "little is left for retries"
    return (
        f"bus {bus.name}: needs {load.share:.0%} of its time{_assumed(bus)}, {then}; "
        "raise poll_interval_s or baud, or choose fewer points"
    )


def _summary(bus: BusSettings, load: BusLoad) -> str:
    points = sum(len(device.points) for device in bus.devices)
    return (
        f"bus {bus.name}: devices {len(bus.devices)}, points {points}, blocks {load.blocks}, "
        f"{load.readings:.4g} readings/s in {load.requests:.4g} requests/s, "
        f"load {load.share:.1%}{_assumed(bus)}"
    )


def _assumed(bus: BusSettings) -> str:
    """Say what a share of the bus's time was reckoned with."""
    turnaround_ms = USUAL_TURNAROUND_S * 1000
    wire = f"{bus.baud} baud 8{bus.parity[0].upper()}{bus.stop_bits}"
    return f" at {wire} if each answer begins within {turnaround_ms:g} ms and none is lost"
