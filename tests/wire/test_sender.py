"""Pins the agent's side of a session, state by state."""

from dataclasses import replace

import pytest

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.wire import codec, record
from gateway.wire.limits import ACK_TIMEOUT_S, BYE_TIMEOUT_S, WELCOME_TIMEOUT_S
from gateway.wire.message import (
    Ack,
    Backlog,
    Bye,
    ByeCode,
    Data,
    Encoding,
    EpochHave,
    EpochState,
    Heartbeat,
    Lane,
    Nack,
    NackCode,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.receiver import ReceiverLimits, RecordsReceived, SchemaReceived
from gateway.wire.record import RecordKind
from gateway.wire.sender import (
    Acked,
    HeartbeatDue,
    Opened,
    PeerLeaving,
    Refused,
    Sender,
    SenderState,
)
from tests.wire.peers import BODY, CLOCK, EPOCH, SCHEMA, Pair, end_record, hello, rows_record


def opened(**limits: object) -> Pair:
    """Return a pair past Welcome with the schema announced and nothing under way."""
    pair = Pair(limits=ReceiverLimits(**limits)).open()  # type: ignore[arg-type]
    pair.pump()
    pair.sender.announce(EPOCH, 1, BODY)
    pair.pump()
    return pair


def test_hello_is_the_first_message() -> None:
    """Before Welcome there is `Hello`, no credit, and nothing can be offered or announced."""
    sender = Sender(hello(), 0.0)
    (first,) = sender.messages_to_send()
    assert codec.decode(first) == hello()
    assert sender.state is SenderState.HELLO_SENT
    assert sender.credit(Lane.LIVE) == sender.credit(Lane.BACKLOG) == 0
    sender.announce(EPOCH, 1, BODY)
    assert sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0) == 0
    sender.heartbeat(Heartbeat(CLOCK, 1, Backlog(0, 0, 0)), 0.0)
    assert sender.messages_to_send() == []


def test_welcome_opens_and_acks() -> None:
    """What Welcome has raises the same event as an Ack."""
    pair = Pair(hello(EpochState(3, bytes(16), 9, ((4, 8),)), EpochState(EPOCH, bytes(16), 1, ())))
    pair.open(have=((3, ((1, 5),)), (EPOCH, ())))
    _, events = pair.pump()
    assert isinstance(events[0], Opened)
    assert events[1:] == [Acked(3, ((1, 5),))]
    assert pair.sender.state is SenderState.OPEN
    assert pair.sender.window > 0


def test_welcome_may_know_more_of_an_old_epoch_than_the_card() -> None:
    """Live records acked online were never on the card; the centre's word is taken."""
    pair = Pair(hello(EpochState(3, bytes(16), 2, ((1, 1),)), EpochState(EPOCH, bytes(16), 1, ())))
    pair.open(have=((3, ((1, 50),)),))
    assert pair.pump()[1][1:] == [Acked(3, ((1, 50),))]


def test_schema_goes_before_data_once() -> None:
    """The schema is announced with its body, once, and then only records follow."""
    pair = Pair().open()
    pair.pump()
    pair.sender.announce(EPOCH, 1, BODY)
    pair.sender.announce(EPOCH, 1, BODY)
    assert pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0) == 1
    heard, _ = pair.pump()
    schema, records = heard
    assert isinstance(schema, SchemaReceived)
    assert schema.schema.schema == SCHEMA
    assert isinstance(records, RecordsReceived)
    assert records.records == [rows_record(1)]
    assert records.lane is Lane.LIVE


def test_a_known_schema_is_announced_without_body() -> None:
    """The centre knew the digest, or it was sent for another sid in this session."""
    pair = Pair().open(knows_schema=True)
    pair.pump()
    pair.sender.announce(EPOCH, 1, BODY)
    pair.sender.announce(EPOCH, 2, BODY)
    bodies = []
    for message in pair.sender.messages_to_send():
        decoded = codec.decode(message)
        assert isinstance(decoded, SchemaAnnouncement)
        bodies.append(decoded.body)
        pair.receiver.receive(message, 0.0)
    assert bodies == [None, None]
    known = pair.receiver.schema(EPOCH, 2)
    assert known is not None
    assert known.body == BODY


def test_misuse_is_our_bug() -> None:
    """Unannounced sids, foreign epochs, descending seqs and rebound sids are errors at once."""
    pair = opened()
    sender = pair.sender
    with pytest.raises(LocalProtocolError, match="not announced"):
        sender.offer(EPOCH, [rows_record(1, sid=2)], Lane.LIVE, 0.0)
    bare = record.pack(record.epoch_seed(EPOCH), 1, RecordKind.ROWS, 0, b"")
    with pytest.raises(LocalProtocolError, match="not announced"):
        sender.offer(EPOCH, [bare], Lane.LIVE, 0.0)
    with pytest.raises(LocalProtocolError, match="was not in Hello"):
        sender.offer(8, [end_record(1, 8)], Lane.LIVE, 0.0)
    with pytest.raises(LocalProtocolError, match="descend"):
        sender.offer(EPOCH, [rows_record(2), rows_record(1)], Lane.LIVE, 0.0)
    with pytest.raises(LocalProtocolError, match="another schema"):
        sender.announce(EPOCH, 1, BODY + b"x")
    sender.announce(8, 1, BODY)
    assert sender.messages_to_send() == []


def test_acks_free_the_window_and_reach_the_spool() -> None:
    """Acked names exactly what the centre named; bytes in flight go with the last record."""
    pair = opened()
    assert pair.sender.offer(EPOCH, [rows_record(n) for n in (1, 2, 3)], Lane.LIVE, 0.0) == 3
    pair.pump()
    assert pair.sender.in_flight > 0
    pair.receiver.committed(EPOCH, [(3, 3), (1, 1)], 0.1)
    assert pair.pump()[1] == [Acked(EPOCH, ((1, 1), (3, 3)))]
    pair.receiver.committed(EPOCH, [(2, 2)], 0.1)
    pair.pump()
    assert pair.sender.in_flight == 0


def test_live_goes_on_while_the_backlog_fills_its_window() -> None:
    """The backlog stops at the window; a live record is taken all the same."""
    pair = opened()
    items = [rows_record(n) for n in range(1, 5000)]
    taken = pair.sender.offer(EPOCH, items, Lane.BACKLOG, 0.0)
    assert 0 < taken < len(items)
    assert pair.sender.credit(Lane.BACKLOG) == 0
    assert pair.sender.offer(EPOCH, items[taken:], Lane.BACKLOG, 0.0) == 0
    assert pair.sender.offer(EPOCH, [rows_record(6000)], Lane.LIVE, 0.0) == 1


def test_the_backlog_is_compressed_and_live_is_not() -> None:
    """The agreed encoding is used where it pays; a body it would lengthen stays raw."""
    pair = opened(encodings=(Encoding.ZLIB,))
    items = [rows_record(n) for n in range(1, 200)]
    pair.sender.offer(EPOCH, items[:150], Lane.BACKLOG, 0.0)
    pair.sender.offer(EPOCH, items[150:160], Lane.LIVE, 0.0)
    pair.sender.offer(EPOCH, [end_record(300)], Lane.BACKLOG, 0.0)
    datas = [codec.decode(m, 1 << 20) for m in pair.sender.messages_to_send()]
    assert [d.encoding for d in datas if isinstance(d, Data)] == [
        Encoding.ZLIB,
        Encoding.RAW,
        Encoding.RAW,
    ]


def test_without_an_encoding_everything_is_raw() -> None:
    """A centre that reads no encoding gets records as they are."""
    pair = opened(encodings=())
    pair.sender.offer(EPOCH, [rows_record(n) for n in range(1, 99)], Lane.BACKLOG, 0.0)
    (data,) = (codec.decode(m) for m in pair.sender.messages_to_send())
    assert isinstance(data, Data)
    assert data.encoding == Encoding.RAW


def test_messages_keep_the_agreed_length() -> None:
    """However much is offered, no message passes `max_message`; one long record still goes."""
    pair = opened(max_message=65536)
    seed = record.epoch_seed(EPOCH)
    long = [record.pack(seed, n, RecordKind.END, 0, bytes(30_000)) for n in range(1, 9)]
    taken = pair.sender.offer(EPOCH, long, Lane.LIVE, 0.0)
    messages = pair.sender.messages_to_send()
    assert taken > 1
    assert all(len(message) <= 65536 for message in messages)


def nack(pair: Pair, code: int, *intervals: tuple[int, int]) -> list[object]:
    message = codec.encode(Nack(EPOCH, intervals, code, "why"))
    pair.sender.receive(message, 1.0)
    return list(pair.sender.events_received())


def test_need_schema_announces_again_with_body() -> None:
    """After NEED_SCHEMA the epoch's schemas go out again, and the records may be offered again."""
    pair = Pair(hello(EpochState(3, bytes(16), 1, ()), EpochState(EPOCH, bytes(16), 1, ()))).open(
        knows_schema=True
    )
    pair.pump()
    pair.sender.announce(EPOCH, 1, BODY)
    pair.sender.announce(3, 1, BODY)
    pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0)
    pair.sender.messages_to_send()
    assert nack(pair, NackCode.NEED_SCHEMA, (1, 1)) == [
        Refused(EPOCH, ((1, 1),), NackCode.NEED_SCHEMA, "why", True)
    ]
    (again,) = (codec.decode(m) for m in pair.sender.messages_to_send())
    assert isinstance(again, SchemaAnnouncement)
    assert (again.epoch, again.body) == (EPOCH, BODY)
    assert pair.sender.in_flight == 0
    assert pair.sender.offer(EPOCH, [rows_record(1)], Lane.BACKLOG, 1.0) == 1


def test_poison_is_given_up_after_three() -> None:
    """Twice to be sent again, the third time a dead letter, each interval for itself."""
    pair = opened()
    pair.sender.offer(EPOCH, [rows_record(n) for n in (1, 2, 3)], Lane.LIVE, 0.0)
    outcomes = []
    for _ in range(3):
        outcomes += nack(pair, NackCode.POISON, (1, 1), (3, 3))
    resends = [e.resend for e in outcomes if isinstance(e, Refused)]
    assert resends == [True, True, True, True, False, False]
    assert isinstance(nack(pair, NackCode.POISON, (1, 1))[0], Refused)


def test_conflict_is_given_up_at_once() -> None:
    """A key that holds another record will not take this one next time either."""
    pair = opened()
    pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0)
    assert nack(pair, NackCode.CONFLICT, (1, 1)) == [
        Refused(EPOCH, ((1, 1),), NackCode.CONFLICT, "why", False)
    ]


def test_heartbeats() -> None:
    """HeartbeatDue comes every heartbeat_s; the driver's clock and backlog go out."""
    pair = opened(heartbeat_s=10.0)
    assert pair.sender.timer_at() == 10.0
    pair.sender.handle_timer(9.0)
    assert pair.sender.events_received() == []
    pair.sender.handle_timer(10.0)
    assert pair.sender.events_received() == [HeartbeatDue()]
    pair.sender.heartbeat(Heartbeat(CLOCK, 1, Backlog(0, 0, 0)), 10.0)
    assert codec.decode(pair.sender.messages_to_send()[0]) == Heartbeat(CLOCK, 1, Backlog(0, 0, 0))
    assert pair.sender.timer_at() == 20.0


def test_no_heartbeat_no_timer() -> None:
    """A centre that wants no heartbeats leaves nothing to wait for."""
    assert opened(heartbeat_s=0.0).sender.timer_at() is None


def test_a_centre_that_never_acks_is_left() -> None:
    """60 s without an answer while something is in flight: Bye, then 5 s, then gone."""
    pair = opened(heartbeat_s=0.0)
    pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 3.0)
    pair.sender.messages_to_send()
    assert pair.sender.timer_at() == 3.0 + ACK_TIMEOUT_S
    pair.sender.handle_timer(3.0 + ACK_TIMEOUT_S)
    bye = codec.decode(pair.sender.messages_to_send()[0])
    assert isinstance(bye, Bye)
    assert bye.code == ByeCode.PROTOCOL
    assert pair.sender.state is SenderState.LEAVING
    assert pair.sender.credit(Lane.LIVE) == 0
    pair.sender.handle_timer(3.0 + ACK_TIMEOUT_S + 1.0)
    assert pair.sender.state is SenderState.LEAVING
    pair.sender.handle_timer(3.0 + ACK_TIMEOUT_S + BYE_TIMEOUT_S)
    assert pair.sender.state is SenderState.LEFT
    assert pair.sender.timer_at() is None
    pair.sender.handle_timer(1e6)
    pair.sender.receive(codec.encode(Ack(EPOCH, ((1, 1),), 65536)), 1e6)
    assert pair.sender.events_received() == []


def test_no_welcome() -> None:
    """Without Welcome the agent leaves after 20 s."""
    sender = Sender(hello(), 0.0)
    assert sender.timer_at() == WELCOME_TIMEOUT_S
    sender.handle_timer(WELCOME_TIMEOUT_S)
    assert sender.state is SenderState.LEFT


def test_clean_leave() -> None:
    """Bye, the last acks, the centre's Bye, left."""
    pair = opened()
    pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0)
    pair.sender.bye(ByeCode.STOPPING, "service stops", 0.0)
    pair.sender.bye(ByeCode.STOPPING, "twice", 0.0)
    pair.pump()
    pair.receiver.committed(EPOCH, [(1, 1)], 0.1)
    assert pair.pump()[1] == [Acked(EPOCH, ((1, 1),))]
    assert pair.sender.state is SenderState.LEAVING
    pair.receiver.bye(ByeCode.STOPPING, "", 0.0, 0.2)
    assert isinstance(pair.pump()[1][0], PeerLeaving)
    assert pair.sender.state is SenderState.LEFT


def test_the_centre_leaves() -> None:
    """On the centre's Bye the agent answers, takes the acks that follow, and is done."""
    pair = opened()
    pair.sender.offer(EPOCH, [rows_record(1), rows_record(2)], Lane.LIVE, 0.0)
    pair.pump()
    pair.receiver.bye(ByeCode.DRAINING, "restarting", 7.5, 0.1)
    _, events = pair.pump()
    assert events == [PeerLeaving(Bye(ByeCode.DRAINING, "restarting", 7.5))]
    assert pair.sender.state is SenderState.LEAVING
    pair.sender.receive(codec.encode(Bye(1, "again", 0.0)), 0.1)
    pair.receiver.committed(EPOCH, [(1, 1)], 0.2)
    pair.receiver.refuse(EPOCH, [(2, 2)], NackCode.SLOW_DOWN, "later", 0.2)
    _, events = pair.pump()
    assert events[0] == Acked(EPOCH, ((1, 1),))
    assert pair.sender.state is SenderState.LEFT


def test_bye_crosses_welcome() -> None:
    """A Welcome that comes after our Bye is ignored; a second one is an error."""
    pair = Pair()
    pair.pump()
    pair.sender.bye(ByeCode.STOPPING, "", 0.0)
    pair.receiver.welcome(1, [], 0, [], (), 0.0)
    (welcome,) = pair.receiver.messages_to_send()
    pair.sender.receive(welcome, 0.0)
    assert pair.sender.state is SenderState.LEAVING
    assert pair.sender.events_received() == []
    other = opened()
    with pytest.raises(RemoteProtocolError, match="second Welcome"):
        other.sender.receive(welcome, 0.0)


def test_an_unlisted_epoch_is_fetched_by_a_new_session() -> None:
    """When Hello had no room for an epoch, offering it ends the session so that it can be
    listed."""
    pair = Pair(hello(complete=False)).open()
    pair.pump()
    pair.sender.announce(99, 1, BODY)
    assert pair.sender.offer(99, [rows_record(1, 99)], Lane.BACKLOG, 0.0) == 0
    assert pair.sender.state is SenderState.LEAVING


def test_ignorable_messages_are_ignored() -> None:
    """A message type of the future does nothing."""
    pair = opened()
    pair.sender.receive(b"\x91\x50", 0.0)
    assert pair.sender.events_received() == []
    assert pair.sender.state is SenderState.OPEN


def welcome(**changes: object) -> bytes:
    """Return the bytes of an acceptable Welcome with some fields changed."""
    plain = Welcome(1, 0, (), Encoding.RAW, 65536, 65536, 30.0, ())
    return codec.encode(replace(plain, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (welcome(encoding=7), "encoding 7 was not offered"),
        (welcome(max_message=1 << 20), "offered 262144"),
        (welcome(have=(EpochHave(9, ((1, 1),)),)), "was not in Hello"),
        (welcome(have=(EpochHave(EPOCH, ((1, 1),)),)), "set back in time"),
        (codec.encode(Ack(EPOCH, ((1, 1),), 65536)), "Ack from the centre in state hello_sent"),
    ],
)
def test_a_welcome_that_cannot_be(message: bytes, text: str) -> None:
    """What the centre cannot know or was not offered ends the session before anything is
    forgotten."""
    sender = Sender(hello(), 0.0)
    with pytest.raises(RemoteProtocolError, match=text):
        sender.receive(message, 0.0)
    assert sender.events_received() == []


@pytest.mark.parametrize(
    "message",
    [Ack(EPOCH, ((1, 2),), 65536), Ack(8, ((1, 1),), 65536), Nack(EPOCH, ((2, 2),), 4, "")],
)
def test_an_answer_for_what_was_never_sent(message: Ack | Nack) -> None:
    """Nothing is forgotten on the word of a centre that makes things up."""
    pair = opened()
    pair.sender.offer(EPOCH, [rows_record(1)], Lane.LIVE, 0.0)
    with pytest.raises(RemoteProtocolError, match="never sent"):
        pair.sender.receive(codec.encode(message), 0.0)
    assert pair.sender.events_received() == []
