"""One gateway's session: drives a `wire.Receiver` between a link and the store.

Owns the order of things: `Hello` → the store's answer → `Welcome`; records → COMMIT → `Ack`. Never
touches SQLite or a socket itself. There are 10,000 of these: what is only needed until `Welcome`,
or only at the end, is not kept.
"""

import secrets
from collections.abc import Sequence
from typing import Protocol

from gateway.centre.ending import MAX_REASON, EndCause, Ending, Side
from gateway.centre.evidence import evidence_of
from gateway.centre.link import Link
from gateway.centre.link_host import Phase
from gateway.centre.metrics import Metrics
from gateway.centre.store.jobs import Binding, Farewell, Greeting, Ingest, Job, Progress
from gateway.errors import GatewayError, RemoteProtocolError
from gateway.process.clock import Clock
from gateway.wire.message import ByeCode, Heartbeat, Hello, Interval, Lane, NackCode
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
from gateway.wire.schemas import SchemaTable

RELAX_NS = 500_000
"""What an offset may grow from heartbeat to heartbeat: oscillators drift."""
IDENTITY_RETRY_S = 300.0
_OPEN = ReceiverState.OPEN  # enum look-ups cost
_PEER_LEFT, _CLOSED = ReceiverState.PEER_LEFT, ReceiverState.CLOSED
_LIVE = Lane.LIVE
_BYE_CAUSES = {
    ByeCode.STOPPING: EndCause.GOING_AWAY,
    ByeCode.DRAINING: EndCause.GOING_AWAY,
}


class StoreQueue(Protocol):
    """What sessions need of the store."""

    queued: int

    def submit(self, job: Job) -> None:
        """Queue a job; its `done` is called on the loop after COMMIT."""


class Office(Protocol):
    """What sessions share."""

    clock: Clock
    store: StoreQueue
    metrics: Metrics
    limits: ReceiverLimits
    schemas: SchemaTable
    queue_limit: int

    def admits(self, session: "Session") -> bool:
        """Tell whether a session may begin still; if not, it has been told why."""

    def hello(self, session: "Session", instance: bytes) -> bool:
        """Make `session` the gateway's one session; ``False``: another box holds it."""

    def welcomed(self, session: "Session") -> None:
        """The session counts from now on."""

    def left(self, session: "Session", ending: Ending) -> None:
        """The session is over."""

    def hold(self, link: Link) -> None:
        """Stop reading from a link until the store has caught up."""

    def to_flush(self, session: "Session") -> None:
        """Call `flush` once every answer of this transaction has been given."""

    def conflict(self, session: "Session", epoch: int, intervals: Sequence[Interval]) -> None:
        """Note that a gateway sent other records under keys that are stored."""


class Session:
    """Session of one connection. `number` is 0 until `Welcome`."""

    __slots__ = (
        "_bye",
        "_offset_ns",
        "digest",
        "gateway_id",
        "instance",
        "link",
        "number",
        "office",
        "opened",
        "pending",
        "pk",
        "proxy",
        "receiver",
        "remote",
    )

    def __init__(
        self,
        office: Office,
        link: Link,
        gateway_id: str,
        digest: bytes | None,
        remote: str,
        proxy: str,
    ) -> None:
        self.office = office
        self.link = link
        self.gateway_id = gateway_id
        self.digest = digest
        self.remote = remote
        self.proxy = proxy
        self.receiver = Receiver(office.limits, office.schemas, office.clock.now())
        self.number = 0
        self.instance = b""
        self.opened = 0.0
        self.pk = 0
        self.pending = 0
        """Jobs of this session in the store's queue."""
        self._offset_ns = 0
        self._bye: ByeCode | None = None

    # LinkSession

    def message_received(self, message: bytes) -> None:
        """Take one whole message."""
        receiver = self.receiver
        try:
            receiver.receive(message, self.link.heard)
        except RemoteProtocolError as error:
            self.break_off(error)
            return
        for event in receiver.events_received():
            if type(event) is RecordsReceived:
                self._records(event)
            elif type(event) is HelloReceived:
                self._hello(event.hello)
            elif type(event) is SchemaReceived:
                known = event.schema
                self.office.store.submit(
                    Binding(
                        gateway=self.pk,
                        epoch=event.epoch,
                        sid=event.sid,
                        digest=known.digest,
                        body=known.body,
                    )
                )
            elif type(event) is HeartbeatReceived:
                self._heartbeat(event.heartbeat)
            elif type(event) is ByeReceived:
                self._bye = _bye_code(event.bye.code)
        if receiver.unsent or receiver.state is not _OPEN:
            self.flush()

    def handle_due(self, now: float) -> float:
        """Do what is due; return when to ask again."""
        try:
            self.receiver.handle_timer(now)
        except RemoteProtocolError as error:
            cause = EndCause.PROTOCOL_ERROR if self.number else EndCause.NO_HELLO
            self.link.close(error.close_code, _reason(str(error)), cause)
            return float("inf")
        self.flush()
        again = self.receiver.timer_at()
        return float("inf") if again is None else again

    def link_lost(self, ending: Ending) -> None:
        """The connection is over."""
        if self._bye is not None and (
            ending.side is not Side.CENTRE or ending.cause is EndCause.NORMAL
        ):
            cause = _BYE_CAUSES.get(self._bye, EndCause.NORMAL)
            ending = Ending(Side.AGENT, cause, ending.code, f"Bye {self._bye.name.lower()}")
        self.office.left(self, ending)
        if self.number:
            self._farewell(self.number, ending)

    def _farewell(self, number: int, ending: Ending) -> None:
        """Record the session's end with what this side knows of it."""
        office = self.office
        office.store.submit(
            Farewell(
                session=number,
                closed_ns=office.clock.wall_ns(),
                side=ending.side,
                cause=ending.cause,
                code=ending.code,
                reason=ending.reason[:MAX_REASON],
                evidence=evidence_of(self.link, self.pending, office.clock.now()),
            )
        )

    # Out

    def flush(self) -> None:
        """Send what the receiver wants sent; close when both sides have said goodbye."""
        receiver = self.receiver
        if receiver.unsent:
            self.link.send_all(receiver.messages_to_send())
        state = receiver.state
        if state is _OPEN:
            return
        if state is _PEER_LEFT and not self.pending:
            receiver.bye(ByeCode.STOPPING, "", 0.0, self.office.clock.now())
            self.link.send_all(receiver.messages_to_send())
            self.link.close(1000, "goodbye", EndCause.NORMAL)
        elif state is _CLOSED and not self.pending:
            self.link.close(1000, "goodbye", EndCause.NORMAL)

    def bye(self, code: ByeCode, text: str, retry_after_s: float) -> None:
        """Say goodbye; acks may follow until `close`."""
        if self.receiver.state is not ReceiverState.CLOSED and self.link.phase is Phase.OPEN:
            self.receiver.bye(code, text, retry_after_s, self.office.clock.now())
            self.link.send_all(self.receiver.messages_to_send())

    def end(
        self, code: ByeCode, text: str, close_code: int, cause: EndCause, retry_after_s: float = 0.0
    ) -> None:
        """Say goodbye and close."""
        self.bye(code, text, retry_after_s)
        self.link.close(close_code, _reason(text), cause)

    def break_off(self, error: RemoteProtocolError) -> None:
        """Close because the agent broke the protocol."""
        self.office.metrics.protocol_errors += 1
        too_big = error.close_code == 1009
        cause = EndCause.TOO_BIG if too_big else EndCause.PROTOCOL_ERROR
        self.link.send_all(self.receiver.messages_to_send())
        self.link.close(error.close_code, _reason(str(error)), cause)

    # Hello

    def _hello(self, hello: Hello) -> None:
        if hello.gateway_id != self.gateway_id:
            text = f"Hello of {hello.gateway_id} on the credential of {self.gateway_id}"
            self.end(ByeCode.NOT_AUTHORISED, text, 1008, EndCause.IDENTITY, IDENTITY_RETRY_S)
            return
        office = self.office
        if not office.admits(self):
            return
        self.instance = hello.instance
        if not office.hello(self, hello.instance):
            self._refuse_identity()
            return
        received_ns = office.clock.wall_ns()
        self._offset_ns = received_ns - hello.clock.boottime_ns
        self.pending += 1
        office.store.submit(
            Greeting(
                hello=hello,
                session=secrets.randbits(53) | 1,
                remote=self.remote,
                proxy=self.proxy,
                received_ns=received_ns,
                done=self._greeted,
            )
        )

    def _refuse_identity(self) -> None:
        text = "another box with this gateway id is connected"
        self.end(ByeCode.IDENTITY, text, 1008, EndCause.IDENTITY, IDENTITY_RETRY_S)

    def _greeted(self, job: Job) -> None:
        assert isinstance(job, Greeting)
        self.pending -= 1
        if job.failed:
            self.link.close(1011, "the store cannot answer", EndCause.STORE_FAILED)
            return
        if job.refused:
            self._refuse_identity()
            return
        office = self.office
        count_gaps(office.metrics, job.gaps)
        waits = self.receiver.state is ReceiverState.IDENTIFYING
        if self.link.phase is not Phase.OPEN or not waits:  # gone while the store looked
            ending = Ending(Side.NETWORK, EndCause.END_OF_STREAM, 1006, "gone before Welcome")
            self._farewell(job.session, ending)
            self.flush()
            return
        self.number = job.session
        self.pk = job.gateway
        self.opened = office.clock.now()
        known = []
        for body in job.schemas:
            try:
                known.append(office.schemas.intern(body))
            except GatewayError:
                continue
        self.receiver.welcome(
            job.session, job.have, office.clock.wall_ns(), known, job.previous, self.opened
        )
        self.remote = self.proxy = ""
        office.welcomed(self)
        self.flush()

    # Records

    def _records(self, event: RecordsReceived) -> None:
        office = self.office
        epoch = event.epoch
        job = Ingest(  # by position: names would cost half as much again
            self.pk,
            self.number,
            epoch,
            event.records,
            self._offset_ns if epoch == self.receiver.current_epoch else 0,
            office.clock.wall_ns(),
            self.link.heard,
            size=event.size,
            backlog=event.lane is not _LIVE,
            done=self._ingested,
        )
        self.pending += 1
        office.store.submit(job)
        if office.store.queued > office.queue_limit:
            office.hold(self.link)

    def _ingested(self, job: Job) -> None:
        assert type(job) is Ingest
        office = self.office
        metrics = office.metrics
        self.pending -= 1
        now = office.clock.now()
        if job.replaced:
            self.end(ByeCode.REPLACED, "this gateway came in again", 1000, EndCause.REPLACED)
            return
        if job.failed:
            seqs = [(record.seq, record.seq) for record in job.records]
            code = NackCode.POISON
            self.receiver.refuse(job.epoch, seqs, code, "the store cannot take these", now)
        else:
            stored, sent = job.stored, len(job.records)
            metrics.records += stored
            metrics.readings += job.readings
            if stored != sent:
                metrics.duplicates += sent - stored
            if job.lost:
                count_gaps(metrics, job.lost)
            if job.conflicts:
                office.conflict(self, job.epoch, job.conflicts)
                text = "another record is stored under this key"
                self.receiver.refuse(job.epoch, job.conflicts, NackCode.CONFLICT, text, now)
            self.receiver.committed(job.epoch, job.intervals, now)
            (metrics.ack_backlog_s if job.backlog else metrics.ack_live_s).observe(now - job.queued)
            if job.latency_s >= 0 and job.offset_ns:
                metrics.sensor_to_store_s.observe(job.latency_s)
        office.to_flush(self)

    def _heartbeat(self, heartbeat: Heartbeat) -> None:
        office = self.office
        wall_ns = office.clock.wall_ns()
        offset_ns = wall_ns - heartbeat.clock.boottime_ns
        self._offset_ns = min(offset_ns, self._offset_ns + RELAX_NS)
        epoch = self.receiver.current_epoch
        if epoch is not None and self.number:
            office.store.submit(
                Progress(
                    gateway=self.pk,
                    epoch=epoch,
                    next_seq=heartbeat.next_seq,
                    offset_ns=offset_ns,
                    waiting=heartbeat.backlog,
                    wall_ns=wall_ns,
                )
            )


def count_gaps(
    metrics: Metrics, gaps: "list[tuple[str, int]] | tuple[tuple[str, int], ...]"
) -> None:
    """Count gaps by reason; a number of records below 0 is unknown."""
    for reason, records in gaps:
        metrics.gaps[reason] += 1
        metrics.gap_records[reason] += max(records, 0)


def _reason(text: str) -> str:
    """Return a close reason: at most 123 bytes of UTF-8 (RFC 6455 §5.5)."""
    return text.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def _bye_code(code: int) -> ByeCode:
    try:
        return ByeCode(code)
    except ValueError:
        return ByeCode.STOPPING
