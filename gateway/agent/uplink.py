"""The link to the centre: connect, live through a session, wait, connect again, for ever.

Owns the decision when to try again (`tenacity` with `wire.backoff` as its wait) and the record of
every ending: an event in the spool, a metric, and `Hello.ended` of the next session. One session
is `session`; one connection is `dial`; the verdicts are `faults`.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from gateway import __version__
from gateway.agent.dial import MAX_MESSAGE, DialError, Link, Target, check_url, dial
from gateway.agent.faults import Fault, FaultCause, Phase, Side, of_connect
from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.session import Session
from gateway.agent.spool.spool import Spool
from gateway.config.agent import UplinkSettings
from gateway.errors import ConfigError, UplinkError
from gateway.event import Event, EventKind, Scalar
from gateway.process.clock import Clock
from gateway.process.files import read_secret
from gateway.process.timesync import TimeSync
from gateway.process.tls import client_context
from gateway.wire.backoff import backoff
from gateway.wire.body import available
from gateway.wire.message import ByeCode, Hello, Welcome
from gateway.wire.record import Record
from gateway.wire.sender import Refused, Sender

logger = logging.getLogger(__name__)

SLOW_TLS_S = 0.2
"""A handshake slower than this is worth a warning: the path or the centre is in trouble."""
STEADY_S = 10.0
"""A session that lived so long, or brought an ack, ends the row of failures."""
SET_BACK = 1008
"""Close code `wire.Sender` gives when the centre knows more of our epoch than we do."""
REPEAT_S = 3600.0
"""The same failure to connect is recorded again after this long."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we say we are."""

    gateway_id: str
    instance: bytes
    boot_id: bytes
    facts: tuple[tuple[str, Scalar], ...]


@dataclass(slots=True)
class Past:
    """What the next `Hello` tells of the session before; outlives an uplink that is replaced."""

    session: int = 0
    ended: tuple[tuple[str, Scalar], ...] = ()


class SessionOverError(UplinkError):
    """A session, or the attempt to make one, is over; tenacity decides when the next begins."""


class NewEpochNeededError(UplinkError):
    """The centre has records of our epoch that we never made: the machine was set back in time,
    and only a new start, with a new epoch, helps (`docs/protocol.md` §Epochs)."""


class Uplink:
    """Keeps one session with the centre as long as it is wanted. `status` gets one line."""

    def __init__(
        self,
        settings: UplinkSettings,
        identity: Identity,
        recorder: Recorder,
        spool: Spool,
        metrics: Metrics,
        clock: Clock,
        sync: TimeSync,
        status: Callable[[str], None],
        past: Past,
    ) -> None:
        check_url(settings.url)
        self._settings = settings
        self._identity = identity
        self._recorder = recorder
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._sync = sync
        self._status = status
        self._past = past
        self._leaving = asyncio.Event()
        self._cause = FaultCause.STOPPED
        self._session: Session | None = None
        self._failures = 0
        self._retry_after_s = 0.0
        self._reported: tuple[FaultCause, Phase] | None = None
        self._reported_at = 0.0
        self._tls: tuple[tuple[int, ...], ssl.SSLContext] | None = None

    def offer(self, record: Record) -> None:
        """Show a record that is in the spool to the session, if there is one."""
        if self._session is not None:
            self._session.offer(record)

    def leave(self, cause: FaultCause) -> None:
        """End the session with a Bye and let `run` return; never waits for the backlog."""
        self._cause = cause
        self._leaving.set()
        if self._session is not None:
            self._session.leave(ByeCode.STOPPING, cause.value, cause)

    async def run(self) -> None:
        """Connect and reconnect until `leave` was called."""
        retrying = AsyncRetrying(
            sleep=self._pause,
            wait=self._wait,
            retry=retry_if_exception_type(SessionOverError),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                if not self._leaving.is_set():
                    await self._once()

    # -- one attempt ---------------------------------------------------------------------------

    async def _once(self) -> None:
        """Make one session and live through it.

        Raises: SessionOverError unless we left; NewEpochNeededError.
        """
        self._retry_after_s = 0.0
        link = await self._dial()
        if link is None:
            if self._leaving.is_set():
                return
            raise SessionOverError("no connection")
        began = self._clock.now()
        session = self._session = self._make_session(link)
        if self._leaving.is_set():
            session.leave(ByeCode.STOPPING, self._cause.value, self._cause)
        try:
            fault = await session.run()
        finally:
            self._session = None
            self._metrics.connected.set(0)
        lived_s = self._clock.now() - began
        if session.acked or lived_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        self._retry_after_s = fault.retry_after_s or 0.0
        self._note_ended(session, fault, lived_s)
        if fault.cause is FaultCause.PROTOCOL and fault.code == SET_BACK:
            raise NewEpochNeededError(fault.text)
        if not self._leaving.is_set():
            raise SessionOverError(fault.text)

    async def _dial(self) -> Link | None:
        """Connect; a failure is judged and recorded. Leaving ends the wait for the network."""
        job = asyncio.create_task(self._dial_judged(), name="agent.dial")
        leaving = asyncio.create_task(self._leaving.wait(), name="agent.dial.leaving")
        try:
            await asyncio.wait({job, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return job.result() if job.done() else None
        finally:
            leaving.cancel()
            if not job.done():
                job.cancel()
                await asyncio.wait({job})

    async def _dial_judged(self) -> Link | None:
        error: BaseException
        try:
            link = await dial(self._target(), self._clock)
        except DialError as failure:
            error = failure.__cause__ or failure
            self._observe(failure.timings.items())
            phase = failure.phase
        except ConfigError as failure:
            error, phase = failure, Phase.CREDENTIALS
        else:
            self._observe(link.timings.items())
            self._warn_slow_tls(link)
            return link
        self._sync.refresh()
        fault = of_connect(error, phase, self._sync.synced, self._clock.wall_ns())
        if phase is Phase.CREDENTIALS:
            fault = Fault(FaultCause.CREDENTIALS, Side.OWN, phase, str(error))
        self._failures += 1
        self._retry_after_s = fault.retry_after_s or 0.0
        self._note_failed(fault)
        return None

    def _target(self) -> Target:
        settings = self._settings
        secure = settings.url.startswith("wss:")
        return Target(
            url=f"{settings.url.rstrip('/')}/{self._identity.gateway_id}",
            tls=self._tls_context() if secure else None,
            token=self._token(),
            proxy=settings.proxy,
            deflate=settings.compression == "deflate",
            timeout_s=settings.connect_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            heartbeat_timeout_s=settings.heartbeat_timeout_s,
        )

    def _token(self) -> str | None:
        """Read the token anew for each attempt: it may have been replaced meanwhile."""
        name = self._settings.token_file
        return None if name is None else read_secret(Path(name))

    def _tls_context(self) -> ssl.SSLContext:
        """Build the context anew only when one of its files changed: reading the system's
        authorities takes 20 ms and a megabyte."""
        settings = self._settings
        paths = [
            None if name is None else Path(name)
            for name in (settings.ca_file, settings.certificate_file, settings.key_file)
        ]
        try:
            stamp = tuple(0 if path is None else path.stat().st_mtime_ns for path in paths)
        except OSError as error:
            raise ConfigError(f"uplink: a certificate file cannot be read: {error}") from error
        if self._tls is None or self._tls[0] != stamp:
            self._tls = (stamp, client_context(*paths))
        return self._tls[1]

    def _make_session(self, link: Link) -> Session:
        identity = self._identity
        hello = Hello(
            gateway_id=identity.gateway_id,
            instance=identity.instance,
            boot_id=identity.boot_id,
            software=f"edge-gateway {__version__}",
            epochs=self._spool.epochs(),
            clock=self._sync.reading(),
            encodings=available(),
            max_message=MAX_MESSAGE,
            last_session=self._past.session,
            backlog=self._spool.backlog(),
            ended=self._past.ended,
            facts=identity.facts,
        )
        return Session(
            link,
            Sender(hello, self._clock.now()),
            self._spool,
            self,
            self._metrics,
            self._clock,
            self._sync,
            self._settings.heartbeat_s,
            self._settings.heartbeat_timeout_s,
        )

    # -- waiting -------------------------------------------------------------------------------

    def _wait(self, state: RetryCallState) -> float:
        """Say how long tenacity waits: our own count, because a good session resets it."""
        seconds = backoff(
            max(1, self._failures),
            random.random(),
            self._retry_after_s,
            self._settings.backoff_initial_s,
            self._settings.backoff_max_s,
        )
        logger.debug("next attempt in_s=%.1f failures=%d", seconds, self._failures)
        return seconds

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless we leave."""
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    # -- what is told --------------------------------------------------------------------------

    def opened(self, welcome: Welcome) -> None:
        """Record that a session began (called by the session)."""
        assert self._session is not None
        link = self._session.link
        self._past.session = welcome.session
        self._reported = None
        self._metrics.sessions.inc()
        self._metrics.connected.set(1)
        self._metrics.session_start.set(self._clock.wall_ns() / 1e9)
        phases = {f"{name}_s": round(seconds, 6) for name, seconds in link.timings.items()}
        self._event(
            EventKind.SESSION_OPENED,
            session=welcome.session,
            address=link.address,
            failures=self._failures,
            **phases,
        )
        self._status(f"connected to {self._settings.url}, session {welcome.session}")
        logger.info("session opened session=%d address=%s", welcome.session, link.address)

    def given_up(self, refused: Refused) -> None:
        """Note records the centre will never take (called by the session)."""
        self._spool.give_up(refused.epoch, refused.intervals, refused.text)

    def _note_ended(self, session: Session, fault: Fault, lived_s: float) -> None:
        self._metrics.sessions_ended.labels(fault.side.value, fault.cause.value).inc()
        number = 0 if session.welcomed is None else session.welcomed.session
        live = session.liveness
        fields = dict(fault.fields())
        fields["duration_s"] = round(lived_s, 3)
        fields["heard_age_s"] = round(self._clock.now() - live.heard, 3)
        if live.round_trip_s is not None:
            fields["rtt_s"] = round(live.round_trip_s, 6)
        if live.last_tcp is not None:
            fields.update(live.last_tcp.fields())
        self._past.ended = tuple(fields.items())
        self._event(EventKind.SESSION_ENDED, session=number, **fields)
        self._status(f"disconnected: {fault.cause} by {fault.side}: {fault.text}")
        level = logging.INFO if fault.side is Side.OWN else logging.WARNING
        logger.log(
            level,
            "session ended session=%d cause=%s side=%s lived_s=%.1f text=%r",
            number,
            fault.cause,
            fault.side,
            lived_s,
            fault.text,
        )

    def _note_failed(self, fault: Fault) -> None:
        """Record a failed attempt, but the same failure only once an hour."""
        self._metrics.connect_failures.labels(fault.phase.value, fault.cause.value).inc()
        self._status(f"not connected: {fault.cause} ({fault.phase}): {fault.text}")
        now = self._clock.now()
        same = self._reported == (fault.cause, fault.phase)
        if same and now - self._reported_at < REPEAT_S:
            return
        self._reported, self._reported_at = (fault.cause, fault.phase), now
        fields = dict(fault.fields())
        self._event(EventKind.CONNECT_FAILED, failures=self._failures, **fields)
        if not self._past.ended or dict(self._past.ended).get("phase") != Phase.SESSION.value:
            self._past.ended = tuple(fields.items())
        logger.warning(
            "cannot connect cause=%s phase=%s text=%r", fault.cause, fault.phase, fault.text
        )

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        self._recorder.event(Event.make(kind, self._clock.boottime_ns(), **fields))

    def _observe(self, timings: list[tuple[str, float]]) -> None:
        for phase, seconds in timings:
            self._metrics.phase_seconds.labels(phase).observe(seconds)

    def _warn_slow_tls(self, link: Link) -> None:
        seconds = link.timings.tls_s
        if seconds is not None and seconds > SLOW_TLS_S:
            self._metrics.slow_tls.inc()
            logger.warning(
                "slow TLS handshake seconds=%.3f limit=%.3f address=%s",
                seconds,
                SLOW_TLS_S,
                link.address,
            )
