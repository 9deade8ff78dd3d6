"""A node of the centre is drained for a deploy: named, and not alarmed; no reading is lost."""

from gateway.correlation.verdict import Cause, GroupKind
from hil.bench import Bench
from hil.fleet import NODES, Kind
from hil.found import one_incident
from hil.injectors.centre import CentreDrained
from hil.stored import Stored


def run(bench: Bench) -> None:
    """Stop one of the two, and start it again."""
    node = bench.random.choice(NODES)
    found = one_incident(bench, CentreDrained(bench.stack, node))
    assert found.incident.cause is Cause.CENTRE_DRAINED and found.incident.quiet
    assert found.group(GroupKind.NODE).value == node
    for member in bench.stack.fleet.where(kind=Kind.AGENT, node=node):
        assert found.fields(member.gateway, "session_ended")["cause"] == "peer_stopped"
        assert not Stored(bench.stack, member.gateway).gaps(found.entry.began_ns), "a gap"
