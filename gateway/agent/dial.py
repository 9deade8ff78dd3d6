"""Make one connection to the centre, every phase timed: DNS, TCP, TLS, upgrade.

Owns the socket's options and the WebSocket handshake (RFC 6455 §4.1); never retries and speaks
nothing of `gateway.v1`. Resolving and connecting are done here and not in `websockets` because a
name server that hangs and a TLS handshake that crawls are different faults.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.proxy import get_proxy
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gateway import __version__
from gateway.agent.faults import Phase
from gateway.config.agent import is_loopback
from gateway.errors import ConfigError, UplinkError
from gateway.process.clock import Clock
from gateway.wire.message import SUBPROTOCOL

MAX_MESSAGE = 1 << 20
"""Bytes of one message from the centre; `docs/protocol.md` allows it no more."""
WRITE_LIMIT = 16 * 1024
"""Bytes that wait in our process for the kernel before `send` holds its caller back."""
CLOSE_TIMEOUT_S = 1.0
"""How long a closing handshake may take; SIGTERM allows 5 s for everything."""
STAGGER_S = 0.25
"""RFC 8305 §5: the next address is tried beside the one that has not answered by then."""
MAX_ADDRESSES = 8

Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds each phase took; ``None``: the phase was not reached or is not ours to see.

    Behind a proxy `proxy_s` covers everything up to the open tunnel, and TLS inside it.
    """

    dns_s: float | None = None
    tcp_s: float | None = None
    proxy_s: float | None = None
    tls_s: float | None = None
    upgrade_s: float | None = None

    def items(self) -> list[tuple[str, float]]:
        """Return the phases that were passed, in order."""
        pairs = (
            (Phase.DNS, self.dns_s),
            (Phase.TCP, self.tcp_s),
            (Phase.PROXY, self.proxy_s),
            (Phase.TLS, self.tls_s),
            (Phase.UPGRADE, self.upgrade_s),
        )
        return [(phase.value, seconds) for phase, seconds in pairs if seconds is not None]


class DialError(UplinkError):
    """No connection. The library's exception is its ``__cause__``."""

    def __init__(self, message: str, phase: Phase, timings: Timings) -> None:
        super().__init__(message)
        self.phase = phase
        self.timings = timings


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how. `heartbeat_s` and `heartbeat_timeout_s` also bound the kernel's
    patience. `proxy` ``None``: the one the environment names, if any."""

    url: str
    tls: ssl.SSLContext | None
    token: str | None
    proxy: str | None
    deflate: bool
    timeout_s: float
    heartbeat_s: float
    heartbeat_timeout_s: float


@dataclass(frozen=True, slots=True)
class Link:
    """An open WebSocket connection and how it came to be. `probe` is a second descriptor of its
    socket, so that TCP_INFO can be read after the connection was lost; close it then."""

    connection: ClientConnection
    probe: socket.socket | None
    address: str
    timings: Timings


def check_url(url: str) -> None:
    """Refuse a URL that would send readings in clear over a network. Raises: ConfigError."""
    parts = urlsplit(url)
    if parts.scheme == "wss" and parts.hostname:
        return
    if parts.scheme == "ws" and is_loopback(parts.hostname or ""):
        return
    raise ConfigError(
        f"uplink.url = {url!r}: use wss://; plain ws:// is allowed only to a loopback address"
    )


async def dial(target: Target, clock: Clock) -> Link:
    """Connect to the centre. Raises: DialError. Cancel-safe: nothing stays open."""
    return await _Dialling(target, clock).run()


class _Dialling:
    """One attempt: which phase it is in, and when each one ended."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self.target = target
        self.clock = clock
        self.phase = Phase.DNS
        self.seconds: dict[str, float] = {}
        self._began = clock.now()

    def passed(self, phase: Phase, following: Phase) -> None:
        """Note that `phase` is over and `following` has begun."""
        now = self.clock.now()
        self.seconds[f"{phase.value}_s"] = now - self._began
        self.phase, self._began = following, now

    async def run(self) -> Link:
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(self.target.timeout_s):
                uri = parse_uri(self.target.url)
                proxy = self.target.proxy
                if proxy is None and not is_loopback(uri.host):
                    proxy = get_proxy(uri)
                if proxy is None:
                    addresses = await resolve(uri.host, uri.port)
                    self.passed(Phase.DNS, Phase.TCP)
                    sock = await connect_any(addresses, self._prepare)
                    self.passed(Phase.TCP, Phase.TLS if uri.secure else Phase.UPGRADE)
                else:
                    self.phase = Phase.PROXY
                connection = await self._upgrade(sock, proxy, uri.host)
        except Exception as error:  # supervised: judged by `faults`, whatever it is
            if sock is not None:
                sock.close()
            what = str(error) or type(error).__name__
            raise DialError(
                f"{self.target.url}: no connection (phase {self.phase}): {what}",
                self.phase,
                Timings(**self.seconds),
            ) from error
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        self.passed(Phase.UPGRADE, Phase.HELLO)
        raw = connection.transport.get_extra_info("socket")
        probe: socket.socket | None = None if raw is None else raw.dup()
        return Link(connection, probe, _name(connection.remote_address), Timings(**self.seconds))

    async def _upgrade(
        self, sock: socket.socket | None, proxy: str | None, host: str
    ) -> ClientConnection:
        target = self.target
        extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=15)]
        options: dict[str, Any] = {} if sock is None else {"sock": sock}
        if target.tls is not None:
            options |= {"ssl": target.tls, "server_hostname": host}
            options["ssl_handshake_timeout"] = target.timeout_s
        headers = {}
        if target.token is not None:
            headers["Authorization"] = f"Bearer {target.token}"
        connection = await connect(
            target.url,
            proxy=proxy,
            additional_headers=headers,
            user_agent_header=f"edge-gateway/{__version__}",
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            # permessage-deflate is on by default in the library and off by default with us.
            compression=None,
            extensions=extensions if target.deflate else None,
            open_timeout=None,
            ping_interval=None,  # `session` pings: it wants each round trip
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_MESSAGE,
            write_limit=WRITE_LIMIT,
            create_connection=self._connection,  # type: ignore[arg-type]  # a factory will do
            **options,
        )
        if connection.subprotocol != SUBPROTOCOL:
            connection.transport.abort()
            raise NegotiationError(f"the centre does not speak {SUBPROTOCOL}")
        if sock is None:
            self._prepare(connection.transport.get_extra_info("socket"))
        return connection

    def _connection(self, protocol: ClientProtocol, **options: Any) -> ClientConnection:
        """Make the library's connection, and see when TLS is done."""
        dialling = self

        class Timed(ClientConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                if dialling.phase in (Phase.TLS, Phase.PROXY):
                    dialling.passed(dialling.phase, Phase.UPGRADE)
                super().connection_made(transport)

        return Timed(protocol, **options)

    def _prepare(self, sock: socket.socket) -> None:
        """Set what finds a dead path: keep-alive when idle, TCP_USER_TIMEOUT when data waits."""
        idle = max(1, round(self.target.heartbeat_s))
        patience_s = self.target.heartbeat_s + self.target.heartbeat_timeout_s
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle // 3))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience_s * 1000))


async def resolve(host: str, port: int) -> list[Address]:
    """Look `host` up without blocking the loop or its exit: a resolver may hang for minutes, so
    it runs in a thread nobody waits for. Families alternate (RFC 8305 §4). Raises: OSError."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[Any]] = loop.create_future()

    def deliver(result: Sequence[Any] | None, error: Exception | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(result or ())
        else:
            found.set_exception(error)

    def look_up() -> None:
        result, failure = None, None
        try:
            # As bytes a plain name does not drag in the tables of international ones (0.7 MiB).
            name = host.encode() if host.isascii() else host
            result = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=look_up, name="agent.resolve", daemon=True).start()
    addresses = [(family, address) for family, _, _, _, address in await found]
    first = [pair for pair in addresses if pair[0] == addresses[0][0]]
    other = [pair for pair in addresses if pair[0] != addresses[0][0]]
    mixed = [pair for both in zip(first, other, strict=False) for pair in both]
    rest = first[len(other) :] + other[len(first) :]
    return (mixed + rest)[:MAX_ADDRESSES]


async def connect_any(
    addresses: Sequence[Address], prepare: Callable[[socket.socket], None]
) -> socket.socket:
    """Connect to the first address that answers; each gets a head start of `STAGGER_S`.

    Raises: OSError, the last one, when every address failed.
    """
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError("the name has no address")
    try:
        while waiting or running:
            if waiting:
                family, address = waiting.pop(0)
                running.add(asyncio.create_task(_connect(family, address, prepare)))
            done, running = await asyncio.wait(
                running,
                timeout=STAGGER_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    running |= done - {task}
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failure = error
        raise failure
    finally:
        for task in running:
            if not task.cancel() and not task.cancelled() and task.exception() is None:
                task.result().close()  # came second


async def _connect(
    family: socket.AddressFamily, address: Any, prepare: Callable[[socket.socket], None]
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        prepare(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _name(address: object) -> str:
    """Write a socket address as host:port."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address)
