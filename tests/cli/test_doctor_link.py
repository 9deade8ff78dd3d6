"""The doctor's walk to the centre, against real servers that go wrong in real ways."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.cli.doctor_link import path_mtu, walk
from gateway.cli.findings import Finding, Level
from gateway.config.agent import AgentSettings, UplinkSettings
from gateway.process.clock import Clock, HostFiles
from gateway.process.timesync import TimeSync
from gateway.process.tls import server_context
from gateway.wire.message import SUBPROTOCOL
from tests.cli.pki import Pki, make_pki

Process = Callable[[ServerConnection, Request], Response | None]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A certificate for 127.0.0.1 that is good for three months."""
    return make_pki(tmp_path_factory.mktemp("pki"))


def settings(url: str, ca_file: Path | None = None, timeout_s: float = 5.0) -> AgentSettings:
    uplink = UplinkSettings(
        url, ca_file=None if ca_file is None else str(ca_file), connect_timeout_s=timeout_s
    )
    return AgentSettings("site-1", uplink)


def sync(synced: bool = True) -> TimeSync:
    """A clock whose synchronisation is known, whatever this machine's is."""
    return TimeSync(Clock(), HostFiles(Path("/nonexistent")), lambda: 100 if synced else None)


async def told(config: AgentSettings, synced: bool = True) -> list[Finding]:
    found = await walk(config, sync(synced), Clock())
    for finding in found:
        assert finding.evidence and bool(finding.cure) == (finding.level is not Level.OK)
    return found


def worst(found: list[Finding]) -> Finding:
    """Return the first problem."""
    return next(finding for finding in found if finding.level is Level.PROBLEM)


async def _echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass


@asynccontextmanager
async def centre(
    tls: ssl.SSLContext | None = None, process: Process | None = None
) -> AsyncIterator[int]:
    async with serve(
        _echo, "127.0.0.1", 0, ssl=tls, subprotocols=[Subprotocol(SUBPROTOCOL)],
        process_request=process,
    ) as server:  # fmt: skip
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def raw(handler: Handler) -> AsyncIterator[int]:
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_everything_is_well(pki: Pki) -> None:
    """Each step has its line: times, certificate, round trip, path MTU; nothing to cure."""
    tls = server_context(pki.certificate_file, pki.key_file)
    async with centre(tls) as port:
        found = await told(settings(f"wss://127.0.0.1:{port}/gateway", pki.ca_file))
    subjects = [finding.subject for finding in found]
    assert subjects == ["DNS", "TCP", "TLS", "upgrade", "certificate", "round trip", "path MTU"]
    assert not [finding for finding in found if finding.level is Level.PROBLEM]
    by = {finding.subject: finding.evidence for finding in found}
    assert '"127.0.0.1" from "Test Authority", until ' in by["certificate"]
    assert " ms in the middle" in by["round trip"]
    assert (
        "full packets come through" in by["path MTU"]
        and " bytes (TCP segments of " in by["path MTU"]
    )


@pytest.mark.parametrize(
    ("status", "words", "cure"),
    [
        (
            HTTPStatus.OK,
            "HTTP 200 OK (upgrade_stripped), Server: ",
            "have it passed on",
        ),
        (HTTPStatus.UPGRADE_REQUIRED, "HTTP 426", "have it passed on"),
        (HTTPStatus.BAD_GATEWAY, "HTTP 502 Bad Gateway (bad_gateway)", "the proxy in front"),
        (HTTPStatus.GATEWAY_TIMEOUT, "HTTP 504", "the proxy in front"),
        (HTTPStatus.UNAUTHORIZED, "HTTP 401", "gateway centre token add"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "HTTP 503", "full or restarting"),
        (HTTPStatus.NOT_FOUND, "HTTP 404", "correct the path of uplink.url"),
    ],
)
async def test_answers_that_are_no_upgrade(status: HTTPStatus, words: str, cure: str) -> None:
    """A box in between that answers by itself is recognised, with what it says of itself."""

    def process(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(status, "no\n")
        response.headers["Server"] = "squid/5.7"
        return response

    async with centre(process=process) as port:
        found = await told(settings(f"ws://127.0.0.1:{port}/gateway"))
    finding = worst(found)
    assert finding.subject == "upgrade" and words in finding.evidence and cure in finding.cure
    assert "squid/5.7" in finding.evidence  # beside the server's own: two headers of one name
    assert [one.subject for one in found[:2]] == ["DNS", "TCP"]


async def test_captive_portal() -> None:
    """A redirect to a login page is called what it is, with where it leads."""

    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://portal.hotel.example/login\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        writer.close()

    async with raw(portal) as port:
        finding = worst(await told(settings(f"ws://127.0.0.1:{port}/gateway")))
    assert "portal.hotel.example/login" in finding.evidence and "captive portal" in finding.cure


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\n\r\n", b"220 mail.example ESMTP\r\n"])
async def test_an_answer_that_is_no_http_1_1(answer: bytes) -> None:
    """An old proxy, or another service: shown with what it said."""

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with raw(other) as port:
        finding = worst(await told(settings(f"ws://127.0.0.1:{port}/gateway")))
    assert "upgrade_stripped" in finding.evidence and "HTTP" in finding.evidence


async def test_a_proxy_that_forgets_the_upgrade_header() -> None:
    """101 without the headers that belong to it."""

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        writer.close()

    async with raw(proxy) as port:
        finding = worst(await told(settings(f"ws://127.0.0.1:{port}/gateway")))
    assert "upgrade_stripped" in finding.evidence


async def test_expired_certificate_and_wrong_clock(tmp_path: Path) -> None:
    """The same refusal is the certificate's fault with a good clock, and the clock's without."""
    old = make_pki(tmp_path / "old", begin_days=-60, end_days=-2)
    async with centre(server_context(old.certificate_file, old.key_file)) as port:
        config = settings(f"wss://127.0.0.1:{port}/gateway", old.ca_file)
        tls, certificate = (await told(config))[-2:]
        assert tls.subject == "TLS" and "tls_expired" in tls.evidence
        assert certificate.subject == "certificate" and certificate.evidence.endswith("expired")
        assert "must renew" in certificate.cure
        tls, certificate = (await told(config, synced=False))[-2:]
        assert "tls_clock" in tls.evidence and "not synchronised" in certificate.evidence
        assert "set the clock" in certificate.cure


async def test_certificate_of_the_future(tmp_path: Path) -> None:
    """A certificate that is not valid yet is said so: the clock may be behind."""
    new = make_pki(tmp_path / "new", begin_days=3)
    async with centre(server_context(new.certificate_file, new.key_file)) as port:
        found = await told(settings(f"wss://127.0.0.1:{port}/gateway", new.ca_file))
    assert "not valid yet, or our clock is behind" in found[-1].evidence


async def test_certificate_about_to_expire(tmp_path: Path) -> None:
    """A good certificate with few days left is a warning, and the walk goes on."""
    short = make_pki(tmp_path / "short", end_days=3)
    async with centre(server_context(short.certificate_file, short.key_file)) as port:
        found = await told(settings(f"wss://127.0.0.1:{port}/gateway", short.ca_file))
    (finding,) = [one for one in found if one.subject == "certificate"]
    assert finding.level is Level.WARNING and ": 3 days left" in finding.evidence
    assert found[-1].subject == "path MTU"


async def test_wrong_name_and_inspection_box(pki: Pki, tmp_path: Path) -> None:
    """For whom the certificate is, and who signed it: a portal or an inspection box shows."""
    other = make_pki(tmp_path / "other", ("portal.example", "10.1.1.1"), issuer="FortiGate CA")
    async with centre(server_context(other.certificate_file, other.key_file)) as port:
        url = f"wss://127.0.0.1:{port}/gateway"
        named = (await told(settings(url, other.ca_file)))[-1]
        assert "is for portal.example, 10.1.1.1, not for 127.0.0.1" in named.evidence
        unknown = (await told(settings(url, pki.ca_file)))[-1]
        assert 'from "FortiGate CA"' in unknown.evidence and "inspection box" in unknown.cure


async def test_plain_http_on_the_port(pki: Pki) -> None:
    """HTTP where TLS was wanted: the port or a portal."""

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async with raw(web) as port:
        finding = worst(await told(settings(f"wss://127.0.0.1:{port}/g", pki.ca_file)))
    assert finding.subject == "TLS" and "plain HTTP" in finding.cure


async def test_no_name() -> None:
    """A name that no server knows, or no name server at all."""
    (finding,) = await told(settings("wss://no-such-centre.invalid/gateway"))
    assert finding.subject == "DNS" and finding.level is Level.PROBLEM
    assert "dns_no_name" in finding.evidence or "dns_unreachable" in finding.evidence


async def test_refused() -> None:
    """Nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = await told(settings(f"ws://127.0.0.1:{unused.getsockname()[1]}/gateway"))
    assert worst(found).subject == "TCP" and "nobody listens" in worst(found).cure


async def test_black_hole() -> None:
    """Packets that vanish end in the time-out, not in a hanging doctor."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the queue is full: the kernel drops every further SYN
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(full.getsockname())
        url = f"ws://127.0.0.1:{full.getsockname()[1]}/gateway"
        finding = worst(await told(settings(url, timeout_s=1.0)))
    assert finding.subject == "TCP" and "connect_timeout" in finding.evidence
    assert "firewall" in finding.cure


async def test_large_packets_that_vanish() -> None:
    """A path that carries small packets only (a VPN whose MTU is wrong) is found out."""

    async def narrow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", inner)

        async def back() -> None:
            while data := await up_reader.read(65536):
                writer.write(data)

        passing = asyncio.create_task(back())
        vanishing = False
        while data := await reader.read(65536):
            vanishing = vanishing or len(data) > 1000
            if not vanishing:
                up_writer.write(data)
        up_writer.close()
        await passing
        writer.close()

    async with centre() as inner, raw(narrow) as port:
        found = await told(settings(f"ws://127.0.0.1:{port}/gateway"))
    assert worst(found).subject == "path MTU" and "clamp the MSS" in worst(found).cure
    assert [one.level for one in found if one.subject == "round trip"] == [Level.OK]


async def test_a_server_that_never_pongs() -> None:
    """An upgrade that leads nowhere."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import base64
        import hashlib

        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.split(": ")[1]
            for line in head.split("\r\n")
            if line.startswith("Sec-WebSocket-Key")
        )
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode()
        )
        await reader.read()
        writer.close()

    async with raw(mute) as port:
        found = await told(settings(f"ws://127.0.0.1:{port}/gateway"))
    assert worst(found).subject == "round trip" and "no pong" in worst(found).evidence


async def test_token_that_cannot_be_used(tmp_path: Path) -> None:
    """A token open to others is named before anything is sent."""
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    uplink = UplinkSettings("wss://127.0.0.1:1/g", token_file=str(token))
    (finding,) = await told(AgentSettings("g", uplink))
    assert finding.subject == "credentials" and "chmod 600" in finding.cure
    assert "secret" not in finding.evidence


def test_path_mtu_of_both_families() -> None:
    """The kernel is asked by the socket's family; no socket has no path."""
    assert path_mtu(None) == (None, None)
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        mtu, mss = path_mtu(client)
    assert mtu == 65536 and mss is not None and 536 <= mss < mtu
