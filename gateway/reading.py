"""Readings: what a named quantity was at an instant, and how far it can be trusted.

Owns the words every room uses for values, quality and cause. Quality follows OPC UA Part 8 §6.3
(good, uncertain, bad); the value is ``None`` when bad. A *row* is the readings that one read block
gave:
they share one source time.
"""

from dataclasses import dataclass
from enum import IntEnum

Value = float | int | bool | str | None
"""A reading's value; ``None`` exactly when its quality is bad."""

TICK_NS = 100_000
"""Resolution of a source time as recorded and sent: 100 µs (a 9600 baud character lasts 1.1 ms)."""


class Quality(IntEnum):
    """How far a value can be trusted (OPC UA Part 8 §6.3)."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Cause(IntEnum):
    """Why a reading is not good. The numbers are the wire's (`docs/protocol.md`)."""

    NONE = 0
    NO_REPLY = 1
    """The device did not answer in time."""
    BAD_FRAME = 2
    """The answer was damaged or was not the answer to the request."""
    EXCEPTION = 3
    """The device refused with a Modbus exception other than busy."""
    BUSY = 4
    """The device said busy (exception 5 or 6) until the retries ran out."""
    PORT_LOST = 5
    """The adapter is unplugged or the port cannot be opened."""
    DEVICE_DOWN = 6
    """Not asked: the device is demoted and only probed now and then."""
    NULL_PATTERN = 7
    """The device itself says "not available" (the profile's null pattern)."""
    NOT_A_NUMBER = 8
    """The registers hold a float that is not finite, or a code the profile does not know."""
    OUT_OF_RANGE = 9
    """Outside the range the profile or the config declares; the value is kept, quality
    uncertain."""
    CHECKSUM = 10
    """A serial line with a wrong checksum."""
    FORMAT = 11
    """A serial line that does not fit its format."""
    STALE = 12
    """Nothing new for longer than the source is allowed to be silent."""
    UNKNOWN = 255
    """A cause that a newer agent sent and this version does not know."""

    @property
    def quality(self) -> Quality:
        """The quality that goes with this cause."""
        if self is Cause.NONE:
            return Quality.GOOD
        if self is Cause.OUT_OF_RANGE:
            return Quality.UNCERTAIN
        return Quality.BAD


@dataclass(frozen=True, slots=True)
class Row:
    """The readings of one schema block at one source time.

    `block` is the index into the schema in force; `values` has one entry per point of that block,
    in order.
    `source_time_ns`: CLOCK_BOOTTIME when the agent had the answer, rounded down to `TICK_NS`.
    `causes` is ``None`` when every reading is good, else one `Cause` per value.
    """

    block: int
    source_time_ns: int
    values: tuple[Value, ...]
    causes: tuple[Cause, ...] | None = None


@dataclass(frozen=True, slots=True)
class SchemaPoint:
    """A point as announced to the centre. `type` says how values are packed: ``f32 f64 i64 bool
    str``, or ``d1`` to ``d9`` for a scaled integer with that many decimal places."""

    name: str
    unit: str
    type: str


@dataclass(frozen=True, slots=True)
class SchemaBlock:
    """Points that are read together. `source` is the device's (or serial source's) name.

    `period_s` is the configured poll interval, 0.0 for a source that talks by itself.
    """

    source: str
    period_s: float
    points: tuple[SchemaPoint, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """What the rows of a record mean; immutable and known by the hash of its encoding."""

    blocks: tuple[SchemaBlock, ...]
