"""From a whole request to an answer: 101 with a session, or a refusal.

Owns the choice between the short path and websockets' for the opening handshake (RFC 6455 §4.2).
Who may come in is the host's decision.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from websockets.http11 import Request
from websockets.protocol import State

from gateway.centre.handshake import (
    Rejection,
    UpgradeRequest,
    accepted,
    parse_usual,
    refused,
)
from gateway.centre.judge import StrictProtocol
from gateway.centre.link_host import LinkHost, LinkSession
from gateway.wire.message import SUBPROTOCOL

if TYPE_CHECKING:
    from gateway.centre.link import Link


@dataclass(frozen=True, slots=True)
class Admitted:
    """Send `answer`. `judge` is kept for life when an extension was negotiated."""

    session: LinkSession
    answer: bytes
    judge: StrictProtocol | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Send `answer` and close. `phase` is the metric's."""

    phase: str
    answer: bytes


def upgrade(host: LinkHost, link: "Link", head: bytes) -> Admitted | Refused:
    """Answer a request; `head` ends with its empty line."""
    usual = parse_usual(head)
    if usual is None or (usual.deflate and host.deflate):
        return _unusual(host, link, head)
    verdict = host.admit(link, usual.request)
    if isinstance(verdict, Rejection):
        return refuse(verdict)
    return Admitted(verdict, accepted(usual.key))


def refuse(rejection: Rejection) -> Refused:
    """Word a rejection."""
    return Refused(rejection.phase, refused(rejection))


def _unusual(host: LinkHost, link: "Link", head: bytes) -> Admitted | Refused:
    """Let websockets read the request and negotiate; ours is only who may come in."""
    judge = StrictProtocol(State.CONNECTING, host.max_message, deflate=host.deflate)
    judge.receive_data(head)
    request = next((e for e in judge.events_received() if isinstance(e, Request)), None)
    if request is None:
        return refuse(Rejection(400, "http", "This is not an HTTP/1.1 request."))
    response = judge.accept(request)
    if response.status_code != 101:
        judge.send_response(response)
        return Refused("upgrade", b"".join(judge.data_to_send()))
    if judge.subprotocol is None:
        text = f"Sec-WebSocket-Protocol must offer {SUBPROTOCOL}."
        return refuse(Rejection(400, "upgrade", text))
    headers: dict[str, str] = {}
    for name, value in request.headers.raw_items():  # one that came twice is nobody's credential
        before = headers.get(name.lower())
        headers[name.lower()] = value if before is None else f"{before}, {value}"
    verdict = host.admit(link, UpgradeRequest(request.path, headers))
    if isinstance(verdict, Rejection):
        return refuse(verdict)
    judge.send_response(response)
    answer = b"".join(judge.data_to_send())
    return Admitted(verdict, answer, judge if judge.extensions else None)
