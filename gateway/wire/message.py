"""The messages of `gateway.v1` as values. Their bytes are in `codec`; `docs/protocol.md` is
normative."""

from dataclasses import dataclass
from enum import IntEnum

from gateway.event import Scalar

SUBPROTOCOL = "gateway.v1"
Interval = tuple[int, int]
"""Inclusive range of seq."""


class MessageType(IntEnum):
    """Element 0 of every message. Types from 0x40 on are ignored when unknown."""

    HELLO = 1
    WELCOME = 2
    SCHEMA = 3
    DATA = 4
    ACK = 5
    NACK = 6
    HEARTBEAT = 7
    BYE = 8


class Lane(IntEnum):
    """Live readings go before the backlog."""

    LIVE = 0
    BACKLOG = 1


class Encoding(IntEnum):
    """How the body of `Data` is compressed."""

    RAW = 0
    ZLIB = 1
    ZSTD = 2


class NackCode(IntEnum):
    """Why the centre did not take records."""

    DAMAGED = 1
    NEED_SCHEMA = 2
    CONFLICT = 3
    POISON = 4
    SLOW_DOWN = 5


class ByeCode(IntEnum):
    """Why a side says goodbye."""

    STOPPING = 1
    DRAINING = 2
    IDENTITY = 3
    REPLACED = 4
    NOT_AUTHORISED = 5
    OVERLOADED = 6
    PROTOCOL = 7


class ClockSource(IntEnum):
    """What keeps the wall clock of an agent right."""

    NONE = 0
    RTC = 1
    NTP = 2
    PTP = 3


class GapReason(IntEnum):
    """Why records are gone. 1–4 are the agent's, 16 and 17 the centre's own (never sent)."""

    QUOTA = 1
    """The spool was full and the oldest were dropped."""
    DAMAGED = 2
    """The disk gave back something else than was written."""
    WRITE_FAILED = 3
    """The disk refused, and memory ran out."""
    NEWEST_REFUSED = 4
    """The spool was full and the newest were dropped."""
    DEAD_LETTER = 5
    """The centre refused them `POISON_LIMIT` times; the gateway keeps them aside."""
    NOT_RECEIVED = 16
    """The epoch is over and neither side has these seqs."""
    CUT_OFF = 17
    """The epoch ended without END: what came after its last known seq is unknown."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One instant on both clocks. `error_us` is the estimated error of the wall clock, -1
    unknown."""

    boottime_ns: int
    wall_ns: int
    source: ClockSource
    error_us: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Records the agent itself lost: seqs `first` to `last` of `epoch`.

    `reason` is a `GapReason`; the times (ns of CLOCK_BOOTTIME) are 0 when unknown, `readings` -1.
    """

    epoch: int
    first: int
    last: int
    reason: int
    from_ns: int
    to_ns: int
    readings: int


@dataclass(frozen=True, slots=True)
class EpochState:
    """An epoch the agent still holds records of. `available` are the seqs it can still send."""

    epoch: int
    boot_id: bytes
    next_seq: int
    available: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is spooled and not acked. `oldest_ns` is CLOCK_BOOTTIME of the oldest (0: none or other
    boot)."""

    records: int
    size: int
    oldest_ns: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The agent's first message. `epochs` ends with the current one. `instance` tells clones apart.

    `ended`: how the previous session ended as the agent saw it, as event fields. `last_session`: 0
    if none.
    `facts`: reboot class and evidence, config revision, grouping labels: bounded pairs.
    """

    gateway_id: str
    instance: bytes
    boot_id: bytes
    software: str
    epochs: tuple[EpochState, ...]
    clock: ClockReading
    encodings: tuple[int, ...]
    max_message: int
    last_session: int
    backlog: Backlog
    ended: tuple[tuple[str, Scalar], ...] = ()
    facts: tuple[tuple[str, Scalar], ...] = ()
    complete: bool = True
    """``False``: the agent holds more epochs than `epochs` has room for."""


@dataclass(frozen=True, slots=True)
class EpochHave:
    """What the centre has committed of an epoch."""

    epoch: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Welcome:
    """The centre's answer to `Hello`. `previous`: what it last stored of the gateway's previous
    boot."""

    session: int
    wall_ns: int
    have: tuple[EpochHave, ...]
    encoding: int
    max_message: int
    window: int
    heartbeat_s: float
    schemas: tuple[bytes, ...]
    previous: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaAnnouncement:
    """Binds (epoch, sid) to a schema. `body` is ``None`` when the centre listed `digest` in
    `Welcome`."""

    epoch: int
    sid: int
    digest: bytes
    body: bytes | None


@dataclass(slots=True)
class Data:
    """Records of one epoch, verbatim, perhaps compressed.

    Not frozen: the centre makes one for each message, and a frozen one costs twice the time.
    """

    epoch: int
    lane: Lane
    encoding: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """These seqs are committed at the centre. `window`: bytes the agent may have in flight."""

    epoch: int
    intervals: tuple[Interval, ...]
    window: int


@dataclass(frozen=True, slots=True)
class Nack:
    """These seqs were not taken, and why."""

    epoch: int
    intervals: tuple[Interval, ...]
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent every `heartbeat_s` by the agent: its clock and its backlog."""

    clock: ClockReading
    next_seq: int
    backlog: Backlog


@dataclass(frozen=True, slots=True)
class Bye:
    """The last message of a side. `retry_after_s`: 0 = as you like."""

    code: int
    text: str
    retry_after_s: float


Message = Hello | Welcome | SchemaAnnouncement | Data | Ack | Nack | Heartbeat | Bye
