"""Pins that any bytes of a hostile peer end in `RemoteProtocolError`, in bounded memory.

Each side is brought into each of its states and then fed: random bytes, valid messages with bytes
changed, messages of the wrong state, bombs, deep nesting, lengths that lie.
"""

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.wire import codec, record, rows
from gateway.wire.limits import MAX_BODY, MAX_MESSAGE
from gateway.wire.message import Data, Lane
from gateway.wire.receiver import Receiver
from gateway.wire.sender import Sender
from tests.wire.examples import MESSAGES
from tests.wire.peers import BODY, EPOCH, SCHEMA, Pair, hello, rows_record

MEMORY = 24 * 1024 * 1024
"""Bytes that one message may make either side use for a moment (1024 lists of 2048 elements)."""
CODES = {1002, 1007, 1008, 1009}
Side = Sender | Receiver


def _sender_hello() -> Sender:
    return Pair().sender


def _sender_open() -> Sender:
    pair = Pair().open()
    pair.pump()
    pair.sender.announce(EPOCH, 1, BODY)
    pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0)
    return pair.sender


def _sender_leaving() -> Sender:
    sender = _sender_open()
    sender.bye(1, "", 0.0)
    return sender


def _receiver_waiting() -> Receiver:
    return Pair().receiver


def _receiver_identifying() -> Receiver:
    pair = Pair()
    pair.pump()
    return pair.receiver


def _receiver_open() -> Receiver:
    pair = Pair().open()
    pair.pump()
    pair.sender.announce(EPOCH, 1, BODY)
    pair.pump()
    return pair.receiver


def _receiver_leaving() -> Receiver:
    receiver = _receiver_open()
    receiver.bye(1, "", 0.0, 0.0)
    return receiver


MAKERS: list[Callable[[], Side]] = [
    _sender_hello,
    _sender_open,
    _sender_leaving,
    _receiver_waiting,
    _receiver_identifying,
    _receiver_open,
    _receiver_leaving,
]
NAMES = [maker.__name__[1:] for maker in MAKERS]
VALID = [codec.encode(message) for message in MESSAGES.values()]


def _feed(side: Side, message: bytes) -> str:
    """Feed one message; return how it ended. Any other exception fails the test."""
    try:
        side.receive(message, 1.0)
    except RemoteProtocolError as error:
        assert error.close_code in CODES
        assert len(str(error)) < 400, "the text goes into a log line"
        return "refused"
    side.events_received()
    side.messages_to_send()
    return "taken"


@pytest.mark.parametrize("maker", MAKERS, ids=NAMES)
@given(message=st.binary(max_size=300))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_random_bytes(maker: Callable[[], Side], message: bytes) -> None:
    """Bytes out of nowhere end in the documented error, or are ignorable."""
    _feed(maker(), message)


@pytest.mark.parametrize("maker", MAKERS, ids=NAMES)
@given(
    type_=st.integers(0, 80),
    rest=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | st.binary(max_size=20)
        | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=30,
    ).filter(lambda value: isinstance(value, list)),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_well_formed_nonsense(maker: Callable[[], Side], type_: int, rest: list[object]) -> None:
    """MessagePack that means nothing ends in the documented error."""
    _feed(maker(), msgpack.packb([type_, *rest], unicode_errors="surrogatepass"))


@pytest.mark.parametrize("maker", MAKERS, ids=NAMES)
def test_mutated_messages(maker: Callable[[], Side]) -> None:
    """Valid messages with bytes flipped, cut, doubled and spliced: seeded, 2000 for each state."""
    rng = random.Random(NAMES.index(maker.__name__[1:]))
    side = maker()
    refused = 0
    for _ in range(2000):
        message = bytearray(rng.choice(VALID))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(message))
            what = rng.randrange(4)
            if what == 0:
                message[at] ^= 1 << rng.randrange(8)
            elif what == 1:
                message[at] = rng.choice((0x00, 0x7F, 0xC0, 0xC1, 0xC4, 0xDC, 0xDD, 0xFF))
            elif what == 2:
                del message[at : at + rng.randint(1, 8)]
                message = message or bytearray(b"\xc0")
            else:
                other = rng.choice(VALID)
                message[at:at] = other[: rng.randint(1, 20)]
        ended = _feed(side, bytes(message))
        refused += ended == "refused"
        if ended == "taken" or rng.random() < 0.01:
            side = maker()
    assert refused > 1000


@pytest.mark.parametrize("maker", MAKERS, ids=NAMES)
@pytest.mark.parametrize("name", MESSAGES)
def test_messages_of_the_wrong_state(maker: Callable[[], Side], name: str) -> None:
    """Every valid message in every state is either taken or ends in the documented error."""
    _feed(maker(), codec.encode(MESSAGES[name]))


def _zstd_lie(stated: int, real: bytes) -> bytes:
    """Return a frame whose header states another content size than it holds."""
    frame = bytearray(zstandard.ZstdCompressor(level=1).compress(real))
    assert frame[4] & 0xE0 == 0x80, "a window byte, then 4 bytes of content size"
    frame[6:10] = struct.pack("<I", stated)
    return bytes(frame)


BIG = bytes(8 * MAX_BODY)
BOMBS: dict[str, bytes] = {
    "array of 4 billion": b"\xdd\xff\xff\xff\xff",
    "text of 4 billion": b"\x92\x08\xdb\xff\xff\xff\xff",
    "binary of 4 billion": b"\x92\x04\xc6\xff\xff\xff\xff",
    "map of 4 billion": b"\x92\x08\xdf\xff\xff\xff\xff",
    "ext of 4 billion": b"\x92\x08\xc9\xff\xff\xff\xff\x01",
    "nested arrays": b"\x91" * 60_000,
    "nested maps": b"\x81\xa1a" * 20_000,
    "nested wide arrays": b"\xdc\x08\x00" * 20_000,
    "nested wide maps": b"\xde\x00\x20" * 20_000,
    "wide and flat": b"\xdc\xff\xff" + b"\xc0" * 65_000,
    "timestamp": b"\x92\x08\xd6\xff\x00\x00\x00\x01",
    "bad timestamp": b"\x92\x08\xd7\xff" + b"\xff" * 8,
    "lone surrogate": b"\x94\x08\x01\xa3\xed\xa0\x80\x00",
    "too long": b"\xc4" + bytes(MAX_MESSAGE + 1),
    "zlib bomb": codec.encode(Data(EPOCH, Lane.BACKLOG, 1, zlib.compress(BIG, 9))),
    "zstd bomb": codec.encode(Data(EPOCH, Lane.BACKLOG, 2, zstandard.compress(BIG))),
    "zstd bomb that lies": codec.encode(Data(EPOCH, Lane.BACKLOG, 2, _zstd_lie(100_000, BIG))),
    "zstd without size": codec.encode(
        Data(
            EPOCH,
            Lane.BACKLOG,
            2,
            zstandard.ZstdCompressor(write_content_size=False).compress(BIG),
        )
    ),
    "record that lies about its length": codec.encode(
        Data(EPOCH, Lane.LIVE, 0, b"\0\0\0\0\xff\xff\xff\x01\x00\x00" + bytes(8) + b"abc")
    ),
}


@pytest.mark.parametrize("maker", MAKERS, ids=NAMES)
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_stay_small(maker: Callable[[], Side], bomb: str) -> None:
    """What promises gigabytes is refused without using more than `MEMORY`."""
    side = maker()
    message = BOMBS[bomb]
    tracemalloc.start()
    try:
        ended = _feed(side, message)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ended == "refused"
    assert peak < MEMORY


def test_a_flood_of_schemas_is_cut_off() -> None:
    """An agent cannot make the centre remember schemas without end."""
    receiver = _receiver_open()
    with pytest.raises(RemoteProtocolError, match="256 schemas"):
        for sid in range(2, 65536):
            receiver.receive(
                codec.encode_checked(
                    MESSAGES["schema"].__class__(EPOCH, sid, rows.schema_digest(BODY), BODY),  # type: ignore[call-arg]
                    MAX_MESSAGE,
                ),
                0.0,
            )


def test_a_sid_cannot_change_its_meaning() -> None:
    """(epoch, sid) bound to another schema is a protocol error."""
    receiver = _receiver_open()
    other = msgpack.packb([["x", 1.0, [["a", "", "f32"]]]])
    message = msgpack.packb([3, EPOCH, 1, rows.schema_digest(other), other])
    with pytest.raises(RemoteProtocolError, match="bound to another schema"):
        receiver.receive(message, 0.0)


def test_a_digest_must_be_the_bodys() -> None:
    """A schema under a wrong digest would poison every gateway that shares it."""
    receiver = _receiver_open()
    with pytest.raises(RemoteProtocolError, match="digest"):
        receiver.receive(msgpack.packb([3, EPOCH, 2, b"12345678", BODY]), 0.0)


def test_a_body_may_be_left_out_only_when_known() -> None:
    """Nil for a body the centre never named is a protocol error."""
    receiver = _receiver_open()
    with pytest.raises(RemoteProtocolError, match="not listed in Welcome"):
        receiver.receive(msgpack.packb([3, EPOCH, 2, b"12345678", None]), 0.0)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([5, EPOCH, [[1, 2]], 65536], "never sent"),
        ([5, 8, [[1, 1]], 65536], "never sent"),
        ([6, EPOCH, [[9, 9]], 4, ""], "never sent"),
        ([5, EPOCH, [], 65536], "at least 1"),
        ([5, EPOCH, [[2, 1]], 65536], "not in 2"),
        ([5, EPOCH, [[0, 1]], 65536], "not in 1"),
        ([5, EPOCH, [[1, 1]], 10], "window"),
        ([4, EPOCH, 0, 0, b"x"], "Data from the centre"),
        ([2, 1, 0, [], 0, 65536, 65536, 30.0, [], {}], "second Welcome"),
    ],
)
def test_a_hostile_centre_cannot_make_an_agent_forget(message: list[object], text: str) -> None:
    """Answers for what was never sent would delete readings unseen: they end the session."""
    sender = _sender_open()
    with pytest.raises(RemoteProtocolError, match=text):
        sender.receive(msgpack.packb(message), 0.0)
    assert not sender.events_received()


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([2, 1, 0, [[9, [[1, 1]]]], 0, 65536, 65536, 30.0, [], {}], "was not in Hello"),
        ([2, 1, 0, [[EPOCH, [[1, 1]]]], 0, 65536, 65536, 30.0, [], {}], "set back in time"),
        ([2, 1, 0, [], 7, 65536, 65536, 30.0, [], {}], "was not offered"),
        ([2, 1, 0, [], 0, 1048576, 65536, 30.0, [], {}], "offered 262144"),
        ([2, 1, 0, [], 0, 65536, 65536, float("nan"), [], {}], "heartbeat_s"),
        ([5, EPOCH, [[1, 1]], 65536], "Ack from the centre"),
    ],
)
def test_a_hostile_welcome(message: list[object], text: str) -> None:
    """A `Welcome` that claims what it cannot know is refused before anything is forgotten."""
    sender = _sender_hello()
    with pytest.raises(RemoteProtocolError, match=text):
        sender.receive(msgpack.packb(message), 0.0)
    assert not sender.events_received()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rows_record(1, epoch=8).data, "damaged"),
        (rows_record(1).data[:-1], "damaged"),
        (rows_record(1).data[:10], "damaged"),
        (rows_record(2).data + rows_record(1).data, "ascend"),
        (rows_record(1).data + rows_record(1).data, "ascend"),
        (record.pack(record.epoch_seed(EPOCH), 0, 5, 0, b"\x90").data, "ascend"),
        (record.pack(record.epoch_seed(EPOCH), 1 << 63, 5, 0, b"\x90").data, "ascend"),
    ],
)
def test_hostile_bodies(body: bytes, text: str) -> None:
    """Records of another epoch, cut, in disorder or with impossible seqs are refused whole."""
    receiver = _receiver_open()
    with pytest.raises(RemoteProtocolError, match=text):
        receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, body)), 0.0)
    assert not receiver.events_received()


@given(payload=st.binary(max_size=200))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_hostile_payloads(payload: bytes) -> None:
    """What the store unpacks later ends in the same error."""
    for unpack in (
        lambda data: rows.unpack_rows(data, SCHEMA),
        rows.unpack_event,
        rows.unpack_gap,
        rows.unpack_anchor,
        rows.decode_schema,
        partial(rows.rows_sid, at=0),
    ):
        try:
            unpack(payload)
        except RemoteProtocolError as error:
            assert error.close_code in CODES


def test_hello_of_many_epochs_fits() -> None:
    """An honest agent with more epochs than one `Hello` holds is not a hostile one."""
    said = hello(*(codec.EpochState(n, bytes(16), 100_000, ((1, 99_999),)) for n in range(5000)))
    (message,) = Sender(said, 0.0).messages_to_send()
    decoded = codec.decode(message)
    assert isinstance(decoded, codec.Hello)
    assert not decoded.complete
    assert decoded.epochs[0].epoch == 0
    assert decoded.epochs[-1].epoch == 4999
