"""How the centre saw a session end, and what that alone decides.

Owns the meaning of the centre's words for attribution. The words are `centre.ending`'s; they stand
here as text, because this floor does not know that room, and a test holds both together.
"""

from enum import StrEnum

from gateway.correlation.evidence import Session
from gateway.correlation.verdict import Cause


class End(StrEnum):
    """What an ending is as evidence."""

    DECIDED = "decided"
    """The centre itself did it, and knows why."""
    REPLACED = "replaced"
    """The gateway came in again while the centre held the session still."""
    GOODBYE = "goodbye"
    """The agent took its leave."""
    SPOKEN = "spoken"
    """A packet ended it: FIN or RST."""
    SILENT = "silent"
    """Nothing came any more."""
    OTHER = "other"


DECIDED = {
    "draining": Cause.CENTRE_DRAINED,
    "centre_lost": Cause.CENTRE_KILLED,
    "store_failed": Cause.CENTRE_ERROR,
    "internal": Cause.CENTRE_ERROR,
    "identity": Cause.CENTRE_REFUSED,
    "revoked": Cause.CENTRE_REFUSED,
    "protocol_error": Cause.CENTRE_REFUSED,
    "too_big": Cause.CENTRE_REFUSED,
}
"""What the centre did and why; a 1011 that it sent for want of a pong is none of these."""
NO_PONG = "no_pong"
_ENDS = {
    "replaced": End.REPLACED,
    "reset": End.SPOKEN,
    "end_of_stream": End.SPOKEN,
    "network_error": End.SPOKEN,
    "timed_out": End.SILENT,
    "unreachable": End.SILENT,
    NO_PONG: End.SILENT,
}
_LEAVES = frozenset({"normal", "going_away"})


def end_of(session: Session) -> End:
    """Return what a session's ending is as evidence."""
    if session.cause in DECIDED:
        return End.DECIDED
    if session.side == "agent" and session.cause in _LEAVES:
        return End.GOODBYE
    return _ENDS.get(session.cause, End.OTHER)


def words(session: Session) -> str:
    """Return how the centre saw it end, as a line of evidence."""
    code = "" if session.code is None else f" {session.code}"
    reason = f" “{session.reason[:60]}”" if session.reason else ""
    said = f"{session.node} saw it end by {session.side}: {session.cause}{code}{reason}"
    ages = [
        f"last {name} {age_s:.1f} s before"
        for name, age_s in (
            ("message", session.last_message_age_s),
            ("pong", session.last_pong_age_s),
        )
        if age_s is not None
    ]
    dead = ["TCP: the path was dead"] if session.path_dead else []
    return "; ".join([said, *ages, *dead])
