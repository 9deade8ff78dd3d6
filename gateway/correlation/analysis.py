"""From evidence to a report: the one entry of the room.

Owns the order of the steps. Takes the gateways lazily and keeps only their losses; time and memory
grow with the number of sessions and losses, not with what was told of them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

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
    count = sessions = 0
    census = Census()
    losses: list[Judged] = []
    notes = _notes(nodes)
    for evidence in gateways:
        history = History(evidence)
        count += 1
        sessions += len(history.turns)
        for turn in history.turns:
            if turn.session.opened_ns > now_ns:
                continue
            census.add(turn.session)
            closed_ns = turn.session.closed_ns
            if closed_ns is None or not from_ns <= closed_ns <= min(to_ns, now_ns):
                continue
            judged = judge(history, turn)
            if judged is None:
                continue
            if proofs_of is None or evidence.gateway in proofs_of:
                losses.append(_noted(judged, notes))
            else:
                losses.append(replace(judged, loss=replace(judged.loss, proofs=())))
    drops = find_drops(series)
    found = incidents(compare(losses, census), census, drops)
    return Report(from_ns, to_ns, drops, found, count, sessions)


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
