"""From evidence to a report: the one entry of the room.

Owns the order of the steps. Takes the gateways lazily and keeps only their losses; time and memory
grow with the number of sessions and losses, not with what was told of them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.correlation.causes import Judged, judge
from gateway.correlation.census import Census
from gateway.correlation.drops import find_drops
from gateway.correlation.evidence import GatewayEvidence, NodeEvent, Sample
from gateway.correlation.history import History
from gateway.correlation.incidents import incidents
from gateway.correlation.peers import compare
from gateway.correlation.report import Report
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import Cause, Proof

NOTED_NS = 60 * SECOND_NS
"""What a node noted so near a loss stands beside it."""
MAX_NOTES = 3
_NODE_CAUSES = frozenset({Cause.CENTRE_DRAINED, Cause.CENTRE_KILLED, Cause.CENTRE_ERROR})
_NODE_KINDS = frozenset({"centre_started", "centre_stopping", "sessions_lost"})


@dataclass(slots=True)
class Gathered:
    """What is kept of some gateways: losses, judged each for itself, and who was connected."""

    gateways: int = 0
    sessions: int = 0
    losses: list[Judged] = field(default_factory=list)
    census: Census = field(default_factory=Census)


def analyse(
    gateways: Iterable[GatewayEvidence],
    nodes: Sequence[NodeEvent],
    series: Sequence[Sample],
    from_ns: int,
    to_ns: int,
    now_ns: int,
    proofs_of: Container[str] | None = None,
) -> Report:
    """Say who was lost in `from_ns`..`to_ns`, why, and what belongs together.

    `now_ns`: until when the evidence was gathered; nothing later is looked at. The order of
    everything given means nothing. `proofs_of`: the gateways whose lines of evidence are kept,
    ``None``: of all; they are most of a large report's memory.
    """
    gathered = gather(gateways, nodes, from_ns, to_ns, now_ns, proofs_of)
    return conclude([gathered], series, from_ns, to_ns)


def gather(
    gateways: Iterable[GatewayEvidence],
    nodes: Sequence[NodeEvent],
    from_ns: int,
    to_ns: int,
    now_ns: int,
    proofs_of: Container[str] | None = None,
) -> Gathered:
    """Judge each loss by its own gateway's evidence: the first half of `analyse`, which may be done
    for parts of a fleet at the same time."""
    found = Gathered()
    notes = _notes(nodes)
    for evidence in gateways:
        history = History(evidence)
        told = proofs_of is None or evidence.gateway in proofs_of
        found.gateways += 1
        found.sessions += len(history.turns)
        for turn in history.turns:
            if turn.session.opened_ns > now_ns:
                continue
            found.census.add(turn.session)
            closed_ns = turn.session.closed_ns
            if closed_ns is None or not from_ns <= closed_ns <= min(to_ns, now_ns):
                continue
            judged = judge(history, turn, told)
            if judged is not None:
                found.losses.append(_noted(judged, notes) if told else judged)
    return found


def conclude(
    parts: Sequence[Gathered], series: Sequence[Sample], from_ns: int, to_ns: int
) -> Report:
    """Compare and group what was gathered: the second half of `analyse`."""
    whole = parts[0]
    for part in parts[1:]:
        whole.gateways += part.gateways
        whole.sessions += part.sessions
        whole.losses += part.losses
        whole.census.merge(part.census)
    drops = find_drops(series)
    found = incidents(compare(whole.losses, whole.census), whole.census, drops)
    return Report(from_ns, to_ns, drops, found, whole.gateways, whole.sessions)


def _notes(nodes: Iterable[NodeEvent]) -> dict[str, list[Proof]]:
    """Return what each node noted of itself as lines of evidence, in order."""
    found: dict[str, list[Proof]] = defaultdict(list)
    for event in sorted(set(nodes), key=lambda one: (one.at_ns, one.node, one.kind, repr(one))):
        if event.kind in _NODE_KINDS:
            fields = "".join(f", {name} {value}" for name, value in event.fields)
            text = f"{event.node} noted {event.kind}{fields}"
            found[event.node].append(Proof(event.at_ns, 0, "centre", text))
    return found


def _noted(judged: Judged, notes: dict[str, list[Proof]]) -> Judged:
    """Put what its node noted beside a loss that the node itself caused."""
    loss = judged.loss
    if loss.cause not in _NODE_CAUSES or loss.node not in notes:
        return judged
    proofs = notes[loss.node]
    low = bisect_left(proofs, loss.lost_ns - NOTED_NS, key=_at)
    near = proofs[low : bisect_right(proofs, loss.lost_ns + NOTED_NS, key=_at)][:MAX_NOTES]
    return replace(judged, loss=replace(loss, proofs=(*loss.proofs, *near)))


def _at(proof: Proof) -> int:
    return proof.at_ns or 0
