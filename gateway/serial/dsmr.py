"""DSMR and ESMR P1: the telegram that Dutch and Belgian electricity meters send every 1 to 10 s.

Owns the telegram's frame and its check sum, verified here before anything is parsed; what its lines
mean is dsmr-parser's. The first format that comes as a plug-in: it needs the extra ``dsmr`` and is
found through the entry point like a stranger's.

Source: DSMR P1 companion standard 5.0.2 §6.2 (CRC-16 from / to !), §6.12; 2.2 has no check sum.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from dsmr_parser import telegram_specifications as known
from dsmr_parser.exceptions import ParseError

from gateway.serial.checks import Check, CheckedText
from gateway.serial.format import LineFormat, Option, Options
from gateway.serial.framing import Fields, Framing
from gateway.serial.line import FaultKind, Field

MAX_TELEGRAM = 4096
CHANNELS = (1, 2, 3, 4)
"""M-Bus channels of a meter (gas, water, heat)."""
SPECIFICATIONS: dict[str, Mapping[str, Any]] = {
    "2.2": known.V2_2,
    "3": known.V3,
    "4": known.V4,
    "5": known.V5,
    "belgium": known.BELGIUM_FLUVIUS,
}
_CHECKED = CheckedText(Check.CRC16_ARC, mark=b"!", whole=True)


def _names(specification: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields that a specification can give."""
    for one in specification["objects"]:
        name = one["value_name"].lower()
        for full in _channelled(name, CHANNELS):
            yield full
            if "meter_reading" in name:
                yield f"{full}_time"


def _channelled(name: str, channels: tuple[int, ...]) -> list[str]:
    if not name.startswith("mbus_"):
        return [name]
    return [name.replace("mbus_", f"mbus{channel}_", 1) for channel in channels]


class Dsmr(LineFormat):
    """P1 telegrams."""

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("version", "5", "version of the meter's P1 port", choices=tuple(SPECIFICATIONS)),
    )
    FIELDS: ClassVar[tuple[str, ...]] = tuple(
        sorted({name for one in SPECIFICATIONS.values() for name in _names(one)})
    )

    def __init__(self, options: Options) -> None:
        specification = SPECIFICATIONS[options.text("version")]
        self._has_check = bool(specification["checksum_support"])
        super().__init__(options)
        self._absent: Fields = tuple((name, None) for name in _names(specification))
        self._objects = [
            (re.compile(one["obis_reference"], re.DOTALL | re.MULTILINE), one)
            for one in specification["objects"]
        ]

    def framing(self, options: Options) -> Framing:
        return Framing(b"/", b"!", 6 if self._has_check else 2, MAX_TELEGRAM, idle_gap_s=2.0)

    def group(self, field: str) -> str | None:
        return "" if field in dict(self._absent) else None

    def read(self, frame: bytes) -> Fields | FaultKind:
        if not frame.endswith(b"\r\n"):
            return FaultKind.FORMAT
        if self._has_check and _CHECKED.text(frame[:-2]) is None:
            return FaultKind.CHECKSUM
        try:
            text = frame.decode("ascii")
        except UnicodeDecodeError:
            return FaultKind.FORMAT
        found = dict(self._fields(text))
        return (*self._absent, *found.items()) if found else FaultKind.FORMAT

    def _fields(self, text: str) -> Iterator[tuple[str, Field]]:
        """Yield what the telegram says; a line that its own rule does not fit is left out."""
        for pattern, one in self._objects:
            for line in pattern.findall(text):
                try:
                    found = one["value_parser"].parse(line)
                except (ParseError, ValueError, ArithmeticError, LookupError):
                    continue
                channel = int(line[2]) if line[2:3].isdigit() else 0
                for name in _channelled(one["value_name"].lower(), (channel,)):
                    yield name, _plain(getattr(found, "value", None))
                    if hasattr(found, "datetime"):
                        yield f"{name}_time", _plain(found.datetime)


def _plain(value: object) -> Field:
    """Return a value of the library's as a field: instants as ISO 8601 text."""
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None else None
