"""Messages to bytes and back (`docs/protocol.md` §Messages).

Owns the layout of every message. A message is one MessagePack array whose element 0 is its type;
elements behind the ones known here are ignored, so that a later version may add some. `decode`
raises nothing but `RemoteProtocolError`, in bounded memory, whatever the bytes.
"""

from collections.abc import Callable, Sequence

import msgpack

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.event import Scalar
from gateway.wire import strict
from gateway.wire.limits import (
    BOOT_ID_SIZE,
    DEFAULT_MESSAGE,
    DIGEST_SIZE,
    MAX_ARRAY,
    MAX_BODY,
    MAX_ENCODINGS,
    MAX_EPOCH,
    MAX_EPOCHS,
    MAX_HEARTBEAT_S,
    MAX_INSTANCE,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_RETRY_AFTER_S,
    MAX_SCHEMA_BODY,
    MAX_SCHEMAS,
    MAX_SEQ,
    MAX_SID,
    MAX_WINDOW,
    MIN_WINDOW,
)
from gateway.wire.message import (
    Ack,
    Backlog,
    Bye,
    ClockReading,
    Data,
    EpochHave,
    EpochState,
    Heartbeat,
    Hello,
    Interval,
    Lane,
    Message,
    MessageType,
    Nack,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.rows import clock_reading

IGNORABLE = 0x40
"""Types from here on are ignored when unknown; an unknown type below is an error."""
_LANES = tuple(Lane)
_DATA, _ACK = int(MessageType.DATA), int(MessageType.ACK)  # looking an enum up costs
UNSUPPORTED = 1002
"""Close code: protocol error (RFC 6455 §7.4.1)."""


def _clock(clock: ClockReading) -> list[int]:
    return [clock.boottime_ns, clock.wall_ns, int(clock.source), clock.error_us]


def _backlog(backlog: Backlog) -> list[int]:
    return [backlog.records, backlog.size, backlog.oldest_ns]


def _elements(message: Message) -> list[object]:
    match message:
        case Data():
            return [4, message.epoch, int(message.lane), int(message.encoding), message.body]
        case Ack():
            return [5, message.epoch, message.intervals, message.window]
        case Nack():
            return [6, message.epoch, message.intervals, int(message.code), message.text]
        case Heartbeat():
            return [7, _clock(message.clock), message.next_seq, _backlog(message.backlog)]
        case SchemaAnnouncement():
            return [3, message.epoch, message.sid, message.digest, message.body]
        case Bye():
            return [8, int(message.code), message.text, float(message.retry_after_s)]
        case Hello():
            return [
                1,
                message.gateway_id,
                message.instance,
                message.boot_id,
                message.software,
                [[e.epoch, e.boot_id, e.next_seq, e.available] for e in message.epochs],
                _clock(message.clock),
                message.encodings,
                message.max_message,
                message.last_session,
                _backlog(message.backlog),
                dict(message.ended),
                dict(message.facts),
                message.complete,
            ]
        case _:
            return [
                2,
                message.session,
                message.wall_ns,
                [[h.epoch, h.intervals] for h in message.have],
                int(message.encoding),
                message.max_message,
                message.window,
                float(message.heartbeat_s),
                message.schemas,
                dict(message.previous),
            ]


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    packed: bytes = msgpack.packb(_elements(message))
    return packed


def encode_ack(epoch: int, intervals: Sequence[Interval], window: int) -> bytes:
    """Return the bytes of an `Ack`: the centre says one for each message it gets."""
    packed: bytes = msgpack.packb((_ACK, epoch, intervals, window))
    return packed


def encode_pairs(pairs: Sequence[tuple[str, Scalar]]) -> bytes:
    """Return the bytes of pairs as a message holds them."""
    packed: bytes = msgpack.packb(dict(pairs))
    return packed


def encode_checked(message: Message, limit: int) -> bytes:
    """Return the bytes of a message that is built from what others gave us.

    Raises: LocalProtocolError when the peer would have to refuse it.
    """
    try:
        data = encode(message)
        decode(data, limit)
    except (RemoteProtocolError, OverflowError, TypeError) as error:
        raise LocalProtocolError(f"{type(message).__name__} cannot be sent: {error}") from error
    return data


def decode(data: bytes, limit: int = DEFAULT_MESSAGE) -> Message | None:
    """Read one message; ``None`` if it is of a type that may be ignored.

    `limit`: bytes allowed in this state of the session. Raises: RemoteProtocolError.
    """
    if len(data) > limit:
        raise RemoteProtocolError(f"message of {len(data)} bytes, limit {limit}", strict.TOO_BIG)
    elements = strict.unpack(data, "message")
    if not elements:
        raise RemoteProtocolError("message: an empty array has no type", strict.BAD_DATA)
    number = elements[0]
    if number == _DATA and type(number) is int and len(elements) >= 5:
        return _decode_data(elements)  # at once: this is what the centre gets all day
    number = strict.integer(number, "message type", 0, 0xFFFF)
    if number not in _DECODERS:
        if number >= IGNORABLE:
            return None
        raise RemoteProtocolError(f"message type {number} is not known", UNSUPPORTED)
    count, decoder = _DECODERS[number]
    if len(elements) < count:
        raise RemoteProtocolError(
            f"{MessageType(number).name}: {len(elements)} elements, {count} needed",
            strict.BAD_DATA,
        )
    return decoder(elements)


def _epoch(value: object, what: str) -> int:
    return strict.integer(value, f"{what} epoch", 0, MAX_EPOCH)


def _decode_backlog(value: object, what: str) -> Backlog:
    parts = strict.array(value, what, 3, MAX_ARRAY)
    records, size, oldest = (strict.integer(part, what) for part in parts[:3])
    return Backlog(records, size, oldest)


def _decode_epoch_state(value: object) -> EpochState:
    state = strict.array(value, "Hello epoch", 4, MAX_ARRAY)
    next_seq = strict.integer(state[2], "Hello next_seq", 1, MAX_SEQ)
    available = strict.intervals(state[3], "Hello available")
    if available and available[-1][1] >= next_seq:
        raise RemoteProtocolError(
            f"Hello: seq {available[-1][1]} available, but next_seq is {next_seq}",
            strict.BAD_DATA,
        )
    boot_id = strict.binary(state[1], "Hello epoch boot id", BOOT_ID_SIZE, BOOT_ID_SIZE)
    return EpochState(_epoch(state[0], "Hello"), boot_id, next_seq, available)


def _decode_hello(m: list[object]) -> Hello:
    states = strict.array(m[5], "Hello epochs", 1, MAX_EPOCHS)
    epochs = tuple(_decode_epoch_state(state) for state in states)
    if len({state.epoch for state in epochs}) != len(epochs):
        raise RemoteProtocolError("Hello: an epoch stands twice", strict.BAD_DATA)
    encodings = strict.array(m[7], "Hello encodings", 0, MAX_ENCODINGS)
    gateway_id = strict.text(m[1], "gateway id", MAX_NAME)
    if not gateway_id:
        raise RemoteProtocolError("gateway id: empty", strict.BAD_DATA)
    return Hello(
        gateway_id=gateway_id,
        instance=strict.binary(m[2], "instance", 0, MAX_INSTANCE),
        boot_id=strict.binary(m[3], "boot id", BOOT_ID_SIZE, BOOT_ID_SIZE),
        software=strict.text(m[4], "software"),
        epochs=epochs,
        clock=clock_reading(m[6], "Hello clock"),
        encodings=tuple(strict.integer(e, "Hello encoding", 0, 255) for e in encodings),
        max_message=strict.integer(m[8], "max_message", DEFAULT_MESSAGE, MAX_MESSAGE),
        last_session=strict.integer(m[9], "last_session", 0, MAX_EPOCH),
        backlog=_decode_backlog(m[10], "Hello backlog"),
        ended=strict.pairs(m[11], "ended"),
        facts=strict.pairs(m[12], "facts"),
        complete=strict.boolean(m[13], "complete"),
    )


def _decode_have(value: object) -> EpochHave:
    have = strict.array(value, "Welcome have", 2, MAX_ARRAY)
    return EpochHave(_epoch(have[0], "Welcome"), strict.intervals(have[1], "Welcome have"))


def _decode_welcome(m: list[object]) -> Welcome:
    schemas = strict.array(m[8], "Welcome schemas", 0, MAX_SCHEMAS)
    return Welcome(
        session=strict.integer(m[1], "session", 0, MAX_EPOCH),
        wall_ns=strict.integer(m[2], "wall_ns"),
        have=tuple(_decode_have(h) for h in strict.array(m[3], "have", 0, MAX_EPOCHS)),
        encoding=strict.integer(m[4], "encoding", 0, 255),
        max_message=strict.integer(m[5], "max_message", DEFAULT_MESSAGE, MAX_MESSAGE),
        window=strict.integer(m[6], "window", MIN_WINDOW, MAX_WINDOW),
        heartbeat_s=strict.number(m[7], "heartbeat_s", MAX_HEARTBEAT_S),
        schemas=tuple(strict.binary(d, "digest", DIGEST_SIZE, DIGEST_SIZE) for d in schemas),
        previous=strict.pairs(m[9], "previous"),
    )


def _decode_schema(m: list[object]) -> SchemaAnnouncement:
    return SchemaAnnouncement(
        epoch=_epoch(m[1], "Schema"),
        sid=strict.integer(m[2], "sid", 0, MAX_SID),
        digest=strict.binary(m[3], "digest", DIGEST_SIZE, DIGEST_SIZE),
        body=None if m[4] is None else strict.binary(m[4], "schema", 1, MAX_SCHEMA_BODY),
    )


def _decode_data(m: list[object]) -> Data:
    epoch, lane, encoding, body = m[1:5]
    if (  # the usual case at once, too
        type(epoch) is int
        and type(lane) is int
        and type(encoding) is int
        and type(body) is bytes
        and epoch >= 0  # MessagePack has no integer above MAX_EPOCH
        and -1 < lane < 2
        and -1 < encoding < 256
        and 0 < len(body) <= MAX_BODY
    ):
        return Data(epoch, _LANES[lane], encoding, body)
    return Data(  # says what is wrong
        epoch=_epoch(m[1], "Data"),
        lane=_LANES[strict.integer(m[2], "lane", 0, 1)],
        encoding=strict.integer(m[3], "encoding", 0, 255),
        body=strict.binary(m[4], "body", 1, MAX_BODY),
    )


def _decode_ack(m: list[object]) -> Ack:
    return Ack(
        epoch=_epoch(m[1], "Ack"),
        intervals=strict.intervals(m[2], "Ack", 1),
        window=strict.integer(m[3], "window", MIN_WINDOW, MAX_WINDOW),
    )


def _decode_nack(m: list[object]) -> Nack:
    return Nack(
        epoch=_epoch(m[1], "Nack"),
        intervals=strict.intervals(m[2], "Nack", 1),
        code=strict.integer(m[3], "Nack code", 0, 255),
        text=strict.text(m[4], "Nack text"),
    )


def _decode_heartbeat(m: list[object]) -> Heartbeat:
    return Heartbeat(
        clock=clock_reading(m[1], "Heartbeat clock"),
        next_seq=strict.integer(m[2], "Heartbeat next_seq", 1),
        backlog=_decode_backlog(m[3], "Heartbeat backlog"),
    )


def _decode_bye(m: list[object]) -> Bye:
    return Bye(
        code=strict.integer(m[1], "Bye code", 0, 255),
        text=strict.text(m[2], "Bye text"),
        retry_after_s=strict.number(m[3], "retry_after_s", MAX_RETRY_AFTER_S),
    )


_DECODERS: dict[int, tuple[int, Callable[[list[object]], Message]]] = {
    MessageType.HELLO: (14, _decode_hello),
    MessageType.WELCOME: (10, _decode_welcome),
    MessageType.SCHEMA: (5, _decode_schema),
    MessageType.DATA: (5, _decode_data),
    MessageType.ACK: (4, _decode_ack),
    MessageType.NACK: (5, _decode_nack),
    MessageType.HEARTBEAT: (4, _decode_heartbeat),
    MessageType.BYE: (4, _decode_bye),
}
"""Type → (elements needed, decoder)."""
