"""The doctor's walk to the centre: DNS, TCP, TLS, certificate, upgrade, path MTU, round trip.

Owns what a person is told of each phase; connecting is `agent.dial`'s and judging a failure
`agent.faults`'s, so that the doctor finds exactly what the agent meets. Stops before `Hello`: a
running agent's session is not disturbed.
"""

import asyncio
import contextlib
import socket
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException

from gateway.agent.dial import DialError, Link, Target, dial
from gateway.agent.faults import Fault, FaultCause, Phase, of_connect
from gateway.cli.findings import Finding, ok, problem, warning
from gateway.config.agent import AgentSettings
from gateway.errors import ConfigError
from gateway.process.certificate import Certificate, shown_by
from gateway.process.clock import Clock
from gateway.process.files import read_secret
from gateway.process.timesync import TimeSync
from gateway.process.tls import client_context

DIAL_S = 10.0
CERTIFICATE_S = 3.0
PING_S = 2.0
PINGS = 5
BULK_S = 3.0
SLOW_S = 0.2
"""A phase that takes longer is flagged."""
EXPIRES_SOON = timedelta(days=14)
SMALL_MTU = 1280
"""RFC 8200 §5: the least an IPv6 path carries; less is a mistake on the way."""
ETHERNET_MTU = 1500
IP_MTU, IPV6_MTU = 14, 24
"""`linux/in.h`, `linux/in6.h`."""
PONG = bytes(125)
PONGS = 40
"""Unsolicited pongs (RFC 6455 §5.5.3: ignored by the peer) that fill some five kilobytes."""

_NAMES = {
    Phase.DNS: "DNS",
    Phase.TCP: "TCP",
    Phase.PROXY: "proxy",
    Phase.TLS: "TLS",
    Phase.UPGRADE: "upgrade",
}
_CURES = {
    FaultCause.DNS_UNREACHABLE: "no name server answers: link, default route, /etc/resolv.conf",
    FaultCause.DNS_NO_NAME: "correct uplink.url; if it is right, the site's DNS does not know it",
    FaultCause.NO_ROUTE: "link and default route: ip route; DHCP; the SIM's data",
    FaultCause.REFUSED: "the host is there but nobody listens: the centre is down, another port in "
    "uplink.url, or a firewall rejects it",
    FaultCause.CONNECT_TIMEOUT: "packets vanish: a firewall drops this port, or the VPN is down",
    FaultCause.TLS_TIMEOUT: "TCP works and TLS does not: an overloaded centre, or large packets "
    "are lost (path MTU of a VPN: try a lower MTU)",
    FaultCause.TLS_CLOCK: "set the clock first: timedatectl; then try again",
    FaultCause.TLS_EXPIRED: "the centre's operator must renew the certificate",
    FaultCause.TLS_UNTRUSTED: "if the issuer is the site's inspection box, have the centre's name "
    "exempted; if the centre has an authority of its own, give uplink.ca_file",
    FaultCause.TLS_WRONG_NAME: "correct the name in uplink.url; a captive portal or another "
    "server answers in its place, or its certificate lacks the name",
    FaultCause.TLS_NOT_TLS: "plain HTTP answers there: a wrong port in uplink.url, or a portal",
    FaultCause.TLS_POLICY: "TLS versions or a client certificate do not suit: the centre's log",
    FaultCause.UPGRADE_TIMEOUT: "TLS works and nobody answers: a proxy that waits for its upstream",
    FaultCause.UPGRADE_EOF: "a load balancer hung up: its log, its limit of connections",
    FaultCause.UPGRADE_STRIPPED: "a proxy, portal or inspection box answers and strips the header "
    "Upgrade: have it passed on (nginx: proxy_http_version 1.1, Upgrade, Connection), or correct "
    "the path of uplink.url",
    FaultCause.SUBPROTOCOL: "another WebSocket server answers: correct uplink.url",
    FaultCause.REDIRECTED: "a captive portal or a login page: open the network, or correct the URL",
    FaultCause.UNAUTHORISED: "the token is not this gateway's: `gateway centre token add` at the "
    "centre, then put it into token_file",
    FaultCause.PROXY_REFUSED: "the proxy does not let us through: its rules, uplink.proxy",
    FaultCause.RATE_LIMITED: "too many attempts: wait, the agent does so by itself",
    FaultCause.OVERLOADED: "the centre is full or restarting: its operator",
    FaultCause.BAD_GATEWAY: "the proxy in front of the centre cannot reach it: its operator",
    FaultCause.HTTP_ERROR: "correct the path of uplink.url, or look at the proxy's log",
    FaultCause.RESET: "somebody resets the connection: a firewall, or the centre's log",
}
_OTHER_CURE = "docs/operations.md, table of causes"
_EVIDENCE = ("Server", "Via", "X-Cache", "Location")
"""Headers that tell who answered in the centre's place."""


async def walk(settings: AgentSettings, sync: TimeSync, clock: Clock) -> list[Finding]:
    """Go as far as it goes and say how each step went."""
    try:
        target = target_of(settings)
    except ConfigError as error:
        text, _, cure = str(error).partition("; ")
        return [problem("credentials", text, cure or "put the file there, chmod 600")]
    try:
        link = await dial(target, clock)
    except DialError as error:
        return await _failed(error, target, sync, clock)
    try:
        found = list(_phases(dict(link.timings.items())))
        found.append(ok("upgrade", f"WebSocket is open with {link.address}"))
        if target.tls is not None:
            found.extend(_certificate(await _shown(target), clock))
        found.extend(await _measure(link))
    finally:
        if link.probe is not None:
            link.probe.close()
        with contextlib.suppress(WebSocketException, OSError):
            await link.connection.close()
    return found


def target_of(settings: AgentSettings) -> Target:
    """Return where the agent connects with these settings, impatiently. Raises: ConfigError."""
    uplink = settings.uplink

    def path(name: str | None) -> Path | None:
        return None if name is None else Path(name)

    tls = None
    if uplink.url.startswith("wss:"):
        tls = client_context(
            path(uplink.ca_file), path(uplink.certificate_file), path(uplink.key_file)
        )
    return Target(
        url=f"{uplink.url.rstrip('/')}/{settings.gateway_id}",
        tls=tls,
        token=None if uplink.token_file is None else read_secret(Path(uplink.token_file)),
        proxy=uplink.proxy,
        deflate=uplink.compression == "deflate",
        timeout_s=min(DIAL_S, uplink.connect_timeout_s),
        heartbeat_s=uplink.heartbeat_s,
        heartbeat_timeout_s=uplink.heartbeat_timeout_s,
    )


def _phases(seconds: dict[str, float]) -> Iterator[Finding]:
    """Say how long each phase took; the upgrade has a line of its own when it is open."""
    cures = {
        Phase.DNS: "a slow or distant name server: /etc/resolv.conf, or a cache (systemd-resolved)",
        Phase.TCP: "a slow path: radio level, VPN, distance",
        Phase.PROXY: "a slow proxy",
        Phase.TLS: "radio level, VPN, or a centre under load",
        Phase.UPGRADE: "a proxy or a centre under load",
    }
    for phase, name in _NAMES.items():
        took = seconds.get(phase.value)
        if took is None:
            continue
        said = f"{took * 1000:.0f} ms"
        if took > SLOW_S:
            yield warning(name, f"{said}, more than {SLOW_S * 1000:.0f} ms", cures[phase])
        elif phase is not Phase.UPGRADE:
            yield ok(name, said)


async def _failed(error: DialError, target: Target, sync: TimeSync, clock: Clock) -> list[Finding]:
    """Say how far it went, what stopped it and what to check."""
    cause = error.__cause__ or error
    fault = of_connect(cause, error.phase, sync.synced, clock.wall_ns())
    found = list(_phases(dict(error.timings.items())))
    evidence = f"{fault.text} ({fault.cause})"
    if isinstance(cause, InvalidStatus):
        evidence += "".join(f", {text}" for text in _told(cause))
    before = cause.__cause__ or cause.__context__
    if isinstance(before, InvalidStatus):
        evidence += "".join(f", {text}" for text in _told(before))
    name = _NAMES.get(fault.phase, fault.phase.value)
    found.append(problem(name, evidence, _CURES.get(fault.cause, _OTHER_CURE)))
    if fault.phase is Phase.TLS and target.proxy is None:
        shown = await _shown(target)
        if shown is not None:
            found.append(_explained(shown, fault, urlsplit(target.url).hostname or "", clock))
    return found


def _told(answer: InvalidStatus) -> list[str]:
    """Return the headers that tell who answered; a box on the way may have added its own."""
    headers = answer.response.headers
    return [
        f"{name}: {', '.join(headers.get_all(name))[:80]}" for name in _EVIDENCE if name in headers
    ]


# -- certificate -----------------------------------------------------------------------------------


async def _shown(target: Target) -> Certificate | None:
    """Fetch the certificate the server shows; ``None`` behind a proxy or when it shows none."""
    parts = urlsplit(target.url)
    host, port = parts.hostname or "", parts.port or 443
    if target.proxy is not None:
        return None
    return await asyncio.to_thread(shown_by, (host, port), host, CERTIFICATE_S)


def _explained(shown: Certificate, fault: Fault, host: str, clock: Clock) -> Finding:
    """Say what is wrong with the certificate shown, or with our clock."""
    now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
    whose = f'"{shown.subject}" from "{shown.issuer}"'
    span = f"valid {shown.not_before:%Y-%m-%d} to {shown.not_after:%Y-%m-%d}"
    if fault.cause in (FaultCause.TLS_CLOCK, FaultCause.TLS_EXPIRED):
        which = (
            "our clock is not synchronised" if fault.cause is FaultCause.TLS_CLOCK else "expired"
        )
        if now < shown.not_before:
            which = "not valid yet, or our clock is behind"
        said = f"{whose} is {span}, our clock says {now:%Y-%m-%d %H:%M} UTC: {which}"
    elif fault.cause is FaultCause.TLS_WRONG_NAME:
        said = f"{whose} is for {', '.join(shown.names[:8]) or 'no name'}, not for {host}"
    else:
        said = f"{whose}, {span}, for {', '.join(shown.names[:8]) or 'no name'}"
    return problem("certificate", said, _CURES.get(fault.cause, _OTHER_CURE))


def _certificate(shown: Certificate | None, clock: Clock) -> Iterator[Finding]:
    if shown is None:
        return
    now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
    left = shown.not_after - now
    said = f'"{shown.subject}" from "{shown.issuer}", until {shown.not_after:%Y-%m-%d %H:%M} UTC'
    if left < EXPIRES_SOON:
        days = left.total_seconds() / 86400
        cure = "the centre's operator must renew it before"
        yield warning("certificate", f"{said}: {days:.0f} days left", cure)
    else:
        yield ok("certificate", said)


# -- path ------------------------------------------------------------------------------------------


async def _measure(link: Link) -> list[Finding]:
    """Time some pings, then see whether full-sized packets come through."""
    times = []
    try:
        for _ in range(PINGS):
            async with asyncio.timeout(PING_S):
                times.append(await (await link.connection.ping()))
    except (TimeoutError, WebSocketException, OSError) as error:
        said = f"no pong: {str(error) or 'time-out'}"
        cure = "a proxy that passes the upgrade and not what follows"
        return [problem("round trip", said, cure)]
    middle = statistics.median(times)
    said = f"{middle * 1000:.1f} ms in the middle, {max(times) * 1000:.1f} ms at most, of {PINGS}"
    trip = ok("round trip", said)
    if middle > SLOW_S:
        trip = warning("round trip", said, "radio level, VPN, or a queue on the way (bufferbloat)")
    return [trip, await _path(link, middle)]


async def _path(link: Link, usual_s: float) -> Finding:
    """Send full-sized packets and say what the path carries."""
    mtu, mss = path_mtu(link.probe)
    said = f"{mtu} bytes (TCP segments of {mss})" if mtu is not None else "not told by the kernel"
    cure = "the VPN's or the router's MTU: lower it, or clamp the MSS (nft: tcp option maxseg)"
    try:
        took = await _bulk(link)
    except (TimeoutError, WebSocketException, OSError):
        lost = f"{said}, but {PONGS * (len(PONG) + 6)} bytes in full packets do not come through"
        return problem("path MTU", lost, cure)
    if mtu is not None and mtu < SMALL_MTU:
        return warning("path MTU", f"{said}: unusually small", cure)
    said += f", full packets come through in {max(took, usual_s) * 1000:.1f} ms"
    tunnel = mtu is not None and mtu < ETHERNET_MTU
    return ok("path MTU", f"{said}; a tunnel (VPN, PPPoE) is on the way" if tunnel else said)


async def _bulk(link: Link) -> float:
    """Return the round trip of a ping behind some full segments. Raises: TimeoutError."""
    connection, sock = link.connection, link.probe
    async with asyncio.timeout(BULK_S):
        _cork(sock, True)
        try:
            for _ in range(PONGS):
                await connection.pong(PONG)
            waiting = await connection.ping()
        finally:
            _cork(sock, False)
        return await waiting


def _cork(sock: socket.socket | None, on: bool) -> None:
    """Let the kernel gather what is written into full segments (tcp(7))."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(on))


def path_mtu(sock: socket.socket | None) -> tuple[int | None, int | None]:
    """Return what the kernel knows of a connection's path: MTU and segment size."""
    if sock is None:
        return None, None
    v6 = sock.family == socket.AF_INET6
    level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if v6 else (socket.IPPROTO_IP, IP_MTU)
    try:
        mtu = sock.getsockopt(level, option)
        return mtu, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    except OSError:
        return None, None
