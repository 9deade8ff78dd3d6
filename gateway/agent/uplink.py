"""The link to the centre: connect, live through a session, wait, connect again, for ever.

Owns the decision when to try again: `tenacity` with `wire.backoff` as its wait. One session is
`session`, one connection `dial`; the verdicts are `faults`, what is told of them `chronicle`.
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
from gateway.agent.chronicle import Chronicle, Past
from gateway.agent.dial import MAX_MESSAGE, DialError, Link, Target, check_url, dial
from gateway.agent.faults import Fault, FaultCause, Phase, Side, of_connect
from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.session import Session
from gateway.agent.spool.spool import Spool
from gateway.config.agent import UplinkSettings
from gateway.errors import ConfigError, UplinkError
from gateway.event import Scalar
from gateway.process.clock import Clock
from gateway.process.files import read_secret
from gateway.process.timesync import TimeSync
from gateway.process.tls import client_context
from gateway.wire.backoff import backoff
from gateway.wire.body import writable
from gateway.wire.limits import MAX_EPOCHS
from gateway.wire.message import ByeCode, Hello, Welcome
from gateway.wire.record import Record
from gateway.wire.sender import Refused, Sender

logger = logging.getLogger(__name__)

STEADY_S = 10.0
"""A session that lived so long, or brought an ack, ends the row of failures."""
SET_BACK = 1008
"""Close code `wire.Sender` gives when the centre knows more of our epoch than we do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we say we are."""

    gateway_id: str
    instance: bytes
    boot_id: bytes
    facts: tuple[tuple[str, Scalar], ...]


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
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._sync = sync
        self._chronicle = Chronicle(recorder, metrics, clock, status, past)
        self._past = past
        self._leaving = asyncio.Event()
        self._cause = FaultCause.STOPPED
        self._session: Session | None = None
        self._failures = 0
        self._retry_after_s = 0.0
        self._at_once = False
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
        self._at_once = False
        link = await self._dial()
        if link is None:
            if self._leaving.is_set():
                return
            raise SessionOverError("no connection")
        began = self._clock.now()
        old = self._spool.held_epochs() - {self._spool.epoch}
        session = self._session = self._make_session(link)
        if self._leaving.is_set():
            session.leave(ByeCode.STOPPING, self._cause.value, self._cause)
        try:
            fault = await session.run()
        finally:
            self._session = None
            self._chronicle.gone()
        lived_s = self._clock.now() - began
        if session.acked or lived_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        self._retry_after_s = fault.retry_after_s or 0.0
        # With an epoch less to list this cannot go round in circles.
        drained = bool(old - self._spool.held_epochs())
        self._at_once = fault.cause is FaultCause.CONTINUED and drained
        self._chronicle.ended(session, fault, lived_s)
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
            self._chronicle.timed(failure.timings)
            phase = failure.phase
        except ConfigError as failure:
            error, phase = failure, Phase.CREDENTIALS
        else:
            self._chronicle.timed(link.timings)
            return link
        self._sync.refresh()
        fault = of_connect(error, phase, self._sync.synced, self._clock.wall_ns())
        if phase is Phase.CREDENTIALS:
            fault = Fault(FaultCause.CREDENTIALS, Side.OWN, phase, str(error))
        self._failures += 1
        self._retry_after_s = fault.retry_after_s or 0.0
        self._chronicle.failed(fault, self._failures)
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
        epochs = self._spool.epochs()
        hello = Hello(
            gateway_id=identity.gateway_id,
            instance=identity.instance,
            boot_id=identity.boot_id,
            software=f"edge-gateway {__version__}",
            epochs=epochs,
            clock=self._sync.reading(),
            encodings=writable(),
            max_message=MAX_MESSAGE,
            last_session=self._past.session,
            backlog=self._spool.backlog(),
            ended=self._past.ended,
            facts=(*identity.facts, *self._past.boot),
            # A full list may be a cut one: then the centre must not take the rest for lost.
            complete=len(epochs) < MAX_EPOCHS,
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
        if self._at_once:
            return 0.0
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
        """Note that a session began (called by the session)."""
        assert self._session is not None
        self._chronicle.opened(welcome, self._session.link, self._failures)

    def given_up(self, refused: Refused) -> None:
        """Put records aside that the centre will never take (called by the session)."""
        self._spool.give_up(refused.epoch, refused.intervals, refused.text)
