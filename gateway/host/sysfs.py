"""Numbers and words out of the small files of /sys and /proc, as bytes.

Owns what an unreadable or nonsensical file means (``None``, never zero); never reads a file.

Source: Linux Documentation/filesystems/sysfs.rst (one value a file); Devicetree Specification v0.4
§2.2.4 (a cell is 32 bits, big-endian).
"""

import re
import struct
from collections.abc import Mapping

_INTEGER = re.compile(rb"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?")
_HEX = re.compile(rb"(0x)?[0-9A-Fa-f]{1,16}")
MAX_WORD = 128

Evidence = Mapping[str, bytes]
"""What was found: the path of a file (or of a reply) and its bytes."""


def integer(data: bytes | None) -> int | None:
    """Return a decimal whole number."""
    text = (data or b"").strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def decimal(data: bytes | None) -> float | None:
    """Return a decimal number such as an IIO scale, ``0.125``."""
    text = (data or b"").strip()
    return float(text) if _DECIMAL.fullmatch(text) else None


def hexadecimal(data: bytes | None) -> int | None:
    """Return a hexadecimal number, with or without ``0x``."""
    text = (data or b"").strip()
    return int(text, 16) if _HEX.fullmatch(text) else None


def word(data: bytes | None) -> str:
    """Return the first line as printable text; empty when there is none."""
    line = (data or b"").split(b"\n", 1)[0].strip(b" \t\r\0")
    text = line[:MAX_WORD].decode("ascii", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def cell(data: bytes | None) -> int | None:
    """Return a devicetree property of one cell (32 bits, big-endian)."""
    if data is None or len(data) != 4:
        return None
    value: int = struct.unpack(">I", data)[0]
    return value
