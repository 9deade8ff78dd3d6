"""The opening handshake: the usual upgrade request read by a short path, the answers as bytes.

Owns what a request must look like to be "usual" and how answers are written. It never decides who
may come in (`credentials`, `server`) and never guesses: any request that is not plainly usual goes
to websockets' `ServerProtocol`, which knows the rest of RFC 6455 §4.2.
"""

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
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
_TOKEN = frozenset((ascii_letters + digits + "!#$%&'*+-.^_`|~").encode())  # RFC 9110 §5.6.2
_VISIBLE = bytes(range(0x20, 0x7F))
_ONCE = frozenset(
    {
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
        b"upgrade",
        b"connection",
        b"authorization",
        b"x-forwarded-for",
        b"host",
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
    key: bytes
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
    lines = data[:-4].split(b"\r\n")
    start = lines[0].split(b" ")
    if len(start) != 3 or start[0] != b"GET" or start[2] != b"HTTP/1.1":
        return None
    path = start[1]
    if not path.startswith(b"/") or path.strip(_VISIBLE) or len(lines) > _MAX_HEADERS:
        return None
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        name = name.lower()
        value = value.strip(b" \t")
        if not colon or not name or not _TOKEN.issuperset(name) or value.strip(_VISIBLE):
            return None
        if name in headers:
            if name in _ONCE:
                return None
            value = headers[name] + b", " + value
        headers[name] = value
    return _upgrade(path, headers)


def _upgrade(path: bytes, headers: dict[bytes, bytes]) -> Usual | None:
    """Check what RFC 6455 §4.2.1 asks for."""
    if (
        headers.get(b"upgrade", b"").lower() != b"websocket"
        or headers.get(b"connection", b"").lower() not in (b"upgrade", b"keep-alive, upgrade")
        or headers.get(b"sec-websocket-version") != b"13"
        or headers.get(b"sec-websocket-protocol") != SUBPROTOCOL.encode()
        or b"content-length" in headers
        or b"transfer-encoding" in headers
        or b"origin" in headers
    ):
        return None
    key = headers.get(b"sec-websocket-key", b"")
    try:
        if len(key) != 24 or len(a2b_base64(key, strict_mode=True)) != 16:
            return None
    except Base64Error:
        return None
    text = {name.decode("ascii"): value.decode("ascii") for name, value in headers.items()}
    deflate = "permessage-deflate" in text.get("sec-websocket-extensions", "")
    return Usual(UpgradeRequest(path.decode("ascii"), text), key, deflate)


def accepted(key: bytes) -> bytes:
    """Return the 101 answer (RFC 6455 §4.2.2) for the subprotocol `gateway.v1`."""
    digest = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n"
        b"Sec-WebSocket-Protocol: " + SUBPROTOCOL.encode() + b"\r\n\r\n"
    )


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
