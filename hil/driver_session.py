"""One session of a driver: the real `wire.Sender` over a real connection.

Owns the connection while it stands, and how it ended as this end saw it. What is sent and what
is remembered of it is the driver's.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from gateway.agent.dial import Link
from gateway.agent.faults import Fault, FaultCause, Phase, Side, of_bye, of_close
from gateway.agent.liveness import Liveness
from gateway.errors import RemoteProtocolError
from gateway.process.clock import Clock
from gateway.wire.message import Bye, Hello
from gateway.wire.sender import (
    Acked,
    HeartbeatDue,
    Opened,
    PeerLeaving,
    Refused,
    Sender,
    SenderState,
)

LEAVE_S = 2.0
"""How long a closing handshake may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a driver is told at the start; nothing of faults is among it."""

    gateway: str
    url: str
    token_file: str
    ca_file: str
    labels: tuple[tuple[str, str], ...]
    heartbeat_s: float
    heartbeat_timeout_s: float
    connect_timeout_s: float
    backoff_initial_s: float
    backoff_max_s: float


class Owner(Protocol):
    """What a session asks of its driver."""

    plan: Plan

    @property
    def clock(self) -> Clock:
        """The machine's clock."""

    @property
    def wake(self) -> asyncio.Event:
        """Set when there is something to write."""

    @property
    def leaving(self) -> bool:
        """Whether it is to end."""

    def hello(self) -> Hello:
        """What a new session begins with."""

    def liveness(self, link: Link) -> Liveness:
        """The watch over a connection."""

    def use(self, sender: Sender | None) -> None:
        """Make this the session in force."""

    def opened(self, event: Opened, link: Link) -> None:
        """A session began."""

    def ack(self, event: Acked) -> None:
        """The centre has these."""

    def resend(self) -> None:
        """Everything that is not acked has to go again."""

    def offer(self) -> None:
        """There may be credit."""

    def beat(self) -> None:
        """A heartbeat is due."""


class DriverSession:
    """One session. `welcomed`: the centre let us in; `acked`: it took something."""

    def __init__(self, driver: Owner, link: Link) -> None:
        self.welcomed = False
        self.acked = False
        self.liveness = driver.liveness(link)
        self._driver = driver
        self._link = link
        self._sender = Sender(driver.hello(), driver.clock.now())
        self._bye: Bye | None = None
        self._over: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()

    async def run(self) -> Fault:
        """Live until it ends, and say how."""
        driver = self._driver
        driver.use(self._sender)
        jobs = (
            self._receive(),
            self._pump(),
            self._ping(),
            self.liveness.watch_tcp(),
        )
        tasks = [asyncio.create_task(job) for job in jobs]
        for task in tasks:
            task.add_done_callback(self._done)
        try:
            fault = await self._over
            self.liveness.sample()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            driver.use(None)
            await self._close()
        return fault

    def _done(self, task: asyncio.Task[None]) -> None:
        """Judge what ended a job: it ends the session."""
        if task.cancelled() or self._over.done():
            return
        error = task.exception()
        phase = Phase.SESSION if self.welcomed else Phase.HELLO
        if isinstance(error, ConnectionClosed):
            left = self._driver.leaving or self._bye is not None
            self._over.set_result(self._left() if left else of_close(error, phase))
        elif isinstance(error, RemoteProtocolError):
            text, code = str(error), error.close_code
            self._over.set_result(Fault(FaultCause.PROTOCOL, Side.PEER, phase, text, code))
        elif error is not None:
            self._over.set_result(Fault(FaultCause.INTERNAL, Side.OWN, phase, repr(error)))

    async def _receive(self) -> None:
        while True:
            message = await self._link.connection.recv()
            if isinstance(message, str):
                raise RemoteProtocolError("a text message: gateway.v1 is binary", 1003)
            self.liveness.heard = self._driver.clock.now()
            self._sender.receive(message, self.liveness.heard)
            self._driver.wake.set()

    async def _pump(self) -> None:
        driver, sender = self._driver, self._sender
        while True:
            driver.wake.clear()
            due = sender.timer_at()
            if due is not None and due <= driver.clock.now():
                sender.handle_timer(driver.clock.now())
                due = sender.timer_at()
            self._take()
            driver.offer()
            for message in sender.messages_to_send():
                await self._link.connection.send(message)
            if sender.state is SenderState.LEFT:
                if not self._over.done():
                    self._over.set_result(self._left())
                return
            wait_s = None if due is None else max(0.0, due - driver.clock.now())
            try:
                async with asyncio.timeout(wait_s):
                    await driver.wake.wait()
            except TimeoutError:
                continue

    async def _ping(self) -> None:
        plan = self._driver.plan
        fault = await self.liveness.ping(plan.heartbeat_s, plan.heartbeat_timeout_s)
        if not self._over.done():
            self._over.set_result(fault)

    def _take(self) -> None:
        for event in self._sender.events_received():
            if isinstance(event, Acked):
                self.acked = True
                self._driver.ack(event)
            elif isinstance(event, Opened):
                self.welcomed = True
                self._driver.opened(event, self._link)
            elif isinstance(event, HeartbeatDue):
                self._driver.beat()
            elif isinstance(event, Refused) and event.resend:
                self._driver.resend()
            elif isinstance(event, PeerLeaving):
                self._bye = event.bye

    def _left(self) -> Fault:
        """Say who left, or which time-out of the protocol passed."""
        if self._driver.leaving:
            return Fault(FaultCause.STOPPED, Side.OWN, Phase.SESSION, "we left")
        if self._bye is not None:
            return of_bye(self._bye)
        if not self.welcomed:
            text = "no Welcome in time"
            return Fault(FaultCause.WELCOME_TIMEOUT, Side.PEER, Phase.HELLO, text)
        return Fault(FaultCause.HALF_OPEN, Side.PATH, Phase.SESSION, "no ack in time")

    async def _close(self) -> None:
        connection = self._link.connection
        try:
            if self._driver.leaving or self._bye is not None:
                async with asyncio.timeout(LEAVE_S):
                    await connection.close(1001 if self._driver.leaving else 1000)
        except TimeoutError:
            pass
        finally:
            connection.transport.abort()
            self.liveness.close()
