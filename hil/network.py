"""Network namespaces: one for the centre's side, one for each real agent, one for the drivers.

Owns names, addresses, veth pairs and their removal. Everything stands beside the machine's own
network: the namespaces have no way out, so addresses are the same in every bench, and no rule
touches what others do. Their names carry the bench's pid; what a killed bench left is swept away
by the next.

Source: ip-netns(8), setns(2); nft(8) for the rules.
"""

import contextlib
import ctypes
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.cli.child import ChildError
from hil.processes import run

CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")
RESOLVERS = Path("/etc/netns")
RESOLVER = "10.77.0.1"
AGENTS, DRIVERS, NAMES = "10.77.1", "10.77.2", "10.77.3"
"""Networks of the agents' and drivers' own addresses, and of those the drivers connect to."""
BRIDGE, BRIDGE_MAC = "br0", "02:00:0a:4d:00:01"
CABLE = "eth0"
_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


class Network:
    """The bench's namespaces. `hosts`: how many agents and how many drivers."""

    def __init__(self) -> None:
        self.prefix = f"hil{os.getpid()}-"
        self.core = f"{self.prefix}core"
        self.drivers = f"{self.prefix}drivers"
        self._made: list[str] = []

    def agent(self, number: int) -> str:
        """Return the namespace of a real agent."""
        return f"{self.prefix}gw{number:02d}"

    def open(self, agents: int, drivers: int) -> None:
        """Make everything. Raises: ChildError."""
        sweep()
        self._add(self.core)
        commands = [
            # Else it is the lowest of its ports' addresses, and changes when a gateway loses power.
            f"link add {BRIDGE} address {BRIDGE_MAC} type bridge",
            f"link set {BRIDGE} up",
            f"addr add {RESOLVER}/16 dev {BRIDGE}",
        ]
        commands += [
            f"addr add {NAMES}.{number}/16 dev {BRIDGE}" for number in range(1, drivers + 1)
        ]
        self._ip(self.core, commands)
        for number in range(1, agents + 1):
            self.attach(number)
        if drivers == 0:
            return
        own = range(1, drivers + 1)
        # Each driver connects to an address of its own from an address of its own, so that a rule
        # or a route can take just that one away.
        self._attach(
            self.drivers,
            0,
            [f"{DRIVERS}.{number}" for number in own],
            [f"route add {NAMES}.{n}/32 dev {CABLE} src {DRIVERS}.{n}" for n in own],
        )

    def close(self) -> None:
        """Remove everything."""
        while self._made:
            _remove(self._made.pop())

    def attach(self, number: int) -> None:
        """Make an agent's namespace and plug it in."""
        self._attach(self.agent(number), number, [f"{AGENTS}.{number}"], [])

    def detach(self, number: int) -> None:
        """Throw an agent's namespace away with its sockets: not a packet more leaves it."""
        name = self.agent(number)
        if name in self._made:
            self._made.remove(name)
        _remove(name)
        with contextlib.suppress(ChildError):  # gone with its peer, once the kernel is done
            self._ip(self.core, [f"link del p{number}"])

    def _attach(self, name: str, number: int, addresses: list[str], routes: list[str]) -> None:
        """Make a namespace with a cable to the bridge."""
        self._add(name)
        # The same address after a power cut, as a real card has it: neighbours' tables stay right.
        port, mac = f"p{number}", f"02:00:0a:4d:01:{number:02x}"
        self._ip(
            self.core,
            [
                f"link add {port} type veth peer name {CABLE} address {mac} netns {name}",
                f"link set {port} master {BRIDGE} up",
            ],
        )
        commands = [f"addr add {address}/16 dev {CABLE}" for address in addresses]
        commands += [f"link set {CABLE} up", f"route add default via {RESOLVER}", *routes]
        self._ip(name, commands)

    def carrier(self, number: int, up: bool) -> None:
        """Plug an agent's cable in or out at the far end."""
        self._ip(self.core, [f"link set p{number} {'up' if up else 'down'}"])

    def _add(self, name: str) -> None:
        run(["ip", "netns", "add", name])
        self._made.append(name)
        self._ip(name, ["link set lo up"])
        files = RESOLVERS / name
        files.mkdir(parents=True, exist_ok=True)
        # One question a second, one attempt: a name server that is gone is noticed at once.
        (files / "resolv.conf").write_text(
            f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n", "ascii"
        )

    @staticmethod
    def _ip(name: str, commands: list[str]) -> None:
        run(["ip", "-n", name, "-batch", "-"], "\n".join(commands) + "\n")


def nft(namespace: str, rules: str) -> None:
    """Load rules in a namespace. Raises: ChildError."""
    run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], rules)


def inside(namespace: str | None, call: Callable[[], _Result], timeout_s: float = 60.0) -> _Result:
    """Call something in a namespace: setns(2) concerns one thread, so it gets one of its own."""
    if namespace is None:
        return call()
    found: list[_Result] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            with open(NAMESPACES / namespace, "rb") as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns to {namespace}")
            found.append(call())
        except Exception as error:  # noqa: BLE001  # handed to whoever asked
            failed.append(error)

    thread = threading.Thread(target=work, name=f"hil.inside[{namespace}]", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer within {timeout_s:g} s in {namespace}")
    return found[0]


def sweep() -> None:
    """Remove the namespaces of benches that do not live any more."""
    if not NAMESPACES.is_dir():
        return
    for name in sorted(os.listdir(NAMESPACES)):
        head, _, _ = name.partition("-")
        pid = head.removeprefix("hil")
        if head != name and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _remove(name)


def _remove(name: str) -> None:
    with contextlib.suppress(ChildError):
        run(["ip", "netns", "del", name])
    shutil.rmtree(RESOLVERS / name, ignore_errors=True)
