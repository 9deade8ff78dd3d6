"""The agent's daemon dies while its machine lives on.

Owns the kill only. The service manager's part, starting it again, is `clear`'s.
"""

import time

from gateway.correlation.verdict import Cause, HeldBy
from hil.boxes import Box
from hil.capability import Capability
from hil.injector import Injector, Scope
from hil.ledger import Expected

DOWN_S = 2.0
"""RestartSec of the unit, and then some."""


class AgentKilled(Injector):
    """SIGKILL, as by the kernel when memory runs out."""

    name = "agent_killed"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE,)

    def __init__(self, box: Box) -> None:
        self._box = box

    def expected(self) -> Expected:
        """The daemon crashed; the kernel went on."""
        gateways = (self._box.member.gateway,)
        return Expected(gateways, Cause.AGENT_CRASHED, (HeldBy.DOWN, HeldBy.NOTHING))

    def inject(self) -> None:
        """Kill it."""
        self._box.kill()
        time.sleep(DOWN_S)

    def clear(self) -> None:
        """Start it again."""
        if not self._box.running:
            self._box.start()
