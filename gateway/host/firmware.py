"""What the Raspberry Pi's firmware says: the mailbox message, and the replies we ask for.

Owns the bytes of one "general command" over the property mailbox (what `vcgencmd` sends), the
throttled word and the Pi 5's supply reading. Never opens the device. ``get_throttled`` goes without
an argument: with one it would clear the bits for everybody.

Source: raspberrypi/utils vcgencmd.c (layout, tag 0x00030080); raspberrypi/documentation
os/using-vcgencmd (bits).
"""

import re
import struct
from dataclasses import dataclass

IOCTL_PROPERTY_64 = 0xC0086400
IOCTL_PROPERTY_32 = 0xC0046400
"""_IOWR(100, 0, char *): the size of a pointer is part of the number."""
TAG_GENCMD = 0x00030080
MAX_TEXT = 1024
GET_THROTTLED = "get_throttled"
READ_SUPPLY = "pmic_read_adc EXT5V_V"
GET_RSTS = "get_rsts"
MAILBOX_ERROR = 0x80000001
"""Not bits but the mailbox's own "failed"."""

_HEAD = struct.Struct("=6I")  # size, request, tag, buffer size, request length, error
_THROTTLED = re.compile(rb"throttled=0x([0-9A-Fa-f]{1,8})")
_SUPPLY = re.compile(rb"\s*EXT5V_V\s+volt\(\d{1,3}\)=(\d{1,3}(?:\.\d{1,12})?)V?")
_RSTS = re.compile(rb"get_rsts=(?:0x)?([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True, slots=True)
class Throttled:
    """The throttled word: now, and since the machine was switched on."""

    undervoltage: bool
    frequency_capped: bool
    throttled: bool
    soft_limit: bool
    undervoltage_seen: bool
    frequency_capped_seen: bool
    throttled_seen: bool
    soft_limit_seen: bool


def encode(command: str) -> bytearray:
    """Return the message that asks for `command`; the reply overwrites it."""
    text = command.encode("ascii")
    size = _HEAD.size + MAX_TEXT + 4
    head = _HEAD.pack(size, 0, TAG_GENCMD, MAX_TEXT, 0, 0)
    return bytearray(head + text.ljust(MAX_TEXT, b"\0") + bytes(4))


def decode(message: bytes) -> bytes | None:
    """Return the reply's text, or ``None`` if the firmware refused."""
    if len(message) < _HEAD.size:
        return None
    _, _, tag, _, _, error = _HEAD.unpack_from(message)
    if tag != TAG_GENCMD or error:
        return None
    return bytes(message[_HEAD.size : _HEAD.size + MAX_TEXT]).split(b"\0", 1)[0]


def throttled(reply: bytes | None) -> Throttled | None:
    """Read the reply to `GET_THROTTLED`."""
    found = _THROTTLED.match((reply or b"").strip())
    return None if found is None else throttled_word(int(found[1], 16))


def throttled_word(bits: int | None) -> Throttled | None:
    """Name the bits of a throttled word."""
    if bits is None or bits == MAILBOX_ERROR or bits >> 20:
        return None
    return Throttled(*(bool(bits & 1 << n) for n in (0, 1, 2, 3, 16, 17, 18, 19)))


def supply_volts(reply: bytes | None) -> float | None:
    """Read the reply to `READ_SUPPLY`: ``EXT5V_V volt(24)=5.11746000V``."""
    found = _SUPPLY.fullmatch((reply or b"").strip())
    return None if found is None else float(found[1])


def reset_status(reply: bytes | None) -> int | None:
    """Read the reply to `GET_RSTS`: ``get_rsts=1020`` (hexadecimal)."""
    found = _RSTS.match((reply or b"").strip())
    return None if found is None else int(found[1], 16)
