"""How a gateway itself saw a session end, told afterwards.

Owns the choice between the two ways it is told (the event ``session_ended``, and `Hello.ended` of
the next session) and what the agent's words mean here. The words are `agent.faults`' causes; they
stand here as text, because this floor does not know that room, and a test holds both together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway.correlation.evidence import Pairs, Seen, Session
from gateway.event import Scalar

REPLACED_CODE = 4
"""`wire.message.ByeCode.REPLACED`."""


class Told(StrEnum):
    """What an account comes down to."""

    STOPPED = "stopped"
    """The daemon left on purpose."""
    RECONFIGURED = "reconfigured"
    """A reload restarted the uplink."""
    CONTINUED = "continued"
    """It made way for the next session of the same daemon."""
    DRAINED = "drained"
    """The other side said goodbye."""
    REFUSED = "refused"
    """The other side sent it away."""
    CENTRE_ERROR = "centre_error"
    """1011 was received."""
    CLOSED = "closed"
    """FIN without a Close: somebody between, or the far kernel, closed it."""
    RESET = "reset"
    """A TCP RST came in."""
    SILENT = "silent"
    """Nothing came any more: no pong, no ACK."""
    ADAPTER = "adapter"
    """The host's adapter went away under the socket."""
    OTHER = "other"
    """What leads nowhere by itself."""


_TOLD = {
    "stopped": Told.STOPPED,
    "reconfigured": Told.RECONFIGURED,
    "continued": Told.CONTINUED,
    "peer_stopped": Told.DRAINED,
    "peer_policy": Told.REFUSED,
    "peer_protocol": Told.REFUSED,
    "peer_too_big": Told.REFUSED,
    "peer_try_later": Told.REFUSED,
    "unauthorised": Told.REFUSED,
    "overloaded": Told.REFUSED,
    "peer_error": Told.CENTRE_ERROR,
    "eof": Told.CLOSED,
    "reset": Told.RESET,
    "half_open": Told.SILENT,
    "path_timeout": Told.SILENT,
    "no_route": Told.SILENT,
    "adapter_lost": Told.ADAPTER,
}
SPOKEN = frozenset({Told.CLOSED, Told.RESET})
"""A packet ended it: the gateway's own link worked."""
UNASKED = SPOKEN | {Told.SILENT, Told.ADAPTER}
"""Ends that nobody wanted."""


@dataclass(frozen=True, slots=True)
class Account:
    """One gateway's word. `at_source_ns`: when, in the session's boot; ``None``: it told only
    with its next `Hello`. `lasted_s`: how long the session was, by the gateway."""

    told: Told
    cause: str
    side: str
    code: int | None
    text: str
    path_dead: bool
    at_source_ns: int | None
    lasted_s: float | None


def account_of(session: Session, following: Session | None, ends: Iterable[Seen]) -> Account | None:
    """Return how the gateway saw a session end; ``None``: it has not told. `ends`: its events
    ``session_ended`` of that session, in order."""
    for first in ends:
        return _account(first.fields, first.source_time_ns)
    if following is None or following.last_session != session.number:
        return None
    if text_of(following.ended, "phase") != "session":
        return None  # it tells of an attempt to connect, not of this session
    return _account(following.ended, None)


def _account(fields: Pairs, at_source_ns: int | None) -> Account:
    cause = text_of(fields, "cause")
    code = number_of(fields, "code")
    lasted = value_of(fields, "duration_s")
    told = _TOLD.get(cause, Told.OTHER)
    if cause == "peer_policy" and code == REPLACED_CODE:
        told = Told.CONTINUED
    return Account(
        told,
        cause,
        text_of(fields, "side"),
        code,
        text_of(fields, "text"),
        value_of(fields, "tcp_path_dead") is True,
        at_source_ns,
        float(lasted) if isinstance(lasted, int | float) else None,
    )


def value_of(fields: Pairs, name: str) -> Scalar:
    """Return a field's value; ``None`` if it is not there."""
    return next((value for key, value in fields if key == name), None)


def text_of(fields: Pairs, name: str) -> str:
    """Return a text; empty if it is not there or none."""
    value = value_of(fields, name)
    return value if isinstance(value, str) else ""


def number_of(fields: Pairs, name: str) -> int | None:
    """Return a whole number; ``None`` if it is not there or none."""
    value = value_of(fields, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
