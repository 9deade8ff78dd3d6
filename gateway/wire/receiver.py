"""The centre's side of a session, sans-I/O.

Owns the state machine of one connection in as little memory as can be: a centre holds 10,000 of
them. Never decides what is a duplicate: the store is authoritative. `docs/protocol.md`
§Centre states is normative.

The driver's loop: build `Receiver(limits, schemas, now)` after the upgrade. For every message:
`receive`, then drain `events_received()` and `messages_to_send()`. On `HelloReceived` look the
gateway up in the store and call `welcome` (or `bye`). On `RecordsReceived` hand the records to the
store, and after its COMMIT call `committed` with *every* seq of the batch, also those that were
duplicates; what the store cannot take goes to `refuse`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.event import Scalar
from gateway.wire.message import Bye, EpochHave, Heartbeat, Hello, Interval, Lane
from gateway.wire.record import Record
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
    """Both said `Bye`, or a time-out passed: close the connection now."""


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


@dataclass(frozen=True, slots=True)
class RecordsReceived:
    """Records of one `Data`, verified. `size` is the bytes of the message."""

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

    __slots__ = ("window",)

    def __init__(self, limits: ReceiverLimits, schemas: SchemaTable, now: float) -> None:
        raise NotImplementedError

    @property
    def state(self) -> ReceiverState:
        raise NotImplementedError

    @property
    def current_epoch(self) -> int | None:
        """The epoch the agent is writing now; ``None`` before `Hello`."""
        raise NotImplementedError

    def schema(self, epoch: int, sid: int) -> KnownSchema | None:
        """Return what (epoch, sid) was announced as in this session."""
        raise NotImplementedError

    def receive(self, message: bytes, now: float) -> None:
        """Take one message of the agent. Raises: RemoteProtocolError (close with its code)."""
        raise NotImplementedError

    def welcome(
        self,
        session: int,
        have: Sequence[EpochHave],
        wall_ns: int,
        schemas: Iterable[KnownSchema],
        previous: tuple[tuple[str, Scalar], ...],
        now: float,
    ) -> None:
        """Answer `Hello` and open the session.

        `have`: what is committed of the epochs in `Hello`. `schemas`: what the store knows of this
        gateway (at most `MAX_SCHEMAS` are told), so that their bodies need not be sent again.
        """
        raise NotImplementedError

    def committed(self, epoch: int, intervals: Iterable[Interval], now: float) -> None:
        """Ack: the store's COMMIT that holds these seqs has returned."""
        raise NotImplementedError

    def refuse(
        self, epoch: int, intervals: Iterable[Interval], code: int, text: str, now: float
    ) -> None:
        """Nack: these seqs are not stored (`code` is a `NackCode`)."""
        raise NotImplementedError

    def bye(self, code: int, text: str, retry_after_s: float, now: float) -> None:
        """Say `Bye`. Acks may follow; close when `state` is CLOSED or the connection ends."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Do what is due. Raises: RemoteProtocolError when `Hello` did not come in time."""
        raise NotImplementedError

    def timer_at(self) -> float | None:
        """Return when to call `handle_timer`, or ``None`` (always, once OPEN)."""
        raise NotImplementedError

    def messages_to_send(self) -> list[bytes]:
        """Return and forget the messages to write, in order."""
        raise NotImplementedError

    def events_received(self) -> list[ReceiverEvent]:
        """Return and forget what happened, in order."""
        raise NotImplementedError
