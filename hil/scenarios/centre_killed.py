"""A node of the centre is killed: its gateways, and no other, with the node's name."""

from gateway.correlation.verdict import Cause, GroupKind
from hil.bench import Bench
from hil.fleet import NODES
from hil.found import one_incident
from hil.injectors.centre import CentreKilled


def run(bench: Bench) -> None:
    """Kill one of the two."""
    node = bench.random.choice(NODES)
    found = one_incident(bench, CentreKilled(bench.stack, node))
    assert found.incident.cause is Cause.CENTRE_KILLED
    assert found.group(GroupKind.NODE).value == node
    assert all(loss.node == node for loss in found.incident.losses)
