"""Worlds: a fleet that lives, and faults that leave behind what real ones leave.

Owns the evidence of each fault as the agent, the host and the centre record it (`agent.chronicle`,
`agent.host`, `centre.session`), with the truth beside it. Time is a number: seconds of the world.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gateway.correlation.evidence import (
    Anchor,
    Boot,
    GatewayEvidence,
    Look,
    NodeEvent,
    Sample,
    Seen,
    Session,
)
from gateway.correlation.verdict import Cause, HeldBy
from gateway.event import Scalar

S = 1_000_000_000
T0 = 1_800_000_000 * S
LATENCY_S = 0.02
PROXIES = ("10.0.0.1", "10.0.0.2")
NODES = ("a", "b")


def ns(seconds: float) -> int:
    """Return an instant of the world in UTC."""
    return T0 + round(seconds * S)


@dataclass
class Gateway:
    """One gateway. `watched`: it has a host to look at, with `interface` in use."""

    name: str
    number: int
    proxy: str
    node: str
    labels: dict[str, str]
    watched: bool = True
    interface: str = "wlan0"
    booted: float = -5000.0
    boots: int = 1
    mark: int = 0
    known: int = 0
    wrong_s: float = 0.0
    reboot: tuple[str, str, str] = ("orderly_reboot", "certain", "the system was stopping (reboot)")
    ended: tuple[tuple[str, Scalar], ...] = ()
    alive: float | None = None
    sessions: list[Session] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    run: int = 0
    lived: dict[int, int] = field(default_factory=dict)
    boot_rows: dict[str, Boot] = field(default_factory=dict)
    events: list[Seen] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    @property
    def boot_id(self) -> str:
        return f"{self.name}-{self.boots}"

    def source(self, at: float) -> int:
        """Return the source time of an instant in this boot."""
        return round((at - self.booted) * S)

    def tell(self, kind: str, at: float, **fields: Scalar) -> None:
        """Record an event."""
        source_ns = self.source(at)
        seen = Seen(self.boot_id, source_ns, ns(at + LATENCY_S), kind, tuple(fields.items()))
        self.events.append(seen)
        self.lived[self.run] = max(self.lived.get(self.run, 0), source_ns)

    def reading(self, at: float) -> None:
        """Record a reading: only how long the run lived is told of it."""
        self.lived[self.run] = max(self.lived.get(self.run, 0), self.source(at))

    def look(
        self,
        at: float,
        volts: float = 5.1,
        dbm: float | None = -60.0,
        carrier: bool = True,
        low: bool = False,
    ) -> None:
        """Look at the host."""
        if not self.watched:
            return
        level = dbm if self.interface.startswith("w") else None
        source_ns = self.source(at)
        self.looks.append(Look(self.boot_id, source_ns, volts, low, level, carrier, self.interface))
        self.lived[self.run] = max(self.lived.get(self.run, 0), source_ns)

    def trace(self, low: float, high: float) -> None:
        """Look once a second at a host that is well."""
        at = low
        while at <= high:
            self.look(at)
            at += 1.0

    def connect(self, at: float) -> Session:
        """Open a session."""
        boot = self.boot_rows.get(self.boot_id)
        offset_ns = ns(self.booted + LATENCY_S)
        anchor = Anchor(self.source(at), ns(at + self.wrong_s), 2 if not self.wrong_s else 0, 2000)
        first_ns = ns(at + LATENCY_S) if boot is None else boot.first_ns
        anchors = (anchor,) if boot is None else (*boot.anchors, anchor)
        self.boot_rows[self.boot_id] = Boot(self.boot_id, first_ns, offset_ns, anchors)
        self.mark += 1
        facts: list[tuple[str, Scalar]] = [("config_revision", "4f2a")]
        facts += [(f"label.{name}", value) for name, value in self.labels.items()]
        if self.watched:
            facts += [("reboot", self.reboot[0]), ("reboot_confidence", self.reboot[1])]
            facts += [("reboot_evidence", self.reboot[2]), ("boot_number", self.boots)]
        else:
            facts.append(("host", "none"))
        session = Session(
            number=self.number * 1000 + self.mark,
            node=self.node,
            boot_id=self.boot_id,
            proxy=self.proxy,
            remote=f"192.0.2.{self.number}:1",
            opened_ns=ns(at + LATENCY_S),
            closed_ns=None,
            software="gateway 1.0",
            last_session=self.known,
            ended=self.ended,
            facts=tuple(facts),
        )
        self.known = session.number
        self.sessions.append(session)
        self.runs.append(self.run)
        self.tell("session_opened", at + 2 * LATENCY_S, session=session.number, failures=0)
        return session

    def close(self, at: float, side: str, cause: str, code: int = 1006, age_s: float = 0.3) -> None:
        """Let the centre see the session end."""
        self.sessions[-1] = replace(
            self.sessions[-1],
            closed_ns=ns(at),
            side=side,
            cause=cause,
            code=code,
            last_message_age_s=age_s,
            last_pong_age_s=age_s + 1.0,
            path_dead=side != "agent",
        )

    def account(self, at: float, cause: str, side: str, code: int | None = None) -> None:
        """Tell how the session ended, as an event and with the next `Hello`."""
        lasted = (ns(at) - self.sessions[-1].opened_ns) / S
        fields: dict[str, Scalar] = {"cause": cause, "side": side, "phase": "session"}
        fields |= {"code": code} if code is not None else {}
        fields |= {"text": cause, "duration_s": round(lasted, 3), "heard_age_s": 0.2}
        self.ended = tuple(fields.items())
        self.tell("session_ended", at, session=self.sessions[-1].number, **fields)

    def failed(self, at: float, cause: str, phase: str) -> None:
        """Tell of a failed attempt to connect."""
        self.tell("connect_failed", at, cause=cause, side="peer", phase=phase, text=cause)

    def boot(self, at: float, reboot: tuple[str, str, str], *, same: bool = False) -> None:
        """Begin another boot, or (`same`) another run of the daemon in this one."""
        if not same:
            self.boots += 1
            self.booted = at
        self.run += 1
        self.reboot, self.known, self.ended = reboot, 0, ()
        name, confidence, evidence = reboot
        self.tell("agent_started", at + 2.0, version="1.0")
        if self.watched:
            fields = {"class": name, "confidence": confidence, "evidence": evidence}
            self.tell("boot_classified", at + 2.0, **fields)

    def evidence(self) -> GatewayEvidence:
        """Return what is known of it."""
        sessions = tuple(
            replace(session, alive_until_ns=self.lived.get(run))
            for session, run in zip(self.sessions, self.runs, strict=True)
        )
        return GatewayEvidence(
            self.name,
            sessions,
            tuple(self.boot_rows.values()),
            tuple(self.events),
            tuple(self.looks),
        )


@dataclass(frozen=True)
class Truth:
    """What a fault is, of whom."""

    fault: str
    gateways: tuple[str, ...]
    cause: Cause
    at: float
    held: HeldBy | None = None


@dataclass
class World:
    """A fleet and what happened to it."""

    gateways: list[Gateway]
    truths: list[Truth] = field(default_factory=list)
    notes: list[NodeEvent] = field(default_factory=list)

    def evidence(self) -> list[GatewayEvidence]:
        return [gateway.evidence() for gateway in self.gateways]

    def series(self, until: float) -> list[Sample]:
        """Return the gauge and the counter, sampled every second."""
        sessions = [one for gateway in self.gateways for one in gateway.sessions]
        opened = sorted(one.opened_ns for one in sessions)
        closed = sorted(one.closed_ns for one in sessions if one.closed_ns is not None)
        samples, up, down = [], 0, 0
        for second in range(round(until) + 1):
            at_ns = ns(second)
            while up < len(opened) and opened[up] <= at_ns:
                up += 1
            while down < len(closed) and closed[down] <= at_ns:
                down += 1
            samples.append(Sample(at_ns, up - down, up))
        return samples

    def of(self, **labels: str) -> list[Gateway]:
        """Return the gateways with these labels."""
        return [one for one in self.gateways if labels.items() <= one.labels.items()]


def fleet(size: int = 16, *, unwatched: int = 0) -> World:
    """Return a fleet that is connected: two proxies, two nodes, feeders of four."""
    gateways = []
    for number in range(size):
        gateway = Gateway(
            f"gw-{number:02}",
            number + 1,
            PROXIES[number % 2],
            NODES[number // 2 % 2],
            {"feeder": f"f{number // 4}", "operator": f"op{number % 3}", "site": f"s{number // 2}"},
            watched=number < size - unwatched,
            interface="wlan0" if number % 4 else "eth0",
            booted=-5000.0 - 7 * number,
        )
        gateway.connect(0.31 * number)
        gateways.append(gateway)
    return World(gateways)


# --- faults: each takes the gateways it strikes and when ------------------------------------------

Fault = Callable[[World, Sequence[Gateway], float], Cause]


def sag_then_cut(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """The supply sags for some seconds, then it is gone."""
    return _power(some, at, sag=True)


def power_cut(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A plug pulled."""
    return _power(some, at, sag=False)


def _power(some: Sequence[Gateway], at: float, *, sag: bool) -> Cause:
    for place, one in enumerate(some):
        for back in range(90, 0, -1):
            low = sag and back <= 6
            one.look(at - back, 5.1 - 0.12 * (7 - back) if low else 5.1, low=low and back <= 4)
        if sag:
            one.tell("supply_low", at - 4.0, undervoltage="under", volts=4.6, limit_v=4.63)
        one.reading(at - 0.4)
        late = 45.0 + 0.7 * place
        one.close(at + late, "centre", "no_pong", 1011, late + 0.4)
        word = ("power_cut", "probable", "reset status 0x1000: power-on reset")
        if sag:
            word = ("brown_out", "probable", "supply low 0 s before the last record; reset status")
        one.boot(at + 100.0, word)
        one.connect(at + 112.0 + place)
        one.reading(at + 113.0 + place)
    return Cause.BROWN_OUT if sag else Cause.POWER_CUT


def wifi_fades(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """The level falls for some twenty seconds, then the station is disassociated."""
    for one in some:
        one.interface = "wlan0"
        for back in range(90, 0, -1):
            one.look(at - back, dbm=-60.0 - max(0.0, 22.0 - back) * 1.5)
        one.tell("radio_lost", at + 0.5, interface="wlan0", by_ap=False, reason=4)
        one.tell("carrier_lost", at + 0.6, interface="wlan0", operstate="down", carrier_downs=1)
        one.tell("route_changed", at + 0.7, **{"from": "wlan0", "to": ""})
        for second in range(1, 40):
            one.look(at + second, dbm=None, carrier=False)
        _silent(one, at, 38.0)
        one.failed(at + 40.0, "dns_unreachable", "dns")
        one.connect(at + 80.0)
    return Cause.RADIO


def adapter_gone(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """The adapter is pulled out."""
    for one in some:
        one.trace(at - 90.0, at - 0.5)
        one.tell("carrier_lost", at + 0.6, interface=one.interface, operstate="gone")
        one.tell("route_changed", at + 0.6, **{"from": one.interface, "to": ""})
        for second in range(1, 40):
            one.look(at + second, dbm=None, carrier=False)
        _silent(one, at, 38.0)
        one.failed(at + 40.0, "no_route", "tcp")
        one.connect(at + 80.0)
    return Cause.LINK_LOST


def half_open(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """Packets vanish both ways."""
    for one in some:
        one.trace(at - 90.0, at + 44.0)
        _silent(one, at, 43.0)
        one.failed(at + 55.0, "connect_timeout", "tcp")
        one.connect(at + 70.0)
    return Cause.PATH_DEAD


def _silent(one: Gateway, at: float, gave_up: float) -> None:
    one.reading(at + gave_up)
    one.account(at + gave_up, "half_open", "path", 1011)
    one.close(at + 47.0, "centre", "no_pong", 1011, 47.0 + 0.37 + one.number * 0.011)


def killed(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """kill -9 of the daemon."""
    for one in some:
        one.trace(at - 30.0, at - 0.2)
        one.close(at, "network", "end_of_stream", 1006, 0.3 + one.number * 0.013)
        word = ("daemon_crash", "certain", "the boot id is the same; signal KILL")
        one.boot(at + 5.0, word, same=True)
        one.connect(at + 8.0)
    return Cause.AGENT_CRASHED


def stopped(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """`systemctl restart`."""
    for one in some:
        one.tell("agent_stopping", at - 0.3, backlog=0)
        one.close(at, "agent", "going_away", 1001, 0.1)
        one.boot(at + 1.0, ("daemon_restart", "certain", "the boot id is the same"), same=True)
        one.connect(at + 4.0)
    return Cause.AGENT_STOPPED


def reconfigured(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A reload that restarts the uplink."""
    for one in some:
        one.tell("config_changed", at - 0.2, revision="2", effect="uplink")
        one.account(at, "reconfigured", "own")
        one.close(at, "agent", "going_away", 1001, 0.1)
        one.connect(at + 0.4)
    return Cause.CONFIG_CHANGED


def rebooted(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """`systemctl reboot`."""
    for one in some:
        one.tell("agent_stopping", at - 0.3, backlog=0)
        one.close(at, "agent", "going_away", 1001, 0.1)
        one.boot(at + 20.0, ("orderly_reboot", "certain", "the system was stopping (reboot)"))
        one.connect(at + 30.0)
    return Cause.ORDERLY_REBOOT


def watchdog(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A hang; the watchdog bites."""
    word = ("watchdog_reset", "certain", "watchdog0 bootstatus 0x20: card reset")
    return _hung(some, at, word, Cause.WATCHDOG)


def panicked(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A kernel panic."""
    word = ("kernel_panic", "certain", "pstore dmesg-ramoops-0: Panic#1")
    return _hung(some, at, word, Cause.KERNEL_PANIC)


def unclean(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A warm reset that nothing explains."""
    word = ("unclean_warm_reset", "probable", "reset status 0x20: warm reset")
    return _hung(some, at, word, Cause.UNCLEAN_REBOOT)


def _hung(some: Sequence[Gateway], at: float, word: tuple[str, str, str], cause: Cause) -> Cause:
    for one in some:
        one.trace(at - 30.0, at - 0.5)
        one.close(at + 46.0, "centre", "no_pong", 1011, 46.4 + one.number * 0.017)
        one.boot(at + 60.0, word)
        one.connect(at + 75.0)
    return cause


def centre_drained(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """SIGTERM of a node."""
    node = some[0].node
    world.notes.append(NodeEvent(node, ns(at - 0.1), "centre_stopping"))
    world.notes.append(NodeEvent(node, ns(at + 3.0), "centre_started"))
    for place, one in enumerate(some):
        one.account(at + 0.01, "peer_stopped", "peer", 2)
        if place % 4 == 3:  # its own goodbye was quicker
            one.close(at + 0.02, "agent", "normal", 1000, 0.1)
        else:
            one.close(at + 0.02, "centre", "draining", 1001, 0.1)
        one.connect(at + 4.0 + place)
    return Cause.CENTRE_DRAINED


def centre_killed(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """SIGKILL of a node: its sessions are closed at its next start."""
    world.notes.append(
        NodeEvent(some[0].node, ns(at + 3.0), "sessions_lost", "", (("sessions", 4),))
    )
    for place, one in enumerate(some):
        one.account(at + 0.01, "eof", "peer")
        one.close(at - 1.0, "centre", "centre_lost", 1006, 0.0)
        one.sessions[-1] = replace(one.sessions[-1], last_message_age_s=None)
        one.failed(at + 1.0, "bad_gateway", "upgrade")
        one.connect(at + 4.0 + place)
    return Cause.CENTRE_KILLED


def proxy_killed(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """SIGKILL of a proxy; it is back after ten seconds."""
    for place, one in enumerate(some):
        one.account(at + 0.01 + place * 0.003, "reset" if place == 1 else "eof", "peer")
        one.close(at + place * 0.002, "network", "end_of_stream", 1006, 0.2 + place * 0.531)
        one.failed(at + 0.8 + place * 0.1, "refused", "tcp")
        one.connect(at + 11.0 + place * 0.4)
    return Cause.PROXY_FAILED


def proxy_reloaded(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """nginx -s reload: old workers close what they have."""
    for place, one in enumerate(some):
        one.account(at + 0.01, "eof", "peer")
        one.close(at + place * 0.002, "network", "end_of_stream", 1006, 0.2 + place * 0.531)
        one.connect(at + 0.3 + place * 0.4)
    return Cause.PROXY_RELOADED


def proxy_idle(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A proxy's idle time-out of 60 s, three times of each."""
    for place, one in enumerate(some):
        start = at + place * 3.7
        for turn in range(3):
            lost = start + turn * 64.0
            one.account(lost + 0.01, "eof", "peer")
            one.close(lost, "network", "end_of_stream", 1006, 60.0 + 0.01 * place)
            one.connect(lost + 1.0)
    return Cause.PROXY_IDLE


def firewall(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A box in the path resets."""
    for place, one in enumerate(some):
        one.account(at + place * 0.3, "reset", "peer", 104)
        one.close(at + place * 0.3 + 0.002, "network", "end_of_stream", 1006, 0.21 + place * 0.17)
        one.failed(at + 1.0 + place * 0.3, "refused", "tcp")
        one.connect(at + 6.0 + place)
    return Cause.RESET_IN_PATH


def names_gone(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """DNS is gone, and a reset makes some ask for it."""
    return _held(some, at, "dns_unreachable", "dns")


def certificate_expired(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """The centre's certificate has expired, and a reset makes some look at it."""
    return _held(some, at, "tls_expired", "tls")


def _held(some: Sequence[Gateway], at: float, cause: str, phase: str) -> Cause:
    for place, one in enumerate(some):
        one.account(at + place * 0.3, "reset", "peer", 104)
        one.close(at + place * 0.3 + 0.002, "network", "reset", 1006, 0.21 + place * 0.17)
        one.failed(at + 1.0 + place * 0.3, cause, phase)
        one.connect(at + 30.0 + place)
    return Cause.RESET_IN_PATH


def wrong_clock(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """Power is cut; the clock comes up a month slow and certificates are not valid yet."""
    for one in some:
        one.trace(at - 60.0, at - 0.5)
        one.close(at + 44.0, "centre", "no_pong", 1011, 44.4 + one.number * 0.019)
        one.boot(at + 60.0, ("power_cut", "probable", "reset status 0x1000: power-on reset"))
        one.failed(at + 66.0, "tls_clock", "tls")
        one.tell("clock_stepped", at + 118.0, step_s=2_592_000.0, synced=True)
        one.wrong_s = -2_592_000.0
        one.connect(at + 120.0)
        one.wrong_s = 0.0
    return Cause.POWER_CUT


def path_dead_then_rebooted(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """The path dies; minutes later somebody on site reboots the gateway, and it comes back."""
    for one in some:
        one.trace(at - 90.0, at + 44.0)
        _silent(one, at, 43.0)
        one.reading(at + 240.0)
        one.tell("agent_stopping", at + 250.0, backlog=900)
        one.boot(at + 270.0, ("orderly_reboot", "certain", "the system was stopping (reboot)"))
        one.connect(at + 285.0)
    return Cause.PATH_DEAD


def reset_then_restarted(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """A firewall resets; before the gateway is let in again, somebody restarts the daemon."""
    for place, one in enumerate(some):
        one.proxy = ""
        one.sessions[-1] = replace(one.sessions[-1], proxy="")
        one.account(at, "reset", "peer", 104)
        one.close(at + 0.002, "network", "reset", 1006, 0.21 + place * 0.17)
        one.failed(at + 1.0, "refused", "tcp")
        one.reading(at + 100.0)
        one.tell("agent_stopping", at + 120.0, backlog=90)
        one.boot(at + 121.0, ("daemon_restart", "certain", "the boot id is the same"), same=True)
        one.connect(at + 125.0)
    return Cause.RESET_IN_PATH


def cut_then_a_mute_boot(world: World, some: Sequence[Gateway], at: float) -> Cause:
    """Power is cut; the next boot never reaches the centre and is rebooted by hand."""
    for one in some:
        one.trace(at - 60.0, at - 0.5)
        one.close(at + 44.0, "centre", "no_pong", 1011, 44.4 + one.number * 0.019)
        one.boot(at + 60.0, ("power_cut", "probable", "reset status 0x1000: power-on reset"))
        one.tell("connect_failed", at + 70.0, cause="dns_unreachable", phase="dns", text="-3")
        mute = one.boot_id
        one.tell("agent_stopping", at + 180.0, backlog=90)
        one.boot(at + 200.0, ("orderly_reboot", "certain", "the system was stopping (reboot)"))
        session = one.connect(at + 215.0)
        one.boot_rows[mute] = Boot(mute, session.opened_ns)
    return Cause.POWER_CUT


HELD = {
    "names_gone": HeldBy.DNS,
    "certificate_expired": HeldBy.CERTIFICATE,
    "wrong_clock": HeldBy.CLOCK,
    "firewall": HeldBy.REFUSED,
    "proxy_killed": HeldBy.REFUSED,
    "centre_killed": HeldBy.UPGRADE,
    "half_open": HeldBy.TIMEOUT,
    "adapter_gone": HeldBy.NO_ROUTE,
    "wifi_fades": HeldBy.DNS,
    "proxy_reloaded": HeldBy.NOTHING,
    "power_cut": HeldBy.DOWN,
}
LOCAL: tuple[Fault, ...] = (
    sag_then_cut,
    power_cut,
    wifi_fades,
    adapter_gone,
    half_open,
    killed,
    stopped,
    reconfigured,
    rebooted,
    watchdog,
    panicked,
    unclean,
    firewall,
    names_gone,
    certificate_expired,
    wrong_clock,
    proxy_idle,
    path_dead_then_rebooted,
    reset_then_restarted,
    cut_then_a_mute_boot,
)
"""Faults of some gateways."""
OF_A_PROXY: tuple[Fault, ...] = (proxy_killed, proxy_reloaded)
OF_A_NODE: tuple[Fault, ...] = (centre_drained, centre_killed)


def strike(world: World, fault: Fault, some: Sequence[Gateway], at: float) -> Truth:
    """Let a fault happen, and note the truth."""
    cause = fault(world, some, at)
    names = tuple(one.name for one in some)
    truth = Truth(fault.__name__, names, cause, at, HELD.get(fault.__name__))
    world.truths.append(truth)
    return truth
