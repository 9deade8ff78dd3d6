"""How often a record may ask for a flush at once: a token bucket.

Owns the count only, so that a storm of trouble events cannot wear the card. Pure.
"""

URGENT_RATE = 1.0
URGENT_BURST = 10.0
"""Flushes a second that urgent records may ask for, and how many at once."""


class Urgency:
    """The bucket of one spool; full at first."""

    def __init__(self) -> None:
        self._tokens = URGENT_BURST
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        self._tokens = min(URGENT_BURST, self._tokens + (now - self._at) * URGENT_RATE)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
