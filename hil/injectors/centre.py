"""What happens to a node of the centre: it is killed, or drained for a deploy.

Owns the order of the steps. The store stays; the other node goes on.
"""

import time

from gateway.correlation.verdict import Cause, HeldBy
from hil.fleet import ids
from hil.injector import Injector, Scope
from hil.ledger import Expected
from hil.stack import Stack

DOWN_S = 3.0


class CentreKilled(Injector):
    """SIGKILL of one node; started again some seconds later."""

    name = "centre_killed"
    scope = Scope.FLEET

    def __init__(self, stack: Stack, node: str) -> None:
        self._stack = stack
        self._node = stack.nodes[node]

    def expected(self) -> Expected:
        """Everybody pinned to it; the proxies answer in its place until it is back."""
        gateways = ids(self._stack.fleet.where(node=self._node.name))
        # nginx says 502; HAProxy tries longer before its 503 than a gateway has patience.
        held = (HeldBy.UPGRADE, HeldBy.OVERLOAD, HeldBy.TIMEOUT)
        return Expected(gateways, Cause.CENTRE_KILLED, held)

    def inject(self) -> None:
        """Kill it."""
        self._node.kill()
        time.sleep(DOWN_S)

    def clear(self) -> None:
        """Start it again."""
        if not self._node.running:
            self._node.start()


class CentreDrained(Injector):
    """SIGTERM, as at a deploy: it says goodbye to everybody, then a new process starts."""

    name = "centre_drained"
    scope = Scope.FLEET

    def __init__(self, stack: Stack, node: str) -> None:
        self._stack = stack
        self._node = stack.nodes[node]

    def expected(self) -> Expected:
        """Everybody pinned to it, told so."""
        gateways = ids(self._stack.fleet.where(node=self._node.name))
        return Expected(gateways, Cause.CENTRE_DRAINED)

    def inject(self) -> None:
        """Stop it."""
        self._node.stop()
        time.sleep(1.0)

    def clear(self) -> None:
        """Start it again."""
        if not self._node.running:
            self._node.start()
