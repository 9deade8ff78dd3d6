"""NMEA 0183 sentences: ``$GPGGA,...*47``.

Owns the check sum, the names of the usual sentences' fields, positions in degrees, and what a
sentence itself marks as invalid. A field is ``GGA.altitude``, or by number ``XDR.2`` (1 is the
first behind the address).

Source: NMEA 0183 / IEC 61162-1 as public documents quote it (E. S. Raymond, NMEA Revealed).
"""

import re
from typing import ClassVar

from gateway.serial.checks import Check, CheckedText
from gateway.serial.format import LineFormat, Option, Options, printable
from gateway.serial.framing import Fields, Framing
from gateway.serial.line import FaultKind, Field

_CHECKED = CheckedText(Check.XOR8, start=b"$", mark=b"*")
_ADDRESS = re.compile(r"P[A-Z0-9]{3,9}|[A-Z]{2}[A-Z0-9]{3}")
_DEGREES = re.compile(r"(\d{2,3})(\d{2}(?:\.\d+)?)")
_FIELD = re.compile(r"([A-Z0-9]{3,10})\.([1-9]\d?|[a-z_]+)")

NAMES: dict[str, dict[str, int]] = {
    "GGA": {"quality": 6, "satellites": 7, "hdop": 8, "altitude": 9},
    "GLL": {},
    "RMC": {"speed": 7, "course": 8},
    "VTG": {"course": 1, "speed": 5, "speed_kmh": 7},
    "HDT": {"heading": 1},
    "MWV": {"wind_angle": 1, "wind_reference": 2, "wind_speed": 3, "wind_unit": 4},
    "MWD": {"wind_direction": 1, "wind_speed": 7},
    "DBT": {"depth": 3},
    "DPT": {"depth": 1},
    "MTW": {"temperature": 1},
}
"""Fields by name; `POSITIONS` adds latitude and longitude. Units are the standard's: degrees, knots
(`speed`), metres, °C; `MWV` has the unit of its speed in `wind_unit`, `MWD`'s is m/s."""
POSITIONS = {"GGA": 2, "GLL": 1, "RMC": 3}
"""Where latitude, its hemisphere, longitude and its hemisphere begin."""
FIELDS = {
    "GGA": (14, 15),
    "GLL": (4, 7),
    "RMC": (11, 13),
    "VTG": (8, 9),
    "HDT": (2, 2),
    "MWV": (5, 6),
    "MWD": (8, 8),
    "DBT": (6, 6),
    "DPT": (2, 3),
    "MTW": (2, 2),
}
"""How many fields a sentence has, over the standard's versions. Eight bits of check sum let one in
256 damaged sentences pass; two that ran into each other rarely have this many fields."""
VOID = {"GGA": (6, "0"), "RMC": (2, "V"), "GLL": (6, "V"), "MWV": (5, "V")}
"""The field that says the sentence's values are not valid, and how: receivers then repeat the last
position."""


class Nmea(LineFormat):
    """NMEA 0183 with its check sum."""

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("talker", "", 'take sentences of this talker only ("GP"); empty: of any'),
        Option(
            "max_length", 120, "longest sentence in bytes; the standard's is 82", low=16, high=1024
        ),
        Option("idle_gap_s", 1.0, "silence that spoils half a sentence", low=0.005, high=60),
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._talker = options.text("talker")

    def framing(self, options: Options) -> Framing:
        return Framing(
            b"$",
            b"\n",
            max_length=options.whole("max_length"),
            idle_gap_s=options.number("idle_gap_s"),
        )

    def group(self, field: str) -> str | None:
        match = _FIELD.fullmatch(field)
        if match is None:
            return None
        sentence, name = match.groups()
        position = sentence in POSITIONS and name in ("latitude", "longitude")
        known = name.isdigit() or position or name in NAMES.get(sentence, {})
        return sentence if known else None

    def read(self, frame: bytes) -> Fields | FaultKind:
        data = _CHECKED.text(frame.rstrip(b"\r\n"))
        if data is None:
            return FaultKind.CHECKSUM
        text = printable(data) or ""
        address, *values = text.split(",")
        if not _ADDRESS.fullmatch(address) or "$" in text:  # which is reserved for the start
            return FaultKind.FORMAT
        if self._talker and not address.startswith(self._talker):
            return ()
        sentence = address if address.startswith("P") else address[2:]
        least, most = FIELDS.get(sentence, (0, len(values)))
        if not least <= len(values) <= most:
            return FaultKind.FORMAT
        return tuple(_fields(sentence, values))


def _fields(sentence: str, values: list[str]) -> list[tuple[str, Field]]:
    found: list[tuple[str, Field]] = [
        (f"{sentence}.{number}", value) for number, value in enumerate(values, 1)
    ]

    def at(number: int) -> str:
        return values[number - 1] if number <= len(values) else ""

    void_at, word = VOID.get(sentence, (0, ""))
    void = bool(void_at) and at(void_at) == word
    for name, number in NAMES.get(sentence, {}).items():
        marks = number == void_at
        found.append((f"{sentence}.{name}", None if void and not marks else at(number)))
    if sentence in POSITIONS:
        first = POSITIONS[sentence]
        for name, number, signs in (("latitude", first, "NS"), ("longitude", first + 2, "EW")):
            degrees = None if void else _degrees(at(number), at(number + 1), signs)
            found.append((f"{sentence}.{name}", degrees))
    return found


def _degrees(text: str, hemisphere: str, signs: str) -> Field:
    """Return ddmm.mmm and its hemisphere in degrees; an empty text as it is; a wrong one as
    text that is no number."""
    if not text:
        return None
    match = _DEGREES.fullmatch(text)
    if match is None or hemisphere not in (signs[0], signs[1]):
        return f"{text} {hemisphere}"
    degrees = int(match.group(1)) + float(match.group(2)) / 60
    return degrees if hemisphere == signs[0] else -degrees
