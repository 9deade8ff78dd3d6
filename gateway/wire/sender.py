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

from gateway.wire.message import Bye, Heartbeat, Hello, Interval, Lane, Welcome
from gateway.wire.record import Record


class SenderState(Enum):
    """Where a session stands, seen by the agent."""

    HELLO_SENT = "hello_sent"
    """Waiting for `Welcome`; no credit."""
    OPEN = "open"
    """Records may be offered."""
    LEAVING = "leaving"
    """We said `Bye`; acks still count; no credit."""
    LEFT = "left"
    """The centre said `Bye` or the time-out passed: close the connection now."""


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
        """Queue `Hello`. Epochs that do not fit into one `Hello` are left for a later session."""
        raise NotImplementedError

    @property
    def state(self) -> SenderState:
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        """Bytes sent and not acked, both lanes."""
        raise NotImplementedError

    def receive(self, message: bytes, now: float) -> None:
        """Take one message from the centre. Raises: RemoteProtocolError (close with its code)."""
        raise NotImplementedError

    def announce(self, epoch: int, sid: int, schema: bytes) -> None:
        """Bind (epoch, sid) to an encoded schema before any record that uses it; idempotent.

        The body is left out when the centre said in `Welcome` that it knows the digest.
        """
        raise NotImplementedError

    def credit(self, lane: Lane) -> int:
        """Return how many bytes of records may be offered now; 0 unless the state is OPEN."""
        raise NotImplementedError

    def offer(self, epoch: int, records: Sequence[Record], lane: Lane, now: float) -> int:
        """Send a prefix of `records` (ascending seqs of one epoch); return how many were taken.

        0 means: no credit. The rest of the live lane belongs to the backlog then.
        """
        raise NotImplementedError

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        """Send a heartbeat, after `HeartbeatDue` (or sooner; ignored unless OPEN)."""
        raise NotImplementedError

    def bye(self, code: int, text: str, now: float) -> None:
        """Say `Bye`; the centre commits and acks what it got, answers `Bye`, and closes."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Do what is due: time-outs of `Welcome`, acks and `Bye`, and the heartbeat."""
        raise NotImplementedError

    def timer_at(self) -> float | None:
        """Return when to call `handle_timer`, or ``None``."""
        raise NotImplementedError

    def messages_to_send(self) -> list[bytes]:
        """Return and forget the messages to write, in order."""
        raise NotImplementedError

    def events_received(self) -> list[SenderEvent]:
        """Return and forget what happened, in order."""
        raise NotImplementedError
