"""VE.Direct text blocks: what Victron's solar chargers, battery monitors and inverters say of
themselves once a second.

Owns the block (lines of label, tab and value; the last is the sum that makes all bytes add up to 0
modulo 256) and leaving out the HEX messages that may stand within. The sum has eight bits only and
a block any number of fields, so that one cut short passes once in 256 times: a block counts when
its labels are those of one that came before. Units and scales are the site's points' (V is in mV).

Source: Victron Energy, VE.Direct Protocol 3.33 (text mode).
"""

import re
from typing import ClassVar

from gateway.serial.format import LineFormat, Option, Options
from gateway.serial.framing import Fields, Framing
from gateway.serial.line import FaultKind

MAX_BLOCK = 1024
"""At most 22 fields of 9 + 33 characters; blocks seen have some 200 bytes."""
MAX_SHAPES = 8
"""A device has one to three kinds of block."""
_END = b"\r\nChecksum\t"
_HEX = re.compile(rb":[0-9A-F]{1,100}\n")
_FIELD = re.compile(rb"([A-Za-z0-9#-]{1,9})\t([ -~]{0,33})")
_LABEL = re.compile(r"[A-Za-z0-9#-]{1,9}")
_HISTORY = re.compile(r"H([1-9]|1[0-8])")


class VeDirect(LineFormat):
    """VE.Direct text blocks."""

    OPTIONS: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._shapes: list[tuple[bytes, ...]] = []
        self._before: tuple[bytes, ...] = ()

    def framing(self, options: Options) -> Framing:
        return Framing(b"", _END, 1, MAX_BLOCK, idle_gap_s=0.5)

    def group(self, field: str) -> str | None:
        """A battery monitor sends its history (H1 to H18) in a block of its own."""
        if not _LABEL.fullmatch(field) or field == "Checksum":
            return None
        return "history" if _HISTORY.fullmatch(field) else ""

    def read(self, frame: bytes) -> Fields | FaultKind:
        block = _HEX.sub(b"", frame[:-1]) + frame[-1:]
        if sum(block) % 256:
            return FaultKind.CHECKSUM
        head, *lines = block[: -len(_END) - 1].split(b"\r\n")
        found = [_FIELD.fullmatch(line) for line in lines]
        if head or not lines or not all(found):
            return FaultKind.FORMAT
        pairs = [(match[1], match[2]) for match in found if match is not None]
        if not self._known(tuple(label for label, _ in pairs)):
            return FaultKind.FORMAT
        return tuple((label.decode("ascii"), value.decode("ascii")) for label, value in pairs)

    def _known(self, labels: tuple[bytes, ...]) -> bool:
        """Say whether a block with these labels came before; remember it."""
        if labels in self._shapes:
            return True
        before, self._before = self._before, labels
        if labels != before:
            return False
        self._shapes = [*self._shapes[1 - MAX_SHAPES :], labels]
        return True
