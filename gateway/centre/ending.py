"""How a connection ended: by whom and why, in closed sets.

Owns the words for endings, used alike by the metrics, the store and the logs. Never decides to end
anything. Sources: RFC 6455 §7.4.1 for codes, errno(3) for the network's.
"""

import errno
from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Who ended it, as the centre saw it."""

    AGENT = "agent"
    CENTRE = "centre"
    NETWORK = "network"


class EndCause(StrEnum):
    """Why a connection ended."""

    NORMAL = "normal"
    """Close 1000, or a `Bye` without trouble."""
    GOING_AWAY = "going_away"
    """Close 1001 from the agent: it stops or restarts."""
    PEER_ERROR = "peer_error"
    """The agent closed with any other code."""
    RESET = "reset"
    """ECONNRESET or EPIPE: a dead process, a firewall or a proxy."""
    END_OF_STREAM = "end_of_stream"
    """TCP FIN without a Close (1006): a killed process or a proxy."""
    TIMED_OUT = "timed_out"
    """ETIMEDOUT: nobody acknowledged what we sent."""
    UNREACHABLE = "unreachable"
    """EHOSTUNREACH, ENETUNREACH and the like."""
    NETWORK_ERROR = "network_error"
    """Any other error of the socket or of TLS."""
    NO_PONG = "no_pong"
    """Silent for heartbeat + time-out."""
    NO_HELLO = "no_hello"
    """Upgraded, but no `Hello` came in time."""
    PROTOCOL_ERROR = "protocol_error"
    """RFC 6455 or `gateway.v1` was broken."""
    TOO_BIG = "too_big"
    """A message longer than allowed."""
    DRAINING = "draining"
    """The centre stops."""
    REPLACED = "replaced"
    """The same gateway came in again."""
    IDENTITY = "identity"
    """Another box with the same gateway id is connected."""
    REVOKED = "revoked"
    """The token was revoked."""
    STORE_FAILED = "store_failed"
    """The store could not take or answer."""
    INTERNAL = "internal"
    """A bug here."""
    CENTRE_LOST = "centre_lost"
    """The centre itself was killed; found at its next start."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One ending. `code` as in RFC 6455 (1006: no Close was exchanged)."""

    side: Side
    cause: EndCause
    code: int
    reason: str


_AGENT_CODES = {1000: EndCause.NORMAL, 1001: EndCause.GOING_AWAY, 1005: EndCause.NORMAL}
_ERRNO_CAUSES = {
    errno.ECONNRESET: EndCause.RESET,
    errno.EPIPE: EndCause.RESET,
    errno.ECONNABORTED: EndCause.RESET,
    errno.ETIMEDOUT: EndCause.TIMED_OUT,
    errno.EHOSTUNREACH: EndCause.UNREACHABLE,
    errno.ENETUNREACH: EndCause.UNREACHABLE,
    errno.ENETDOWN: EndCause.UNREACHABLE,
    errno.EHOSTDOWN: EndCause.UNREACHABLE,
}
MAX_REASON = 120
"""Characters kept of a reason; RFC 6455 allows 123 bytes."""


def closed_by_agent(code: int, reason: str) -> Ending:
    """Return the ending for a Close the agent sent first."""
    return Ending(
        Side.AGENT, _AGENT_CODES.get(code, EndCause.PEER_ERROR), code, reason[:MAX_REASON]
    )


def cut(error: BaseException | None) -> Ending:
    """Return the ending for a connection that ended without a Close."""
    if error is None:
        return Ending(Side.NETWORK, EndCause.END_OF_STREAM, 1006, "end of stream")
    number = error.errno if isinstance(error, OSError) else None
    name = errno.errorcode.get(number, "") if number is not None else ""
    cause = _ERRNO_CAUSES.get(number or 0, EndCause.NETWORK_ERROR)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        cause = EndCause.RESET
    elif isinstance(error, TimeoutError):
        cause = EndCause.TIMED_OUT
    return Ending(Side.NETWORK, cause, 1006, (name or type(error).__name__)[:MAX_REASON])
