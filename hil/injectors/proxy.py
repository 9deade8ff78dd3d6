"""What happens to proxies: an idle time-out, a reload, a crash, a certificate out of date.

Owns the order of the steps. An expired certificate drops nobody: it is paired with a cut, and only
those who have to come back notice it.
"""

import time
from collections.abc import Sequence

from gateway.correlation.verdict import Cause, HeldBy
from hil.capability import Capability
from hil.fleet import Member, ids
from hil.injector import Injector, Scope
from hil.injectors.network import CUT_S
from hil.ledger import Expected
from hil.stack import CENTRE_HEARTBEAT_S, IDLE_S, Stack

DOWN_S = 3.0
EXPIRED_S = 9.0
"""Longer than the cut and the backoff behind it: what held them longest is the certificate."""


class NginxIdle(Injector):
    """Gateways fall quiet behind a proxy whose idle time-out is shorter than the heartbeat: each
    is cut that long after its last message, and again after it came back."""

    name = "nginx_idle"
    scope = Scope.GATEWAY
    needs = (Capability.NGINX,)

    def __init__(self, stack: Stack, members: Sequence[Member]) -> None:
        self._stack = stack
        self._gateways = ids(members)
        if not all(member.quiet for member in members):
            raise ValueError("only gateways on the route with the short idle time-out")

    def expected(self) -> Expected:
        """A constant age of the last message, then of the connection."""
        return Expected(self._gateways, Cause.PROXY_IDLE)

    def inject(self) -> None:
        """Have nothing to say for some rounds."""
        self._stack.quiet(self._gateways, True)
        time.sleep(CENTRE_HEARTBEAT_S + 3 * IDLE_S)

    def clear(self) -> None:
        """Have something to say."""
        self._stack.quiet(self._gateways, False)


class NginxReload(Injector):
    """A deploy of the proxy's config: old workers close what they have within a second."""

    name = "nginx_reload"
    scope = Scope.PROXY
    needs = (Capability.NGINX,)

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def expected(self) -> Expected:
        """Everybody behind nginx, and back at once."""
        gateways = ids(self._stack.fleet.where(proxy="nginx"))
        return Expected(gateways, Cause.PROXY_RELOADED, (HeldBy.NOTHING,))

    def inject(self) -> None:
        """Reload."""
        self._stack.nginx.reload()
        time.sleep(1.5)

    def clear(self) -> None:
        """Nothing is broken."""


class ProxyKilled(Injector):
    """SIGKILL of a proxy with its workers; started again some seconds later."""

    name = "proxy_killed"
    scope = Scope.PROXY

    def __init__(self, stack: Stack, proxy: str) -> None:
        self._stack = stack
        self._proxy = stack.proxies[proxy]
        self._dead = False

    def expected(self) -> Expected:
        """Everybody behind it, and refused until it is back."""
        gateways = ids(self._stack.fleet.where(proxy=self._proxy.name))
        return Expected(gateways, Cause.PROXY_FAILED, (HeldBy.REFUSED,))

    def inject(self) -> None:
        """Kill it."""
        self._dead = True
        self._proxy.kill()
        time.sleep(DOWN_S)

    def clear(self) -> None:
        """Start it again."""
        if self._dead:
            self._proxy.start()
            self._dead = False


class CertificateExpired(Injector):
    """A proxy shows a certificate out of date; sessions stay, until a firewall resets a few."""

    name = "certificate_expired"
    scope = Scope.PROXY
    needs = (Capability.NFT,)

    def __init__(self, stack: Stack, proxy: str, members: Sequence[Member]) -> None:
        self._stack = stack
        self._proxy = proxy
        self._gateways = ids(members)
        if any(member.proxy != proxy for member in members):
            raise ValueError(f"only gateways behind {proxy}")

    def expected(self) -> Expected:
        """The cut is the cause; the certificate keeps them away, and whoever else would come."""
        others = set(ids(self._stack.fleet.where(proxy=self._proxy))) - set(self._gateways)
        held = (HeldBy.CERTIFICATE,)
        beside = tuple(sorted(others))
        return Expected(self._gateways, Cause.RESET_IN_PATH, held, side_effects=beside)

    def inject(self) -> None:
        """Show the old certificate, then cut."""
        self._stack.certify(self._proxy, expired=True)
        self._stack.proxies[self._proxy].use_certificate()
        wires = [self._stack.wire(gateway) for gateway in self._gateways]
        for wire in wires:
            wire.reset()
        time.sleep(CUT_S)
        for wire in wires:
            wire.clear()
        time.sleep(EXPIRED_S)

    def clear(self) -> None:
        """Show a good one."""
        self._stack.certify(self._proxy, expired=False)
        self._stack.proxies[self._proxy].use_certificate()
        for gateway in self._gateways:
            self._stack.wire(gateway).clear()
