"""Is the link alive: a WebSocket ping with its round trip (RFC 6455 §5.5.2), and TCP_INFO.

Owns what is known of a connection's health. Never closes it: silence is returned as a verdict.
"""

import asyncio
import contextlib

from gateway.agent.dial import Link
from gateway.agent.faults import Fault, FaultCause, Phase, Side
from gateway.agent.metrics import Metrics
from gateway.process import tcp_info
from gateway.process.clock import Clock
from gateway.process.tcp_info import TcpInfo

TCP_INFO_PERIOD_S = 10.0


class Liveness:
    """Watches one connection. `heard` is when its last message came (``now``)."""

    def __init__(self, link: Link, metrics: Metrics, clock: Clock) -> None:
        self._link = link
        self._metrics = metrics
        self._clock = clock
        self.heard = clock.now()
        self.round_trip_s: float | None = None
        self.last_tcp: TcpInfo | None = None

    async def ping(self, period_s: float, timeout_s: float) -> Fault:
        """Ping every `period_s`; return when nothing came for `timeout_s` after a ping.

        A pong that is late behind our own data is no silence while messages still arrive.
        """
        while True:
            await asyncio.sleep(period_s)
            sent = self._clock.now()
            try:
                # The time-out covers writing too: a dead path fills the kernel's buffer.
                async with asyncio.timeout(timeout_s):
                    self.round_trip_s = await (await self._link.connection.ping())
            except TimeoutError:
                if self.heard > sent:
                    continue
                text = f"no pong within {timeout_s:g} s"
                return Fault(FaultCause.HALF_OPEN, Side.PATH, Phase.SESSION, text)
            self._metrics.round_trip.observe(self.round_trip_s)

    async def watch_tcp(self) -> None:
        """Sample TCP_INFO now and every `TCP_INFO_PERIOD_S`, until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(TCP_INFO_PERIOD_S)

    def sample(self) -> None:
        """Take TCP_INFO; the last sample stays when the socket is gone."""
        info = tcp_info.sample(self._link.probe)
        if info is None:
            return
        self.last_tcp = info
        if info.rtt_s is not None:
            self._metrics.tcp_rtt.set(info.rtt_s)
        if info.total_retransmits is not None:
            self._metrics.tcp_retransmits.set(info.total_retransmits)

    def close(self) -> None:
        """Give the probe back; only then does the kernel let the connection go."""
        with contextlib.suppress(OSError):
            if self._link.probe is not None:
                self._link.probe.close()
