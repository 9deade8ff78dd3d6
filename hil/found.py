"""What a scenario asks of the analysis and of the stores after one fault.

Owns the assertions that every scenario makes: one incident, exactly these gateways, the right cause
and *held by*, no power blamed without power, nobody pending; and access to the stored evidence.
"""

from dataclasses import dataclass

from gateway.correlation.evidence import Look, Seen, Session
from gateway.correlation.verdict import Group, GroupKind, Incident, Loss
from hil.bench import Bench, Told
from hil.boards import Board
from hil.boxes import Box
from hil.injector import Injector
from hil.ledger import Entry

BEFORE_NS = 20_000_000_000
"""What is asked for before a fault: a level of the gauge takes a quarter of a minute to be one."""
SETTLE_S = 12.0
"""Until the last of the evidence, a recovery told after ten good seconds, has arrived."""


@dataclass(frozen=True, slots=True)
class Found:
    """One fault, its one incident, and the evidence since."""

    entry: Entry
    told: Told
    incident: Incident

    def loss(self, gateway: str) -> Loss:
        """Return a gateway's first loss."""
        return next(loss for loss in self.incident.losses if loss.gateway == gateway)

    def events(self, gateway: str, kind: str) -> list[Seen]:
        """Return a gateway's events of a kind stored since the fault, in the order they came."""
        found = [
            seen
            for seen in self.told.of(gateway).events
            if seen.kind == kind and seen.received_ns >= self.entry.began_ns
        ]
        return sorted(found, key=lambda seen: (seen.received_ns, seen.source_time_ns))

    def fields(self, gateway: str, kind: str) -> dict[str, object]:
        """Return the fields of a gateway's one event of a kind since the fault."""
        found = self.events(gateway, kind)
        assert len(found) == 1, f"{gateway}: {len(found)} events {kind}, not one"
        return dict(found[0].fields)

    def looks(self, gateway: str, boot_id: str) -> list[Look]:
        """Return a gateway's stored looks at its host in one boot, in order."""
        found = [look for look in self.told.of(gateway).looks if look.boot_id == boot_id]
        return sorted(found, key=lambda look: look.source_time_ns)

    def sessions(self, gateway: str) -> tuple[Session, Session]:
        """Return the session that was lost and the one that followed."""
        ordered = sorted(self.told.of(gateway).sessions, key=lambda one: one.opened_ns)
        number = self.loss(gateway).session
        index = next(i for i, one in enumerate(ordered) if one.number == number)
        assert index + 1 < len(ordered), f"{gateway} did not come back"
        return ordered[index], ordered[index + 1]

    def group(self, kind: GroupKind) -> Group:
        """Return the incident's group of a kind."""
        found = [group for group in self.incident.groups if group.kind is kind]
        assert found, f"no group of kind {kind}: {self.incident.groups}"
        return found[0]

    def says(self, gateway: str, *words: str) -> None:
        """Demand that the evidence behind a verdict names each of `words`."""
        text = "\n".join(proof.text for proof in self.loss(gateway).proofs).lower()
        for word in words:
            assert word.lower() in text, f"{gateway}: no evidence names {word!r}:\n{text}"


def one_incident(bench: Bench, injector: Injector, settle_s: float = SETTLE_S) -> Found:
    """Play a fault and demand exactly one incident, and that it is the right one."""
    (entry,) = bench.fault(injector)
    bench.quiet(settle_s)
    told = bench.told(entry.began_ns - BEFORE_NS)
    comparison = told.comparison
    short = comparison.shortcomings(least=1.0)
    assert not short, "; ".join(short)
    assert not comparison.false, f"nothing was injected into {comparison.false[0].loss.gateway}"
    incidents = {one.incident.identity: one.incident for one in comparison.lost}
    assert len(incidents) == 1, f"{len(incidents)} incidents, not one"
    (incident,) = incidents.values()
    fell = {one.loss.gateway for one in comparison.lost}
    assert fell == set(entry.expected.gateways), f"fell: {sorted(fell)}"
    for one in comparison.lost:
        gateway, loss = one.loss.gateway, one.loss
        assert not loss.pending, f"{gateway} is still pending"
        assert one.held_right is not False, f"{gateway} is said to be held by {loss.held_by}"
        assert loss.returned_ns is not None, f"{gateway} is said not to be back"
    return Found(entry, told, incident)


def box_of(bench: Bench, *boards: Board) -> Box:
    """Return one of the real agents on any of these boards, drawn from the seed."""
    found = [box for box in bench.stack.boxes.values() if box.machine.board in boards]
    return bench.random.choice(found)
