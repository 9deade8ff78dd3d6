"""The gateways of a bench as values: who they are, what they share, where they are pinned.

Owns the plan only; running them is `stack`'s. The id is the last part of the URL's path, by which
the proxies choose the centre node.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

NODES = ("a", "b")
PROXIES = ("nginx", "haproxy")
FEEDERS = 4
OPERATORS = ("alfa", "bravo", "cable")


class Kind(StrEnum):
    """What plays the gateway."""

    AGENT = "agent"
    """A real agent process in a network namespace of its own, with a host root of its own."""
    DRIVER = "driver"
    """A `wire.Sender` in the drivers' process: real sockets, no host evidence of its own."""


@dataclass(frozen=True, slots=True)
class Member:
    """One gateway. `labels`: its grouping keys as its config has them (site, feeder, operator,
    access_point). `quiet`: pinned to the proxy's route with the short idle time-out."""

    gateway: str
    kind: Kind
    number: int
    proxy: str
    node: str
    labels: tuple[tuple[str, str], ...]
    quiet: bool = False

    def label(self, name: str) -> str:
        """Return one grouping key, ``""`` if it has none."""
        return dict(self.labels).get(name, "")


@dataclass(frozen=True, slots=True)
class Fleet:
    """All gateways of a bench."""

    members: tuple[Member, ...]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, gateway: str) -> Member:
        return next(member for member in self.members if member.gateway == gateway)

    def where(
        self,
        *,
        kind: Kind | None = None,
        proxy: str | None = None,
        node: str | None = None,
        feeder: str | None = None,
        access_point: str | None = None,
        quiet: bool | None = None,
    ) -> tuple[Member, ...]:
        """Return the members that fit all that is given."""
        return tuple(
            m
            for m in self.members
            if (kind is None or m.kind is kind)
            and (proxy is None or m.proxy == proxy)
            and (node is None or m.node == node)
            and (feeder is None or m.label("feeder") == feeder)
            and (access_point is None or m.label("access_point") == access_point)
            and (quiet is None or m.quiet is quiet)
        )


def ids(members: Sequence[Member]) -> tuple[str, ...]:
    """Return the gateway ids of members."""
    return tuple(member.gateway for member in members)


def plan(agents: int, drivers: int, *, quiet: int = 4) -> Fleet:
    """Lay out a fleet: proxies, nodes, feeders and operators all cross each other.

    The last `quiet` drivers behind nginx are pinned to the route with the short idle time-out.
    """
    members = []
    for kind, count in ((Kind.AGENT, agents), (Kind.DRIVER, drivers)):
        places = itertools.cycle(itertools.product(NODES, PROXIES))
        for number, (node, proxy) in zip(range(1, count + 1), places, strict=False):
            feeder = f"f{(number - 1) * FEEDERS // max(1, count) + 1}"
            operator = OPERATORS[number % len(OPERATORS)]
            labels = (
                ("site", f"site-{(number + 1) // 2:02d}"),
                ("feeder", feeder if kind is Kind.AGENT else f"{feeder}d"),
                ("operator", operator),
                ("access_point", f"ap-{(number + 1) // 2}{kind.value[0]}"),
            )
            name = f"{'gw' if kind is Kind.AGENT else 'dr'}-{number:02d}"
            members.append(Member(name, kind, number, proxy, node, labels))
    behind_nginx = [m for m in members if m.kind is Kind.DRIVER and m.proxy == "nginx"]
    short = {m.gateway for m in behind_nginx[-quiet:]} if quiet else set()
    return Fleet(
        tuple(
            Member(m.gateway, m.kind, m.number, m.proxy, m.node, m.labels, m.gateway in short)
            for m in members
        )
    )
