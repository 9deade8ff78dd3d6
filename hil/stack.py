"""The whole bench: gateways, proxies, centre nodes, Prometheus, names, namespaces.

Owns building it up, waiting for it, and taking it down whatever happened. `Stack` is a context; a
stack that lacks something of the machine says so before it starts (`missing`).
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from gateway.centre.tokens import add_token
from gateway.cli.child import Child
from hil.agent_box import AgentBox
from hil.authority import Authority
from hil.capability import Capability, missing
from hil.centres import CentreNode
from hil.driver_session import Plan
from hil.fleet import NODES, Fleet, Kind, Member
from hil.machine import Machine, board_of
from hil.names import NameServer, udp_socket
from hil.network import NAMES, RESOLVER, Network, inside
from hil.processes import Processes
from hil.proxies import ROUTES, Haproxy, Nginx, Proxy
from hil.scraper import Scraper
from hil.serial_bus import SerialBus
from hil.wires import CabledWire, FirewalledWire, driver_wire

NEEDS = (
    Capability.ROOT,
    Capability.NETNS,
    Capability.NFT,
    Capability.NGINX,
    Capability.HAPROXY,
)
HEARTBEAT_S = 2.0
HEARTBEAT_TIMEOUT_S = 2.0
CENTRE_HEARTBEAT_S = 4.0
"""Slower than the gateways': a quiet one's own pings are rare (`QUIET_HEARTBEAT_S`), so that of any
four seconds two have no message either way, whatever the phases."""
QUIET_HEARTBEAT_S = 12.0
IDLE_S = 1.5
"""Idle time-out of nginx's short route: less than those two, more than the readings' period."""
PORTS = {"a": (7001, 7101), "b": (7002, 7102)}
"""Centre nodes: link and admin."""
UP_S = 60.0
BUSES = 2
"""Real agents with a serial bus: each costs a thread here that keeps time."""


def lacking(*, prometheus: bool = False) -> str | None:
    """Return what the machine lacks for a stack, ``None`` when it can be built."""
    needs = (*NEEDS, *((Capability.PROMETHEUS,) if prometheus else ()))
    reasons = [reason for need in needs if (reason := missing(need)) is not None]
    return "; ".join(dict.fromkeys(reasons)) or None


class Stack:
    """A bench. Its methods may be called from any thread once it is open."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        prometheus: bool = False,
        directory: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.fleet = fleet
        self.directory = directory or own_directory()
        self._own_directory = directory is None
        self._seed = seed
        self.processes = Processes()
        self.network = Network()
        self.authority = Authority(self.directory)
        self.boxes: dict[str, AgentBox] = {}
        self.buses: dict[str, SerialBus] = {}
        """The serial buses of the first `BUSES` real agents."""
        self.nodes: dict[str, CentreNode] = {}
        self.scraper: Scraper | None = None
        self.names: NameServer | None = None
        self._prometheus = prometheus
        self._drivers: Child | None = None
        self._talk = threading.Lock()
        pinned = {member.gateway: member.node for member in fleet}
        quiet = [member.gateway for member in fleet if member.quiet]
        ports = {name: PORTS[name][0] for name in NODES}
        core = self.network.core
        self.nginx = Nginx(
            self.processes, self.directory / "nginx", core, ports, pinned, quiet, IDLE_S
        )
        self.haproxy = Haproxy(self.processes, self.directory / "haproxy", core, ports, pinned)
        self.proxies: dict[str, Proxy] = {"nginx": self.nginx, "haproxy": self.haproxy}

    def __enter__(self) -> "Stack":
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process, remove every namespace, and the directory if it is ours."""
        try:
            self.processes.close()
        finally:
            while self.buses:
                self.buses.popitem()[1].close()
            if self.names is not None:
                self.names.close()
                self.names = None
            self.network.close()
            if self._own_directory and not os.environ.get("HIL_KEEP"):
                shutil.rmtree(self.directory, ignore_errors=True)

    # -- what faults take hold of --------------------------------------------------------------

    def wire(self, gateway: str) -> FirewalledWire:
        """Return a gateway's wire (a `CabledWire` for a real agent)."""
        if gateway in self.boxes:
            return self.boxes[gateway].wire
        return driver_wire(self.network, self.fleet[gateway].number)

    def name_of(self, gateway: str) -> str:
        """Return the name a gateway connects to; each has one of its own."""
        return _name(self.fleet[gateway])

    def certify(self, proxy: str, *, expired: bool) -> None:
        """Write a proxy's certificate anew; the proxy has to be told."""
        names = tuple(_name(m) for m in self.fleet if m.proxy == proxy)
        self.authority.write(self.proxies[proxy].certificate, names, expired=expired)

    def quiet(self, gateways: Sequence[str], quiet: bool) -> None:
        """Stop or start the readings of drivers."""
        self._ask({"quiet" if quiet else "loud": list(gateways)})

    # -- how it is -----------------------------------------------------------------------------

    def connected(self, gateways: Iterable[str] | None = None) -> frozenset[str]:
        """Return which gateways have a session, as they see it themselves."""
        asked = {m.gateway for m in self.fleet} if gateways is None else set(gateways)
        found = {name for name, box in self.boxes.items() if name in asked and box.connected()}
        if asked - set(self.boxes):
            found |= {name for name, state in self._ask({}).items() if state[0] and name in asked}
        return frozenset(found)

    def made(self) -> dict[str, tuple[int, int]]:
        """Return readings made and records acked, by driver."""
        return {name: (int(s[1]), int(s[2])) for name, s in self._ask({}).items()}

    def wait_connected(
        self, gateways: Iterable[str] | None = None, timeout_s: float = UP_S
    ) -> None:
        """Wait until all of them have a session. Raises: TimeoutError, ChildError."""
        asked = {m.gateway for m in self.fleet} if gateways is None else set(gateways)

        def check() -> bool:
            nonlocal asked
            asked -= self.connected(asked)
            return not asked

        wait_for(lambda: f"sessions of {', '.join(sorted(asked))}", check, timeout_s)

    def active(self) -> int:
        """Return `ws_active_connections`, summed over the nodes."""
        return sum(node.active() for node in self.nodes.values())

    def stores(self) -> tuple[Path, ...]:
        """Return the nodes' stores."""
        return tuple(node.store for node in self.nodes.values())

    # -- building ------------------------------------------------------------------------------

    def _open(self) -> None:
        agents = self.fleet.where(kind=Kind.AGENT)
        drivers = self.fleet.where(kind=Kind.DRIVER)
        self.network.open(len(agents), len(drivers))
        addresses = {
            _name(m): RESOLVER if m.kind is Kind.AGENT else f"{NAMES}.{m.number}"
            for m in self.fleet
        }
        sock = inside(self.network.core, lambda: udp_socket(RESOLVER))
        self.names = NameServer(addresses, sock)
        tokens = self.directory / "tokens"
        for member in self.fleet:
            home = self.directory / member.gateway
            home.mkdir()
            secret = home / "token"
            secret.touch(mode=0o600)
            secret.write_text(add_token(tokens, member.gateway, time.time_ns()) + "\n", "ascii")
        for name, proxy in self.proxies.items():
            (proxy.directory / "tmp").mkdir(exist_ok=True)
            self.certify(name, expired=False)
        self._start_centre(tokens)
        for proxy in self.proxies.values():
            proxy.start()
        for member in agents:
            self._start_agent(member)
        self._start_drivers(drivers)
        self.wait_connected()

    def _start_centre(self, tokens: Path) -> None:
        for name in NODES:
            self.nodes[name] = CentreNode(
                self.processes,
                self.directory / f"centre-{name}",
                self.network.core,
                name,
                PORTS[name],
                tokens,
                [address for _, address in ROUTES.values()],
                CENTRE_HEARTBEAT_S,
                HEARTBEAT_TIMEOUT_S,
            )
            self.nodes[name].start()
        if self._prometheus:
            admin = {name: node.admin_port for name, node in self.nodes.items()}
            self.scraper = Scraper(
                self.processes, self.directory / "prometheus", self.network.core, admin
            )
            self.scraper.start()

    def _start_agent(self, member: Member) -> None:
        home = self.directory / member.gateway
        machine = Machine(
            home / "host", board_of(member.number), member.gateway, self._seed + member.number
        )
        machine.make()
        bus = ""
        if member.number <= BUSES:
            self.buses[member.gateway] = SerialBus(home / "ttyRS485", self._seed + member.number)
            bus = self.buses[member.gateway].config()
        box = AgentBox(
            self.processes,
            home,
            member,
            CabledWire(self.network, member.number),
            machine,
            self.network.agent(member.number),
            _url(member),
            bus,
        )
        self.boxes[member.gateway] = box
        box.start()

    def _start_drivers(self, drivers: Sequence[Member]) -> None:
        if not drivers:
            return
        plans = [
            Plan(
                gateway=member.gateway,
                url=_url(member),
                token_file=str(self.directory / member.gateway / "token"),
                ca_file=str(self.authority.ca_file),
                labels=member.labels,
                heartbeat_s=QUIET_HEARTBEAT_S if member.quiet else HEARTBEAT_S,
                heartbeat_timeout_s=HEARTBEAT_TIMEOUT_S,
                connect_timeout_s=3.0,
                backoff_initial_s=0.3,
                backoff_max_s=2.0,
            )
            for member in drivers
        ]
        path = self.directory / "drivers.json"
        path.write_text(json.dumps([asdict(plan) for plan in plans]), "utf-8")
        self._drivers = self.processes.start(
            "drivers",
            [sys.executable, "-m", "hil.driver_process", "--plan", str(path)],
            self.directory / "drivers.log",
            namespace=self.network.drivers,
            pipes=True,
        )

    def _ask(self, wish: dict[str, object]) -> dict[str, list[int]]:
        if self._drivers is None:
            return {}
        with self._talk:
            answer: dict[str, list[int]] = json.loads(self._drivers.ask(json.dumps(wish)))
        return answer


def own_directory() -> Path:
    """Make a directory for this bench; remove those of benches that were killed."""
    for path in Path(tempfile.gettempdir()).glob("hil-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"hil-{os.getpid()}-"))


def wait_for(what: Callable[[], str], check: Callable[[], bool], timeout_s: float) -> None:
    """Ask until it is so. Raises: TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for: {what()}")
        time.sleep(0.1)


def _name(member: Member) -> str:
    return f"{member.gateway}.{member.proxy}.hil"


def _url(member: Member) -> str:
    return f"wss://{_name(member)}:{ROUTES[member.proxy][0]}/gateway"
