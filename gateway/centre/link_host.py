"""What a link is in, and needs from around it: its session and the host it shares with others.

Owns the two seams only; `door` is the host, `session` the session.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from gateway.centre.ending import Ending
from gateway.centre.handshake import Rejection, UpgradeRequest
from gateway.centre.metrics import Metrics
from gateway.centre.wheel import TimerWheel

if TYPE_CHECKING:
    from gateway.centre.link import Link


class Phase(IntEnum):
    """Where a connection is in its life."""

    HANDSHAKE = 0
    OPEN = 1
    CLOSING = 2
    LOST = 3


class Hold(IntEnum):
    """Why nothing is read from a connection for now (bits)."""

    PEER = 1
    """It does not read what we send."""
    STORE = 2
    """The store is behind."""


class LinkSession(Protocol):
    """What a link carries once it is open."""

    def message_received(self, message: bytes) -> None:
        """Take one whole message."""

    def handle_due(self, now: float) -> float:
        """Do what is due; return when to ask again (seconds, ``inf``: never)."""

    def link_lost(self, ending: Ending) -> None:
        """The connection is over; comes exactly once."""


class LinkHost(Protocol):
    """What links share: limits, counters and the door's decisions."""

    wheel: TimerWheel
    max_message: int
    heartbeat_s: float
    heartbeat_timeout_s: float
    handshake_timeout_s: float
    close_timeout_s: float
    deflate: bool
    metrics: Metrics
    now: Callable[[], float]

    def link_made(self, link: "Link") -> Rejection | None:
        """Count a connection in; return a rejection when there is no room."""

    def admit(self, link: "Link", request: UpgradeRequest) -> LinkSession | Rejection:
        """Decide on a well-formed request."""

    def link_opened(self, link: "Link") -> None:
        """The 101 answer is on its way."""

    def handshake_failed(self, link: "Link", phase: str) -> None:
        """Count a handshake that came to nothing; exactly once for each."""

    def link_lost(self, link: "Link") -> None:
        """Count a connection out."""

    def round_trip(self, seconds: float) -> None:
        """Note one measured round trip."""
