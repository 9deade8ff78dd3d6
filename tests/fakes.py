"""Fakes that implement a whole small interface, named for their misbehaviour."""

from collections import deque


class LossyLink:
    """Messages between two ends, each direction in order, until told to misbehave.

    Nothing is delivered by itself: `deliver` hands out the next message of a direction. `drop`,
    `duplicate` and `swap` do to the queue what their names say; `cut` loses everything under way
    for good. Delay is what happens while nobody calls `deliver`.
    """

    def __init__(self) -> None:
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.is_cut = False

    def deliver(self, queue: deque[bytes]) -> bytes | None:
        """Take the next message of `queue` (`up` or `down`)."""
        return queue.popleft() if queue else None

    def drop(self, queue: deque[bytes]) -> None:
        """Lose the next message."""
        if queue:
            queue.popleft()

    def duplicate(self, queue: deque[bytes]) -> None:
        """Let the next message arrive twice."""
        if queue:
            queue.appendleft(queue[0])

    def swap(self, queue: deque[bytes]) -> None:
        """Let the second message overtake the first."""
        if len(queue) > 1:
            queue[0], queue[1] = queue[1], queue[0]

    def cut(self) -> None:
        """End the connection; both ends see it at once."""
        self.up.clear()
        self.down.clear()
        self.is_cut = True
