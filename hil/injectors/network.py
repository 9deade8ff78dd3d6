"""The path between gateways and proxies: swallowed, reset, slow, without names.

Owns the order and length of the steps; the rules are `wires`'. DNS that is gone drops nobody: it
is paired with a cut, and only those who have to come back notice it.
"""

import time
from collections.abc import Sequence

from gateway.correlation.verdict import Cause, HeldBy
from hil.capability import Capability
from hil.fleet import Member, ids
from hil.injector import Injector, Scope
from hil.ledger import Expected
from hil.slow_link import SlowLink
from hil.stack import CENTRE_HEARTBEAT_S, HEARTBEAT_S, HEARTBEAT_TIMEOUT_S, Stack

CUT_S = HEARTBEAT_S + 0.5
"""Whoever has nothing else to say pings within a heartbeat and meets the rule."""
SILENT_S = CENTRE_HEARTBEAT_S + HEARTBEAT_TIMEOUT_S + 1.0
NO_NAMES_S = 9.0
"""Longer than the cut and the backoff behind it: what held them longest is the name server."""
SLOW_S = 12.0
FADE = ((0.05, 0.0), (0.1, 0.1), (0.15, 0.2), (0.2, 0.3))
"""Delay each way and part lost, step by step."""
FADE_STEP_S = 1.0


class HalfOpen(Injector):
    """Packets vanish both ways without a word: a NAT that forgot, a dead hop."""

    name = "half_open"
    scope = Scope.GATEWAY
    needs = (Capability.NFT,)

    def __init__(self, stack: Stack, members: Sequence[Member]) -> None:
        self._wires = [stack.wire(member.gateway) for member in members]
        self._gateways = ids(members)

    def expected(self) -> Expected:
        """The path is dead; connecting times out too."""
        held = (HeldBy.TIMEOUT, HeldBy.NOTHING, HeldBy.DNS)
        return Expected(self._gateways, Cause.PATH_DEAD, held)

    def inject(self) -> None:
        """Swallow everything until both sides have given up."""
        for wire in self._wires:
            wire.drop()
        time.sleep(SILENT_S)

    def clear(self) -> None:
        """Let everything pass."""
        for wire in self._wires:
            wire.clear()


class FirewallResets(Injector):
    """A box in the path answers every segment with a reset."""

    name = "firewall_resets"
    scope = Scope.GATEWAY
    needs = (Capability.NFT,)

    def __init__(self, stack: Stack, members: Sequence[Member]) -> None:
        self._wires = [stack.wire(member.gateway) for member in members]
        self._gateways = ids(members)

    def expected(self) -> Expected:
        """Reset in the path; connecting is refused by the same box."""
        return Expected(self._gateways, Cause.RESET_IN_PATH, (HeldBy.REFUSED,))

    def inject(self) -> None:
        """Reset everything for some seconds."""
        for wire in self._wires:
            wire.reset()
        time.sleep(CUT_S + 2.0)

    def clear(self) -> None:
        """Let everything pass."""
        for wire in self._wires:
            wire.clear()


class NamesGone(Injector):
    """The name server does not answer; a firewall's reset makes some ask it."""

    name = "names_gone"
    scope = Scope.GATEWAY
    needs = (Capability.NFT,)

    def __init__(self, stack: Stack, members: Sequence[Member]) -> None:
        self._stack = stack
        self._gateways = ids(members)
        self._names = {stack.name_of(gateway) for gateway in self._gateways}
        self._wires = [stack.wire(gateway) for gateway in self._gateways]

    def expected(self) -> Expected:
        """The cut is the cause; the names keep them away."""
        return Expected(self._gateways, Cause.RESET_IN_PATH, (HeldBy.DNS,))

    def inject(self) -> None:
        """Strike the name server dumb for them, then cut."""
        assert self._stack.names is not None
        self._stack.names.strike(self._names)
        for wire in self._wires:
            wire.reset()
        time.sleep(CUT_S)
        for wire in self._wires:
            wire.clear()
        time.sleep(NO_NAMES_S)

    def clear(self) -> None:
        """Let it answer again."""
        assert self._stack.names is not None
        self._stack.names.heal(self._names)
        for wire in self._wires:
            wire.clear()


class LinkFades(Injector):
    """The path gets slower and loses more, until nothing passes: a backhaul that gives in."""

    name = "link_fades"
    scope = Scope.GATEWAY
    needs = (Capability.TUN,)

    def __init__(self, stack: Stack, member: Member, seed: int) -> None:
        self._link = SlowLink(stack.network, member, seed)
        self._gateways = (member.gateway,)

    def expected(self) -> Expected:
        """A dead path: there is no radio to blame."""
        held = (HeldBy.TIMEOUT, HeldBy.NOTHING, HeldBy.DNS)
        return Expected(self._gateways, Cause.PATH_DEAD, held)

    def inject(self) -> None:
        """Fade, then swallow everything until both sides have given up."""
        self._link.open()
        for delay_s, loss in FADE:
            self._link.change(delay_s=delay_s, jitter_s=delay_s / 4, loss=loss)
            time.sleep(FADE_STEP_S)
        self._link.change(loss=1.0)
        time.sleep(SILENT_S)

    def clear(self) -> None:
        """Go the usual way again."""
        self._link.close()


class SlowPath(Injector):
    """A slow path that loses some packets, as mobile networks do: it must cost no session."""

    name = "slow_path"
    scope = Scope.GATEWAY
    needs = (Capability.TUN,)

    def __init__(self, stack: Stack, member: Member, seed: int) -> None:
        self.link = SlowLink(stack.network, member, seed)

    def expected(self) -> Expected:
        """Nobody falls."""
        return Expected((), None)

    def inject(self) -> None:
        """200 ms each way and 3 % lost, at 16 kB/s."""
        self.link.open()
        self.link.change(delay_s=0.2, jitter_s=0.05, loss=0.03, rate=16_000.0)
        time.sleep(SLOW_S)

    def clear(self) -> None:
        """Go the usual way again."""
        self.link.close()
