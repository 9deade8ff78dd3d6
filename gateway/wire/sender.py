"""The agent's side of a session, sans-I/O.

Owns the state machine, what is in flight and the two lanes. Never keeps a record: what is in flight
stays the spool's until `Acked`. `docs/protocol.md` §Agent states is normative.

The driver's loop: after the upgrade build `Sender(hello, now)`, write `messages_to_send()`. Then
for every message: `receive`; when `timer_at()` is due: `handle_timer`; after either drain
`events_received()` and `messages_to_send()`. While `credit(lane) > 0` call `announce` and `offer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.wire import codec, ledger, limits, rows
from gateway.wire.body import compressor
from gateway.wire.flights import Flights
from gateway.wire.heartbeat import HeartbeatSchedule
from gateway.wire.hello import fit
from gateway.wire.message import (
    Ack,
    Bye,
    ByeCode,
    Data,
    Encoding,
    Heartbeat,
    Hello,
    Interval,
    Lane,
    Nack,
    NackCode,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.record import Record, RecordKind


class SenderState(Enum):
    """Where a session stands, seen by the agent."""

    HELLO_SENT = "hello_sent"
    """Waiting for `Welcome`; no credit."""
    OPEN = "open"
    """Records may be offered."""
    LEAVING = "leaving"
    """Either side said `Bye` (we answer the centre's at once); acks still count; no credit."""
    LEFT = "left"
    """Both said `Bye` and nothing is in flight, or the time-out passed: close now."""


@dataclass(frozen=True, slots=True)
class Opened:
    """`Welcome` came. What it has is raised as `Acked` events as well."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Acked:
    """The centre has committed these: the spool may forget them."""

    epoch: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The centre did not take these records (`code` is a `NackCode`).

    `resend`: put them back into the backlog reader. Otherwise they are dead letters (poison
    `POISON_LIMIT` times, or a conflict): keep them aside, spool a GAP for them, raise an event.
    """

    epoch: int
    intervals: tuple[Interval, ...]
    code: int
    text: str
    resend: bool


@dataclass(frozen=True, slots=True)
class PeerLeaving:
    """The centre said `Bye`: acks may still follow until it closes. Honour `retry_after_s`."""

    bye: Bye


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """Call `heartbeat` now with the clock and the backlog of this instant."""


SenderEvent = Opened | Acked | Refused | PeerLeaving | HeartbeatDue


class Sender:
    """One session as the agent lives it. Build a new one for every connection."""

    def __init__(self, hello: Hello, now: float) -> None:
        """Queue `Hello`. Epochs that do not fit into one `Hello` are left for a later session.

        Raises: LocalProtocolError when `hello` breaks a limit.
        """
        hello, data = fit(hello)
        self.state = SenderState.HELLO_SENT
        self._hello = hello
        self._out = [data]
        self._events: list[SenderEvent] = []
        self._ceiling = {state.epoch: state.next_seq - 1 for state in hello.epochs}
        self._flights = Flights(now)
        self._max_message = limits.DEFAULT_MESSAGE
        self._encoding = int(Encoding.RAW)
        self._compress = compressor(Encoding.RAW)
        self._ratio = 1.0
        self._known: frozenset[bytes] = frozenset()
        self._announced: dict[tuple[int, int], bytes] = {}
        self._poison: dict[tuple[int, Interval], int] = {}
        self._heartbeats = HeartbeatSchedule(0.0, now)
        self._deadline: float | None = now + limits.WELCOME_TIMEOUT_S
        self._welcomed = self._said_bye = self._heard_bye = False

    @property
    def hello(self) -> Hello:
        """What was said: `epochs` are those that found room."""
        return self._hello

    @property
    def in_flight(self) -> int:
        """Bytes sent and not acked, both lanes."""
        return self._flights.window.in_flight

    @property
    def window(self) -> int:
        """Bytes the backlog may have in flight now (for metrics)."""
        return self._flights.window.size

    # --- what the centre says ---------------------------------------------------------------

    def receive(self, message: bytes, now: float) -> None:
        """Take one message from the centre. Raises: RemoteProtocolError (close with its code)."""
        decoded = codec.decode(message, limits.DEFAULT_MESSAGE)
        if decoded is None or self.state is SenderState.LEFT:
            return
        if isinstance(decoded, Bye):
            self._bye_received(decoded, now)
        elif isinstance(decoded, Welcome):
            self._welcome_received(decoded, now)
        elif self.state is SenderState.HELLO_SENT or not isinstance(decoded, Ack | Nack):
            raise RemoteProtocolError(
                f"{type(decoded).__name__} from the centre in state {self.state.value}"
            )
        elif isinstance(decoded, Ack):
            self._ack_received(decoded, now)
        else:
            self._nack_received(decoded, now)

    def _welcome_received(self, welcome: Welcome, now: float) -> None:
        if self.state is not SenderState.HELLO_SENT:
            if not self._welcomed:
                return  # either side said Bye before it came
            raise RemoteProtocolError(f"second Welcome in state {self.state.value}")
        if welcome.encoding and welcome.encoding not in self._hello.encodings:
            raise RemoteProtocolError(f"Welcome: encoding {welcome.encoding} was not offered")
        if welcome.max_message > self._hello.max_message:
            raise RemoteProtocolError(
                f"Welcome: max_message {welcome.max_message}, offered {self._hello.max_message}"
            )
        for have in welcome.have:
            self._check_have(have.epoch, have.intervals)
        self.state = SenderState.OPEN
        self._welcomed = True
        self._deadline = None
        self._max_message = welcome.max_message
        self._encoding = welcome.encoding
        self._compress = compressor(welcome.encoding)
        self._known = frozenset(welcome.schemas)
        self._flights.window.limit = welcome.window
        self._heartbeats = HeartbeatSchedule(welcome.heartbeat_s, now)
        self._events.append(Opened(welcome))
        self._events.extend(Acked(h.epoch, h.intervals) for h in welcome.have if h.intervals)

    def _check_have(self, epoch: int, intervals: tuple[Interval, ...]) -> None:
        """Refuse to be told of records that were never made: they would be lost unseen."""
        if epoch not in self._ceiling:
            raise RemoteProtocolError(f"Welcome: epoch {epoch:016x} was not in Hello")
        current = self._hello.epochs[-1]
        if epoch == current.epoch and intervals and intervals[-1][1] >= current.next_seq:
            raise RemoteProtocolError(
                f"Welcome: the centre has seq {intervals[-1][1]} of the current epoch, whose next "
                f"seq is {current.next_seq}: this machine was set back in time; restart the agent",
                1008,
            )

    def _ack_received(self, ack: Ack, now: float) -> None:
        self._check_known(ack.epoch, ack.intervals)
        self._flights.window.limit = ack.window
        self._flights.acked(ack.epoch, ack.intervals, now)
        self._events.append(Acked(ack.epoch, ack.intervals))
        self._leave_if_done()

    def _nack_received(self, nack: Nack, now: float) -> None:
        self._check_known(nack.epoch, nack.intervals)
        self._flights.refused(nack.epoch, nack.intervals, now)
        if nack.code == NackCode.NEED_SCHEMA:
            self._announce_again(nack.epoch)
        for interval in nack.intervals:
            resend = nack.code != NackCode.CONFLICT
            if nack.code == NackCode.POISON:
                key = (nack.epoch, interval)
                self._poison[key] = self._poison.get(key, 0) + 1
                resend = self._poison[key] < limits.POISON_LIMIT
                if not resend:
                    del self._poison[key]
            self._events.append(Refused(nack.epoch, (interval,), nack.code, nack.text, resend))
        self._leave_if_done()

    def _check_known(self, epoch: int, intervals: tuple[Interval, ...]) -> None:
        ceiling = self._ceiling.get(epoch)
        if ceiling is None or intervals[-1][1] > ceiling:
            raise RemoteProtocolError(
                f"the centre answers for seq {intervals[-1][1]} of epoch {epoch:016x}, "
                "which was never sent"
            )

    def _bye_received(self, bye: Bye, now: float) -> None:
        if self._heard_bye:
            return
        self._heard_bye = True
        self._events.append(PeerLeaving(bye))
        if not self._said_bye:
            self.bye(ByeCode.STOPPING, "", now)
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._said_bye and self._heard_bye and not self.in_flight:
            self.state = SenderState.LEFT
            self._deadline = None

    # --- what we say ------------------------------------------------------------------------

    def announce(self, epoch: int, sid: int, schema: bytes) -> None:
        """Bind (epoch, sid) to an encoded schema before any record that uses it; idempotent.

        The body is left out when the centre said in `Welcome` that it knows the digest.
        Raises: LocalProtocolError when (epoch, sid) was bound to another schema.
        """
        if self.state is not SenderState.OPEN:
            return
        before = self._announced.get((epoch, sid))
        if before is not None:
            if before != schema:
                raise LocalProtocolError(f"sid {sid} of epoch {epoch:016x} was another schema")
            return
        if epoch not in self._ceiling:
            return  # `offer` will leave to list it
        digest = rows.schema_digest(schema)
        body = None if digest in self._known else schema
        self._announced[epoch, sid] = schema
        self._known |= {digest}
        message = SchemaAnnouncement(epoch, sid, digest, body)
        self._out.append(codec.encode_checked(message, self._max_message))

    def _announce_again(self, epoch: int) -> None:
        for (bound, sid), schema in self._announced.items():
            if bound == epoch:
                digest = rows.schema_digest(schema)
                self._out.append(codec.encode(SchemaAnnouncement(epoch, sid, digest, schema)))

    def credit(self, lane: Lane) -> int:
        """Return how many bytes of records may be offered now; 0 unless the state is OPEN."""
        if self.state is not SenderState.OPEN:
            return 0
        if lane is Lane.LIVE:
            return self._flights.live_room()
        return int(self._flights.backlog_room() / self._ratio)

    def offer(self, epoch: int, records: Sequence[Record], lane: Lane, now: float) -> int:
        """Send a prefix of `records` (ascending seqs of one epoch); return how many were taken.

        0 means: no credit. The rest of the live lane belongs to the backlog then. At least one
        record is taken when there is any credit.
        Raises: LocalProtocolError when a ROWS record's sid was not announced, or seqs descend.
        """
        if self.state is not SenderState.OPEN:
            return 0
        if epoch not in self._ceiling:
            if self._hello.complete:
                raise LocalProtocolError(f"epoch {epoch:016x} was not in Hello")
            self.bye(ByeCode.STOPPING, "more epochs than one Hello lists", now)
            return 0
        taken = 0
        while taken < len(records) and (credit := self.credit(lane)) > 0:
            size = min(credit, self._max_message - 64, limits.MAX_BODY)
            if lane is Lane.BACKLOG:
                size = min(size, int(self._flights.window.body() / self._ratio))
            batch = _prefix(records, taken, size)
            self._send(epoch, batch, lane, now)
            taken += len(batch)
        return taken

    def _send(self, epoch: int, batch: Sequence[Record], lane: Lane, now: float) -> None:
        for record in batch:
            if record.kind == RecordKind.ROWS:
                sid = rows.rows_sid(record.data)
                if sid is None or (epoch, sid) not in self._announced:
                    raise LocalProtocolError(f"seq {record.seq}: sid {sid} was not announced")
        intervals = ledger.of_seqs([record.seq for record in batch])
        if ledger.normalise(intervals) != intervals:
            raise LocalProtocolError(f"seqs of epoch {epoch:016x} descend at {batch[0].seq}")
        body = b"".join([record.data for record in batch])
        encoding = int(Encoding.RAW)
        if lane is Lane.BACKLOG and self._compress is not None:
            compressed = self._compress(body)
            self._ratio += (min(1.0, len(compressed) / len(body)) - self._ratio) / 4
            if len(compressed) < len(body):
                body, encoding = compressed, self._encoding
        data = codec.encode(Data(epoch, lane, encoding, body))
        self._ceiling[epoch] = max(self._ceiling[epoch], intervals[-1][1])
        self._flights.sent(epoch, intervals, len(data), lane, now)
        self._out.append(data)

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        """Send a heartbeat, after `HeartbeatDue` (or sooner; ignored unless OPEN)."""
        if self.state is SenderState.OPEN:
            self._out.append(codec.encode_checked(heartbeat, limits.DEFAULT_MESSAGE))

    def bye(self, code: int, text: str, now: float) -> None:
        """Say `Bye`; the centre commits and acks what it got, answers `Bye`, and closes."""
        if self._said_bye:
            return
        self._said_bye = True
        self.state = SenderState.LEAVING
        self._deadline = now + limits.BYE_TIMEOUT_S
        self._out.append(codec.encode(Bye(code, text[: limits.MAX_TEXT // 4], 0.0)))

    # --- time -------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Do what is due: the heartbeat, and the time-outs of `Welcome`, acks and `Bye`."""
        if self.state is SenderState.OPEN:
            if self._heartbeats.beat(now):
                self._events.append(HeartbeatDue())
            waiting_since = self._flights.waiting_since
            if waiting_since is not None and now >= waiting_since + limits.ACK_TIMEOUT_S:
                self.bye(ByeCode.PROTOCOL, f"no ack for {limits.ACK_TIMEOUT_S:.0f} s", now)
        elif self._deadline is not None and now >= self._deadline:
            self.state = SenderState.LEFT
            self._deadline = None

    def timer_at(self) -> float | None:
        """Return when to call `handle_timer`, or ``None``."""
        if self.state is not SenderState.OPEN:
            return self._deadline
        waiting_since = self._flights.waiting_since
        due = [self._heartbeats.due_at]
        if waiting_since is not None:
            due.append(waiting_since + limits.ACK_TIMEOUT_S)
        return min((at for at in due if at is not None), default=None)

    def messages_to_send(self) -> list[bytes]:
        """Return and forget the messages to write, in order."""
        out, self._out = self._out, []
        return out

    def events_received(self) -> list[SenderEvent]:
        """Return and forget what happened, in order."""
        events, self._events = self._events, []
        return events


def _prefix(records: Sequence[Record], start: int, size: int) -> Sequence[Record]:
    """Return the records from `start` that fit into `size` bytes, at least one."""
    total = 0
    for stop in range(start, len(records)):
        total += len(records[stop].data)
        if total > size and stop > start:
            return records[start:stop]
    return records[start:]
