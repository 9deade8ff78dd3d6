"""Connections to real servers on loopback: the phases timed, every failure judged."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.agent.dial import DialError, Link, Target, check_url, connect_any, dial, resolve
from gateway.agent.faults import FaultCause, Phase, of_connect
from gateway.cli.certificates import CertificateFiles, make_certificates
from gateway.errors import ConfigError
from gateway.process import tcp_info
from gateway.process.clock import Clock
from gateway.process.tls import client_context, server_context
from gateway.wire.message import SUBPROTOCOL

TARGET = Target("ws://127.0.0.1:1/gateway/g", None, "secret-token", None, False, 5.0, 30.0, 20.0)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """One authority and one certificate for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("pki"), ("127.0.0.1",))


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def _centre(
    tls: ssl.SSLContext | None = None,
    subprotocol: str = SUBPROTOCOL,
    process: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> AsyncIterator[Target]:
    async with serve(
        _echo,
        "127.0.0.1",
        0,
        ssl=tls,
        subprotocols=[Subprotocol(subprotocol)],
        select_subprotocol=lambda _, offered: subprotocol if subprotocol in offered else None,
        process_request=process,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        scheme = "ws" if tls is None else "wss"
        yield replace(TARGET, url=f"{scheme}://127.0.0.1:{port}/gateway/site-1")


@asynccontextmanager
async def _raw(handler: Handler) -> AsyncIterator[int]:
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _close(link: Link) -> None:
    if link.probe is not None:
        link.probe.close()
    await link.connection.close()


async def _verdict(target: Target, synced: bool = True) -> tuple[FaultCause, Phase]:
    with pytest.raises(DialError) as caught:
        await dial(target, Clock())
    assert "secret-token" not in str(caught.value)
    cause = caught.value.__cause__
    assert cause is not None
    fault = of_connect(cause, caught.value.phase, synced, Clock().wall_ns())
    return fault.cause, fault.phase


async def test_tls_phases_are_timed(certificates: CertificateFiles) -> None:
    """DNS, TCP, TLS and upgrade each have a time, and the kernel is told its patience."""
    tls = server_context(certificates.certificate_file, certificates.key_file)
    async with _centre(tls) as target:
        target = replace(target, tls=client_context(certificates.ca_file))
        link = await dial(target, Clock())
        assert [name for name, _ in link.timings.items()] == ["dns", "tcp", "tls", "upgrade"]
        assert all(0 <= seconds < 5 for _, seconds in link.timings.items())
        assert link.connection.subprotocol == SUBPROTOCOL
        assert link.connection.protocol.extensions == []
        assert link.probe is not None
        option = link.probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option == 50_000
        assert link.probe.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert tcp_info.sample(link.probe) is not None
        await link.connection.send(b"over tls")
        assert await link.connection.recv() == b"over tls"
        await _close(link)


async def test_the_request_carries_token_and_gateway() -> None:
    """The path ends with the gateway id and the token is a bearer token."""
    seen: list[tuple[str, str | None]] = []

    def process(connection: ServerConnection, request: Request) -> None:
        seen.append((request.path, request.headers.get("Authorization")))

    async with _centre(process=process) as target:
        await _close(await dial(target, Clock()))
    assert seen == [("/gateway/site-1", "Bearer secret-token")]


async def test_deflate_only_when_asked() -> None:
    """permessage-deflate is negotiated only with compression on."""
    async with _centre() as target:
        link = await dial(replace(target, deflate=True), Clock())
        assert [e.name for e in link.connection.protocol.extensions] == ["permessage-deflate"]
        await _close(link)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (HTTPStatus.OK, FaultCause.UPGRADE_STRIPPED),
        (HTTPStatus.FOUND, FaultCause.REDIRECTED),
        (HTTPStatus.UNAUTHORIZED, FaultCause.UNAUTHORISED),
        (HTTPStatus.FORBIDDEN, FaultCause.UNAUTHORISED),
        (HTTPStatus.TOO_MANY_REQUESTS, FaultCause.RATE_LIMITED),
        (HTTPStatus.BAD_GATEWAY, FaultCause.BAD_GATEWAY),
        (HTTPStatus.SERVICE_UNAVAILABLE, FaultCause.OVERLOADED),
        (HTTPStatus.IM_A_TEAPOT, FaultCause.HTTP_ERROR),
    ],
)
async def test_http_answers(status: HTTPStatus, cause: FaultCause) -> None:
    """Each status has its cause; Retry-After is honoured."""

    def process(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(status, "no\n")
        response.headers["Retry-After"] = "7"
        if status is HTTPStatus.FOUND:
            response.headers["Location"] = "https://portal.example/login"
        return response

    async with _centre(process=process) as target:
        with pytest.raises(DialError) as caught:
            await dial(target, Clock())
    assert caught.value.__cause__ is not None
    fault = of_connect(caught.value.__cause__, caught.value.phase, True, 0)
    assert (fault.cause, fault.phase, fault.code) == (cause, Phase.UPGRADE, status)
    assert fault.retry_after_s == (None if status is HTTPStatus.FOUND else 7.0)


async def test_another_subprotocol() -> None:
    """A server that does not speak gateway.v1 is left at once."""
    async with _centre(subprotocol="chat") as target:
        assert await _verdict(target) == (FaultCause.SUBPROTOCOL, Phase.UPGRADE)


async def test_refused_and_no_name() -> None:
    """Nobody listening, and a name that does not exist."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/g"
        assert await _verdict(replace(TARGET, url=url)) == (FaultCause.REFUSED, Phase.TCP)
    cause, phase = await _verdict(replace(TARGET, url="wss://nosuch.invalid/g"))
    assert cause in (FaultCause.DNS_NO_NAME, FaultCause.DNS_UNREACHABLE)
    assert phase is Phase.DNS


async def test_certificates_are_verified(
    certificates: CertificateFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown authority and a wrong name are two causes; neither gets through."""
    tls = server_context(certificates.certificate_file, certificates.key_file)
    async with _centre(tls) as target:
        other = make_certificates(tmp_path, ("127.0.0.1",))
        untrusting = replace(target, tls=client_context(other.ca_file))
        assert await _verdict(untrusting) == (FaultCause.TLS_UNTRUSTED, Phase.TLS)
        misnamed = replace(
            target,
            url=target.url.replace("127.0.0.1", "localhost"),
            tls=client_context(certificates.ca_file),
        )
        assert await _verdict(misnamed) == (FaultCause.TLS_WRONG_NAME, Phase.TLS)


async def test_plain_http_where_tls_is_wanted(certificates: CertificateFiles) -> None:
    """A captive portal's HTTP is told from a TLS policy."""

    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async with _raw(portal) as port:
        tls = client_context(certificates.ca_file)
        target = replace(TARGET, url=f"wss://127.0.0.1:{port}/g", tls=tls)
        assert await _verdict(target) == (FaultCause.TLS_NOT_TLS, Phase.TLS)


async def test_silence_and_hang_up(certificates: CertificateFiles) -> None:
    """A server that says nothing, and one that leaves instead of answering, in each phase."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with _raw(silent) as port:
        plain = replace(TARGET, url=f"ws://127.0.0.1:{port}/g", timeout_s=0.2)
        assert await _verdict(plain) == (FaultCause.UPGRADE_TIMEOUT, Phase.UPGRADE)
        tls = client_context(certificates.ca_file)
        secure = replace(plain, url=f"wss://127.0.0.1:{port}/g", tls=tls)
        assert await _verdict(secure) == (FaultCause.TLS_TIMEOUT, Phase.TLS)
    async with _raw(leaving) as port:
        target = replace(TARGET, url=f"ws://127.0.0.1:{port}/g")
        assert await _verdict(target) == (FaultCause.UPGRADE_EOF, Phase.UPGRADE)


async def test_through_an_http_proxy() -> None:
    """A proxy is asked with CONNECT; its refusal is its own cause."""
    asked: list[bytes] = []

    async with _centre() as target:

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
            if len(asked) > 1:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                writer.close()
                return
            port = int(target.url.split(":")[2].split("/")[0])
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_pipe(reader, up_writer), _pipe(up_reader, writer))

        async with _raw(proxy) as port:
            target = replace(target, proxy=f"http://127.0.0.1:{port}")
            link = await dial(target, Clock())
            assert [name for name, _ in link.timings.items()] == ["proxy", "upgrade"]
            assert link.probe is not None
            assert link.probe.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            await _close(link)
            assert (await _verdict(target))[0] is FaultCause.PROXY_REFUSED
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_the_first_address_that_answers_wins() -> None:
    """An address that refuses costs nothing, and a socket that came second is closed."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with _raw(hang_up) as port:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            addresses = [
                (socket.AF_INET, unused.getsockname()),
                (socket.AF_INET, ("127.0.0.1", port)),
            ]
            sock = await connect_any(addresses, lambda sock: None)
            assert sock.getpeername()[1] == port
            sock.close()
            with pytest.raises(ConnectionRefusedError):
                await connect_any(addresses[:1], lambda sock: None)
    with pytest.raises(OSError, match="no address"):
        await connect_any([], lambda sock: None)


async def test_resolve_alternates_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv4 and IPv6 addresses take turns, whichever the resolver put first."""
    six, four = socket.AF_INET6, socket.AF_INET
    answer = [
        (f, 1, 6, "", (f"{f.name}-{i}", 1)) for f, n in ((six, 3), (four, 1)) for i in range(n)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: answer)
    assert [family for family, _ in await resolve("any", 1)] == [six, four, six, six]


@pytest.mark.parametrize("url", ["wss://centre.example/g", "ws://127.0.0.1/g", "ws://[::1]:1/g"])
def test_urls_that_are_allowed(url: str) -> None:
    """TLS anywhere, plain only to ourselves."""
    check_url(url)


@pytest.mark.parametrize(
    "url", ["ws://centre.example/g", "ws://10.0.0.1/g", "http://127.0.0.1/", "wss:///g", "x"]
)
def test_urls_that_are_refused(url: str) -> None:
    """Readings never cross a network in clear."""
    with pytest.raises(ConfigError, match="wss://"):
        check_url(url)
