"""The lean link: its short path is held against websockets' own `ServerProtocol`."""

import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.centre.ending import EndCause, Side
from gateway.centre.handshake import MAX_REQUEST
from gateway.centre.link import Link
from gateway.centre.link_host import Hold, Phase
from tests.centre.transport import REQUEST, KeepingHost, KeepingTransport, frame, opened

LIMIT = 200


def judged(data: bytes) -> tuple[list[bytes], bytes, bool]:
    """Return (messages, bytes sent, failed or closed) as `ServerProtocol` has it.

    Ours differs in one thing by design: a text message is answered with Close 1003. What comes
    behind a Close is no message any more, but a ping there is still answered (RFC 6455 §5.5.2).
    """
    messages: list[bytes] = []
    sent = b""
    parts: list[bytes] = []
    judge = ServerProtocol(state=State.OPEN, max_size=LIMIT)
    for at in range(len(data)):
        judge.receive_data(data[at : at + 1])
        for event in judge.events_received():
            assert isinstance(event, Frame)
            if judge.state is not State.OPEN:
                continue
            if event.opcode is Opcode.TEXT:
                judge.send_close(1003, "only binary messages are understood")
                continue
            if event.opcode in (Opcode.BINARY, Opcode.CONT):
                parts.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(parts))
                    parts = []
        sent += b"".join(judge.data_to_send())
    return messages, sent, judge.state is not State.OPEN


whole = st.builds(
    frame,
    st.binary(max_size=LIMIT + 20),
    form=st.sampled_from([0, 0, 126, 127]),
    mask=st.binary(min_size=4, max_size=4),
)
fragments = st.lists(st.binary(max_size=90), min_size=2, max_size=4).map(
    lambda parts: b"".join(
        frame(part, 2 if at == 0 else 0, fin=at == len(parts) - 1) for at, part in enumerate(parts)
    )
)
control = st.builds(
    frame,
    st.binary(max_size=130),
    st.sampled_from([8, 9, 10]),
    fin=st.sampled_from([True, True, False]),
)
odd = st.builds(
    frame,
    st.binary(max_size=30),
    st.integers(0, 15),
    fin=st.booleans(),
    reserved=st.integers(0, 7),
    mask=st.none() | st.binary(min_size=4, max_size=4),
)
pieces = st.lists(
    st.one_of(whole, whole, fragments, control, odd, st.binary(max_size=12)), max_size=8
)
streams = pieces.map(b"".join)
alone = st.lists(
    st.one_of(
        st.builds(  # of medium length, about the limit: what comes all day
            frame,
            st.sampled_from([126, 127, LIMIT - 1, LIMIT, LIMIT + 1]).map(bytes),
            st.sampled_from([2, 2, 2, 0, 1]),
            fin=st.sampled_from([True, True, False]),
            form=st.sampled_from([0, 126, 127]),
            reserved=st.sampled_from([0, 0, 0, 4]),
            mask=st.binary(min_size=4, max_size=4) | st.none(),
        ),
        st.builds(frame, st.binary(max_size=90), st.sampled_from([0, 2]), fin=st.booleans()),
        st.builds(frame, st.binary(max_size=9), st.just(2), form=st.just(126)),  # not minimal
        st.tuples(whole, st.binary(min_size=1, max_size=9)).map(b"".join),
        control,
    ),
    max_size=8,
)


@example(frame(b"", 1, fin=False) + frame(b"", 9), [])  # a ping behind our Close
@example(b"\x03\xfe", [])  # an unknown opcode fails before its length is whole
@given(streams, st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_in_any_split_are_what_server_protocol_makes_of_them(
    data: bytes, cuts: list[int]
) -> None:
    """Same messages, same pongs, same Close, whatever the bytes and however they are cut."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    _as_judged([data[low:high] for low, high in pairwise(places)])


@example([frame(bytes(LIMIT + 1))])
@example([frame(bytes(LIMIT), 1)])
@example([frame(bytes(LIMIT), reserved=4)])
@example([frame(bytes(LIMIT), fin=False), frame(bytes(LIMIT)), frame(b"", 0)])
@example([frame(bytes(LIMIT), mask=None)])
@example([frame(bytes(LIMIT)) + frame(b"", 9)])
@example([frame(bytes(LIMIT))[:-1]])
@example([frame(b"x", form=126), frame(b"x" * 126, form=127)])
@example([frame(b"", form=126)[:2], frame(b"", form=126)[2:]])
@example([frame(b"abcdef", mask=b"\x00\x04\x01\x02")])  # its mask looks like a medium length
@given(alone)
def test_a_frame_that_comes_alone_is_what_server_protocol_makes_of_it(frames: list[bytes]) -> None:
    """The shortest path, which wants one whole frame and nothing else, takes nothing it must not:
    not within a fragmented message, not over the limit, not with a bit or a byte too many."""
    _as_judged(frames)


def _as_judged(chunks: list[bytes]) -> None:
    host = KeepingHost(LIMIT)
    link, transport = opened(host)
    for chunk in chunks:
        link.data_received(chunk)
    messages, sent, over = judged(b"".join(chunks))
    assert host.session.messages == messages
    assert transport.take() == sent
    assert (link.phase is not Phase.OPEN) == over
    buffered = link._buffer
    assert buffered is None or len(buffered) <= LIMIT + 14


@given(st.binary(max_size=600), st.integers(1, 64))
def test_any_request_ends_in_an_answer_or_waits(data: bytes, step: int) -> None:
    """Garbage before the upgrade never raises and never lets anybody in."""
    host = KeepingHost()
    link, transport = Link(host), KeepingTransport()
    link.connection_made(transport)
    for at in range(0, len(data), step):
        link.data_received(data[at : at + step])
    assert link.phase is not Phase.OPEN
    assert not transport.written or transport.written[0].startswith(b"HTTP/1.1 4")


def test_an_endless_request_is_answered_431() -> None:
    """A request is bounded before it is understood."""
    host = KeepingHost()
    link, transport = Link(host), KeepingTransport()
    link.connection_made(transport)
    link.data_received(b"GET /gateway/x HTTP/1.1\r\n")
    for _ in range(MAX_REQUEST // 100 + 1):
        link.data_received(b"X-Filler: " + b"x" * 88 + b"\r\n")
    assert transport.take().startswith(b"HTTP/1.1 431") and host.failed == ["http"]


def test_a_message_over_the_limit_is_refused_before_it_is_buffered() -> None:
    """1009 comes from the header alone."""
    host = KeepingHost(LIMIT)
    link, transport = opened(host)
    link.data_received(frame(b"x" * (LIMIT + 1))[:8])
    assert transport.take()[2:4] == (1009).to_bytes(2, "big")
    assert link.phase is Phase.CLOSING and transport.half_closed
    link.connection_lost(None)
    assert host.session.ending is not None
    assert host.session.ending.cause is EndCause.TOO_BIG
    assert host.session.ending.side is Side.CENTRE


def test_a_silent_link_is_pinged_and_its_round_trip_measured() -> None:
    """Only silence brings a ping; the pong's age is the round trip."""
    host = KeepingHost()
    link, transport = opened(host)
    for _ in range(5):
        host.pass_time(20)
        link.data_received(frame(b"m"))
    assert transport.take() == b""
    host.pass_time(30.5)
    ping = transport.take()
    assert ping[0] == 0x89 and len(ping) == 10
    host.time += 0.04
    link.data_received(frame(ping[2:], 10))
    (sent,) = struct.unpack(">d", ping[2:])
    assert host.round_trips == [pytest.approx(host.time - sent)] and sent > 200
    assert link.phase is Phase.OPEN and link._strict is None


def test_a_dead_link_is_closed_after_heartbeat_and_time_out() -> None:
    """No pong: Close 1011, then the connection is dropped."""
    host = KeepingHost()
    link, transport = opened(host)
    host.pass_time(49)
    assert link.phase is Phase.OPEN
    host.pass_time(2)
    assert link.phase is Phase.CLOSING
    host.pass_time(6)
    assert transport.aborted
    link.connection_lost(None)
    assert host.session.ending is not None and host.session.ending.cause is EndCause.NO_PONG


def test_a_wrong_pong_proves_life_but_measures_nothing() -> None:
    """An unsolicited pong (RFC 6455 §5.5.3) is legal and no round trip."""
    host = KeepingHost()
    link, _ = opened(host)
    host.pass_time(31)
    link.data_received(frame(b"not yours", 10))
    assert host.round_trips == [] and link.phase is Phase.OPEN


def test_who_never_upgrades_is_dropped() -> None:
    """The handshake has a time-out; its phase says where it hung."""
    host = KeepingHost()
    hanging = Link(host)  # TLS never finished: no connection_made
    slow, transport = Link(host), KeepingTransport()
    slow.connection_made(transport)
    slow.data_received(REQUEST[:50])
    host.pass_time(11)
    assert sorted(host.failed) == ["timeout", "tls"] and transport.aborted
    late = KeepingTransport()
    hanging.connection_made(late)
    assert late.aborted


def test_back_pressure_stops_reading_and_releases() -> None:
    """A peer that does not read is not read from; two reasons need two releases."""
    host = KeepingHost()
    link, transport = opened(host)
    link.pause_writing()
    link.hold(Hold.STORE)
    assert not transport.reading
    link.resume_writing()
    assert not transport.reading
    link.release(Hold.STORE)
    assert transport.reading


def test_a_link_held_for_the_store_is_not_blamed_for_silence() -> None:
    """While we do not read, silence is ours."""
    host = KeepingHost()
    link, _ = opened(host)
    link.hold(Hold.STORE)
    host.pass_time(200)
    assert link.phase is Phase.OPEN


def test_data_behind_the_request_and_behind_a_close_is_handled() -> None:
    """A frame in the same segment as the request counts; one behind our Close does not."""
    host = KeepingHost()
    link, transport = Link(host), KeepingTransport()
    link.connection_made(transport)
    link.data_received(REQUEST + frame(b"first") + frame(b"half")[:4])
    assert host.session.messages == [b"first"]
    link.close(1001, "this centre stops", EndCause.DRAINING)
    link.data_received(frame(b"half")[4:] + frame(b"late") + frame(b"\x03\xe9", 8))
    assert host.session.messages == [b"first"] and transport.half_closed
    link.connection_lost(None)
    assert host.session.ending is not None and host.session.ending.cause is EndCause.DRAINING


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionResetError(104, "reset"), EndCause.RESET),
        (TimeoutError(110, "timed out"), EndCause.TIMED_OUT),
        (OSError(113, "no route"), EndCause.UNREACHABLE),
        (None, EndCause.END_OF_STREAM),
    ],
)
def test_a_cut_is_told_by_its_error(error: Exception | None, cause: EndCause) -> None:
    """Without a Close the network ended it, and errno says how."""
    host = KeepingHost()
    link, _ = opened(host)
    link.connection_lost(error)
    assert host.session.ending is not None
    assert (host.session.ending.side, host.session.ending.cause) == (Side.NETWORK, cause)
    assert host.session.ending.code == 1006 and host.lost == 1
