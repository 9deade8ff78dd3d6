"""`gateway scan PORT`: which devices are on this port, at which settings, and what they are.

Owns what the technician sees while it looks (standard error) and the config snippet it ends with
(standard output, ready for `>> gateway.toml`). Ctrl-C keeps what was found. The search is
`agent.scanner`'s.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.agent.scanner import Found, Garbled, Scanner, Skipped, Trying, Wanted
from gateway.cli.snippet import bus_name, snippet, stable_port
from gateway.config.profile import BAUDS, PARITIES, Profile
from gateway.errors import ConfigError, PortLostError
from gateway.modbus.identify import Candidate, Certainty, Clause
from gateway.modbus.point import Table
from gateway.modbus.search import (
    ALL_UNIT_IDS,
    TURNAROUND_S,
    Settings,
    settings_order,
    unit_ids_order,
)
from gateway.modbus.search import BAUDS as USUAL_BAUDS
from gateway.modbus.search import PARITIES as USUAL_PARITIES
from gateway.process.clock import Clock
from gateway.process.files import LOCAL_PROFILES, Profiles, profile_directories
from gateway.process.port_owner import port_owner

EXIT_OK, EXIT_NOTHING = 0, 1
SHOWN_BYTES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the port and what to look for."""
    parser.add_argument(
        "port", metavar="PORT", help="the adapter, /dev/serial/by-id/… or /dev/tty…"
    )
    parser.add_argument(
        "--baud", metavar="LIST", help="only these, 9600,19200 (default: all usual ones)"
    )
    parser.add_argument("--parity", metavar="LIST", help="only these of none,even,odd")
    parser.add_argument("--units", metavar="LIST", help="only these unit ids, 1-20,100")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TURNAROUND_S,
        metavar="S",
        help="how long a device may think before it answers (default %(default)s s)",
    )
    parser.add_argument("--bus", metavar="NAME", help="name of the bus in the snippet")
    parser.add_argument(
        "--profiles", type=Path, default=LOCAL_PROFILES, metavar="DIRECTORY", help="local profiles"
    )


def run(args: argparse.Namespace) -> int:
    """Scan and print; status 1 when nothing was found."""
    profiles = Profiles(profile_directories(args.profiles))
    clock, view = Clock(), _View()
    wanted = _wanted(args, profiles)
    scanner = Scanner(args.port, wanted, candidates(profiles), clock)
    started = clock.now()
    view.say(
        f"scanning {args.port}: {len(wanted.settings)} settings, "
        f"{len(wanted.quick) + len(wanted.rest)} unit ids; Ctrl-C keeps what was found"
    )
    found: list[Found] = []
    ended = ""
    try:
        for step in scanner.run():
            if isinstance(step, Found):
                found.append(step)
            view.show(step)
    except KeyboardInterrupt:
        ended = ", interrupted"
    except PortLostError as error:
        if not found:
            raise PortLostError(f"{error}{_owner(args.port)}") from None
        ended = f", ended by: {error}"
    view.clear()
    count = f"{len(found)} device{'s' * (len(found) != 1)}"
    view.say(f"{count} in {clock.now() - started:.1f} s{ended}")
    if not found:
        view.say(_NOTHING)
        return EXIT_NOTHING
    port = stable_port(args.port)
    print(snippet(port, args.bus or bus_name(port), found, profiles), end="")
    return EXIT_OK


_NOTHING = (
    "nothing answered; check A/B (swap them), the common wire, the termination and the devices' "
    "power, and whether they speak Modbus RTU; --timeout 0.3 waits for slow ones"
)


def _owner(port: str) -> str:
    """Say who has the port, as far as it can be known."""
    owner = port_owner(port)
    if owner is None:
        return ""
    stop = "systemctl stop gateway" if "gateway" in owner.command else f"kill {owner.pid}"
    return (
        f"; pid {owner.pid} ({owner.command}) has it open: `{stop}` frees it, "
        "and `gateway read`/`watch` show its devices meanwhile"
    )


def _wanted(args: argparse.Namespace, profiles: Profiles) -> Wanted:
    bauds = _chosen(args.baud, "--baud", BAUDS, USUAL_BAUDS)
    parities = _words(args.parity)
    known = [profile for profile in (profiles[name] for name in profiles) if profile is not None]
    usual = [Settings(one.serial.baud, one.serial.parity) for one in known]
    units = _unit_ids(args.units)
    quick, rest = unit_ids_order(units, [one.serial.unit_id for one in known])
    if not 0.005 <= args.timeout <= 10:
        raise ConfigError(f"--timeout {args.timeout:g}: 0.005 to 10 seconds can be waited")
    return Wanted(settings_order(bauds, parities, usual), quick, rest, args.timeout)


def candidates(profiles: Profiles) -> tuple[Candidate, ...]:
    """Return what naming needs of every profile that has no problems."""
    return tuple(
        _candidate(profile)
        for profile in (profiles[name] for name in sorted(profiles))
        if profile is not None
    )


def _candidate(profile: Profile) -> Candidate:
    clauses = tuple(
        Clause(Table(probe.table), probe.address, probe.words, probe.masks)
        for probe in profile.probes
    )
    return Candidate(profile.name, profile.vendor, profile.model, clauses, profile.points)


def _chosen(
    text: str | None, option: str, known: Sequence[int], default: Sequence[int]
) -> tuple[int, ...]:
    if text is None:
        return tuple(default)
    numbers = tuple(_number(word, option) for word in text.split(","))
    for number in numbers:
        if number not in known:
            raise ConfigError(f"{option} {number}: use {', '.join(map(str, known))}")
    return numbers


def _words(text: str | None) -> tuple[str, ...]:
    if text is None:
        return USUAL_PARITIES
    words = tuple(text.split(","))
    for word in words:
        if word not in PARITIES:
            raise ConfigError(f"--parity {word}: use {', '.join(PARITIES)}")
    return words


def _unit_ids(text: str | None) -> tuple[int, ...]:
    if text is None:
        return tuple(ALL_UNIT_IDS)
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low = _number(first, "--units")
        high = _number(last, "--units") if dash else low
        if low not in ALL_UNIT_IDS or high not in ALL_UNIT_IDS or low > high:
            raise ConfigError(f"--units {text}: unit ids are 1 to 247, a range is 1-20")
        units += range(low, high + 1)
    return tuple(dict.fromkeys(units))


def _number(text: str, option: str) -> int:
    if not text.strip().isdecimal() or len(text) > 9:
        raise ConfigError(f"{option}: {text!r} is no number")
    return int(text)


class _View:
    """What is told while it looks: a moving line on a terminal, else a line for each setting."""

    def __init__(self) -> None:
        self._out = sys.stderr
        self._terminal = self._out.isatty()
        self._sweep: tuple[Settings, int] | None = None
        self._garbled = 0

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def show(self, step: object) -> None:
        """Tell one step."""
        if isinstance(step, Trying):
            self._trying(step)
            return
        self.clear()
        if isinstance(step, Skipped):
            self.say(f"{step.settings}: skipped, {step.reason}")
        elif isinstance(step, Found):
            self.say(_line(step))
        elif isinstance(step, Garbled):
            self._garbled += 1
            if self._garbled <= 3:
                shown = step.data[:SHOWN_BYTES].hex(" ")
                self.say(
                    f"{step.settings}: unit id {step.unit_id}: {len(step.data)} bytes that are no "
                    f"reply ({shown}): two devices with one unit id, or another setting"
                )

    def clear(self) -> None:
        if self._terminal:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _trying(self, step: Trying) -> None:
        if self._terminal:
            self.clear()
            self._out.write(f"{step.settings}  unit id {step.unit_id}  {_left(step)}")
            self._out.flush()
        elif (step.settings, step.unit_ids) != self._sweep:
            self.say(f"{step.settings}: asking {step.unit_ids} unit ids, {_left(step)}")
        self._sweep = (step.settings, step.unit_ids)


def _left(step: Trying) -> str:
    return f"about {step.left_s:.0f} s left"


def _line(found: Found) -> str:
    identity = found.identity
    said = f" (says: {', '.join(identity.said)})" if identity.said else ""
    where = f"{found.settings}: unit id {found.unit_id}"
    if identity.points:
        return f"{where}: {identity.evidence[0]}{said}  [{found.after_s:.1f} s]"
    if identity.profile is None:
        return f"{where}: answers, no profile fits{said}  [{found.after_s:.1f} s]"
    sure = "" if identity.certainty is Certainty.CERTAIN else "probably "
    also = f", or {', '.join(identity.others)}" if identity.others else ""
    why = ", ".join(identity.evidence[:2])
    return f"{where}: {sure}{identity.profile}{also} ({why}){said}  [{found.after_s:.1f} s]"
