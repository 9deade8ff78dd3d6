"""Fault signatures: who ended a session or kept it from being made, and why.

Owns the table from what Python saw (exception, phase, close frame) to one cause. Decides by the
close frame *received*, never by the number alone: `websockets` sends 1011 itself. Pure but for the
exception classes it knows; the evidence is kept beside the label by the caller.
"""

import errno
import socket
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    ProxyError,
)
from websockets.http11 import Response

from gateway.event import Scalar
from gateway.wire.message import Bye, ByeCode


class Phase(StrEnum):
    """How far a connection had come."""

    CREDENTIALS = "credentials"
    DNS = "dns"
    TCP = "tcp"
    PROXY = "proxy"
    TLS = "tls"
    UPGRADE = "upgrade"
    HELLO = "hello"
    SESSION = "session"


class Side(StrEnum):
    """Who ended it. `PEER` is the centre or what stands in front of it; `PATH` lies between."""

    OWN = "own"
    PEER = "peer"
    PATH = "path"
    UNKNOWN = "unknown"


class FaultCause(StrEnum):
    """Why. A closed set: it is a metric's label; each is described in `docs/operations.md`."""

    CREDENTIALS = "credentials"
    DNS_UNREACHABLE = "dns_unreachable"
    DNS_NO_NAME = "dns_no_name"
    NO_ROUTE = "no_route"
    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_TIMEOUT = "tls_timeout"
    TLS_CLOCK = "tls_clock"
    TLS_EXPIRED = "tls_expired"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_WRONG_NAME = "tls_wrong_name"
    TLS_NOT_TLS = "tls_not_tls"
    TLS_POLICY = "tls_policy"
    UPGRADE_TIMEOUT = "upgrade_timeout"
    UPGRADE_EOF = "upgrade_eof"
    UPGRADE_STRIPPED = "upgrade_stripped"
    SUBPROTOCOL = "subprotocol"
    REDIRECTED = "redirected"
    UNAUTHORISED = "unauthorised"
    PROXY_REFUSED = "proxy_refused"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    BAD_GATEWAY = "bad_gateway"
    HTTP_ERROR = "http_error"
    WELCOME_TIMEOUT = "welcome_timeout"
    STOPPED = "stopped"
    RECONFIGURED = "reconfigured"
    CONTINUED = "continued"
    HALF_OPEN = "half_open"
    PEER_STOPPED = "peer_stopped"
    PEER_ERROR = "peer_error"
    PEER_POLICY = "peer_policy"
    PEER_PROTOCOL = "peer_protocol"
    PEER_TOO_BIG = "peer_too_big"
    PEER_TRY_LATER = "peer_try_later"
    PROTOCOL = "protocol"
    RESET = "reset"
    PATH_TIMEOUT = "path_timeout"
    EOF = "eof"
    ADAPTER_LOST = "adapter_lost"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fault:
    """One verdict. `code`: the errno, TLS verify code, HTTP status or close code that led to it.

    `retry_after_s`: how long the peer asked to stay away, ``None`` when it did not say.
    """

    cause: FaultCause
    side: Side
    phase: Phase
    text: str
    code: int | None = None
    retry_after_s: float | None = None

    def fields(self) -> tuple[tuple[str, Scalar], ...]:
        """Return the verdict as event fields."""
        pairs: tuple[tuple[str, Scalar], ...] = (
            ("cause", self.cause.value),
            ("side", self.side.value),
            ("phase", self.phase.value),
            ("code", self.code),
            ("text", self.text[:200]),
            ("retry_after_s", self.retry_after_s),
        )
        return tuple(pair for pair in pairs if pair[1] is not None)


_NO_ROUTE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.ENONET}
)
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_ADAPTER = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO})

# X509_V_ERR_* of openssl/x509_vfy.h.
_VERIFY_NOT_YET, _VERIFY_EXPIRED = 9, 10
_VERIFY_NAMES = frozenset({62, 63, 64})

_TIMEOUTS = {
    Phase.TLS: FaultCause.TLS_TIMEOUT,
    Phase.UPGRADE: FaultCause.UPGRADE_TIMEOUT,
    Phase.HELLO: FaultCause.WELCOME_TIMEOUT,
    Phase.DNS: FaultCause.DNS_UNREACHABLE,
}

_STATUS = {
    200: FaultCause.UPGRADE_STRIPPED,
    401: FaultCause.UNAUTHORISED,
    403: FaultCause.UNAUTHORISED,
    407: FaultCause.PROXY_REFUSED,
    426: FaultCause.UPGRADE_STRIPPED,
    429: FaultCause.RATE_LIMITED,
    502: FaultCause.BAD_GATEWAY,
    503: FaultCause.OVERLOADED,
    504: FaultCause.BAD_GATEWAY,
}

# RFC 6455 §7.4.1 and the IANA registry of close codes.
_CLOSE = {
    1000: FaultCause.PEER_STOPPED,
    1001: FaultCause.PEER_STOPPED,
    1002: FaultCause.PEER_PROTOCOL,
    1003: FaultCause.PEER_PROTOCOL,
    1007: FaultCause.PEER_PROTOCOL,
    1008: FaultCause.PEER_POLICY,
    1009: FaultCause.PEER_TOO_BIG,
    1011: FaultCause.PEER_ERROR,
    1012: FaultCause.PEER_STOPPED,
    1013: FaultCause.PEER_TRY_LATER,
    1014: FaultCause.BAD_GATEWAY,
}

_BYE = {
    ByeCode.IDENTITY: FaultCause.PEER_POLICY,
    ByeCode.REPLACED: FaultCause.PEER_POLICY,
    ByeCode.NOT_AUTHORISED: FaultCause.UNAUTHORISED,
    ByeCode.OVERLOADED: FaultCause.OVERLOADED,
    ByeCode.PROTOCOL: FaultCause.PEER_PROTOCOL,
}


def of_connect(error: BaseException, phase: Phase, clock_synced: bool, wall_ns: int) -> Fault:
    """Judge why no session could be made. `wall_ns` is only for a Retry-After that is a date."""
    if isinstance(error, (ValueError, InvalidURI)):
        # The library could not follow a redirect: the redirect itself is the news.
        before = error.__cause__ or error.__context__
        error = before if isinstance(before, InvalidStatus) else error
    if isinstance(error, InvalidProxyStatus):
        status = error.response.status_code
        text = f"the proxy answered CONNECT with {status}"
        return Fault(FaultCause.PROXY_REFUSED, Side.PATH, Phase.PROXY, text, status)
    if isinstance(error, InvalidStatus):
        return _of_status(error.response, phase, wall_ns)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_verification(error, clock_synced)
    if isinstance(error, ssl.SSLError):
        return _of_tls(error, phase)
    if isinstance(error, (TimeoutError, socket.gaierror, OSError)):
        return _of_system(error, phase)
    if isinstance(error, ConnectionClosed):
        return of_close(error, phase)
    cause, side = FaultCause.INTERNAL, Side.OWN
    if isinstance(error, InvalidUpgrade):
        cause, side = FaultCause.UPGRADE_STRIPPED, Side.PATH
    elif isinstance(error, InvalidURI):
        cause, side = FaultCause.REDIRECTED, Side.PATH
    elif isinstance(error, NegotiationError):
        cause, side = FaultCause.SUBPROTOCOL, Side.PEER
    elif isinstance(error, ProxyError):
        cause, side = FaultCause.PROXY_REFUSED, Side.PATH
    elif isinstance(error, InvalidMessage) and isinstance(error.__cause__, ValueError):
        # HTTP/1.0, or no HTTP at all: somebody else answers in the centre's place.
        return Fault(FaultCause.UPGRADE_STRIPPED, Side.PATH, phase, _text(error.__cause__)[:200])
    elif isinstance(error, (InvalidMessage, EOFError)):
        cause, side = FaultCause.UPGRADE_EOF, Side.PEER
    return Fault(cause, side, phase, _text(error))


def of_close(error: ConnectionClosed, phase: Phase = Phase.SESSION) -> Fault:
    """Judge how a WebSocket connection ended that we did not end ourselves."""
    received = error.rcvd
    if received is not None and (error.rcvd_then_sent or error.sent is None):
        cause = _CLOSE.get(received.code, FaultCause.PEER_POLICY)  # 3000-4999: its own policy
        return Fault(
            cause, Side.PEER, phase, received.reason or f"close {received.code}", received.code
        )
    if error.sent is not None and error.sent.code != 1000:
        # Sent by the library for us: the peer broke RFC 6455, or a ping found no pong.
        half_open = error.sent.code == 1011 and "ping timeout" in error.sent.reason
        cause = FaultCause.HALF_OPEN if half_open else FaultCause.PROTOCOL
        side = Side.PATH if half_open else Side.PEER
        return Fault(cause, side, phase, error.sent.reason, error.sent.code)
    if isinstance(error.__cause__, OSError):
        return _of_system(error.__cause__, phase)
    return Fault(FaultCause.EOF, Side.PEER, phase, "connection ended without a close frame")


def of_bye(bye: Bye) -> Fault:
    """Judge an ending that the centre announced with `Bye`."""
    known = {code.value: cause for code, cause in _BYE.items()}
    cause = known.get(bye.code, FaultCause.PEER_STOPPED)
    retry_after_s = bye.retry_after_s if bye.retry_after_s > 0 else None
    return Fault(cause, Side.PEER, Phase.SESSION, bye.text, bye.code, retry_after_s)


def _of_system(error: OSError, phase: Phase) -> Fault:
    code = error.errno
    if isinstance(error, socket.gaierror):
        # EAI_AGAIN: no resolver reached; the others: it answered, there is no such name.
        lost = code in (socket.EAI_AGAIN, socket.EAI_FAIL)
        cause = FaultCause.DNS_UNREACHABLE if lost else FaultCause.DNS_NO_NAME
        side = Side.PATH if lost else Side.OWN
        return Fault(cause, side, Phase.DNS, _text(error), code)
    if code == errno.ETIMEDOUT and phase in (Phase.SESSION, Phase.HELLO):
        return Fault(FaultCause.PATH_TIMEOUT, Side.PATH, phase, _text(error), code)
    if isinstance(error, TimeoutError):
        cause = _TIMEOUTS.get(phase, FaultCause.CONNECT_TIMEOUT)
        side = Side.PEER if cause is FaultCause.WELCOME_TIMEOUT else Side.PATH
        return Fault(cause, side, phase, f"timed out in phase {phase}", code)
    if code in _NO_ROUTE:
        return Fault(FaultCause.NO_ROUTE, Side.PATH, phase, _text(error), code)
    if code == errno.ECONNREFUSED:
        return Fault(FaultCause.REFUSED, Side.PEER, phase, _text(error), code)
    if code in _RESET or isinstance(error, ConnectionResetError):  # asyncio's has no errno
        # Before the reply it is TLS policy as often as a reset: the server's log tells which.
        policy = phase is Phase.TLS
        cause = FaultCause.TLS_POLICY if policy else FaultCause.RESET
        return Fault(cause, Side.PEER, phase, _text(error), code)
    if code in _ADAPTER:
        return Fault(FaultCause.ADAPTER_LOST, Side.PATH, phase, _text(error), code)
    return Fault(FaultCause.UNKNOWN, Side.UNKNOWN, phase, _text(error), code)


def _of_verification(error: ssl.SSLCertVerificationError, clock_synced: bool) -> Fault:
    code = error.verify_code
    text = error.verify_message
    if code in (_VERIFY_NOT_YET, _VERIFY_EXPIRED):
        if not clock_synced:
            text = f"{text}, but our clock is not synchronised"
            return Fault(FaultCause.TLS_CLOCK, Side.OWN, Phase.TLS, text, code)
        return Fault(FaultCause.TLS_EXPIRED, Side.PEER, Phase.TLS, text, code)
    cause = FaultCause.TLS_WRONG_NAME if code in _VERIFY_NAMES else FaultCause.TLS_UNTRUSTED
    return Fault(cause, Side.PEER, Phase.TLS, text, code)


def _of_tls(error: ssl.SSLError, phase: Phase) -> Fault:
    reason = getattr(error, "reason", None) or ""  # only what OpenSSL raised has one
    # HTTP in place of TLS, as OpenSSL calls it.
    not_tls = reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Fault(FaultCause.UPGRADE_EOF, Side.PEER, phase, _text(error))
    cause = FaultCause.TLS_NOT_TLS if not_tls else FaultCause.TLS_POLICY
    side = Side.PATH if not_tls else Side.PEER
    return Fault(cause, side, phase, reason or _text(error))


def _of_status(response: Response, phase: Phase, wall_ns: int) -> Fault:
    status = response.status_code
    text = f"HTTP {status} {response.reason_phrase}"
    if 300 <= status < 400:
        text = f"{text} to {_header(response, 'Location') or '?'}"
        return Fault(FaultCause.REDIRECTED, Side.PATH, phase, text, status)
    retry_after_s = retry_after(_header(response, "Retry-After"), wall_ns)
    cause = _STATUS.get(status, FaultCause.HTTP_ERROR)
    return Fault(cause, Side.PEER, phase, text, status, retry_after_s)


def _header(response: Response, name: str) -> str | None:
    """Return a header; the first, where a box on the way has added its own."""
    values = response.headers.get_all(name)
    return values[0] if values else None


def retry_after(value: str | None, wall_ns: int) -> float | None:
    """Read an HTTP Retry-After: seconds or a date (RFC 9110 §10.2.3); ``None`` if unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall_ns / 1e9)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
