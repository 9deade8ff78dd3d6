"""The table of fault signatures; what real servers give is in `test_dial` and `test_session`."""

import errno
import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidStatus,
)
from websockets.frames import Close
from websockets.http11 import Response

from gateway.agent.faults import (
    FaultCause,
    Phase,
    Side,
    of_bye,
    of_close,
    of_connect,
    retry_after,
)
from gateway.wire.message import Bye, ByeCode


def _closed(
    received: Close | None, sent: Close | None, received_first: bool | None
) -> ConnectionClosedError:
    return ConnectionClosedError(received, sent, received_first)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (1001, FaultCause.PEER_STOPPED),
        (1002, FaultCause.PEER_PROTOCOL),
        (1008, FaultCause.PEER_POLICY),
        (1009, FaultCause.PEER_TOO_BIG),
        (1011, FaultCause.PEER_ERROR),
        (1012, FaultCause.PEER_STOPPED),
        (1013, FaultCause.PEER_TRY_LATER),
        (4001, FaultCause.PEER_POLICY),
    ],
)
def test_close_frames_received(code: int, cause: FaultCause) -> None:
    """A close frame of the peer is the peer's doing, whatever we answered."""
    fault = of_close(_closed(Close(code, "why"), Close(code, ""), True))
    assert (fault.cause, fault.side, fault.code, fault.text) == (cause, Side.PEER, code, "why")


def test_1011_that_we_sent_is_not_the_servers() -> None:
    """websockets sends 1011 itself when a pong is missing: rcvd is None then."""
    fault = of_close(_closed(None, Close(1011, "keepalive ping timeout"), None))
    assert (fault.cause, fault.side) == (FaultCause.HALF_OPEN, Side.PATH)
    fault = of_close(_closed(None, Close(1002, "invalid opcode"), None))
    assert (fault.cause, fault.side) == (FaultCause.PROTOCOL, Side.PEER)


@pytest.mark.parametrize(
    ("code", "cause", "side"),
    [
        (errno.ECONNRESET, FaultCause.RESET, Side.PEER),
        (errno.EPIPE, FaultCause.RESET, Side.PEER),
        (errno.ETIMEDOUT, FaultCause.PATH_TIMEOUT, Side.PATH),
        (errno.EHOSTUNREACH, FaultCause.NO_ROUTE, Side.PATH),
        (errno.ENODEV, FaultCause.ADAPTER_LOST, Side.PATH),
        (errno.EDOM, FaultCause.UNKNOWN, Side.UNKNOWN),
    ],
)
def test_a_connection_lost_with_an_error(code: int, cause: FaultCause, side: Side) -> None:
    """1006 has the kernel's reason as its cause."""
    error = _closed(None, None, None)
    error.__cause__ = OSError(code, "x")
    fault = of_close(error)
    assert (fault.cause, fault.side, fault.code) == (cause, side, code)


def test_a_connection_lost_without_a_word() -> None:
    """A FIN without a close frame: a proxy's idle time-out, or a killed process."""
    assert of_close(_closed(None, None, None)).cause is FaultCause.EOF


@pytest.mark.parametrize(
    ("error", "phase", "cause"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "x"), Phase.DNS, FaultCause.DNS_UNREACHABLE),
        (socket.gaierror(socket.EAI_NONAME, "x"), Phase.DNS, FaultCause.DNS_NO_NAME),
        (OSError(errno.ENETUNREACH, "x"), Phase.TCP, FaultCause.NO_ROUTE),
        (TimeoutError(), Phase.DNS, FaultCause.DNS_UNREACHABLE),
        (TimeoutError(), Phase.TCP, FaultCause.CONNECT_TIMEOUT),
        (TimeoutError(), Phase.PROXY, FaultCause.CONNECT_TIMEOUT),
        (TimeoutError(errno.ETIMEDOUT, "x"), Phase.TCP, FaultCause.CONNECT_TIMEOUT),
        (ConnectionResetError(errno.ECONNRESET, "x"), Phase.TLS, FaultCause.TLS_POLICY),
        (ConnectionResetError(errno.ECONNRESET, "x"), Phase.UPGRADE, FaultCause.RESET),
        (ConnectionResetError(), Phase.TLS, FaultCause.TLS_POLICY),
        (ssl.SSLEOFError(8, "EOF"), Phase.TLS, FaultCause.UPGRADE_EOF),
        (ssl.SSLError(1, "alert"), Phase.UPGRADE, FaultCause.TLS_POLICY),
        (EOFError("stream ended"), Phase.UPGRADE, FaultCause.UPGRADE_EOF),
        (ConnectionClosedOK(None, None, None), Phase.UPGRADE, FaultCause.EOF),
        (KeyError("x"), Phase.UPGRADE, FaultCause.INTERNAL),
    ],
)
def test_errors_before_a_session(error: BaseException, phase: Phase, cause: FaultCause) -> None:
    """Each shape has one cause; the phase decides what a time-out means."""
    assert of_connect(error, phase, True, 0).cause is cause


@pytest.mark.parametrize(
    ("code", "synced", "cause", "side"),
    [
        (9, False, FaultCause.TLS_CLOCK, Side.OWN),
        (10, False, FaultCause.TLS_CLOCK, Side.OWN),
        (10, True, FaultCause.TLS_EXPIRED, Side.PEER),
        (18, True, FaultCause.TLS_UNTRUSTED, Side.PEER),
        (62, False, FaultCause.TLS_WRONG_NAME, Side.PEER),
    ],
)
def test_certificates(code: int, synced: bool, cause: FaultCause, side: Side) -> None:
    """ "Not valid now" with a clock nobody set is our clock's fault, not the certificate's."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "text"
    fault = of_connect(error, Phase.TLS, synced, 0)
    assert (fault.cause, fault.side, fault.code) == (cause, side, code)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, 999999999.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds or a date; rubbish is no answer."""
    assert retry_after(value, 10_000_000_000) == seconds


def test_bye() -> None:
    """The centre's goodbye says why, and how long to stay away."""
    fault = of_bye(Bye(ByeCode.DRAINING, "restart", 12.0))
    assert (fault.cause, fault.side, fault.retry_after_s) == (
        FaultCause.PEER_STOPPED,
        Side.PEER,
        12.0,
    )
    assert of_bye(Bye(ByeCode.NOT_AUTHORISED, "", 0.0)).cause is FaultCause.UNAUTHORISED
    assert of_bye(Bye(ByeCode.OVERLOADED, "", 0.0)).retry_after_s is None
    assert of_bye(Bye(99, "", 0.0)).cause is FaultCause.PEER_STOPPED


def test_fields_leave_out_what_is_unknown() -> None:
    """An event of a fault has no empty fields and no endless text."""
    fields = dict(of_close(_closed(Close(4000, "x" * 120), None, None)).fields())
    assert fields["code"] == 4000
    assert "retry_after_s" not in fields


def test_headers_given_twice() -> None:
    """A box on the way that adds its own header beside the server's breaks no verdict."""
    headers = Headers([("Retry-After", "7"), ("Retry-After", "9")])
    fault = of_connect(InvalidStatus(Response(503, "x", headers)), Phase.UPGRADE, True, 0)
    assert (fault.cause, fault.retry_after_s) == (FaultCause.OVERLOADED, 7.0)
    headers = Headers([("Location", "http://a/"), ("Location", "http://b/")])
    fault = of_connect(InvalidStatus(Response(302, "x", headers)), Phase.UPGRADE, True, 0)
    assert fault.cause is FaultCause.REDIRECTED and "http://a/" in fault.text


@pytest.mark.parametrize(
    ("cause", "verdict"),
    [
        (ValueError("unsupported protocol; expected HTTP/1.1"), FaultCause.UPGRADE_STRIPPED),
        (EOFError("connection closed"), FaultCause.UPGRADE_EOF),
    ],
)
def test_an_answer_that_is_no_http_1_1(cause: Exception, verdict: FaultCause) -> None:
    """Somebody else who answers is told from nobody who does."""
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__ = cause
    assert of_connect(error, Phase.UPGRADE, True, 0).cause is verdict
