"""The RS-485 side: the adapter is pulled out, the line is noisy. Neither costs a session.

Owns how long it lasts; the port's behaviour is `serial_bus`'s. What is stored meanwhile must be bad
with its cause, never wrong and never silence.
"""

import time

from hil.capability import Capability
from hil.injector import Injector, Scope
from hil.ledger import Expected
from hil.serial_bus import SerialBus

OUT_S = 4.0
NOISY_S = 6.0
NOISE = 0.5


class PortUnplugged(Injector):
    """The USB adapter of a gateway's bus is pulled out and put back."""

    name = "port_unplugged"
    scope = Scope.GATEWAY
    needs = (Capability.PTY,)

    def __init__(self, bus: SerialBus) -> None:
        self._bus = bus

    def expected(self) -> Expected:
        """Nobody falls."""
        return Expected((), None)

    def inject(self) -> None:
        """Pull it out."""
        self._bus.unplug()
        time.sleep(OUT_S)

    def clear(self) -> None:
        """Put it back."""
        self._bus.plug()


class LineNoise(Injector):
    """Half of the replies have a damaged character."""

    name = "line_noise"
    scope = Scope.GATEWAY
    needs = (Capability.PTY,)

    def __init__(self, bus: SerialBus) -> None:
        self._bus = bus

    def expected(self) -> Expected:
        """Nobody falls."""
        return Expected((), None)

    def inject(self) -> None:
        """Be noisy."""
        self._bus.noise = NOISE
        time.sleep(NOISY_S)

    def clear(self) -> None:
        """Be quiet."""
        self._bus.noise = 0.0
