"""What a technician's command and the running agent say to each other over the control socket.

Owns the message types and their JSON form: one object a line, ``v`` its version. Both ends are the
same package as a rule, but not always (an update without a restart): unknown keys are left out,
missing ones get their default. Described in `docs/decisions/control-socket.md`.
"""

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.errors import RemoteProtocolError
from gateway.reading import Value

VERSION = 1
MAX_REQUEST = 4096
"""Bytes of a request's line."""
MAX_REPLY = 1024 * 1024
"""Bytes of one line of a reply; what is longer comes in several."""

MAX_WHOLE = 1 << 53
"""Largest whole number taken where a float is wanted: beyond it another would come out."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: ``status points subscribe read write reload``.

    `name`: ``source`` or ``source.point``, of a read or a write. `every_s`: of a subscription.
    """

    request: str
    name: str = ""
    value: str = ""
    every_s: float = 1.0


@dataclass(frozen=True, slots=True)
class PointState:
    """A point and its last reading. `age_s`: since its source time, ``None`` before the first.

    `interval_s`: as configured; `rate`: readings a second as they came lately. `type`: as in the
    schema (`gateway.reading.SchemaPoint`).
    """

    source: str
    point: str
    unit: str = ""
    type: str = ""
    value: Value = None
    quality: str = "none"
    cause: str = ""
    source_time_s: float = 0.0
    age_s: float | None = None
    interval_s: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device of a bus. `health`: ``good``, or the cause of its last bad reading.

    `good_age_s`: since its last good reading, ``None`` before the first. `points`: how many are
    polled; 0 for one whose points are still being looked for (`discovers`).
    """

    name: str
    unit_id: int = 0
    profile: str = ""
    health: str = ""
    turnaround_s: float | None = None
    good_age_s: float | None = None
    points: int = 0
    discovers: bool = False


@dataclass(frozen=True, slots=True)
class BusState:
    """A bus. `planned`, `busy`: shares of its time, as configured and as used lately."""

    name: str
    port: str = ""
    baud: int = 0
    open: bool = False
    reason: str = ""
    planned: float = 0.0
    busy: float = 0.0
    transactions: int = 0
    no_replies: int = 0
    bad_frames: int = 0
    exceptions: int = 0
    devices: tuple[DeviceState, ...] = ()
    skipped: int = 0
    """Due times left out: the bus was busy."""


@dataclass(frozen=True, slots=True)
class SerialState:
    """A plain serial source. `asked_s`: how often it is asked, ``None``: it talks by itself.

    `health`, `good_age_s`: as of a device. `faults`: (kind, count) of what gave no line.
    """

    name: str
    port: str = ""
    baud: int = 0
    format: str = ""
    asked_s: float | None = None
    open: bool = False
    reason: str = ""
    health: str = ""
    good_age_s: float | None = None
    points: int = 0
    lines: int = 0
    bytes: int = 0
    questions: int = 0
    unanswered: int = 0
    silent: bool = False
    faults: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LinkState:
    """The link to the centre. `since_s`: how long it has been so; `text`: the last word on it."""

    connected: bool = False
    since_s: float | None = None
    session: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What waits for the centre's ack, and the room for it."""

    records: int = 0
    bytes: int = 0
    max_bytes: int = 0
    on_disk: bool = True


@dataclass(frozen=True, slots=True)
class ReloadWord:
    """How the last reload ended. `ago_s`: ``None`` when there was none."""

    ok: bool = True
    revision: str = ""
    text: str = ""
    restarted: tuple[str, ...] = ()
    ago_s: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The running agent in one message."""

    gateway_id: str = ""
    version: str = ""
    pid: int = 0
    config: str = ""
    revision: str = ""
    running_s: float = 0.0
    clock_synchronised: bool = False
    link: LinkState = LinkState()
    spool: SpoolState = SpoolState()
    buses: tuple[BusState, ...] = ()
    reload: ReloadWord = ReloadWord()
    readings: int = 0
    serials: tuple[SerialState, ...] = ()


@dataclass(frozen=True, slots=True)
class PointRead:
    """A point read now. `registers`: raw, in address order (one bit for a coil); empty when it
    could not be read: then `text` says why."""

    name: str
    unit: str = ""
    table: str = ""
    address: int = 0
    registers: tuple[int, ...] = ()
    value: Value = None
    quality: str = "bad"
    cause: str = ""
    text: str = ""
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One poll of a device, made now. `frames`: (``out`` or ``in``, hex) in order."""

    device: str
    unit_id: int = 0
    bus: str = ""
    points: tuple[PointRead, ...] = ()
    frames: tuple[tuple[str, str], ...] = ()
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceRead:
    """A plain serial source as it is now. `asked`: it was asked for this; else `points` are what
    it said last. `frames`: its bytes lately, as of a read. `fault`: the last stretch of bytes that
    gave no line, in words."""

    source: str
    port: str = ""
    format: str = ""
    asked: bool = False
    points: tuple[PointState, ...] = ()
    frames: tuple[tuple[str, str], ...] = ()
    fault: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A point written and read back. `function`: the function code used. `agrees`: what was read
    back is what was asked for. `told`: an event for the centre was recorded."""

    device: str
    unit_id: int = 0
    bus: str = ""
    function: int = 0
    registers: tuple[int, ...] = ()
    before: PointRead = PointRead("")
    after: PointRead = PointRead("")
    agrees: bool = False
    told: bool = False
    frames: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """One line of a reply. `error`: what was refused, with the cure; then nothing else counts.

    `more`: another line of the same reply follows.
    """

    v: int = VERSION
    error: str = ""
    more: bool = False
    status: Status | None = None
    points: tuple[PointState, ...] = field(default=())
    read: ReadResult | None = None
    source: SourceRead | None = None
    write: WriteResult | None = None
    reload: ReloadWord | None = None


def encode(message: Request | Reply) -> bytes:
    """Return the line; what is at its default is left out of the top level."""
    body: dict[str, Any] = {"v": VERSION}
    for one in dataclasses.fields(message):
        value = getattr(message, one.name)
        if value != one.default or one.name == "request":
            body[one.name] = dataclasses.asdict(value) if _is_message(value) else _plain(value)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate (of a name that a peer made up) goes out as JSON's own escape of it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a request. Raises: RemoteProtocolError."""
    body = _object(line)
    if body.get("v") != VERSION:
        raise RemoteProtocolError(
            f"control version {body.get('v')!r}: this agent speaks {VERSION}; use its own `gateway`"
        )
    return _built(Request, body)


def decode_reply(line: bytes) -> Reply:
    """Read a reply's line. Raises: RemoteProtocolError."""
    return _built(Reply, _object(line))


def _object(line: bytes) -> dict[str, Any]:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"control socket: not JSON: {error}") from None
    if not isinstance(body, dict):
        raise RemoteProtocolError("control socket: not a JSON object")
    return body


def _is_message(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return dataclasses.asdict(value) if _is_message(value) else value


def _built(kind: type[T], body: dict[str, Any]) -> T:
    """Build a message from its JSON. Raises: RemoteProtocolError where a value has another type."""
    hints = typing.get_type_hints(kind)
    given = {}
    for one in dataclasses.fields(typing.cast("Any", kind)):
        if one.name in body:
            given[one.name] = _value(hints[one.name], body[one.name], one.name)
    try:
        return kind(**given)
    except TypeError as error:
        raise RemoteProtocolError(f"control socket: {kind.__name__}: {error}") from None


def _value(hint: Any, value: Any, name: str) -> Any:
    """Return a value as the type that is hinted. Raises: RemoteProtocolError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        # Its own type first: 5 must not become 5.0 where both are allowed.
        for option in sorted(args, key=lambda option: option is not type(value)):
            try:
                return _value(option, value, name)
            except RemoteProtocolError:
                continue
    elif origin is tuple and isinstance(value, list):
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_value(args[0], one, name) for one in value)
        if len(args) == len(value):
            return tuple(_value(kind, one, name) for kind, one in zip(args, value, strict=True))
    elif dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _built(typing.cast("type[Any]", hint), value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    elif hint is float and type(value) is int and abs(value) <= MAX_WHOLE:
        return float(value)
    raise RemoteProtocolError(f"control socket: {name}: found {value!r}"[:200])
