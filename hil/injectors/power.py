"""The supply: it sags for some seconds, then it is gone; of one gateway or of a whole feeder.

Owns the course of the voltage. The gateway sees it as its board can (a Pi's alarm bit, millivolts
of an INA2xx, the Pi 5's own ADC), then process and sockets end without a packet. What power-on
finds is what such a board shows: a power-on reset, a file system that must recover.
"""

import time
from collections.abc import Sequence

from gateway.correlation.verdict import Cause
from hil.boards import Reset
from hil.boxes import Box
from hil.capability import Capability
from hil.injector import Injector, Scope
from hil.ledger import Expected

SAG = (0.97, 0.93, 0.90, 0.88, 0.86, 0.85)
"""Parts of the nominal voltage, one a step: a converter that gives in takes seconds."""
STEP_S = 0.9
OFF_S = 4.0
"""At least so long without power."""


class PowerSagThenCut(Injector):
    """One gateway's supply."""

    name = "power_sag_then_cut"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS)

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._boxes = tuple(boxes)
        self._off: list[Box] = []
        self._cut_at = 0.0

    def expected(self) -> Expected:
        """The supply sagged and then was gone, so both names are right."""
        gateways = tuple(box.member.gateway for box in self._boxes)
        return Expected(gateways, Cause.BROWN_OUT, also=(Cause.POWER_CUT,))

    def inject(self) -> None:
        """Sag, then cut."""
        for part in SAG:
            for box in self._boxes:
                box.machine.supply_v(box.machine.traits.volts * part)
            time.sleep(STEP_S)
        self._cut_at = time.monotonic()
        for box in self._boxes:
            self._off.append(box)
            box.power_off()

    def clear(self) -> None:
        """Give power back: a boot of its own for each gateway."""
        if not self._off:
            for box in self._boxes:
                box.machine.supply_v(box.machine.traits.volts)
        time.sleep(max(0.0, self._cut_at + OFF_S - time.monotonic()) if self._off else 0.0)
        while self._off:
            box = self._off.pop()
            box.machine.boot(Reset.POWER_ON, clean=False, sagged=True)
            box.power_on()


class FeederPowerCut(PowerSagThenCut):
    """Every gateway on one feeder."""

    name = "feeder_power_cut"


class PlainPowerCut(PowerSagThenCut):
    """A plug pulled: no sag that one look a second could see."""

    name = "power_cut"

    def expected(self) -> Expected:
        """Only what the power-on reset tells is there."""
        gateways = tuple(box.member.gateway for box in self._boxes)
        return Expected(gateways, Cause.POWER_CUT)

    def inject(self) -> None:
        """Cut."""
        self._cut_at = time.monotonic()
        for box in self._boxes:
            self._off.append(box)
            box.power_off()

    def clear(self) -> None:
        """Give power back."""
        time.sleep(max(0.0, self._cut_at + OFF_S - time.monotonic()) if self._off else 0.0)
        while self._off:
            box = self._off.pop()
            box.machine.boot(Reset.POWER_ON, clean=False)
            box.power_on()
