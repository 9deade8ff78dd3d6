"""Pins the centre's side of a session, state by state, and how small it is."""

import gc
import tracemalloc

import pytest

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.reading import Schema, SchemaBlock, SchemaPoint
from gateway.wire import codec
from gateway.wire.limits import (
    BYE_TIMEOUT_S,
    DEFAULT_MESSAGE,
    HELLO_TIMEOUT_S,
    MAX_EPOCHS,
    MAX_INTERVALS,
    MAX_PAIRS,
    MAX_SCHEMAS,
)
from gateway.wire.message import (
    Ack,
    Backlog,
    Bye,
    Data,
    Encoding,
    EpochHave,
    Heartbeat,
    Lane,
    Nack,
    NackCode,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.receiver import (
    ByeReceived,
    HeartbeatReceived,
    HelloReceived,
    Receiver,
    ReceiverLimits,
    ReceiverState,
    RecordsReceived,
    SchemaReceived,
)
from gateway.wire.rows import encode_schema
from gateway.wire.schemas import SchemaTable
from tests.wire.peers import BODY, CLOCK, EPOCH, Pair, end_record, hello, rows_record

HELLO = codec.encode(hello())


def fresh(**limits: object) -> Receiver:
    return Receiver(ReceiverLimits(**limits), SchemaTable(), 0.0)  # type: ignore[arg-type]


def opened(**limits: object) -> Receiver:
    """Return a receiver past Welcome that knows sid 1, with nothing waiting."""
    receiver = fresh(**limits)
    receiver.receive(HELLO, 0.0)
    receiver.welcome(1, [], 0, [], (), 0.0)
    digest = receiver._table.intern(BODY).digest
    receiver.receive(codec.encode(SchemaAnnouncement(EPOCH, 1, digest, BODY)), 0.0)
    receiver.events_received()
    receiver.messages_to_send()
    return receiver


def said(receiver: Receiver) -> list[object]:
    return [codec.decode(message) for message in receiver.messages_to_send()]


def test_hello_then_welcome() -> None:
    """Hello goes to the driver, its answer to the agent; the session is open then."""
    receiver = fresh()
    assert receiver.current_epoch is None
    assert receiver.timer_at() == HELLO_TIMEOUT_S
    receiver.receive(HELLO, 0.0)
    assert receiver.events_received() == [HelloReceived(hello())]
    assert receiver.state is ReceiverState.IDENTIFYING
    assert receiver.current_epoch == EPOCH
    assert receiver.epochs == (EPOCH,)
    receiver.welcome(5, [EpochHave(EPOCH, ()), EpochHave(3, ((1, 2),))], 77, [], (("a", 1),), 0.0)
    (welcome,) = said(receiver)
    assert isinstance(welcome, Welcome)
    assert welcome.session == 5
    assert welcome.have == (EpochHave(3, ((1, 2),)),)
    assert welcome.encoding == Encoding.ZSTD
    assert welcome.max_message == 256 * 1024
    assert welcome.previous == (("a", 1),)
    assert receiver.state is ReceiverState.OPEN
    assert receiver.timer_at() is None
    receiver.handle_timer(1e9)
    assert receiver.state is ReceiverState.OPEN


def test_negotiation_takes_the_centres_first_that_both_know() -> None:
    """Encodings and lengths are the best both sides have."""
    receiver = fresh(encodings=(9, 1, 2), max_message=100_000)
    receiver.receive(HELLO, 0.0)
    receiver.welcome(1, [], 0, [], (), 0.0)
    (welcome,) = said(receiver)
    assert isinstance(welcome, Welcome)
    assert (welcome.encoding, welcome.max_message) == (Encoding.ZLIB, 100_000)


def test_no_common_encoding() -> None:
    """Then only RAW is agreed, and anything else is refused."""
    receiver = opened(encodings=())
    body = end_record(1).data
    receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, body)), 0.0)
    with pytest.raises(RemoteProtocolError, match="was not agreed"):
        receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 1, body)), 0.0)


def test_a_long_have_is_cut_to_one_message() -> None:
    """To say less is safe: what is sent again is a duplicate."""
    receiver = fresh()
    receiver.receive(HELLO, 0.0)
    holes = tuple((3 * n + 2**40, 3 * n + 2**40) for n in range(MAX_INTERVALS + 9))
    have = [EpochHave(n, holes) for n in range(MAX_EPOCHS + 5)]
    receiver.welcome(1, have, 0, [], (), 0.0)
    (message,) = receiver.messages_to_send()
    assert len(message) <= DEFAULT_MESSAGE
    welcome = codec.decode(message)
    assert isinstance(welcome, Welcome)
    assert 0 < len(welcome.have) < 10
    assert welcome.have[0].intervals == holes[:MAX_INTERVALS]


def test_a_full_welcome_is_one_message() -> None:
    """Schemas and what is known of the previous boot leave less room for `have`, however that is
    cut: some length of its intervals would show each byte that was forgotten."""
    table, point = SchemaTable(), (SchemaPoint("p", "V", "f32"),)
    known = [
        table.intern(encode_schema(Schema((SchemaBlock(f"b{n}", 1.0, point),))))
        for n in range(MAX_SCHEMAS)
    ]
    previous = tuple((f"{n:0512}", "v" * 512) for n in range(MAX_PAIRS))
    sizes = []
    for length in range(50, 1000, 25):
        receiver = fresh()
        receiver.receive(HELLO, 0.0)
        holes = tuple((3 * n + 2**40, 3 * n + 2**40) for n in range(length))
        have = [EpochHave(2**63 + n, holes) for n in range(MAX_EPOCHS)]
        receiver.welcome(2**64 - 1, have, 2**63 - 1, known, previous, 0.0)
        (message,) = receiver.messages_to_send()
        welcome = codec.decode(message)
        assert isinstance(welcome, Welcome)
        assert len(welcome.schemas) == MAX_SCHEMAS
        assert welcome.previous == previous
        sizes.append(len(message))
    assert DEFAULT_MESSAGE - 3000 < max(sizes) <= DEFAULT_MESSAGE


def test_no_hello_in_time() -> None:
    """A connection that says nothing is closed after ten seconds."""
    receiver = fresh()
    receiver.handle_timer(HELLO_TIMEOUT_S - 0.1)
    with pytest.raises(RemoteProtocolError, match="no Hello") as caught:
        receiver.handle_timer(HELLO_TIMEOUT_S)
    assert caught.value.close_code == 1008
    assert receiver.state is ReceiverState.CLOSED
    assert receiver.timer_at() is None


def test_records_reach_the_driver() -> None:
    """Records come verified, with their lane and the size of their message."""
    receiver = opened()
    items = [rows_record(1), end_record(2)]
    message = codec.encode(Data(EPOCH, Lane.BACKLOG, 0, b"".join(i.data for i in items)))
    receiver.receive(message, 0.0)
    assert receiver.events_received() == [RecordsReceived(EPOCH, Lane.BACKLOG, items, len(message))]
    assert receiver.messages_to_send() == []


def test_rows_without_schema_are_refused_and_the_rest_is_taken() -> None:
    """NEED_SCHEMA names exactly the records that need one."""
    receiver = opened()
    items = [rows_record(1, sid=9), rows_record(2), rows_record(3, sid=9)]
    body = b"".join(item.data for item in items)
    receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, body)), 0.0)
    (event,) = receiver.events_received()
    assert isinstance(event, RecordsReceived)
    assert event.records == [items[1]]
    (nack,) = said(receiver)
    assert isinstance(nack, Nack)
    assert (nack.intervals, nack.code) == (((1, 1), (3, 3)), NackCode.NEED_SCHEMA)
    receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, items[0].data)), 0.0)
    assert receiver.events_received() == []


def test_foreign_epochs() -> None:
    """Data and Schema of an epoch that was not in Hello are refused."""
    receiver = opened()
    with pytest.raises(RemoteProtocolError, match="not in Hello"):
        receiver.receive(codec.encode(Data(8, Lane.LIVE, 0, end_record(1, 8).data)), 0.0)
    with pytest.raises(RemoteProtocolError, match="not in Hello"):
        receiver.receive(codec.encode(SchemaAnnouncement(8, 1, bytes(8), BODY)), 0.0)


def test_a_schema_known_to_welcome_needs_no_body() -> None:
    """The driver offered it, so the digest is enough; said twice it stays one binding."""
    table = SchemaTable()
    known = table.intern(BODY)
    receiver = Receiver(ReceiverLimits(), table, 0.0)
    receiver.receive(HELLO, 0.0)
    receiver.welcome(1, [], 0, [known] * (MAX_SCHEMAS + 5), (), 0.0)
    message = codec.encode(SchemaAnnouncement(EPOCH, 1, known.digest, None))
    receiver.receive(message, 0.0)
    receiver.receive(message, 0.0)
    assert receiver.events_received()[1:] == [SchemaReceived(EPOCH, 1, known)] * 2
    assert receiver.schema(EPOCH, 1) is known
    assert receiver.schema(EPOCH, 2) is None


def test_acks_are_normal_and_split() -> None:
    """committed() takes any order; more intervals than one Ack holds become several."""
    receiver = opened()
    receiver.window = 65536
    receiver.committed(EPOCH, [(4, 5), (1, 2), (3, 3)], 0.0)
    assert said(receiver) == [Ack(EPOCH, ((1, 5),), 65536)]
    receiver.committed(EPOCH, [(2 * n, 2 * n) for n in range(1, MAX_INTERVALS + 3)], 0.0)
    first, second = said(receiver)
    assert isinstance(first, Ack)
    assert isinstance(second, Ack)
    assert (len(first.intervals), len(second.intervals)) == (MAX_INTERVALS, 2)
    receiver.committed(EPOCH, [], 0.0)
    assert said(receiver) == []


def test_refusals_carry_code_and_text() -> None:
    """A long text is cut."""
    receiver = opened()
    receiver.refuse(EPOCH, [(1, 1)], NackCode.POISON, "x" * 1000, 0.0)
    (nack,) = said(receiver)
    assert isinstance(nack, Nack)
    assert nack.code == NackCode.POISON
    assert len(nack.text) == 128


def test_heartbeat_reaches_the_driver() -> None:
    """Clock and backlog of the agent."""
    receiver = opened()
    beat = Heartbeat(CLOCK, 5, Backlog(1, 2, 3))
    receiver.receive(codec.encode(beat), 0.0)
    assert receiver.events_received() == [HeartbeatReceived(beat)]


def test_the_agent_leaves() -> None:
    """Its Bye goes to the driver; acks may follow; our Bye closes. A second Bye does nothing."""
    receiver = opened()
    bye = codec.encode(Bye(1, "stops", 0.0))
    receiver.receive(bye, 1.0)
    receiver.receive(bye, 1.0)
    assert receiver.events_received() == [ByeReceived(Bye(1, "stops", 0.0))]
    assert receiver.state is ReceiverState.PEER_LEFT
    with pytest.raises(RemoteProtocolError, match="state peer_left"):
        receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, b"x")), 1.0)
    receiver.committed(EPOCH, [(1, 1)], 1.0)
    receiver.bye(1, "", 0.0, 1.0)
    receiver.bye(1, "", 0.0, 1.0)
    ack, goodbye = said(receiver)
    assert isinstance(ack, Ack)
    assert isinstance(goodbye, Bye)
    assert receiver.state is ReceiverState.CLOSED


def test_an_agent_left_waiting() -> None:
    """If the driver never answers a Bye, the time-out closes."""
    receiver = opened()
    receiver.receive(codec.encode(Bye(1, "", 0.0)), 1.0)
    assert receiver.timer_at() == 1.0 + BYE_TIMEOUT_S
    receiver.handle_timer(1.0 + BYE_TIMEOUT_S)
    assert receiver.state is ReceiverState.CLOSED


def test_the_centre_leaves() -> None:
    """Records under way are still taken and acked; the agent's Bye closes."""
    receiver = opened()
    receiver.bye(2, "restarting", 1e9, 1.0)
    (bye,) = said(receiver)
    assert isinstance(bye, Bye)
    assert bye.retry_after_s == 86400.0
    receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, end_record(1).data)), 1.0)
    assert len(receiver.events_received()) == 1
    receiver.receive(codec.encode(Bye(1, "", 0.0)), 1.0)
    assert receiver.state is ReceiverState.CLOSED
    assert receiver.timer_at() is None


def test_the_centre_leaves_before_hello() -> None:
    """A Hello that crosses our Bye is ignored."""
    receiver = fresh()
    receiver.bye(6, "busy", 5.0, 0.0)
    receiver.receive(HELLO, 0.0)
    assert receiver.events_received() == []
    assert receiver.state is ReceiverState.LEAVING


def test_welcome_at_the_wrong_time() -> None:
    """Twice or before Hello is our bug; after the agent left it is nobody's."""
    with pytest.raises(LocalProtocolError, match="wait_hello"):
        fresh().welcome(1, [], 0, [], (), 0.0)
    with pytest.raises(LocalProtocolError, match="open"):
        opened().welcome(1, [], 0, [], (), 0.0)
    receiver = fresh()
    receiver.receive(HELLO, 0.0)
    receiver.receive(codec.encode(Bye(1, "", 0.0)), 0.0)
    receiver.welcome(1, [], 0, [], (), 0.0)
    assert receiver.messages_to_send() == []


def test_ignorable_and_foreign_messages() -> None:
    """Types of the future are ignored; the centre's own are refused."""
    receiver = opened()
    receiver.receive(b"\x91\x50", 0.0)
    assert receiver.events_received() == []
    with pytest.raises(RemoteProtocolError, match="not the agent's"):
        receiver.receive(codec.encode(Ack(EPOCH, ((1, 1),), 65536)), 0.0)


def test_schema_limits() -> None:
    """Rebinding a sid, and more than 256 of them, are refused."""
    receiver = opened()
    other = b"\x91\x93\xa1x\x01\x91\x93\xa1a\xa0\xa3f32"
    digest = receiver._table.intern(other).digest
    with pytest.raises(RemoteProtocolError, match="another schema"):
        receiver.receive(codec.encode(SchemaAnnouncement(EPOCH, 1, digest, other)), 0.0)
    with pytest.raises(RemoteProtocolError, match="not listed in Welcome"):
        receiver.receive(codec.encode(SchemaAnnouncement(EPOCH, 2, bytes(8), None)), 0.0)
    with pytest.raises(RemoteProtocolError, match="more than 256"):
        for sid in range(2, 300):
            receiver.receive(codec.encode(SchemaAnnouncement(EPOCH, sid, digest, other)), 0.0)


@pytest.mark.parametrize("seqs", [(2, 1), (1, 1), (0,), (2**63,)])
def test_seqs_must_ascend(seqs: tuple[int, ...]) -> None:
    """Within a message seqs ascend from 1 and stay below 2**63."""
    receiver = opened()
    body = b"".join(end_record(seq).data for seq in seqs)
    with pytest.raises(RemoteProtocolError, match="ascend"):
        receiver.receive(codec.encode(Data(EPOCH, Lane.LIVE, 0, body)), 0.0)


def test_an_idle_session_is_small() -> None:
    """Past Welcome with one schema and one epoch: at most 1.5 KiB each, of 10,000."""
    table = SchemaTable()
    known = table.intern(BODY)
    limits = ReceiverLimits()
    schema = codec.encode(SchemaAnnouncement(EPOCH, 1, known.digest, None))

    def session() -> Receiver:
        receiver = Receiver(limits, table, 0.0)
        receiver.receive(HELLO, 0.0)
        receiver.welcome(2**62, [], 0, [known], (), 0.0)
        receiver.receive(schema, 0.0)
        receiver.events_received()
        receiver.messages_to_send()
        return receiver

    sessions = [session()]
    gc.collect()
    tracemalloc.start()
    try:
        sessions += [session() for _ in range(500)]
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] / 500
    finally:
        tracemalloc.stop()
    assert all(s.schema(EPOCH, 1) is known for s in sessions)
    assert size < 1536


def test_pair_reaches_open() -> None:
    """The two sides understand each other."""
    pair = Pair().open()
    pair.pump()
    assert pair.receiver.state is ReceiverState.OPEN
