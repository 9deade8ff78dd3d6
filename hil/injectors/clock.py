"""A wrong clock after a boot: no battery, and no time server answers yet.

Owns the pair of a power cut and the clock it leaves behind. A clock that is weeks slow loses no
session by itself: it keeps the gateway from coming back, because the centre's certificate is not
valid yet. OpenSSL asks libc for the time, so `libc_time.c` stands before it in the agent.
"""

import time

from gateway.correlation.verdict import Cause, HeldBy
from hil.boards import Reset
from hil.boxes import Box
from hil.capability import Capability
from hil.injector import Injector, Scope
from hil.ledger import Expected

OFF_S = 4.0
HELD_S = 8.0
"""How long the time server is not reached, at least: some attempts to connect fail in it."""
SLOW_S = -30 * 86400.0
"""The clock of a machine without a battery starts where its image was built."""


class WrongClock(Injector):
    """Power goes, comes back, and the clock is a month slow until it is synchronised."""

    name = "wrong_clock"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS, Capability.CC)

    def __init__(self, box: Box) -> None:
        self._box = box
        self._wrong_since: float | None = None
        self._off = False

    def expected(self) -> Expected:
        """Lost by the cut, held by the clock."""
        return Expected((self._box.member.gateway,), Cause.POWER_CUT, (HeldBy.CLOCK,))

    def inject(self) -> None:
        """Cut, boot with the wrong clock."""
        machine = self._box.machine
        machine.time_from_libc()
        self._off = True
        self._box.power_off()
        time.sleep(OFF_S)
        machine.boot(Reset.POWER_ON, clean=False, synced=False, wall_off_s=SLOW_S)
        self._wrong_since = time.monotonic()
        self._box.power_on()
        self._off = False

    def clear(self) -> None:
        """Reach a time server."""
        if self._off:
            self._box.machine.boot(Reset.POWER_ON, clean=False)
            self._box.power_on()
            self._off = False
        if self._wrong_since is not None:
            time.sleep(max(0.0, self._wrong_since + HELD_S - time.monotonic()))
            self._wrong_since = None
        self._box.machine.wall(0.0, synced=True)
