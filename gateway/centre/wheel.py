"""One timer wheel for every link: no task and no timer handle per connection.

Owns when a link is looked at again; what is due is the link's own business. Never reads a clock:
`turn(now)` is called by the one loop timer of `door`. A hashed wheel (Varghese & Lauck 1987, scheme
6): an entry that is found before it is due is put back.
"""

from typing import Protocol

SLOTS = 256


class Timed(Protocol):
    """What sits in the wheel. `due`: the instant it wants to be looked at; 0.0 never again."""

    due: float

    def handle_due(self, now: float) -> None:
        """Do what is due and place itself again if it wants to be seen again."""


class TimerWheel:
    """Slots of `tick_s` seconds. An entry is found within two ticks after it is due."""

    __slots__ = ("_next", "_slots", "tick_s")

    def __init__(self, tick_s: float, now: float) -> None:
        self.tick_s = tick_s
        self._slots: list[set[Timed]] = [set() for _ in range(SLOTS)]
        self._next = int(now / tick_s)

    def place(self, entry: Timed, due: float) -> None:
        """Look at `entry` at `due` and no more at the instant it asked for before."""
        entry.due = due
        self._put(entry)

    def turn(self, now: float) -> None:
        """Let every entry handle what is due. A late call (a busy loop) catches up."""
        last = int(now / self.tick_s)
        if last - self._next >= SLOTS:
            self._next = last - SLOTS + 1
        while self._next <= last:
            index = self._next % SLOTS
            slot = self._slots[index]
            self._slots[index] = set()
            self._next += 1
            for entry in slot:
                if entry.due == 0.0:
                    continue
                if entry.due <= now:
                    entry.due = 0.0
                    entry.handle_due(now)
                else:  # placed again, or further ahead than the wheel reaches
                    self._put(entry)

    def _put(self, entry: Timed) -> None:
        # A set: an entry that was placed twice for one slot is there once.
        index = max(int(entry.due / self.tick_s) + 1, self._next)
        self._slots[min(index, self._next + SLOTS - 1) % SLOTS].add(entry)
