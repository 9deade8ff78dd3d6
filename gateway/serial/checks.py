"""Check sums of serial lines.

Owns the sums themselves. Where a format puts them and what they cover is the format's business.
Source: the catalogue of parametrised CRC algorithms (names and check values over ``123456789``);
NMEA 0183 and Gill's manuals for XOR.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor


def xor8(data: bytes) -> int:
    """Return all bytes XORed (NMEA 0183, Gill)."""
    return reduce(xor, data, 0)


def sum8(data: bytes) -> int:
    """Return the sum of all bytes, its lowest 8 bits (M-Bus, many scales)."""
    return sum(data) & 0xFF


def _reflected(polynomial: int) -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ polynomial if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


def _forward(polynomial: int) -> tuple[int, ...]:
    table = []
    for value in range(256):
        value <<= 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return tuple(table)


_A001 = _reflected(0xA001)
_8408 = _reflected(0x8408)
_1021 = _forward(0x1021)


def crc16_arc(data: bytes) -> int:
    """Return CRC-16/ARC (DSMR P1, SDI-12): reflected 0x8005, start 0."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _A001[(crc ^ byte) & 0xFF]
    return crc


def crc16_x25(data: bytes) -> int:
    """Return CRC-16/X-25 (HDLC, SML): reflected 0x1021, start and end 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _8408[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFF


def crc16_xmodem(data: bytes) -> int:
    """Return CRC-16/XMODEM (Voltronic PI30): 0x1021, start 0."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _1021[crc >> 8 ^ byte]
    return crc


class Check(StrEnum):
    """The check sums by the name a config gives them."""

    NONE = "none"
    XOR8 = "xor8"
    SUM8 = "sum8"
    CRC16_ARC = "crc16-arc"
    CRC16_X25 = "crc16-x25"
    CRC16_XMODEM = "crc16-xmodem"


FUNCTIONS: dict[Check, tuple[Callable[[bytes], int], int]] = {
    Check.XOR8: (xor8, 2),
    Check.SUM8: (sum8, 2),
    Check.CRC16_ARC: (crc16_arc, 4),
    Check.CRC16_X25: (crc16_x25, 4),
    Check.CRC16_XMODEM: (crc16_xmodem, 4),
}
"""Each sum and the hexadecimal digits it is written in."""

_HEX = frozenset(b"0123456789ABCDEFabcdef")


def hex_equals(digits: bytes, value: int) -> bool:
    """Tell whether `digits` (hexadecimal, either case, nothing else) say `value`."""
    return bool(digits) and _HEX.issuperset(digits) and int(digits, 16) == value


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A text with its check sum in hexadecimal digits behind it.

    `mark` stands between text and digits. `whole`: the sum covers the start delimiter and the mark
    too (DSMR P1), else only what is between them (NMEA, Gill).
    """

    check: Check = Check.NONE
    start: bytes = b""
    mark: bytes = b""
    whole: bool = False

    def text(self, frame: bytes) -> bytes | None:
        """Return the text between start delimiter and mark; ``None`` for a wrong sum or none.

        `frame` has lost its end delimiter.
        """
        if self.check is Check.NONE:
            return frame.removeprefix(self.start)
        function, width = FUNCTIONS[self.check]
        covered, digits = frame[:-width], frame[-width:]
        if len(digits) != width or not covered.endswith(self.mark):
            return None
        text = covered.removeprefix(self.start)
        text = text[: len(text) - len(self.mark)]
        return text if hex_equals(digits, function(covered if self.whole else text)) else None
