"""One session with the centre: drives `wire.Sender` over an open WebSocket connection.

Owns the connection while it stands: reading, writing, time-outs, the goodbye, and who ended it.
What is offered when is `lanes`, whether the link is alive `liveness`. Never dials, never retries.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from gateway.agent.dial import Link
from gateway.agent.faults import Fault, FaultCause, Phase, Side, of_bye, of_close
from gateway.agent.lanes import Lanes
from gateway.agent.liveness import Liveness
from gateway.agent.metrics import Metrics
from gateway.agent.spool.spool import Spool
from gateway.errors import RemoteProtocolError
from gateway.process.clock import Clock
from gateway.process.timesync import TimeSync
from gateway.wire.message import Bye, ByeCode, Heartbeat, Welcome
from gateway.wire.record import Record
from gateway.wire.sender import (
    Acked,
    HeartbeatDue,
    Opened,
    PeerLeaving,
    Refused,
    Sender,
    SenderState,
)

logger = logging.getLogger(__name__)

LEAVE_S = 2.0
"""How long the last acks are waited for after our Bye; SIGTERM allows 5 s for everything."""


class Observer(Protocol):
    """Who wants to know how the session goes (the uplink)."""

    def opened(self, welcome: Welcome) -> None:
        """`Welcome` came."""

    def given_up(self, refused: Refused) -> None:
        """The centre will never take these records."""


class Session:
    """Runs once. `welcomed` and `bye` are what the centre said, if it did."""

    def __init__(
        self,
        link: Link,
        sender: Sender,
        spool: Spool,
        observer: Observer,
        metrics: Metrics,
        clock: Clock,
        sync: TimeSync,
        heartbeat_s: float,
        heartbeat_timeout_s: float,
    ) -> None:
        self.link = link
        self.liveness = Liveness(link, metrics, clock)
        self._connection = link.connection
        self._sender = sender
        self._spool = spool
        self._observer = observer
        self._metrics = metrics
        self._clock = clock
        self._sync = sync
        self._heartbeat_s = heartbeat_s
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._wake = asyncio.Event()
        self._lanes = Lanes(sender, spool, clock, self._wake.set, self._continue)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()
        self._own: FaultCause | None = None
        self.welcomed: Welcome | None = None
        self.acked = False
        self.bye: Bye | None = None

    # -- what others call, in the event loop ---------------------------------------------------

    def offer(self, record: Record) -> None:
        """Send a new record at once, or leave it to the backlog when there is no credit."""
        self._lanes.live(record)

    def leave(self, code: ByeCode, text: str, cause: FaultCause) -> None:
        """Say Bye, wait a little for the last acks, close. Idempotent."""
        if self._own is not None:
            return
        self._own = cause
        self._sender.bye(code, text, self._clock.now())
        self._wake.set()
        fault = Fault(cause, Side.OWN, Phase.SESSION, "left")
        self._leaving = asyncio.get_running_loop().call_later(LEAVE_S, self._end, fault)

    def _continue(self, why: str) -> None:
        """Make way for the session that sends the rest."""
        self.leave(ByeCode.STOPPING, why, FaultCause.CONTINUED)

    async def run(self) -> Fault:
        """Live until the session ends, and say how it ended. The connection is closed then."""
        jobs = {
            "receive": self._receive(),
            "pump": self._pump(),
            "feed": self._lanes.feed(),
            "ping": self._ping(),
            "tcp": self.liveness.watch_tcp(),
        }
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._guard(job), name=f"agent.session.{name}")
                    for name, job in jobs.items()
                ]
                fault = await self._ended
                self.liveness.sample()
                for task in tasks:
                    task.cancel()
        finally:
            self._sender_gone()
            await self._close()
        return fault

    # -- the five jobs -------------------------------------------------------------------------

    async def _guard(self, job: Coroutine[None, None, None]) -> None:
        """Run one job; whatever ends it ends the session."""
        try:
            await job
        except ConnectionClosed as error:
            phase = Phase.HELLO if self.welcomed is None else Phase.SESSION
            self._end(self._judge(error, phase))
        except RemoteProtocolError as error:
            logger.warning("centre broke the protocol text=%r", str(error))
            with contextlib.suppress(ConnectionClosed):
                await self._connection.close(error.close_code, str(error)[:100])
            self._end(
                Fault(FaultCause.PROTOCOL, Side.PEER, Phase.SESSION, str(error), error.close_code)
            )
        except Exception as error:  # supervised: one session's failure must not stop the agent
            logger.exception("session failed")
            self._end(Fault(FaultCause.INTERNAL, Side.OWN, Phase.SESSION, repr(error)))

    async def _receive(self) -> None:
        while True:
            message = await self._connection.recv()
            if isinstance(message, str):
                raise RemoteProtocolError("a text message: gateway.v1 is binary", 1003)
            now = self.liveness.heard = self._clock.now()
            self._metrics.messages.labels("in").inc()
            self._metrics.bytes.labels("in").inc(len(message))
            self._sender.receive(message, now)
            self._take_events()
            self._wake.set()
            self._lanes.credit_changed()

    async def _pump(self) -> None:
        """Write what the sender wants written; `send` holds us back while the kernel is full."""
        sender = self._sender
        while True:
            self._wake.clear()
            due = sender.timer_at()
            if due is not None and due <= self._clock.now():
                sender.handle_timer(self._clock.now())
                due = sender.timer_at()
            self._take_events()
            messages = sender.messages_to_send()
            for message in messages:
                self._metrics.messages.labels("out").inc()
                self._metrics.bytes.labels("out").inc(len(message))
                await self._connection.send(message)
            if sender.state is SenderState.LEFT:
                self._end(self._left())
                return
            if not messages:
                self._set_timer(sender.timer_at())
                await self._wake.wait()

    async def _ping(self) -> None:
        self._end(await self.liveness.ping(self._heartbeat_s, self._heartbeat_timeout_s))

    # -- what the sender tells -----------------------------------------------------------------

    def _take_events(self) -> None:
        events = self._sender.events_received()
        for event in events:
            if isinstance(event, Acked):  # first: `Opened` takes a snapshot of what is not acked
                self._metrics.acked.inc(sum(last - first + 1 for first, last in event.intervals))
                self._metrics.last_ack.set(self._clock.wall_ns() / 1e9)
                self.acked = True
                self._spool.ack(event.epoch, event.intervals)
        for event in events:
            if isinstance(event, Opened):
                self._opened(event.welcome)
            elif isinstance(event, HeartbeatDue):
                self._heartbeat()
            elif isinstance(event, Refused):
                self._refused(event)
            elif isinstance(event, PeerLeaving):
                self.bye = event.bye
                logger.info(
                    "centre says bye code=%d text=%r retry_after_s=%g",
                    event.bye.code,
                    event.bye.text,
                    event.bye.retry_after_s,
                )

    def _opened(self, welcome: Welcome) -> None:
        self.welcomed = welcome
        self._lanes.open()
        self._observer.opened(welcome)

    def _heartbeat(self) -> None:
        beat = Heartbeat(self._sync.reading(), self._spool.next_seq, self._spool.backlog())
        self._sender.heartbeat(beat, self._clock.now())
        self._wake.set()
        self._lanes.credit_changed()  # also looks for a backlog that turned up late

    def _refused(self, refused: Refused) -> None:
        count = sum(last - first + 1 for first, last in refused.intervals)
        self._metrics.refused.inc(count)
        logger.warning(
            "centre refused records=%d epoch=%016x code=%d resend=%s text=%r",
            count,
            refused.epoch,
            refused.code,
            refused.resend,
            refused.text,
        )
        if refused.resend:
            for interval in refused.intervals:
                self._lanes.again(refused.epoch, interval)
        else:
            self._observer.given_up(refused)

    # -- endings -------------------------------------------------------------------------------

    def _judge(self, error: ConnectionClosed, phase: Phase) -> Fault:
        fault = of_close(error, phase)
        if self._own is not None:
            return Fault(self._own, Side.OWN, phase, "we left", fault.code)
        if self.bye is not None:
            return self._left()
        return fault

    def _left(self) -> Fault:
        """Say who left when a Bye was said, or which time-out of the protocol passed."""
        if self._own is not None:
            return Fault(self._own, Side.OWN, Phase.SESSION, "we left")
        if self.bye is not None:
            return of_bye(self.bye)
        if self.welcomed is None:
            text = "no Welcome in time"
            return Fault(FaultCause.WELCOME_TIMEOUT, Side.PEER, Phase.HELLO, text)
        return Fault(FaultCause.HALF_OPEN, Side.PATH, Phase.SESSION, "no ack in time")

    def _end(self, fault: Fault) -> None:
        if not self._ended.done():
            self._ended.set_result(fault)

    def _sender_gone(self) -> None:
        """Nothing is offered any more; the spool writes down what is not acked."""
        self._lanes.close()
        for timer in (self._timer, self._leaving):
            if timer is not None:
                timer.cancel()

    async def _close(self) -> None:
        connection = self._connection
        own = self._own is not None or (self._ended.done() and self._ended.result().cause in _KIND)
        try:
            if own:
                await connection.close(1001 if self._own is not None else 1000)
        finally:
            connection.transport.abort()
            self.liveness.close()

    # -- timers --------------------------------------------------------------------------------

    def _set_timer(self, due: float | None) -> None:
        if due == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = due
        if due is not None:
            delay = max(0.0, due - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._wake.set()


_KIND = frozenset(
    {
        FaultCause.PEER_STOPPED,
        FaultCause.PEER_POLICY,
        FaultCause.OVERLOADED,
        FaultCause.UNAUTHORISED,
        FaultCause.WELCOME_TIMEOUT,
        FaultCause.INTERNAL,
    }
)
"""Endings after which the path still works, so that a closing handshake makes sense."""
