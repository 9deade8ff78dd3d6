"""The gateway's own link: its Wi-Fi fades away, or its adapter is pulled out.

Owns the course of the signal and what the host's files show beside it; that packets stop too is
the wire's. The radio's level goes through nl80211's bytes, a vanished adapter through `/sys` and
`/proc/net/route`.
"""

import time

from gateway.correlation.verdict import Cause
from hil.boxes import Box
from hil.capability import Capability
from hil.injector import Injector, Scope
from hil.ledger import Expected

FADE_DBM = range(-60, -93, -4)
STEP_S = 0.9
INACTIVE = 4
"""IEEE 802.11-2020 Table 9-49: disassociated due to inactivity."""


class WifiFades(Injector):
    """From -60 to -92 dBm in some eight seconds, then nothing. Only of a box with Wi-Fi."""

    name = "wifi_fades"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS)

    def __init__(self, box: Box) -> None:
        self._box = box
        self._lost = False

    def expected(self) -> Expected:
        """A radio that faded."""
        return Expected((self._box.member.gateway,), Cause.RADIO)

    def inject(self) -> None:
        """Fade, disassociate, lose the link."""
        for dbm in FADE_DBM:
            self._box.machine.radio_dbm(dbm)
            time.sleep(STEP_S)
        self._lost = True
        self._box.machine.radio_lost(INACTIVE)
        self._box.wire.unplug()

    def clear(self) -> None:
        """Hear well again."""
        if self._lost:
            self._box.wire.clear()
            self._lost = False
        self._box.machine.radio_dbm(FADE_DBM[0])


class AdapterUnplugged(Injector):
    """The host's network adapter is pulled out: interface and default route are gone."""

    name = "adapter_unplugged"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS)

    def __init__(self, box: Box) -> None:
        self._box = box
        self._out = False

    def expected(self) -> Expected:
        """The host's own link went away."""
        return Expected((self._box.member.gateway,), Cause.LINK_LOST)

    def inject(self) -> None:
        """Pull it out."""
        self._out = True
        self._box.machine.unplug()
        self._box.wire.unplug()

    def clear(self) -> None:
        """Put it back."""
        if self._out:
            self._box.wire.clear()
            self._box.machine.plug()
            self._out = False
