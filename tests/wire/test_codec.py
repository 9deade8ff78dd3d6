"""Pins the bytes of every message: round trip, what is ignored, what is refused."""

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.wire import codec
from gateway.wire.limits import DEFAULT_MESSAGE, MAX_MESSAGE, MAX_SEQ
from gateway.wire.message import (
    Ack,
    Backlog,
    Bye,
    ClockReading,
    ClockSource,
    Data,
    EpochHave,
    EpochState,
    Heartbeat,
    Hello,
    Lane,
    Message,
    Nack,
    SchemaAnnouncement,
    Welcome,
)
from tests.wire.examples import MESSAGES
from tests.wire.peers import hello

U64 = st.integers(0, 2**64 - 1)
U63 = st.integers(0, MAX_SEQ)
TEXT = st.text(max_size=100)
SCALARS = st.one_of(
    st.none(), st.booleans(), U63, st.integers(-(2**63), 0), TEXT, st.floats(allow_nan=False)
)
PAIRS = st.dictionaries(TEXT, SCALARS, max_size=5).map(lambda d: tuple(d.items()))


@st.composite
def intervals(draw: st.DrawFn, minimum: int = 0) -> tuple[tuple[int, int], ...]:
    result = []
    last = 0
    for gap, length in draw(
        st.lists(st.tuples(st.integers(1, 99), st.integers(0, 99)), min_size=minimum, max_size=6)
    ):
        result.append((last + gap, last + gap + length))
        last += gap + length
    return tuple(result)


CLOCKS = st.builds(ClockReading, U63, U63, st.sampled_from(ClockSource), st.integers(-1, 10**9))
BACKLOGS = st.builds(Backlog, U63, U63, U63)
EPOCHS = st.builds(
    lambda e, b, extra, i: EpochState(e, b, (i[-1][1] if i else 0) + extra, i),
    U64,
    st.binary(min_size=16, max_size=16),
    st.integers(1, 5),
    intervals(),
)
SIZES = st.integers(DEFAULT_MESSAGE, MAX_MESSAGE)
MESSAGE = st.one_of(
    st.builds(
        Hello,
        gateway_id=st.text(min_size=1, max_size=30),
        instance=st.binary(max_size=32),
        boot_id=st.binary(min_size=16, max_size=16),
        software=TEXT,
        epochs=st.lists(EPOCHS, min_size=1, max_size=4, unique_by=lambda e: e.epoch).map(tuple),
        clock=CLOCKS,
        encodings=st.lists(st.integers(0, 255), max_size=8).map(tuple),
        max_message=SIZES,
        last_session=U64,
        backlog=BACKLOGS,
        ended=PAIRS,
        facts=PAIRS,
        complete=st.booleans(),
    ),
    st.builds(
        Welcome,
        session=U64,
        wall_ns=U63,
        have=st.lists(st.builds(EpochHave, U64, intervals()), max_size=3).map(tuple),
        encoding=st.integers(0, 255),
        max_message=SIZES,
        window=st.integers(16384, 2**26),
        heartbeat_s=st.floats(0, 3600),
        schemas=st.lists(st.binary(min_size=8, max_size=8), max_size=5).map(tuple),
        previous=PAIRS,
    ),
    st.builds(
        SchemaAnnouncement,
        U64,
        st.integers(0, 65535),
        st.binary(min_size=8, max_size=8),
        st.one_of(st.none(), st.binary(min_size=1, max_size=99)),
    ),
    st.builds(
        Data, U64, st.sampled_from(Lane), st.integers(0, 255), st.binary(min_size=1, max_size=99)
    ),
    st.builds(Ack, U64, intervals(1), st.integers(16384, 2**26)),
    st.builds(Nack, U64, intervals(1), st.integers(0, 255), TEXT),
    st.builds(Heartbeat, CLOCKS, st.integers(1, MAX_SEQ), BACKLOGS),
    st.builds(Bye, st.integers(0, 255), TEXT, st.floats(0, 86400)),
)


@given(MESSAGE)
def test_round_trip(message: Message) -> None:
    """Every value within the limits comes back, and one message has one encoding."""
    data = codec.encode_checked(message, DEFAULT_MESSAGE)
    decoded = codec.decode(data)
    assert decoded == message
    assert codec.encode(message) == data
    if isinstance(message, Ack):
        assert codec.encode_ack(message.epoch, message.intervals, message.window) == data


@given(MESSAGE, st.lists(SCALARS, min_size=1, max_size=3))
def test_trailing_elements_are_ignored(message: Message, extra: list[object]) -> None:
    """A later version may add elements at the end."""
    elements = msgpack.unpackb(codec.encode(message), strict_map_key=False)
    assert codec.decode(msgpack.packb([*elements, *extra])) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_every_element_is_required(name: str) -> None:
    """A message that is one element short is refused."""
    elements = msgpack.unpackb(codec.encode(MESSAGES[name]))
    with pytest.raises(RemoteProtocolError, match="needed"):
        codec.decode(msgpack.packb(elements[:-1]))


@pytest.mark.parametrize("name", MESSAGES)
def test_every_element_has_a_type(name: str) -> None:
    """No element accepts an ext type, which nothing uses."""
    elements = msgpack.unpackb(codec.encode(MESSAGES[name]))
    for i in range(1, len(elements)):
        spoilt = [*elements[:i], msgpack.Timestamp(1), *elements[i + 1 :]]
        with pytest.raises(RemoteProtocolError):
            codec.decode(msgpack.packb(spoilt))


def test_unknown_types() -> None:
    """Unknown types are ignored from 64 on and refused below."""
    assert codec.decode(msgpack.packb([0x40, "anything"])) is None
    assert codec.decode(msgpack.packb([0xFFFF])) is None
    for number in (0, 9, 0x3F):
        with pytest.raises(RemoteProtocolError) as caught:
            codec.decode(msgpack.packb([number]))
        assert caught.value.close_code == 1002


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ([4.0, 1, 0, 0, b"x"], "message type: float"),
        ([4, -1, 0, 0, b"x"], "epoch: -1"),
        ([4, True, 0, 0, b"x"], "epoch: bool"),
        ([4, 1, False, 0, b"x"], "lane: bool"),
        ([4, 1, 2, 0, b"x"], "lane: 2"),
        ([4, 1, -1, 0, b"x"], "lane: -1"),
        ([4, 1, 0, False, b"x"], "encoding: bool"),
        ([4, 1, 0, 256, b"x"], "encoding: 256"),
        ([4, 1, 0, -1, b"x"], "encoding: -1"),
        ([4, 1, 0, 0, b""], "body: binary of 0 bytes"),
        ([4, 1, 0, 0, "x"], "body: str"),
        ([4, 1, 0, 0], "4 elements, 5 needed"),
    ],
)
def test_data_is_held_to_its_limits(elements: list[object], words: str) -> None:
    """The short way of the message that comes all day lets nothing in that the long one refuses."""
    with pytest.raises(RemoteProtocolError, match=words):
        codec.decode(msgpack.packb(elements))
    assert codec.decode(msgpack.packb([4, 2**64 - 1, 1, 255, b"x"])) == Data(
        2**64 - 1, Lane.BACKLOG, 255, b"x"
    )


def test_no_type_no_message() -> None:
    """An empty array, and one whose first element is no type, are refused."""
    for data in (b"\x90", b"\x91\xc0", b"\x91\xce\x00\x01\x00\x00"):
        with pytest.raises(RemoteProtocolError):
            codec.decode(data)


def test_the_limit_of_a_message() -> None:
    """A message may be exactly as long as the limit."""
    data = codec.encode(Data(1, Lane.LIVE, 0, bytes(500)))
    assert codec.decode(data, len(data))
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(data, len(data) - 1)
    assert caught.value.close_code == 1009


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(hello(), gateway_id=""),
        replace(hello(), gateway_id="x" * 129),
        replace(hello(), boot_id=b"short"),
        replace(hello(), epochs=()),
        replace(hello(), epochs=hello().epochs * 2),
        replace(hello(), epochs=(EpochState(7, bytes(16), 5, ((1, 5),)),)),
        replace(hello(), epochs=(EpochState(7, bytes(16), 0, ()),)),
        replace(hello(), max_message=1),
        replace(hello(), facts=tuple((str(i), i) for i in range(33))),
        replace(hello(), software="x" * 513),
        replace(hello(), last_session=1 << 64),
    ],
    ids=range(11),
)
def test_what_cannot_be_sent_is_our_bug(spoilt: Hello) -> None:
    """`encode_checked` refuses what the peer would have to refuse."""
    with pytest.raises(LocalProtocolError, match="Hello cannot be sent"):
        codec.encode_checked(spoilt, DEFAULT_MESSAGE)
