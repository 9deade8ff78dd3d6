"""The centre's side of a session, sans-I/O.

Owns the state machine of one connection in as little memory as can be: a centre holds 10,000 of
them. Never decides what is a duplicate: the store is authoritative. `docs/protocol.md`
§Centre states is normative.

The driver's loop: build `Receiver(limits, schemas, now)` after the upgrade. For every message:
`receive`, then drain `events_received()` and `messages_to_send()`. On `HelloReceived` look the
gateway up in the store and call `welcome` (or `bye`). On `RecordsReceived` hand the records to the
store, and after its COMMIT call `committed` with *every* seq of the batch, also those that were
duplicates; what the store cannot take goes to `refuse`. ROWS of a sid that was not announced never
get that far: they are refused here, NEED_SCHEMA.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.event import Scalar
from gateway.wire import body, codec, ledger, limits
from gateway.wire.limits import MAX_SEQ
from gateway.wire.message import (
    Bye,
    Data,
    Encoding,
    EpochHave,
    Heartbeat,
    Hello,
    Interval,
    Lane,
    Nack,
    NackCode,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.record import Record, RecordKind, epoch_seed, unpack_all
from gateway.wire.rows import rows_sid
from gateway.wire.schemas import KnownSchema, SchemaTable


class ReceiverState(Enum):
    """Where a session stands, seen by the centre."""

    WAIT_HELLO = "wait_hello"
    IDENTIFYING = "identifying"
    """`Hello` came, the driver looks the gateway up; the agent must wait for `Welcome`."""
    OPEN = "open"
    LEAVING = "leaving"
    """We said `Bye`: records under way are still taken and acked."""
    PEER_LEFT = "peer_left"
    """The agent said `Bye`: ack what was received, say `bye`, close."""
    CLOSED = "closed"
    """Both said `Bye`, or the time-out passed: ack what is being committed, then close."""


_OPEN, _LEAVING = ReceiverState.OPEN, ReceiverState.LEAVING  # looking an enum up costs
_ROWS = int(RecordKind.ROWS)
_MOST_WELCOME = 64
"""Bytes of a `Welcome` at most, besides `have`, schemas and `previous`."""


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """What the centre offers each agent. One object is shared by all sessions.

    `encodings`: what bodies this centre can decompress, best first (`Encoding` numbers).
    `window`: bytes an agent may have in flight, unless `Receiver.window` is set lower.
    """

    max_message: int = 256 * 1024
    window: int = 1024 * 1024
    heartbeat_s: float = 30.0
    encodings: tuple[int, ...] = (2, 1)


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """The agent's `Hello`: answer with `Receiver.welcome` or `Receiver.bye`."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class SchemaReceived:
    """(epoch, sid) is bound to `schema`. Store both before the records that follow."""

    epoch: int
    sid: int
    schema: KnownSchema


@dataclass(slots=True)
class RecordsReceived:
    """Records of one `Data`, verified. `size` is the bytes of the message. Not frozen, as `Data`
    is not."""

    epoch: int
    lane: Lane
    records: Sequence[Record]
    size: int


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class ByeReceived:
    """The agent leaves cleanly: ack what is still uncommitted, then `Receiver.bye` and close."""

    bye: Bye


ReceiverEvent = HelloReceived | SchemaReceived | RecordsReceived | HeartbeatReceived | ByeReceived


class Receiver:
    """One session as the centre lives it."""

    __slots__ = (
        "_deadline",
        "_encodings",
        "_epochs",
        "_events",
        "_limits",
        "_max_message",
        "_offered",
        "_schemas",
        "_table",
        "state",
        "unsent",
        "window",
    )

    def __init__(self, limits_: ReceiverLimits, schemas: SchemaTable, now: float) -> None:
        self.state = ReceiverState.WAIT_HELLO
        self.window = limits_.window
        """Bytes the agent may have in flight, told with every ack: lower it to slow it down."""
        self._limits = limits_
        self._table = schemas
        self._deadline: float | None = now + limits.HELLO_TIMEOUT_S
        self._max_message = limits.DEFAULT_MESSAGE
        self._encodings: tuple[int, ...] = ()
        self._epochs: tuple[int, ...] = ()
        self._schemas: dict[int, KnownSchema] = {}
        self._offered: tuple[KnownSchema, ...] = ()
        self.unsent: list[bytes] | None = None
        """What `messages_to_send` will return, if anything."""
        self._events: list[ReceiverEvent] | None = None

    @property
    def current_epoch(self) -> int | None:
        """The epoch the agent is writing now; ``None`` before `Hello`."""
        return self._epochs[-1] if self._epochs else None

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs of `Hello`, the current one last."""
        return self._epochs

    def schema(self, epoch: int, sid: int) -> KnownSchema | None:
        """Return what (epoch, sid) was announced as in this session."""
        return self._schemas.get(epoch << 16 | sid)

    # --- what the agent says ----------------------------------------------------------------

    def receive(self, message: bytes, now: float) -> None:
        """Take one message of the agent. Raises: RemoteProtocolError (close with its code)."""
        decoded = codec.decode(message, self._max_message)
        if decoded is None:
            return
        state = self.state
        if type(decoded) is Data and (state is _OPEN or state is _LEAVING):
            self._data_received(decoded, len(message), now)  # the usual case first: it is hot
        elif isinstance(decoded, Hello) and state is ReceiverState.WAIT_HELLO:
            self._hello_received(decoded)
        elif isinstance(decoded, Hello) and state is ReceiverState.LEAVING and not self._epochs:
            return  # it crossed our Bye
        elif isinstance(decoded, Bye) and state is not ReceiverState.WAIT_HELLO:
            self._bye_received(decoded, now)
        elif state is not ReceiverState.OPEN and state is not ReceiverState.LEAVING:
            raise RemoteProtocolError(f"{type(decoded).__name__} in state {state.value}")
        elif isinstance(decoded, SchemaAnnouncement):
            self._schema_received(decoded)
        elif isinstance(decoded, Heartbeat):
            self._event(HeartbeatReceived(decoded))
        else:
            raise RemoteProtocolError(f"{type(decoded).__name__} is not the agent's to send")

    def _hello_received(self, hello: Hello) -> None:
        self.state = ReceiverState.IDENTIFYING
        self._deadline = None
        self._max_message = min(hello.max_message, self._limits.max_message)
        readable = body.available()
        self._encodings = tuple(
            e for e in self._limits.encodings if e in hello.encodings and e in readable
        )
        self._epochs = tuple(state.epoch for state in hello.epochs)
        self._event(HelloReceived(hello))

    def _schema_received(self, said: SchemaAnnouncement) -> None:
        if said.epoch not in self._epochs:
            raise RemoteProtocolError(f"Schema: epoch {said.epoch:016x} was not in Hello")
        if said.body is not None:
            known = self._table.intern(said.body, said.digest)
        else:
            offered = (*self._offered, *self._schemas.values())
            match = next((s for s in offered if s.digest == said.digest), None)
            if match is None:
                raise RemoteProtocolError(
                    f"Schema {said.digest.hex()}: no body, and not listed in Welcome"
                )
            known = match
        key = said.epoch << 16 | said.sid
        before = self._schemas.get(key)
        if before is not None and before is not known:
            raise RemoteProtocolError(f"Schema: sid {said.sid} is bound to another schema")
        if before is None and len(self._schemas) >= limits.MAX_SCHEMAS:
            raise RemoteProtocolError(f"more than {limits.MAX_SCHEMAS} schemas announced", 1008)
        self._schemas[key] = known
        self._event(SchemaReceived(said.epoch, said.sid, known))

    def _data_received(self, data: Data, size: int, now: float) -> None:
        epoch = data.epoch
        if epoch not in self._epochs:
            raise RemoteProtocolError(f"Data: epoch {epoch:016x} was not in Hello")
        plain = data.body
        if data.encoding:
            if data.encoding not in self._encodings[:1]:
                raise RemoteProtocolError(f"Data: encoding {data.encoding} was not agreed")
            plain = body.decompress(data.encoding, plain)
        records = unpack_all(epoch_seed(epoch), plain)
        unknown = []
        previous = 0
        for record in records:
            seq = record.seq
            if not previous < seq <= MAX_SEQ:
                raise RemoteProtocolError(
                    f"Data: seq {seq} after {previous}: must ascend from 1", 1007
                )
            previous = seq
            if record.kind == _ROWS:
                sid = rows_sid(record.data)
                if sid is None or epoch << 16 | sid not in self._schemas:
                    unknown.append(seq)
        if unknown:
            intervals = ledger.of_seqs(unknown)
            self.refuse(epoch, intervals, NackCode.NEED_SCHEMA, "sid not announced", now)
            refused = frozenset(unknown)
            records = [record for record in records if record.seq not in refused]
        if records:
            self._event(RecordsReceived(epoch, data.lane, records, size))

    def _bye_received(self, bye: Bye, now: float) -> None:
        if self.state in (ReceiverState.PEER_LEFT, ReceiverState.CLOSED):
            return
        if self.state is ReceiverState.LEAVING:
            self.state = ReceiverState.CLOSED
            self._deadline = None
        else:
            self.state = ReceiverState.PEER_LEFT
            self._deadline = now + limits.BYE_TIMEOUT_S
        self._event(ByeReceived(bye))

    # --- what we say ------------------------------------------------------------------------

    def welcome(
        self,
        session: int,
        have: Sequence[EpochHave],
        wall_ns: int,
        schemas: Iterable[KnownSchema],
        previous: tuple[tuple[str, Scalar], ...],
        now: float,
    ) -> None:
        """Answer `Hello` and open the session. Ignored if the agent has left meanwhile.

        `have`: what is committed of the epochs in `Hello`. `schemas`: what the store knows of this
        gateway (at most `MAX_SCHEMAS` are told), so that their bodies need not be sent again.
        """
        if self.state is not ReceiverState.IDENTIFYING:
            if self.state is ReceiverState.WAIT_HELLO or self.state is ReceiverState.OPEN:
                raise LocalProtocolError(f"welcome in state {self.state.value}")
            return
        self._offered = tuple(schemas)[: limits.MAX_SCHEMAS]
        told = previous[: limits.MAX_PAIRS]
        said = _MOST_WELCOME + len(self._offered) * (2 + limits.DIGEST_SIZE)
        if told:
            said += len(codec.encode_pairs(told))
        message = Welcome(
            session=session,
            wall_ns=wall_ns,
            have=_that_fit(have, limits.DEFAULT_MESSAGE - said),
            encoding=self._encodings[0] if self._encodings else Encoding.RAW,
            max_message=self._max_message,
            window=self.window,
            heartbeat_s=self._limits.heartbeat_s,
            schemas=tuple(known.digest for known in self._offered),
            previous=told,
        )
        self._say(codec.encode_checked(message, limits.DEFAULT_MESSAGE))
        self.state = ReceiverState.OPEN

    def committed(self, epoch: int, intervals: Iterable[Interval], now: float) -> None:
        """Ack: the store's COMMIT that holds these seqs has returned."""
        listed = intervals if type(intervals) is tuple else tuple(intervals)
        if len(listed) == 1:
            self._say(codec.encode_ack(epoch, listed, self.window))
            return
        for chunk in _chunks(ledger.normalise(listed)):
            self._say(codec.encode_ack(epoch, chunk, self.window))

    def refuse(
        self, epoch: int, intervals: Iterable[Interval], code: int, text: str, now: float
    ) -> None:
        """Nack: these seqs are not stored (`code` is a `NackCode`)."""
        cut = text[: limits.MAX_TEXT // 4]
        for chunk in _chunks(ledger.normalise(intervals)):
            self._say(codec.encode(Nack(epoch, chunk, code, cut)))

    def bye(self, code: int, text: str, retry_after_s: float, now: float) -> None:
        """Say `Bye`. Acks may follow; close when `state` is CLOSED or the connection ends."""
        if self.state in (ReceiverState.LEAVING, ReceiverState.CLOSED):
            return
        if self.state is ReceiverState.PEER_LEFT:
            self.state = ReceiverState.CLOSED
            self._deadline = None
        else:
            self.state = ReceiverState.LEAVING
            self._deadline = now + limits.BYE_TIMEOUT_S
        retry = min(retry_after_s, limits.MAX_RETRY_AFTER_S)
        self._say(codec.encode(Bye(code, text[: limits.MAX_TEXT // 4], retry)))

    # --- time -------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Do what is due. Raises: RemoteProtocolError when `Hello` did not come in time."""
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        waiting = self.state is ReceiverState.WAIT_HELLO
        self.state = ReceiverState.CLOSED
        if waiting:
            raise RemoteProtocolError(f"no Hello within {limits.HELLO_TIMEOUT_S:.0f} s", 1008)

    def timer_at(self) -> float | None:
        """Return when to call `handle_timer`, or ``None`` (always, once OPEN)."""
        return self._deadline

    def messages_to_send(self) -> list[bytes]:
        """Return and forget the messages to write, in order."""
        out, self.unsent = self.unsent, None
        return out or []

    def events_received(self) -> list[ReceiverEvent]:
        """Return and forget what happened, in order."""
        events, self._events = self._events, None
        return events or []

    def _say(self, message: bytes) -> None:
        if self.unsent is None:
            self.unsent = [message]
        else:
            self.unsent.append(message)

    def _event(self, event: ReceiverEvent) -> None:
        if self._events is None:
            self._events = [event]
        else:
            self._events.append(event)


def _that_fit(have: Sequence[EpochHave], room: int) -> tuple[EpochHave, ...]:
    """Return what of `have` fits into `room` bytes.

    To say less is safe: what is sent again is a duplicate.
    """
    told = []
    for item in have[: limits.MAX_EPOCHS]:
        intervals = tuple(item.intervals[: limits.MAX_INTERVALS])
        room -= 16 + 20 * len(intervals)  # the longest encodings
        if room < 0:
            break
        if intervals:
            told.append(EpochHave(item.epoch, intervals))
    return tuple(told)


def _chunks(intervals: Sequence[Interval]) -> list[tuple[Interval, ...]]:
    """Split a normal list into lists that one message may hold."""
    size = limits.MAX_INTERVALS
    return [tuple(intervals[i : i + size]) for i in range(0, len(intervals), size)]
