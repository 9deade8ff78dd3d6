"""Network UPS Tools: a UPS's own word on its feed, from upsd's text protocol.

Owns how a UPS is named, the questions, and what the answers mean as volts and as under-voltage.
Never opens a connection.

The voltage is `input.voltage`, or `battery.voltage` of a UPS that does not measure its input: the
feed falls first. `ups.status` is the alarm: on battery (OB) the feed has failed, on line (OL) it is
there, whatever the battery does; a status with neither (OFF, a driver that lost its UPS) tells
nothing, unless the battery is low (LB).

Source: NUT docs/net-protocol.txt (GET VAR, ERR), docs/nut-names.txt, docs/new-drivers.txt (status
words).
"""

import re
from dataclasses import dataclass

from gateway.host.alarm import UnderVoltage
from gateway.host.sysfs import decimal

PORT = 3493
MAX_LINE = 1024
STATUS = "ups.status"
VOLTAGES = ("input.voltage", "battery.voltage")
"""Tried in this order when the config names no variable."""
MAINS_V = 480.0
"""Highest voltage that a UPS's input is believed to have."""
FORM = (
    r"nut:(?P<ups>[A-Za-z0-9_.-]{1,64})"
    r"(@(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(:(?P<port>[0-9]{1,5}))?)?"
    r"(/(?P<variable>[a-z0-9]{1,32}(\.[a-z0-9]{1,32}){1,5}))?"
)
_VAR = re.compile(rb'VAR (\S{1,64}) (\S{1,128}) "((?:[^"\\]|\\.){0,512})"')
_ERR = re.compile(rb"ERR ([A-Z-]{1,64})")
_CURES = {
    "UNKNOWN-UPS": "upsd has no UPS of that name: `upsc -l` lists them",
    "ACCESS-DENIED": "upsd refuses this host: LISTEN in upsd.conf, hosts.allow",
    "DRIVER-NOT-CONNECTED": "the UPS's driver does not run: `upsdrvctl start`",
    "DATA-STALE": "the driver lost the UPS: check its cable",
    "VAR-NOT-SUPPORTED": "the UPS does not tell it: `upsc` lists what it tells",
}


@dataclass(frozen=True, slots=True)
class UpsName:
    """Where to ask for which UPS. `variable`: the voltage wanted, empty for the usual one."""

    ups: str
    host: str = "localhost"
    port: int = PORT
    variable: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """Return what is asked for, the status last."""
        return (*((self.variable,) if self.variable else VOLTAGES), STATUS)


@dataclass(frozen=True, slots=True)
class UpsReading:
    """What a UPS said. `volts` ``None``: nothing; then `fault` says why."""

    volts: float | None = None
    alarm: UnderVoltage = UnderVoltage.UNKNOWN
    fault: str = ""


def ups_name(text: str) -> UpsName | None:
    """Read ``nut:UPS[@HOST[:PORT]][/VARIABLE]``; ``None``: it is none."""
    found = re.fullmatch(FORM, text)
    if found is None:
        return None
    port = int(found["port"] or PORT)
    if not 0 < port < 65536:
        return None
    host = (found["host"] or "localhost").strip("[]")
    return UpsName(found["ups"], host, port, found["variable"] or "")


def question(name: UpsName, variable: str) -> bytes:
    """Return the line that asks for one variable."""
    return f"GET VAR {name.ups} {variable}\n".encode("ascii")


def answer(line: bytes, name: UpsName, variable: str) -> tuple[str | None, str]:
    """Return the value that a line has, or why there is none.

    Raises: ValueError for a line that answers something else: nothing behind it can be trusted.
    """
    line = line.strip()
    error = _ERR.match(line)
    if error is not None:
        word = error[1].decode("ascii")
        return None, f"{word}: {_CURES.get(word, 'see the log of upsd')}"
    found = _VAR.fullmatch(line)
    wanted = (name.ups.encode("ascii"), variable.encode("ascii"))
    if found is None or (found[1], found[2]) != wanted:
        raise ValueError("what it answers is not of NUT; is it upsd that listens there?")
    return re.sub(rb"\\(.)", rb"\1", found[3]).decode("utf-8", "replace"), ""


def reading(answers: dict[str, tuple[str | None, str]], name: UpsName) -> UpsReading:
    """Put the answers together."""
    faults = [fault for _, fault in answers.values() if fault]
    volts = next(
        (
            number
            for variable in name.variables[:-1]
            if (number := decimal((answers.get(variable, (None, ""))[0] or "").encode()))
            is not None
        ),
        None,
    )
    alarm = alarm_of(answers.get(STATUS, (None, ""))[0])
    if volts is None:
        return UpsReading(None, alarm, faults[0] if faults else "it tells no voltage")
    return UpsReading(volts, alarm)


def alarm_of(status: str | None) -> UnderVoltage:
    """Read `ups.status`: words such as ``OL CHRG`` or ``OB LB``."""
    words = (status or "").split()
    if "OB" in words:
        return UnderVoltage.UNDER
    if "OL" in words:
        return UnderVoltage.OK
    return UnderVoltage.UNDER if "LB" in words else UnderVoltage.UNKNOWN
