"""The pulse of a link: its last ping, and how long pongs took.

Owns the round trips of one connection. When to ping is the link's business; reads no clock.
"""

import math
import struct

from gateway.centre.frames import ping_frame

_SECONDS = struct.Struct(">d")


class Pulse:
    """One ping is out at a time; its payload is the instant it was sent."""

    __slots__ = ("last_s", "least_s", "most_s", "pinged", "ponged")

    def __init__(self) -> None:
        self.pinged = 0.0
        """When the ping was sent that waits for its pong; 0.0: none."""
        self.ponged = 0.0
        """When the last pong came; 0.0: never."""
        self.last_s = -1.0
        """The last round trip; -1.0: none yet."""
        self.least_s = math.inf
        self.most_s = 0.0

    def ping(self, now: float) -> bytes:
        """Return a ping frame to send now."""
        self.pinged = now
        return ping_frame(_SECONDS.pack(now))

    def pong(self, payload: bytes, now: float) -> float | None:
        """Return the round trip if the pong answers our ping; any other pong proves life only."""
        if not self.pinged or payload != _SECONDS.pack(self.pinged):
            return None
        taken = now - self.pinged
        self.ponged, self.pinged, self.last_s = now, 0.0, taken
        self.least_s = min(self.least_s, taken)
        self.most_s = max(self.most_s, taken)
        return taken
