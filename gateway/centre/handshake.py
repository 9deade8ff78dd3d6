"""The opening handshake: the usual upgrade request read by a short path, the answers as bytes.

Owns what a request must look like to be "usual" and how answers are written. It never decides who
may come in (`credentials`, `server`) and never guesses: any request that is not plainly usual goes
to websockets' `ServerProtocol`, which knows the rest of RFC 6455 §4.2.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from http import HTTPStatus
from string import ascii_letters, digits

from gateway.wire.message import SUBPROTOCOL

MAX_REQUEST = 8192
"""Bytes of a request, line and headers; longer is answered 431 (RFC 6585 §5)."""
_MAX_HEADERS = 64
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)
_ACCEPTED_END = b"\r\nSec-WebSocket-Protocol: " + SUBPROTOCOL.encode() + b"\r\n\r\n"
_TOKEN = ascii_letters + digits + "!#$%&'*+-.^_`|~"  # RFC 9110 §5.6.2
_VISIBLE = bytes(range(0x20, 0x7F)).decode()
_ONCE = frozenset(
    {
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "upgrade",
        "connection",
        "authorization",
        "x-forwarded-for",
        "host",
    }
)


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A request to upgrade, well-formed. Header names are lower case."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Usual:
    """A request that needs nothing from `ServerProtocol`. `key` is Sec-WebSocket-Key."""

    request: UpgradeRequest
    key: str
    deflate: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refusal. `phase` is the metric's closed set (`metrics.HANDSHAKE_PHASES`)."""

    status: int
    phase: str
    text: str
    headers: tuple[tuple[str, str], ...] = ()


def parse_usual(data: bytes) -> Usual | None:
    """Read a whole request; ``None`` when anything about it is not usual (not: wrong)."""
    try:
        lines = data[:-4].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    start = lines[0].split(" ")
    if len(start) != 3 or start[0] != "GET" or start[2] != "HTTP/1.1":
        return None
    path = start[1]
    if not path.startswith("/") or path.strip(_VISIBLE) or len(lines) > _MAX_HEADERS:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        if not colon or not name or name.strip(_TOKEN) or value.strip(_VISIBLE):
            return None
        if name in headers:
            if name in _ONCE:
                return None
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return _upgrade(path, headers)


def _upgrade(path: str, headers: dict[str, str]) -> Usual | None:
    """Check what RFC 6455 §4.2.1 asks for."""
    if (
        headers.get("upgrade", "").lower() != "websocket"
        or headers.get("connection", "").lower() not in ("upgrade", "keep-alive, upgrade")
        or headers.get("sec-websocket-version") != "13"
        or headers.get("sec-websocket-protocol") != SUBPROTOCOL
        or "content-length" in headers
        or "transfer-encoding" in headers
        or "origin" in headers
    ):
        return None
    key = headers.get("sec-websocket-key", "")
    try:
        if len(key) != 24 or len(a2b_base64(key, strict_mode=True)) != 16:
            return None
    except Base64Error:
        return None
    deflate = "permessage-deflate" in headers.get("sec-websocket-extensions", "")
    return Usual(UpgradeRequest(path, headers), key, deflate)


def accepted(key: str) -> bytes:
    """Return the 101 answer (RFC 6455 §4.2.2) for the subprotocol `gateway.v1`."""
    digest = b2a_base64(sha1(key.encode() + _GUID, usedforsecurity=False).digest(), newline=False)
    return _ACCEPTED + digest + _ACCEPTED_END


def refused(rejection: Rejection) -> bytes:
    """Return the answer to a refused request; the connection closes behind it."""
    body = (rejection.text + "\n").encode()
    lines = [
        f"HTTP/1.1 {rejection.status} {HTTPStatus(rejection.status).phrase}",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in rejection.headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
