"""Every session of this process: who is connected, one session a gateway, the way out.

Owns the table of sessions, the answers of the store on their way back to sessions, back-pressure
and draining. Never listens (`door`) and never stores (`store`).
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from enum import StrEnum

from gateway.centre.ending import EndCause, Ending
from gateway.centre.ending_log import EndingLog
from gateway.centre.link import Link
from gateway.centre.link_host import Hold
from gateway.centre.metrics import Metrics
from gateway.centre.session import Session, StoreQueue
from gateway.centre.store.jobs import Alive, Job, Note
from gateway.centre.tokens import TokenFile
from gateway.event import Scalar
from gateway.process.clock import Clock
from gateway.wire.ledger import count
from gateway.wire.message import ByeCode, Interval
from gateway.wire.receiver import ReceiverLimits
from gateway.wire.schemas import SchemaTable

LOGGER = logging.getLogger(__name__)
STOPS = "this centre stops"
DRAIN_BATCH = 500
"""Sessions told to leave before the loop gets a turn."""


class CentreEvent(StrEnum):
    """Events of the centre itself, stored beside those of the gateways."""

    CENTRE_STARTED = "centre_started"
    CENTRE_STOPPING = "centre_stopping"
    SESSIONS_LOST = "sessions_lost"
    """A killed centre left sessions open; they are closed at its next start."""
    IDENTITY_REFUSED = "identity_refused"
    """A second box with a connected gateway's id was sent away."""
    TOKEN_REVOKED = "token_revoked"
    """A session was closed because its token is gone."""
    RECORD_CONFLICT = "record_conflict"
    """A gateway sent other records under keys that are stored: two agents share one epoch."""


class Server:
    """The sessions. Everything runs on the loop's thread, except `deliver`."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        limits: ReceiverLimits,
        tokens: TokenFile,
        queue_limit: int,
        heartbeat_s: float,
    ) -> None:
        self.clock = clock
        self.metrics = metrics
        self.told = EndingLog()
        self.limits = limits
        self.schemas = SchemaTable()
        self.queue_limit = queue_limit
        self.sessions: dict[str, Session] = {}
        self.active = 0
        """`ws_active_connections`: sessions after `Welcome` and before close."""
        self.store: StoreQueue
        self._drain_s: float | None = None
        self._tokens = tokens
        self._heartbeat_s = heartbeat_s
        self._held: set[Link] = set()
        self._to_flush: dict[Session, None] = {}
        self._call_soon: Callable[..., object] | None = None

    def make_session(
        self, link: Link, gateway_id: str, digest: bytes | None, remote: str, proxy: str
    ) -> Session:
        """Return the session of a gateway that the door let in."""
        return Session(self, link, gateway_id, digest, remote, proxy)

    # Office

    def admits(self, session: Session) -> bool:
        """Tell whether a session may begin still; if not, it has been told why."""
        if session.digest is not None and not self._tokens.holds(session.digest):
            self._revoke(session)  # between the upgrade and `Hello`
            return False
        if self._drain_s is not None:
            wait_s = random.uniform(0.0, self._drain_s)
            session.end(ByeCode.DRAINING, STOPS, 1001, EndCause.DRAINING, wait_s)
            return False
        return True

    def hello(self, session: Session, instance: bytes) -> bool:
        """Make `session` the gateway's one session; ``False``: another box holds it."""
        held = self.sessions.get(session.gateway_id)
        if held is not None and held is not session:
            silent = self.clock.now() - held.link.heard
            if held.instance != instance and silent < self._heartbeat_s:
                LOGGER.warning("another box with the same id refused gateway=%s", held.gateway_id)
                self.note(
                    CentreEvent.IDENTITY_REFUSED,
                    session.gateway_id,
                    connected=held.instance.hex(),
                    refused=instance.hex(),
                    remote=session.remote,
                )
                return False
            held.end(ByeCode.REPLACED, "this gateway came in again", 1000, EndCause.REPLACED)
        self.sessions[session.gateway_id] = session
        return True

    def welcomed(self, session: Session) -> None:
        """The session counts from now on."""
        self.active += 1
        self.metrics.connections += 1
        LOGGER.debug("session opened gateway=%s session=%d", session.gateway_id, session.number)

    def left(self, session: Session, ending: Ending) -> None:
        """The session is over."""
        if self.sessions.get(session.gateway_id) is session:
            del self.sessions[session.gateway_id]
        self._held.discard(session.link)
        if session.number:
            self.active -= 1
            self.metrics.session_s.observe(self.clock.now() - session.opened)
            self.metrics.closes[ending.side, ending.cause] += 1
        self.told.ended(session.gateway_id, session.number, ending)

    def hold(self, link: Link) -> None:
        """Stop reading from a link until the store has caught up."""
        link.hold(Hold.STORE)
        self._held.add(link)

    def to_flush(self, session: Session) -> None:
        """Flush a session once every answer of this transaction has been given."""
        self._to_flush[session] = None

    def conflict(self, session: Session, epoch: int, intervals: Sequence[Interval]) -> None:
        """Note that a gateway sent other records under keys that are stored."""
        records = count(intervals)
        self.metrics.conflicts += records
        LOGGER.warning(
            "records conflict with those stored gateway=%s epoch=%016x records=%d",
            session.gateway_id,
            epoch,
            records,
        )
        self.note(
            CentreEvent.RECORD_CONFLICT,
            session.gateway_id,
            epoch=f"{epoch:016x}",
            first=intervals[0][0],
            last=intervals[-1][1],
            records=records,
        )

    def note(self, kind: CentreEvent, gateway: str = "", /, **fields: Scalar) -> None:
        """Store an event of the centre."""
        self.store.submit(
            Note(
                gateway=gateway,
                kind=kind,
                wall_ns=self.clock.wall_ns(),
                fields=tuple(fields.items()),
            )
        )

    # The store's answers

    def attach(self, loop: asyncio.AbstractEventLoop, store: StoreQueue) -> None:
        """Say where answers are handed in and jobs handed out."""
        self._call_soon = loop.call_soon_threadsafe
        self.store = store

    def deliver(self, jobs: list[Job]) -> None:
        """Bring committed jobs to the loop; called from the writer's thread."""
        if self._call_soon is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._call_soon(self.answer, jobs)

    def answer(self, jobs: list[Job]) -> None:
        """Give each job back and send what follows from them, once per session."""
        for job in jobs:
            if job.done is not None:
                try:
                    job.done(job)
                except Exception:  # a bug here; the other sessions' answers must not go with it
                    LOGGER.exception("an answer failed job=%s", type(job).__name__)
        waiting, self._to_flush = self._to_flush, {}
        for session in waiting:
            session.flush()
        if self._held and self.store.queued < self.queue_limit // 2:
            held, self._held = self._held, set()
            for link in held:
                link.release(Hold.STORE)

    def alive(self, job: Job) -> None:
        """Close the sessions whose gateway has come in at another process since."""
        assert isinstance(job, Alive)
        if not job.taken:
            return
        taken = set(job.taken)
        for session in [s for s in self.sessions.values() if s.number in taken]:
            session.end(ByeCode.REPLACED, "this gateway came in again", 1000, EndCause.REPLACED)

    # Tokens and draining

    def drop_revoked(self) -> int:
        """Close the sessions whose token is gone; return how many."""
        revoked = [
            session
            for session in self.sessions.values()
            if session.digest is not None and not self._tokens.holds(session.digest)
        ]
        for session in revoked:
            self._revoke(session)
        return len(revoked)

    def _revoke(self, session: Session) -> None:
        self.note(CentreEvent.TOKEN_REVOKED, session.gateway_id)
        session.end(ByeCode.NOT_AUTHORISED, "the token was revoked", 1008, EndCause.REVOKED)

    async def drain(self, retry_after_s: float, timeout_s: float) -> None:
        """Tell every gateway to come back spread over `retry_after_s`, ack what is under way,
        close 1001."""
        self._drain_s = retry_after_s
        everyone = list(self.sessions.values())
        for at, session in enumerate(everyone):
            session.bye(ByeCode.DRAINING, STOPS, random.uniform(0.0, retry_after_s))
            if at % DRAIN_BATCH == DRAIN_BATCH - 1:
                await asyncio.sleep(0)
        deadline = self.clock.now() + timeout_s
        await self._until(lambda: not any(s.pending for s in self.sessions.values()), deadline)
        for at, session in enumerate(everyone):
            session.link.close(1001, STOPS, EndCause.DRAINING)
            if at % DRAIN_BATCH == DRAIN_BATCH - 1:
                await asyncio.sleep(0)
        await self._until(lambda: not self.sessions, deadline)
        for session in list(self.sessions.values()):
            session.link.abort(EndCause.DRAINING, "no answer while draining")

    async def _until(self, done: Callable[[], bool], deadline: float) -> None:
        while True:
            if done() or self.clock.now() >= deadline:
                return
            await asyncio.sleep(0.02)
