"""A driver: one gateway made of the real `wire.Sender`, real dialling and real verdicts.

Owns what the agent's uplink and session do, in small: connect, live, come back with backoff, and
record as events what it truly saw (`agent.faults`). It has no bus, no host and no spool.
"""

import asyncio
import random
import secrets
from pathlib import Path

from gateway import __version__
from gateway.agent.dial import MAX_MESSAGE, DialError, Link, Target, dial
from gateway.agent.faults import Fault, FaultCause, Phase, of_connect
from gateway.agent.liveness import Liveness
from gateway.agent.metrics import Metrics
from gateway.event import Event, EventKind, Scalar
from gateway.process.clock import Clock, HostFiles
from gateway.process.files import read_secret
from gateway.process.timesync import TimeSync
from gateway.process.tls import client_context
from gateway.reading import Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.backoff import backoff
from gateway.wire.message import ByeCode, Heartbeat, Hello, Lane
from gateway.wire.sender import (
    Acked,
    Opened,
    Sender,
    SenderState,
)
from hil.driver_session import DriverSession, Plan
from hil.memory import SID, Memory

PERIOD_S = 0.5
"""How often it has a reading, unless it is quiet."""
CLOCK_ERROR_US = 1000
STEADY_S = 10.0
SCHEMA = Schema((SchemaBlock("bench", PERIOD_S, (SchemaPoint("count", "", "i64"),)),))


class Driver:
    """One gateway. `quiet`: it has no readings, as a gateway whose bus is silent."""

    def __init__(self, plan: Plan, metrics: Metrics) -> None:
        self.plan = plan
        self.quiet = False
        self.connected = False
        self.made = 0
        self.acked = 0
        self._metrics = metrics
        self._clock = Clock()
        # The bench's clock is the one everything is measured by: it is right.
        self._sync = TimeSync(self._clock, HostFiles(), lambda: CLOCK_ERROR_US)
        self._instance = secrets.token_bytes(16)
        self._memory = Memory(secrets.token_bytes(16), SCHEMA)
        self._tls = client_context(Path(plan.ca_file), None, None)
        self._leaving = asyncio.Event()
        self._sender: Sender | None = None
        self._wake = asyncio.Event()
        self._sent = 0
        self._session = 0
        self._ended: tuple[tuple[str, Scalar], ...] = ()
        self._failures = 0
        self._reported: tuple[FaultCause, Phase] | None = None

    def leave(self) -> None:
        """End in order: `run` returns soon."""
        self._leaving.set()
        if self._sender is not None:
            self._memory.end()
            self._offer()
            self._sender.bye(ByeCode.STOPPING, FaultCause.STOPPED.value, self._clock.now())
        self._wake.set()

    async def run(self) -> None:
        """Connect and reconnect until `leave`."""
        self._memory.anchor(self._sync.reading())
        self._event(EventKind.AGENT_STARTED, version=__version__, revision="bench")
        readings = asyncio.create_task(self._read(), name=f"driver.read[{self.plan.gateway}]")
        try:
            while not self._leaving.is_set():
                retry_after_s = await self._once()
                await self._pause(retry_after_s)
        finally:
            readings.cancel()

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            if not self.quiet:
                self.made += 1
                self._memory.rows(Row(0, self._clock.boottime_ns(), (self.made,)))
                self._wake.set()

    async def _pause(self, retry_after_s: float) -> None:
        seconds = backoff(
            max(1, self._failures),
            random.random(),
            retry_after_s,
            self.plan.backoff_initial_s,
            self.plan.backoff_max_s,
        )
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    async def _once(self) -> float:
        """Make one session and live through it; return how long the centre wants us away."""
        plan = self.plan
        target = Target(
            url=f"{plan.url}/{plan.gateway}",
            tls=self._tls,
            token=read_secret(Path(plan.token_file)),
            proxy=None,
            deflate=False,
            timeout_s=plan.connect_timeout_s,
            heartbeat_s=plan.heartbeat_s,
            heartbeat_timeout_s=plan.heartbeat_timeout_s,
        )
        try:
            link = await dial(target, self._clock)
        except DialError as error:
            self._sync.refresh()
            cause = error.__cause__ or error
            synced, wall_ns = self._sync.synced, self._clock.wall_ns()
            fault = of_connect(cause, error.phase, synced, wall_ns)
            self._failures += 1
            self._failed(fault)
            return fault.retry_after_s or 0.0
        began = self._clock.now()
        session = DriverSession(self, link)
        fault = await session.run()
        lived_s = self._clock.now() - began
        if session.acked or lived_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        self._over(fault, session, lived_s)
        return fault.retry_after_s or 0.0

    def hello(self) -> Hello:
        """Return what a new session begins with."""
        return Hello(
            gateway_id=self.plan.gateway,
            instance=self._instance,
            boot_id=self._memory.boot_id,
            software=f"edge-gateway {__version__}",
            epochs=(self._memory.state(),),
            clock=self._sync.reading(),
            encodings=(),
            max_message=MAX_MESSAGE,
            last_session=self._session,
            backlog=self._memory.backlog(),
            ended=self._ended,
            facts=(
                ("config_revision", "bench"),
                ("host", "none"),  # it watches no host: its carrier and radio cannot be known
                *((f"label.{name}", value) for name, value in self.plan.labels),
            ),
        )

    # -- what a session needs ------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The machine's clock."""
        return self._clock

    @property
    def wake(self) -> asyncio.Event:
        """Set when there is something to write."""
        return self._wake

    @property
    def leaving(self) -> bool:
        """Whether it is to end."""
        return self._leaving.is_set()

    def liveness(self, link: Link) -> Liveness:
        """Return the watch over a connection."""
        return Liveness(link, self._metrics, self._clock)

    def use(self, sender: Sender | None) -> None:
        """Make this the session in force."""
        self._sender = sender
        self._sent = 0
        self.connected = False

    def opened(self, event: Opened, link: Link) -> None:
        """Note that a session began."""
        self._session = event.welcome.session
        self.connected = True
        self._reported = None
        phases = {f"{name}_s": round(seconds, 6) for name, seconds in link.timings.items()}
        self._event(
            EventKind.SESSION_OPENED,
            session=self._session,
            address=link.address,
            failures=self._failures,
            **phases,
        )

    def ack(self, event: Acked) -> None:
        """Forget what the centre has."""
        self.acked += sum(last - first + 1 for first, last in event.intervals)
        self._memory.ack(event.epoch, event.intervals)

    def resend(self) -> None:
        """Offer everything again that is not acked."""
        self._sent = 0

    def offer(self) -> None:
        """Hand the sender what it has credit for."""
        self._offer()

    def beat(self) -> None:
        """Send a heartbeat."""
        if self._sender is not None:
            beat = Heartbeat(self._sync.reading(), self._memory.next_seq, self._memory.backlog())
            self._sender.heartbeat(beat, self._clock.now())

    def _offer(self) -> None:
        sender = self._sender
        if sender is None or sender.state is not SenderState.OPEN:
            return
        waiting = self._memory.waiting(self._sent)
        if not waiting:
            return
        sender.announce(self._memory.epoch, SID, self._memory.schema)
        taken = sender.offer(self._memory.epoch, waiting, Lane.LIVE, self._clock.now())
        if taken:
            self._sent = waiting[taken - 1].seq

    # -- what is told --------------------------------------------------------------------------

    def _failed(self, fault: Fault) -> None:
        """Tell of a failed attempt; the same one is told once, as the agent does."""
        if self._reported == (fault.cause, fault.phase):
            return
        self._reported = (fault.cause, fault.phase)
        self._event(EventKind.CONNECT_FAILED, failures=self._failures, **dict(fault.fields()))
        if dict(self._ended).get("phase") != Phase.SESSION.value:
            self._ended = fault.fields()

    def _over(self, fault: Fault, session: DriverSession, lived_s: float) -> None:
        live = session.liveness
        fields = dict(fault.fields())
        fields["duration_s"] = round(lived_s, 3)
        fields["heard_age_s"] = round(self._clock.now() - live.heard, 3)
        if live.round_trip_s is not None:
            fields["rtt_s"] = round(live.round_trip_s, 6)
        if live.last_tcp is not None:
            fields.update(live.last_tcp.fields())
        self._ended = tuple(fields.items())
        number = self._session if session.welcomed else 0
        self._event(EventKind.SESSION_ENDED, session=number, **fields)

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        self._memory.event(Event.make(kind, self._clock.boottime_ns(), **fields))
        self._wake.set()
