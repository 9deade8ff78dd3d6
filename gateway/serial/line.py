"""What comes off a serial line: lines that could be read, and faults.

Owns the words that formats and the reader share. A *line* is whatever a source sends at a time: a
sentence, a telegram, an object; its fields are named and still raw (see `values`).
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.reading import Cause

Field = str | int | float | bool | None
"""A field as the line has it; ``None``: the source says it has no value."""

MAX_SHOWN = 64
"""Bytes of a faulty line that are kept to be shown."""


class FaultKind(StrEnum):
    """What was wrong. Every byte that is not part of a good line is part of one of these."""

    NOISE = "noise"
    """Bytes between lines."""
    HALF = "half"
    """A line that ended too early: the rest did not come in time, or its beginning was missed."""
    TOO_LONG = "too_long"
    """No end within the longest line."""
    CHECKSUM = "checksum"
    FORMAT = "format"
    """A whole line that is not what the format expects."""

    @property
    def cause(self) -> Cause:
        """Why a reading that this spoilt is bad."""
        return Cause.CHECKSUM if self is FaultKind.CHECKSUM else Cause.FORMAT


@dataclass(frozen=True, slots=True)
class Line:
    """One good line. `began`: CLOCK_BOOTTIME (s) when its first byte was here."""

    began: float
    fields: tuple[tuple[str, Field], ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """A stretch of bytes that gave no line. `shown`: at most `MAX_SHOWN` of them."""

    kind: FaultKind
    began: float
    shown: bytes = b""
