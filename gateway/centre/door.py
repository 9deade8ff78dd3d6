"""The door: listens, bounds what may come in at once, decides who may, turns the timer wheel.

Owns the listening socket, the limits on connections and handshakes, and the loop's pace when busy.
Never knows what a session says (`session`).
"""

import asyncio
import logging
import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from time import sleep
from typing import Protocol

from gateway.centre.handshake import Rejection, UpgradeRequest
from gateway.centre.link import Link
from gateway.centre.link_host import LinkSession, Phase
from gateway.centre.metrics import Metrics
from gateway.centre.tokens import GATEWAY_ID, TokenFile
from gateway.centre.wheel import TimerWheel
from gateway.config.centre import LinkSettings
from gateway.process.clock import Clock

LOGGER = logging.getLogger(__name__)
BACKLOG = 4096
"""Listen backlog: with the usual 100 a storm of 6,000 clients lasts minutes (net.core.somaxconn
caps it)."""
TICK_S = 0.25
BUSY_PER_S = 2000.0
"""Messages a second from which turns of the loop are stretched to `coalesce_s`."""
CLOSE_TIMEOUT_S = 5.0
OVERLOAD_RETRY_S = 30
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))


class SessionMaker(Protocol):
    """What the door hands a gateway to once its credential is right."""

    def __call__(
        self, link: Link, gateway_id: str, digest: bytes | None, remote: str, proxy: str
    ) -> LinkSession: ...


class Door:
    """One per process. `make_session` is called for each gateway let in."""

    def __init__(
        self,
        path: str,
        settings: LinkSettings,
        tokens: TokenFile,
        metrics: Metrics,
        clock: Clock,
        make_session: SessionMaker,
    ) -> None:
        self.max_message = settings.max_message_bytes
        self.heartbeat_s = settings.heartbeat_s
        self.heartbeat_timeout_s = settings.heartbeat_timeout_s
        self.handshake_timeout_s = settings.handshake_timeout_s
        self.close_timeout_s = CLOSE_TIMEOUT_S
        self.deflate = settings.compression == "deflate"
        self.metrics = metrics
        self.now: Callable[[], float] = clock.now
        self.wheel = TimerWheel(TICK_S, clock.now())
        self.links = 0
        self.handshakes = 0
        self.draining = False
        self._prefix = path.rstrip("/") + "/"
        self._settings = settings
        self._tokens = tokens
        self._make_session = make_session
        self._per_address: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tls = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._counted = 0
        self._stretched = False
        self._woke = 0.0

    # Listening

    async def open(
        self, listen: str, context: ssl.SSLContext | None, *, shared: bool = False
    ) -> int:
        """Listen; return the TCP port. `shared`: other processes listen there too."""
        sock = listening_socket(listen, shared)
        self._tls = context is not None
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            self._link,
            sock=sock,
            backlog=BACKLOG,
            ssl=context,
            ssl_handshake_timeout=None if context is None else self.handshake_timeout_s,
        )
        self._tick()
        port: int = sock.getsockname()[1]
        return port

    def stop_listening(self) -> None:
        """Take no more connections; those there stay."""
        self.draining = True
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Stop the timer too."""
        self.stop_listening()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stretched = False

    def _link(self) -> Link:
        self.handshakes += 1
        return Link(self)

    # LinkHost

    def link_made(self, link: Link) -> Rejection | None:
        """Count a connection in; return a rejection when there is no room."""
        self.links += 1
        if link.phase is not Phase.HANDSHAKE:
            return None  # TLS took too long: its handshake is counted as failed already
        if self._tls:
            self.metrics.tls_s.observe(self.now() - link.since)
        address = _peer(link)
        self._per_address[address] += 1
        if self.links > self._settings.max_connections:
            return _busy(f"This centre takes {self._settings.max_connections} connections.")
        if self.handshakes > self._settings.max_handshakes:
            return _busy("Too many gateways connect at once.")
        if (
            self._per_address[address] > self._settings.max_handshakes_per_address
            and address not in self._settings.trusted_proxies
        ):
            return _busy("Too many gateways connect at once from this address.")
        return None

    def admit(self, link: Link, request: UpgradeRequest) -> LinkSession | Rejection:
        """Decide on a well-formed request."""
        if self.draining:
            return Rejection(503, "draining", "This centre stops.", (_retry_after(),))
        gateway_id = request.path.removeprefix(self._prefix)
        if gateway_id == request.path or not GATEWAY_ID.fullmatch(gateway_id):
            return Rejection(404, "path", f"The path is {self._prefix}<gateway id>.")
        verdict = self._credential(link, gateway_id, request)
        if isinstance(verdict, Rejection):
            return verdict
        remote, proxy = self._addresses(link, request)
        return self._make_session(link, gateway_id, verdict, remote, proxy)

    def _credential(
        self, link: Link, gateway_id: str, request: UpgradeRequest
    ) -> Rejection | bytes | None:
        """Return the token's hash, ``None`` for a certificate, or why not."""
        names = _certificate_names(link)
        if gateway_id in names:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = self._tokens.match(gateway_id, token.strip())
            if digest is not None:
                return digest
            names = names or {self._tokens.owner(token.strip()) or ""} - {""}
        if names:
            return Rejection(403, "identity", "The credential is another gateway's.")
        return Rejection(
            401, "credential", "A valid token is needed.", (("WWW-Authenticate", "Bearer"),)
        )

    def _addresses(self, link: Link, request: UpgradeRequest) -> tuple[str, str]:
        """Return (the gateway's address, the proxy's or ``""``)."""
        peer = _peer(link)
        trusted = self._settings.trusted_proxies
        if peer not in trusted:
            return peer, ""
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            if hop.strip() and hop.strip() not in trusted:
                return hop.strip()[:64], peer
        return peer, peer

    def link_opened(self, link: Link) -> None:
        """The 101 answer is on its way."""
        self._handshake_over(link)
        self.metrics.handshake_s.observe(self.now() - link.since)

    def handshake_failed(self, link: Link, phase: str) -> None:
        """Count a handshake that came to nothing."""
        self._handshake_over(link)
        self.metrics.handshake_failures[phase] += 1
        LOGGER.debug("handshake failed phase=%s", phase)

    def _handshake_over(self, link: Link) -> None:
        self.handshakes -= 1
        if link.transport is not None:
            address = _peer(link)
            self._per_address[address] -= 1
            if self._per_address[address] <= 0:
                del self._per_address[address]

    def link_lost(self, link: Link) -> None:
        """Count a connection out."""
        self.links -= 1

    def round_trip(self, seconds: float) -> None:
        """Note one measured round trip."""
        self.metrics.round_trip_s.observe(seconds)

    # The loop's pace

    def _tick(self) -> None:
        """Turn the wheel and see how busy the loop is."""
        assert self._loop is not None
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.wheel.turn(self.now())
        count = self.metrics.messages_in
        busy = count - self._counted > BUSY_PER_S * TICK_S
        self._counted = count
        if busy and not self._stretched and self._settings.coalesce_s > 0:
            self._stretched = True
            self._loop.call_soon(self._stretch)
        elif not busy:
            self._stretched = False

    def _stretch(self) -> None:
        """Let a turn of a busy loop last `coalesce_s`, so that one epoll_wait returns many events
        (each message alone costs two to three times as much)."""
        if not self._stretched or self._loop is None:
            return
        rest = self._settings.coalesce_s - (self.now() - self._woke)
        if rest > 0:
            sleep(rest)
        self._woke = self.now()
        self._loop.call_soon(self._stretch)


def listening_socket(listen: str, shared: bool) -> socket.socket:
    """Bind ``host:port``. Raises: OSError."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = socket.getaddrinfo(host.strip("[]"), int(port), family, socket.SOCK_STREAM)[0]
    sock = socket.socket(address[0], socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted sockets inherit these: no system call per connection.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)
        sock.bind(address[4])
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _peer(link: Link) -> str:
    transport = link.transport
    name = transport.get_extra_info("peername") if transport is not None else None
    return str(name[0]) if name else ""


def _certificate_names(link: Link) -> set[str]:
    """Return the names a verified client certificate holds: CN and DNS names."""
    transport = link.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return set()
    names = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    for part in certificate.get("subject", ()):
        names |= {value for kind, value in part if kind == "commonName"}
    return names


def _retry_after(seconds: int = OVERLOAD_RETRY_S) -> tuple[str, str]:
    """Spread those who are sent away over time."""
    return "Retry-After", str(1 + random.randrange(seconds))


def _busy(text: str) -> Rejection:
    return Rejection(503, "capacity", text, (_retry_after(),))
