"""What a firewall between a gateway and the proxies can do to it, by nftables.

Owns the rules of one gateway: they match its own packets only and are one table, replaced as a
whole. A real agent has a namespace and a cable to itself, the drivers share one and are told apart
by the address each connects to.
"""

from hil.network import CABLE, NAMES, Network, nft


class FirewalledWire:
    """The wire of a driver: everything but its cable."""

    def __init__(self, namespace: str, table: str, ours: str, theirs: str) -> None:
        self._namespace = namespace
        self._table = table
        self._ours = ours
        self._theirs = theirs

    def drop(self) -> None:
        """Swallow every packet both ways, without a word."""
        self._replace("drop")

    def reset(self) -> None:
        """Answer every TCP segment of either side with a reset."""
        # A reset made for the far side leaves through our own output chain: let it pass.
        self._replace("tcp flags & rst == rst accept", "meta l4proto tcp reject with tcp reset")

    def lose(self, percent: int) -> None:
        """Lose packets at random, both ways."""
        self._replace(f"numgen random mod 100 < {percent} drop")

    def clear(self) -> None:
        """Pass everything again."""
        nft(self._namespace, f"table inet {self._table}\ndelete table inet {self._table}\n")

    def _replace(self, *verdicts: str) -> None:
        """Put one table in the place of the one before, in one transaction."""
        inward = "\n".join(f"{self._theirs} {verdict};" for verdict in verdicts)
        outward = "\n".join(f"{self._ours} {verdict};" for verdict in verdicts)
        nft(
            self._namespace,
            f"""table inet {self._table}
delete table inet {self._table}
table inet {self._table} {{
  chain inward {{ type filter hook input priority 0; {inward} }}
  chain outward {{ type filter hook output priority 0; {outward} }}
}}
""",
        )


class CabledWire(FirewalledWire):
    """The wire of a real agent: firewall and cable."""

    def __init__(self, network: Network, number: int) -> None:
        super().__init__(network.agent(number), "hil", f'oifname "{CABLE}"', f'iifname "{CABLE}"')
        self._network = network
        self._number = number

    def unplug(self) -> None:
        """Take the carrier away: the far end goes down."""
        self._network.carrier(self._number, up=False)

    def clear(self) -> None:
        """Pass everything again, with carrier."""
        self._network.carrier(self._number, up=True)
        super().clear()

    def power_off(self) -> None:
        """Throw the sockets away without a packet: whoever has no power says no goodbye."""
        self._network.detach(self._number)

    def power_on(self) -> None:
        """Have a network again."""
        self._network.attach(self._number)


def driver_wire(network: Network, number: int) -> FirewalledWire:
    """Return the wire of a driver."""
    address = f"{NAMES}.{number}"
    return FirewalledWire(
        network.drivers, f"d{number}", f"ip daddr {address}", f"ip saddr {address}"
    )
