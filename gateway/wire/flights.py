"""What an agent has in flight: which seqs each message held, and the window they fill.

Owns the match of acks to messages. A message leaves when every record of it was acked or refused.
"""

from collections.abc import Sequence

from gateway.wire.ledger import subtract
from gateway.wire.message import Interval, Lane
from gateway.wire.window import Flight, Window

LIVE_ROOM = 64 * 1024
"""Bytes the live lane may have in flight however small the window is."""


class _Sent:
    """A message in flight and the seqs of it nobody has answered for."""

    __slots__ = ("flight", "lane", "refused", "waiting")

    def __init__(self, flight: Flight, waiting: list[Interval], lane: Lane) -> None:
        self.flight = flight
        self.waiting = waiting
        self.lane = lane
        self.refused = False


class Flights:
    """Both lanes of one session."""

    __slots__ = ("_live", "_sent", "waiting_since", "window")

    def __init__(self, now: float) -> None:
        self.window = Window(LIVE_ROOM, now)
        self.waiting_since: float | None = None
        """Since when nothing was answered though something is in flight."""
        self._sent: dict[int, list[_Sent]] = {}
        self._live = 0

    def live_room(self) -> int:
        """Return the bytes the live lane may send now."""
        window = self.window
        room = max(LIVE_ROOM, window.size) - self._live
        return max(0, min(room, window.limit - window.in_flight))

    def backlog_room(self) -> int:
        """Return the bytes the backlog may send now; 0 until it is worth a message."""
        room = self.window.room()
        if room <= 0 or (self.window.in_flight and room < self.window.body() // 2):
            return 0
        return room

    def sent(
        self, epoch: int, intervals: list[Interval], size: int, lane: Lane, now: float
    ) -> None:
        """Note a message with these seqs."""
        if not self.window.in_flight:
            self.waiting_since = now
        if lane is Lane.LIVE:
            self._live += size
        flight = self.window.sent(size, now)
        self._sent.setdefault(epoch, []).append(_Sent(flight, intervals, lane))

    def acked(self, epoch: int, intervals: Sequence[Interval], now: float) -> None:
        """Note an answer that says: committed."""
        done = self._answered(epoch, intervals, refused=False, now=now)
        flights = [sent.flight for sent in done if not sent.refused]
        if flights:
            self.window.acked(flights, now)
        self._settle(now)

    def refused(self, epoch: int, intervals: Sequence[Interval], now: float) -> None:
        """Note an answer that says: not stored."""
        self._answered(epoch, intervals, refused=True, now=now)
        self._settle(now)

    def _answered(
        self, epoch: int, intervals: Sequence[Interval], *, refused: bool, now: float
    ) -> list[_Sent]:
        done = []
        rest = []
        low, high = intervals[0][0], intervals[-1][1]
        for sent in self._sent.get(epoch, ()):
            if sent.waiting[0][0] <= high and sent.waiting[-1][1] >= low:
                before = sent.waiting
                sent.waiting = subtract(before, intervals)
                sent.refused |= refused and sent.waiting != before
            if sent.waiting:
                rest.append(sent)
                continue
            done.append(sent)
            if sent.lane is Lane.LIVE:
                self._live -= sent.flight.size
            if sent.refused:
                self.window.dropped(sent.flight)
        self._sent[epoch] = rest
        return done

    def _settle(self, now: float) -> None:
        self.waiting_since = now if self.window.in_flight else None
