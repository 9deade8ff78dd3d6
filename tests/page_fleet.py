"""A small fleet whose last six hours are told, for the page's tests and its screenshots.

Owns what happened: a deploy of the centre, a feeder without power, a radio that fades, a gateway
that is still away. Everything goes through the store's writer; the incidents are written as an
analysis would, with evidence that fits the story.
"""

import math
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.centre.store.incident_text import incident_text, loss_text
from gateway.centre.store.jobs import Binding, FoundIncident, FoundLoss, Incidents, Progress
from gateway.correlation.verdict import (
    Cause,
    Drop,
    Group,
    GroupKind,
    HeldBy,
    Incident,
    Loss,
    Proof,
)
from gateway.event import EventKind
from gateway.host.reboot import Confidence
from gateway.reading import Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import rows
from gateway.wire.message import Backlog
from gateway.wire.record import RecordKind
from tests.centre.history import Box, History, at

HOUR = 3600.0
END_S = 6 * HOUR
"""The page's now."""
METERS = Schema(
    (
        SchemaBlock(
            "main-meter",
            1.0,
            (
                SchemaPoint("voltage_l1", "V", "f32"),
                SchemaPoint("voltage_l2", "V", "f32"),
                SchemaPoint("voltage_l3", "V", "f32"),
                SchemaPoint("power", "W", "f32"),
                SchemaPoint("energy_import", "kWh", "f64"),
                SchemaPoint("frequency", "Hz", "f32"),
            ),
        ),
        SchemaBlock(
            "cabinet",
            10.0,
            (SchemaPoint("temperature", "°C", "f32"), SchemaPoint("door_open", "", "bool")),
        ),
    )
)
DEPLOY_S, FEEDER_S, RADIO_S, AWAY_S = 0.8 * HOUR, 3.02 * HOUR, 4.6 * HOUR, END_S - 380
FEEDER = ("nord-05", "nord-06", "nord-07", "nord-08")
FADING, AWAY, LOW, BUSY, SILENT = "hafen-03", "sued-04", "hafen-06", "sued-07", "nord-02"


@dataclass
class PageFleet:
    """The store with its boxes. `now_s`: how far the history has come."""

    history: History
    boxes: dict[str, Box] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    opened: int = 0
    active: int = 0

    def sample(self, seconds: float, change: int) -> None:
        """Note that so many sessions more are open."""
        self.active += change
        self.opened += max(0, change)
        self.history.count(seconds, self.active, self.opened)

    def write(self, *incidents: Incident) -> None:
        """Store incidents as the analysis does."""
        for one in incidents:
            self.incidents[one.identity] = one
        self.history.ask(
            Incidents(
                incidents=[
                    FoundIncident(
                        one.identity, one.started_ns, one.ended_ns, one.cause, one.confidence,
                        one.quiet, len(one.losses), sum(loss.pending for loss in one.losses),
                        incident_text(one), False,
                    )
                    for one in incidents
                ],
                losses=[
                    FoundLoss(
                        loss.gateway, loss.session, one.identity, loss.lost_ns, loss.returned_ns,
                        loss.cause, loss.pending, loss_text(loss), False,
                    )
                    for one in incidents
                    for loss in one.losses
                ],
            )
        )  # fmt: skip


def play(path: Path, every_s: float = 60.0) -> PageFleet:
    """Write the store; `every_s`: how far apart the host's readings are."""
    draw = random.Random(7)
    fleet = PageFleet(History(path, "centre-1"))
    node = fleet.history
    node.clock.wall = at(END_S)
    sites = (("nord", "metro"), ("sued", "swift"), ("hafen", "metro"))
    for site, operator in sites:
        for number in range(1, 9):
            name = f"{site}-{number:02}"
            feeder = f"{site[0].upper()}{1 + (number - 1) // 4}"
            labels = (
                ("label.site", site),
                ("label.feeder", feeder),
                ("label.operator", operator),
            )
            fleet.boxes[name] = Box(name, booted=-86_400.0 * draw.uniform(1, 40), labels=labels)
    for number, box in enumerate(fleet.boxes.values()):
        node.come(box, number / 10 - 1200, proxy="10.0.0.5")
        fleet.sample(number / 10 - 1200, 1)
        _announce(fleet, box)
    for box in fleet.boxes.values():
        _life(fleet, box, draw, every_s)
    _tell(fleet)
    for seconds in range(-1140, int(END_S), 60):
        node.count(seconds, *_counts(fleet, seconds))
    node.clock.ahead_s += 60  # what is known last is written every ten seconds
    node.alive(END_S)
    return fleet


def _announce(fleet: PageFleet, box: Box) -> None:
    body = rows.encode_schema(METERS)
    fleet.history.ask(
        Binding(gateway=box.pk, epoch=box.epoch, sid=2, digest=rows.schema_digest(body), body=body)
    )


def _away(name: str) -> list[tuple[float, float]]:
    """Return when a gateway has no power or no link: (from, to)."""
    found = []
    if name in FEEDER:
        found.append((FEEDER_S, FEEDER_S + 740 + 9 * FEEDER.index(name)))
    if name == FADING:
        found.append((RADIO_S, RADIO_S + 265))
    if name == AWAY:
        found.append((AWAY_S, END_S + 1))
    return found


def _counts(fleet: PageFleet, seconds: float) -> tuple[int, int]:
    away = sum(a <= seconds < b for name in fleet.boxes for a, b in _away(name))
    return len(fleet.boxes) - away, fleet.opened


def _life(fleet: PageFleet, box: Box, draw: random.Random, every_s: float) -> None:
    """Write a gateway's readings: a supply with its load, a radio with its weather."""
    node = fleet.history
    volts, dbm = draw.uniform(5.02, 5.16), draw.uniform(-74, -52)
    away = _away(box.name)
    seconds = 1.0
    while seconds < END_S:
        if not any(a <= seconds < b for a, b in away):
            noise = draw.gauss(0, 0.008) + 0.02 * math.sin(seconds / 1800)
            fade = _fade(box.name, seconds)
            low = box.name == LOW and (seconds > 5.7 * HOUR or 2.2 * HOUR < seconds < 2.4 * HOUR)
            sag = 0.38 if low else 0.0
            node.look(box, seconds, volts + noise - sag, dbm + fade + draw.gauss(0, 1.2), low=low)
        seconds += every_s
    if away and box.name in FEEDER:  # the last seconds, at full resolution
        for step in range(12):
            seconds = FEEDER_S - 24 + 2 * step
            drop = volts - 0.055 * step
            node.look(box, seconds, drop, dbm, low=drop < 4.63, trace=step % 2 == 0)
    if box.name not in FEEDER:
        _meters(box, END_S - 0.4 if box.name != AWAY else AWAY_S - 1, draw, node)
    node.send(box, END_S)


def _fade(name: str, seconds: float) -> float:
    if name != FADING:
        return 0.0
    if RADIO_S - 600 < seconds < RADIO_S:
        return -28 * (seconds - RADIO_S + 600) / 600
    return 0.0


def _meters(box: Box, seconds: float, draw: random.Random, node: History) -> None:
    ticks = box.source_ns(seconds) // 100_000 * 100_000
    volts = tuple(229.5 + draw.uniform(-1.5, 1.5) for _ in range(3))
    values = (*volts, draw.uniform(400, 9000), draw.uniform(1e3, 9e4), 50 + draw.gauss(0, 0.01))
    some = [Row(0, ticks, values), Row(1, ticks, (draw.uniform(18, 31), False))]
    node._record(box, RecordKind.ROWS, 8, rows.pack_rows(2, some, METERS))


def _tell(fleet: PageFleet) -> None:
    _deploy(fleet)
    _feeder(fleet)
    _radio(fleet)
    _lost(fleet)
    node = fleet.history
    busy = fleet.boxes[BUSY]
    node.ask(
        Progress(gateway=busy.pk, epoch=busy.epoch, next_seq=9, offset_ns=at(busy.booted),
                 waiting=Backlog(18_240, 2_310_000, 0), wall_ns=at(END_S - 20))
    )  # fmt: skip
    for box in fleet.boxes.values():
        if box.name != BUSY:
            node.ask(
                Progress(gateway=box.pk, epoch=box.epoch, next_seq=9, offset_ns=at(box.booted),
                         waiting=Backlog(0, 0, 0), wall_ns=at(END_S - 20))
            )  # fmt: skip


def _leave(
    fleet: PageFleet,
    box: Box,
    lost: float,
    back: float | None,
    side: str,
    cause: str,
    silent: float,
) -> Loss:
    """End a session and begin the next; return the loss, still without a verdict."""
    node = fleet.history
    number = box.session
    node.go(
        box, lost, side, cause, last_message_age_s=silent, round_trip_s=0.0412, messages_in=5120
    )
    fleet.sample(lost, -1)
    if back is not None:
        _return(fleet, box, back, "reset")
    labels = tuple((k.removeprefix("label."), v) for k, v in box.labels)
    return Loss(
        gateway=box.name, session=number, node="centre-1", proxy="10.0.0.5", software="gateway 0.3",
        labels=labels, opened_ns=at(DEPLOY_S + 9), lost_ns=at(lost),
        returned_ns=None if back is None else at(back), cause=Cause.UNKNOWN,
        confidence=Confidence.NONE, held_by=HeldBy.NOTHING, pending=back is None,
    )  # fmt: skip


def _return(fleet: PageFleet, box: Box, seconds: float, cause: str) -> None:
    """Begin the next session; `cause`: how the agent saw the one before end."""
    box.ended = (("cause", cause),)
    fleet.history.come(box, seconds, proxy="10.0.0.5")
    fleet.sample(seconds, 1)


def _deploy(fleet: PageFleet) -> None:
    losses = []
    before = [
        _leave(fleet, box, DEPLOY_S + 0.01 * number, None, "centre", "draining", 0.4)
        for number, box in enumerate(fleet.boxes.values())
    ]
    for number, (box, loss) in enumerate(zip(fleet.boxes.values(), before, strict=True)):
        lost, back = DEPLOY_S + 0.01 * number, DEPLOY_S + 12 + 1.7 * number
        _return(fleet, box, back, "going_away")
        proof = Proof(at(lost), 0, "centre", "the centre said Bye draining and closed with 1001")
        losses.append(
            replace(
                loss,
                opened_ns=at(0),
                returned_ns=at(back),
                pending=False,
                cause=Cause.CENTRE_DRAINED,
                confidence=Confidence.CERTAIN,
                proofs=(proof,),
            )
        )
    count = len(losses)
    fleet.write(
        Incident(
            "20270115T084800-77c1", at(DEPLOY_S), at(DEPLOY_S + 52), Cause.CENTRE_DRAINED,
            Confidence.CERTAIN, True, tuple(losses),
            (Group(GroupKind.NODE, "centre-1", count, count),),
            Drop(at(DEPLOY_S), at(DEPLOY_S + 1), at(DEPLOY_S + 52), count, 0),
        )
    )  # fmt: skip


def _feeder(fleet: PageFleet) -> None:
    losses = []
    for number, name in enumerate(FEEDER):
        box = fleet.boxes[name]
        lost, back = FEEDER_S + 31 + 2 * number, FEEDER_S + 740 + 9 * number
        node = fleet.history
        node.tell(box, FEEDER_S - 9, EventKind.SUPPLY_LOW, volts=4.58, source="hwmon")
        node.send(box, back)
        loss = _leave(fleet, box, lost, None, "network", "no_pong", 50.2)
        node.reboot(box, back - 14)
        box.ended = ()
        node.come(box, back, proxy="10.0.0.5")
        fleet.sample(back, 1)
        _announce(fleet, box)
        evidence = "power_reset says under-voltage; 12 s without supply before the last record"
        node.tell(
            box, back - 1, EventKind.BOOT_CLASSIFIED,
            **{"class": "power_cut", "confidence": "probable", "rule": 8, "evidence": evidence},
        )  # fmt: skip
        _meters(box, END_S - 0.3, random.Random(number), node)
        node.send(box, back + 1)
        proofs = (
            Proof(at(FEEDER_S - 9), 10**6, "agent", "supply low: 4.58 V, source hwmon"),
            Proof(at(FEEDER_S - 2), 10**6, "host", "supply fell from 5.09 V to 4.47 V in 22 s"),
            Proof(at(lost), 0, "centre", "no answer to a ping for 50 s, closed", False),
            Proof(at(back - 1), 10**6, "agent", f"boot class power_cut (probable): {evidence}"),
            Proof(at(FEEDER_S), 10**9, "agent", "radio at −61 dBm until the end", False),
        )
        losses.append(
            replace(
                loss,
                returned_ns=at(back),
                pending=False,
                cause=Cause.POWER_CUT,
                confidence=Confidence.PROBABLE,
                held_by=HeldBy.DOWN,
                proofs=proofs,
            )
        )
    fleet.write(
        Incident(
            "20270115T110143-4f2a", at(FEEDER_S + 31), at(FEEDER_S + 767), Cause.POWER_CUT,
            Confidence.PROBABLE, False, tuple(losses),
            (Group(GroupKind.FEEDER, "N2", 4, 4), Group(GroupKind.SITE, "nord", 4, 8)),
            Drop(at(FEEDER_S + 31), at(FEEDER_S + 37), at(FEEDER_S + 767), 24, 20),
        )
    )  # fmt: skip


def _radio(fleet: PageFleet) -> None:
    box = fleet.boxes[FADING]
    node = fleet.history
    node.tell(box, RADIO_S - 3, EventKind.RADIO_LOST, interface="wlan0", dbm=-93.0, reason=4)
    node.send(box, RADIO_S)
    loss = _leave(fleet, box, RADIO_S + 44, RADIO_S + 265, "network", "no_pong", 47.0)
    proofs = (
        Proof(at(RADIO_S - 3), 10**6, "agent", "radio lost on wlan0 at −93 dBm, reason 4"),
        Proof(at(RADIO_S - 60), 10**6, "host", "level fell from −63 dBm to −91 dBm in 10 min"),
        Proof(at(RADIO_S), 10**6, "host", "supply steady at 5.08 V", False),
    )
    loss = replace(
        loss, cause=Cause.RADIO, confidence=Confidence.CERTAIN, held_by=HeldBy.NO_ROUTE,
        proofs=proofs,
    )  # fmt: skip
    fleet.write(
        Incident(
            "20270115T123644-b0d7", at(RADIO_S + 44), at(RADIO_S + 265), Cause.RADIO,
            Confidence.CERTAIN, False, (loss,), (),
            Drop(at(RADIO_S + 44), at(RADIO_S + 45), at(RADIO_S + 265), 24, 23),
        )
    )  # fmt: skip


def _lost(fleet: PageFleet) -> None:
    loss = _leave(fleet, fleet.boxes[AWAY], AWAY_S + 50, None, "network", "no_pong", 49.1)
    proof = Proof(at(AWAY_S + 50), 0, "centre", "no answer to a ping for 50 s, closed", False)
    fleet.write(
        Incident(
            "20270115T135430-19e3", at(AWAY_S + 50), None, Cause.UNKNOWN, Confidence.NONE, False,
            (replace(loss, proofs=(proof,)),), (),
            Drop(at(AWAY_S + 50), at(AWAY_S + 51), None, 24, 23),
        )
    )  # fmt: skip
