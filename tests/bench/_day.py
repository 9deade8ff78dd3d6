"""A day of a fleet, generated: what two centre nodes would have stored of it, and the truth.

Owns the plan of a day (who is lost when, and why) and its way into real stores, through the
centre's own registry and intake, with the records, endings and host readings that each fault leaves
behind. The truth never enters a store.
"""

import json
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gateway.centre.store import layout
from gateway.centre.store.intake import Intake
from gateway.centre.store.jobs import Binding, Farewell, Greeting, Ingest
from gateway.centre.store.registry import Registry
from gateway.correlation.verdict import Cause
from gateway.event import Event, EventKind, Scalar
from gateway.host.link import LinkKind
from gateway.host.sample import blocks
from gateway.reading import TICK_NS, Row, Schema
from gateway.wire import record, rows
from gateway.wire.message import Backlog, ClockReading, ClockSource, EpochState, Hello
from gateway.wire.packing import RowsPacker

SECOND = 1_000_000_000
DAY_S = 86_400
START_NS = 1_790_000_000 * SECOND
NODES = ("centre-a", "centre-b")
PROXIES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
LINKS = (("eth0", LinkKind.WIRE), ("wlan0", LinkKind.WIFI))
SCHEMA = Schema(blocks(LINKS, 10.0))
ENCODED = rows.encode_schema(SCHEMA)
SID = 1
TRACE_BLOCK = len(SCHEMA.blocks) - 1
PACKER = RowsPacker(SID, SCHEMA)
LOOKS = 120
"""Two minutes: what an agent records of its host at full resolution when it loses its session."""
_WAVER = random.Random(7)
NOISE = [[_WAVER.choice((-2, -1, -1, 0, 0, 0, 1, 1, 2)) for _ in range(LOOKS)] for _ in range(64)]
"""How a supply (in 4 mV) and a radio (in dB) that stand still waver from second to second."""
SPACING_S = 240.0
"""Between two losses of one gateway: its story of the first is told before the second."""
CHURN = {
    Cause.PATH_DEAD: 6.0,
    Cause.RADIO: 4.0,
    Cause.RESET_IN_PATH: 2.0,
    Cause.LINK_LOST: 2.0,
    Cause.BROWN_OUT: 1.0,
    Cause.POWER_CUT: 1.0,
    Cause.WATCHDOG: 0.7,
    Cause.ORDERLY_REBOOT: 0.5,
    Cause.AGENT_CRASHED: 1.0,
    Cause.AGENT_STOPPED: 1.0,
    Cause.CONFIG_CHANGED: 1.0,
}
"""Losses of a gateway a day on its own account, on average: a bad day."""
_REBOOTS = {
    Cause.BROWN_OUT: ("brown_out", "probable", "under-voltage until the last record"),
    Cause.POWER_CUT: ("power_cut", "probable", "reset status 0x1000: power-on reset"),
    Cause.WATCHDOG: ("watchdog_reset", "certain", "watchdog bootstatus 0x20: card reset"),
    Cause.ORDERLY_REBOOT: ("orderly_reboot", "certain", "the system was stopping for reboot"),
}
_AGAIN = {
    Cause.AGENT_CRASHED: ("daemon_crash", "certain", "service result signal, status KILL"),
    Cause.AGENT_STOPPED: ("daemon_restart", "certain", "same boot, stopped in order"),
}
Fields = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Loss:
    """One planned loss: when (s of the day), for how long, and the truth."""

    at_s: float
    away_s: float
    cause: Cause


@dataclass(slots=True)
class Plan:
    """One gateway's day."""

    name: str
    node: int
    proxy: str
    labels: dict[str, str]
    losses: list[Loss] = field(default_factory=list)


@dataclass(slots=True)
class Truth:
    """What was planned, by (gateway, session number), and how big it all is."""

    causes: dict[tuple[str, int], Cause] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    gateways: int = 0
    sessions: int = 0
    records: int = 0

    def causes_count(self) -> Counter[Cause]:
        """Return how many losses there were of each cause."""
        return Counter(self.causes.values())


def plan(rng: random.Random, gateways: int) -> tuple[list[Plan], Counter[str]]:
    """Draw the day of a fleet; return it and how many faults of many gateways it has."""
    fleet = []
    for number in range(gateways):
        labels = {
            "site": f"site-{number // 4}",
            "feeder": f"feeder-{number // 40}",
            "operator": f"operator-{rng.randrange(4)}",
        }
        proxy = PROXIES[rng.randrange(len(PROXIES))]
        fleet.append(Plan(f"gw-{number:05d}", number % 2, proxy, labels))
    faults = _together(rng, fleet)
    for one in fleet:
        for cause, mean in CHURN.items():
            for _ in range(_poisson(rng, mean)):
                away = rng.uniform(2.0, 20.0) if cause in _AGAIN else rng.uniform(30.0, 900.0)
                away = rng.uniform(0.3, 3.0) if cause is Cause.CONFIG_CHANGED else away
                one.losses.append(Loss(rng.uniform(600.0, DAY_S - 1200.0), away, cause))
        one.losses = _apart(one.losses)
    return fleet, faults


def _together(rng: random.Random, fleet: list[Plan]) -> Counter[str]:
    """Plan what many gateways share."""
    faults: Counter[str] = Counter()

    def strike(
        what: str, some: list[Plan], at_s: float, cause: Cause, away: tuple[float, float]
    ) -> None:
        faults[what] += 1
        for one in some:
            jitter = rng.uniform(0.0, 0.4)
            one.losses.append(Loss(at_s + jitter, rng.uniform(*away), cause))

    for node in range(2):
        some = [one for one in fleet if one.node == node]
        strike("centre drained", some, 10_800.0 + 600.0 * node, Cause.CENTRE_DRAINED, (1.0, 30.0))
    dead = [one for one in fleet if one.node == 1]
    strike("centre killed", dead, 32_400.0, Cause.CENTRE_KILLED, (8.0, 40.0))
    for hours, proxy, cause in ((5, 1, Cause.PROXY_RELOADED), (7, 2, Cause.PROXY_FAILED)):
        some = [one for one in fleet if one.proxy == PROXIES[proxy]]
        away = (0.3, 5.0) if cause is Cause.PROXY_RELOADED else (15.0, 60.0)
        strike(cause.value, some, hours * 3600.0, cause, away)
    feeders = sorted({one.labels["feeder"] for one in fleet})
    for feeder in rng.sample(feeders, max(1, len(feeders) // 25)):
        some = [one for one in fleet if one.labels["feeder"] == feeder]
        at_s = rng.uniform(40_000.0, 80_000.0)
        strike("feeder power cut", some, at_s, Cause.POWER_CUT, (120.0, 300.0))
    idle = [one for one in fleet if one.proxy == PROXIES[3]][: len(fleet) // 30]
    faults["proxy idle time-out"] += 1
    for one in idle:
        at_s = 46_800.0 + rng.uniform(0.0, 300.0)
        while at_s < 50_400.0:  # an hour of it: 300 s, and in again
            one.losses.append(Loss(at_s, 1.0, Cause.PROXY_IDLE))
            at_s += 301.0
    return faults


def _apart(losses: list[Loss]) -> list[Loss]:
    """Return losses in order, without those that begin while another one's story is still on.
    What many share stands, what is a gateway's own gives way."""
    shared = sorted((one for one in losses if one.cause not in CHURN), key=_at)
    shared += sorted((one for one in losses if one.cause in CHURN), key=_at)
    kept: list[Loss] = []
    for one in shared:
        end = one.at_s + one.away_s + SPACING_S
        if all(end < other.at_s or one.at_s > _end(other) for other in kept):
            kept.append(one)
    return sorted(kept, key=_at)


def _at(loss: Loss) -> float:
    return loss.at_s


def _end(loss: Loss) -> float:
    return loss.at_s + loss.away_s + SPACING_S


def _poisson(rng: random.Random, mean: float) -> int:
    count, at = 0, rng.expovariate(1.0)
    while at < mean:
        count, at = count + 1, at + rng.expovariate(1.0)
    return count


class Store:
    """One node's store, written through its own registry and intake."""

    def __init__(self, path: Path, node: str) -> None:
        self.path = path
        self.node = node
        self.db: sqlite3.Connection = layout.open_writer(path)
        self.db.execute("PRAGMA synchronous = OFF")  # the bench measures reading
        self.intake = Intake(self.db)
        self.registry = Registry(self.db, self.intake, node, False)
        self.changes: Counter[int] = Counter()
        self.opened: Counter[int] = Counter()
        self._open = 0

    def begin(self) -> None:
        """Open a transaction, unless one is."""
        if not self._open:
            self.db.execute("BEGIN")
        self._open += 1
        if self._open >= 500:
            self.commit()
            self.db.execute("BEGIN")
            self._open = 1

    def commit(self) -> None:
        """Write what is gathered."""
        if self._open:
            self.intake.write()
            self.db.execute("COMMIT")
        self._open = 0

    def close(self) -> None:
        """Write the series and close."""
        self.commit()
        active = opened = 0
        series = []
        minutes = range(0, DAY_S + 1, 60)
        for second in sorted({*self.changes, *self.opened, *minutes}):
            active += self.changes[second]
            opened += self.opened[second]
            series.append((self.node, START_NS + second * SECOND, active, opened))
        self.db.execute("BEGIN")
        self.db.executemany(
            "INSERT INTO connection (node, at_ns, active, opened) VALUES (?, ?, ?, ?)", series
        )
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.db.close()


class Life:
    """One gateway as it lives through its day."""

    def __init__(self, plan: Plan, store: Store, rng: random.Random, truth: Truth) -> None:
        self._plan, self._store, self._rng, self._truth = plan, store, rng, truth
        self._pk = 0
        self._last = 0
        self._ended: Fields = {}
        self._reboot: tuple[str, str, str] = ("first_start", "certain", "no state file")
        self._waiting: list[tuple[int, bytes, int]] = []
        self._boot(START_NS - rng.randrange(1, 400_000) * SECOND)

    def _boot(self, at_ns: int) -> None:
        self._boot_ns = at_ns
        self._boot_id = self._rng.randbytes(16)
        self._start()

    def _start(self) -> None:
        """Begin a run of the daemon: an epoch of its own, and no memory of a session."""
        self._known = 0
        self._epoch = self._rng.getrandbits(64)
        self._seed = record.epoch_seed(self._epoch)
        self._seq = 0
        self._bound = False

    def _event(self, kind: EventKind, at_ns: int, **fields: Scalar) -> None:
        event = Event.make(kind, (at_ns - self._boot_ns) // TICK_NS * TICK_NS, **fields)
        self._waiting.append((record.RecordKind.EVENT, rows.pack_event(event), 0))

    def _looks(self, until_ns: int, volts: list[float], dbm: list[float], carrier: bool) -> None:
        """Record the trace of the seconds before. Without `carrier` the adapter goes at the end."""
        count = LOOKS
        noise = NOISE[self._rng.randrange(len(NOISE))]
        volts = [5.1 + 0.004 * step for step in noise[: count - len(volts)]] + volts
        dbm = [-62.0 + step for step in noise[: count - len(dbm)]] + dbm
        found = []
        for index in range(count):
            at_ns = until_ns - (count - index) * SECOND - self._boot_ns
            up = carrier or index < count - 2
            low, level = volts[index] < 4.7, dbm[index] if up else None
            values = (volts[index], low, 45.0, "wlan0", False, up, level)
            found.append(Row(TRACE_BLOCK, at_ns // TICK_NS * TICK_NS, values))
        payload = PACKER.pack(found)
        self._waiting.append((record.RecordKind.ROWS, payload, len(found) * 7))
        self._event(EventKind.TRACE, until_ns, reason="session_ended", looks=count)

    def _aggregates(self, until_ns: int) -> None:
        """Record the ten-second rows of the minutes before: what a dead gateway leaves."""
        found = []
        for index in range(24):
            at_ns = until_ns - (24 - index) * 10 * SECOND - self._boot_ns
            at = at_ns // TICK_NS * TICK_NS
            found.append(Row(0, at, (5.1, 5.05, 5.1, 5.15, False, 45.0, False, "wlan0")))
            found.append(Row(1, at, (False, 0, 0)))
            found.append(Row(2, at, (True, 0, 0, -62.0, -63.0, -62.0)))
        payload = PACKER.pack(found)
        self._waiting.append((record.RecordKind.ROWS, payload, 24 * 17))

    def live(self) -> None:
        """Run the day."""
        at_ns = START_NS + self._rng.randrange(0, 300) * SECOND
        for loss in self._plan.losses:
            lost_ns = START_NS + int(loss.at_s * SECOND)
            if lost_ns <= at_ns:
                continue
            session = self._open(at_ns)
            closed_ns = self._lose(session, at_ns, lost_ns, loss)
            self._truth.causes[self._plan.name, session] = loss.cause
            at_ns = max(lost_ns + int(loss.away_s * SECOND), closed_ns + SECOND // 5)
            self._come_back(loss, lost_ns, at_ns)
        self._open(at_ns)
        self._send(at_ns + SECOND)

    def _open(self, at_ns: int) -> int:
        store, plan = self._store, self._plan
        store.begin()
        boottime_ns = at_ns - self._boot_ns
        facts: Fields = {"config_revision": "4f2a90c1d3e5"}
        facts |= {f"label.{name}": value for name, value in plan.labels.items()}
        facts |= {"reboot": self._reboot[0], "reboot_confidence": self._reboot[1]}
        facts |= {"reboot_evidence": self._reboot[2], "boot_number": 7}
        hello = Hello(
            gateway_id=plan.name,
            instance=plan.name.encode(),
            boot_id=self._boot_id,
            software="0.4.0",
            epochs=(EpochState(self._epoch, self._boot_id, self._seq + 1, ()),),
            clock=ClockReading(boottime_ns, at_ns, ClockSource.NTP, 2000),
            encodings=(),
            max_message=65536,
            last_session=self._known,
            backlog=Backlog(len(self._waiting), 0, 0),
            ended=tuple(self._ended.items()),
            facts=tuple(facts.items()),
        )
        self._last = self._known = self._rng.getrandbits(53) | 1
        remote = f"10.1.{self._rng.randrange(256)}.{self._rng.randrange(1, 255)}"
        latency = self._rng.randrange(5, 60) * 1_000_000
        greeting = Greeting(
            hello=hello,
            session=self._last,
            remote=remote,
            proxy=plan.proxy,
            received_ns=at_ns + latency,
        )
        store.registry.greet(greeting)
        self._pk = greeting.gateway
        second = (at_ns + latency - START_NS) // SECOND
        store.changes[second] += 1
        store.opened[second] += 1
        self._truth.sessions += 1
        fields: Fields = {"session": self._last, "address": plan.proxy, "failures": 0}
        self._event(EventKind.SESSION_OPENED, at_ns + latency, **fields)
        self._send(at_ns + 2 * latency)
        return self._last

    def _send(self, received_ns: int) -> None:
        """Deliver what waits, of the current epoch."""
        intake = self._store.intake
        if not self._bound:
            ledger = intake.epoch(self._pk, self._epoch, received_ns)
            digest = rows.schema_digest(ENCODED)
            binding = Binding(
                gateway=self._pk, epoch=self._epoch, sid=SID, digest=digest, body=ENCODED
            )
            intake.bind(ledger, binding.sid, binding.digest, binding.body)
            self._bound = True
        made = []
        for kind, payload, readings in self._waiting:
            self._seq += 1
            made.append(record.pack(self._seed, self._seq, kind, readings, payload))
        self._waiting = []
        if not made:
            return
        self._truth.records += len(made)
        intake.ingest(
            Ingest(
                gateway=self._pk,
                session=self._last,
                epoch=self._epoch,
                records=made,
                offset_ns=self._boot_ns,
                received_ns=received_ns,
            )
        )

    # Losing

    def _lose(self, session: int, opened_ns: int, lost_ns: int, loss: Loss) -> int:
        """Leave both sides' traces of a loss; return when the centre saw it."""
        cause, rng = loss.cause, self._rng
        silent = cause in (Cause.PATH_DEAD, Cause.RADIO, Cause.LINK_LOST) or (
            cause in _REBOOTS and cause is not Cause.ORDERLY_REBOOT
        )
        closed_ns = lost_ns + (rng.randrange(35, 50) * SECOND if silent else 2_000_000)
        end = ("network", "end_of_stream", 1006, "end of stream")
        if silent:
            end = ("centre", "no_pong", 1011, "no pong within the time-out")
        elif cause in (Cause.ORDERLY_REBOOT, Cause.AGENT_STOPPED, Cause.CONFIG_CHANGED):
            end = ("agent", "going_away", 1000, "Bye stopping")
        elif cause is Cause.RESET_IN_PATH:
            end = ("network", "reset", 1006, "ECONNRESET")
        elif cause is Cause.CENTRE_DRAINED:
            end = ("centre", "draining", 1001, "this centre stops")
        elif cause is Cause.CENTRE_KILLED:
            end = ("centre", "centre_lost", 1006, "the centre was killed")
        idle = cause is Cause.PROXY_IDLE
        age = (closed_ns - lost_ns) / 1e9 + (300.0 if idle else rng.uniform(0.0, 1.0))
        evidence: dict[str, object] = {
            "last_message_age_s": round(age, 3),
            "last_pong_age_s": None,
            "round_trip_s": 0.03,
            "messages_in": int((lost_ns - opened_ns) / SECOND),
            "tcp_info": {"path_dead": silent},
        }
        store = self._store
        self._agent_sees(cause, lost_ns, closed_ns)
        store.registry.farewell(
            Farewell(
                session=session,
                closed_ns=closed_ns,
                side=end[0],
                cause=end[1],
                code=end[2],
                reason=end[3],
                evidence=evidence,
            )
        )
        store.changes[(closed_ns - START_NS) // SECOND] -= 1
        return closed_ns

    def _agent_sees(self, cause: Cause, lost_ns: int, closed_ns: int) -> None:
        rng = self._rng
        if cause is Cause.RADIO:
            dbm = [-70.0 - 23.0 * index / 60 + rng.uniform(-1.5, 1.5) for index in range(60)]
            self._looks(lost_ns, [], dbm, True)
            self._event(EventKind.RADIO_LOST, lost_ns, interface="wlan0", by_ap=False, reason=4)
        elif cause is Cause.LINK_LOST:
            self._looks(lost_ns + 2 * SECOND, [], [], False)
            self._event(
                EventKind.CARRIER_LOST,
                lost_ns,
                interface="wlan0",
                operstate="gone",  # the adapter: a radio that is only disassociated is a radio's
                carrier_downs=1,
            )
        elif cause is Cause.BROWN_OUT:
            self._looks(lost_ns, [5.1] * 40 + [4.9, 4.8, 4.6, 4.5, 4.4], [], True)
            self._event(EventKind.SUPPLY_LOW, lost_ns - 2 * SECOND, undervoltage="under", volts=4.6)
            self._send(lost_ns)  # what a dying supply leaves: the edge is flushed at once
        if cause in (Cause.ORDERLY_REBOOT, Cause.AGENT_STOPPED):
            self._event(EventKind.AGENT_STOPPING, lost_ns, backlog=0)
        if cause is Cause.CONFIG_CHANGED:
            fields: Fields = {"revision": "a1", "before": "4f", "effect": "uplink", "keys": 1}
            self._event(EventKind.CONFIG_CHANGED, lost_ns, **fields)
        said = {
            Cause.ORDERLY_REBOOT: ("stopped", "own", None),
            Cause.AGENT_STOPPED: ("stopped", "own", None),
            Cause.CONFIG_CHANGED: ("reconfigured", "own", None),
            Cause.RESET_IN_PATH: ("reset", "peer", 104),
            Cause.CENTRE_DRAINED: ("peer_stopped", "peer", 2),
            Cause.CENTRE_KILLED: ("eof", "peer", None),
            Cause.PROXY_RELOADED: ("eof", "peer", None),
            Cause.PROXY_FAILED: ("reset", "peer", 104),
            Cause.PROXY_IDLE: ("eof", "peer", None),
            Cause.PATH_DEAD: ("half_open", "path", 1011),
            Cause.RADIO: ("half_open", "path", 1011),
            Cause.LINK_LOST: ("half_open", "path", 1011),
        }.get(cause)
        self._ended = {}
        if said is None:
            self._aggregates(lost_ns)
            self._send(lost_ns)
            return  # a dead daemon writes nothing
        if cause not in (Cause.RADIO, Cause.LINK_LOST):
            self._looks(lost_ns, [], [], True)
        at_ns = closed_ns if said[0] == "half_open" else lost_ns + 3_000_000
        ended: Fields = {"cause": said[0], "side": said[1], "phase": "session", "text": said[0]}
        if said[2] is not None:
            ended["code"] = said[2]
        self._ended = ended | {"duration_s": 100.0, "heard_age_s": 1.0}
        self._event(EventKind.SESSION_ENDED, at_ns, session=self._last, **self._ended)
        failed = {
            Cause.RADIO: ("dns_unreachable", "path", "dns", -3),
            Cause.LINK_LOST: ("no_route", "path", "tcp", 101),
            Cause.PATH_DEAD: ("connect_timeout", "path", "tcp", None),
            Cause.CENTRE_KILLED: ("bad_gateway", "peer", "upgrade", 502),
            Cause.PROXY_FAILED: ("refused", "peer", "tcp", 111),
        }.get(cause)
        if failed is not None:
            why: Fields = {"cause": failed[0], "side": failed[1], "phase": failed[2]}
            why |= {} if failed[3] is None else {"code": failed[3]}
            self._event(EventKind.CONNECT_FAILED, at_ns + SECOND, failures=1, text=failed[0], **why)

    def _come_back(self, loss: Loss, lost_ns: int, back_ns: int) -> None:
        story = _REBOOTS.get(loss.cause) or _AGAIN.get(loss.cause)
        if story is None:
            return
        self._reboot = story
        self._ended = {}  # a new run of the daemon remembers no session
        if loss.cause in (Cause.ORDERLY_REBOOT, Cause.AGENT_STOPPED):
            self._send(lost_ns + 4_000_000)  # acked with the Bye
        self._waiting = []
        if loss.cause in _REBOOTS:
            self._boot(back_ns - min(15 * SECOND, (back_ns - lost_ns) // 2))
        else:
            self._start()
        started_ns = back_ns - (back_ns - lost_ns) // 8
        self._event(EventKind.AGENT_STARTED, started_ns, version="0.4.0", revision="4f")
        fields = dict(zip(("class", "confidence", "evidence"), story, strict=True))
        self._event(EventKind.BOOT_CLASSIFIED, started_ns, rule=1, **fields)


def write(folder: Path, gateways: int, seed: int) -> tuple[tuple[Path, ...], Truth]:
    """Write a day of a fleet into two stores; return their paths and the truth."""
    rng = random.Random(seed)
    fleet, faults = plan(rng, gateways)
    truth = Truth(faults=faults, gateways=gateways)
    stores = [Store(folder / f"{node}.sqlite", node) for node in NODES]
    for one in fleet:
        Life(one, stores[one.node], rng, truth).live()
    for number, store in enumerate(stores):
        _notes(store, number)
        store.close()
    return tuple(store.path for store in stores), truth


def _notes(store: Store, number: int) -> None:
    """Note what the node itself went through."""
    drained = 10_800.0 + 600.0 * number
    notes = [(drained - 0.1, "centre_stopping"), (drained + 1.0, "centre_started")]
    if number == 1:
        notes += [(32_407.0, "centre_started"), (32_407.0, "sessions_lost")]
    store.begin()
    for at_s, kind in notes:
        fields = json.dumps({"node": store.node})
        store.db.execute(
            "INSERT INTO event (received_ns, kind, fields) VALUES (?, ?, ?)",
            (START_NS + int(at_s * SECOND), kind, fields),
        )
