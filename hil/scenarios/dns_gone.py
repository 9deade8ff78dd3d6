"""The name server is gone, and a cut makes some ask it: the cut is the cause, DNS held them."""

from gateway.correlation.verdict import Cause, HeldBy
from hil.bench import Bench
from hil.fleet import Kind
from hil.found import one_incident
from hil.injectors.network import NamesGone


def run(bench: Bench) -> None:
    """Strike the name server dumb, then reset."""
    agents = bench.random.sample(bench.stack.fleet.where(kind=Kind.AGENT), 2)
    found = one_incident(bench, NamesGone(bench.stack, agents))
    assert found.incident.cause is Cause.RESET_IN_PATH
    for member in agents:
        assert found.loss(member.gateway).held_by is HeldBy.DNS
        failed = found.events(member.gateway, "connect_failed")
        causes = {dict(event.fields)["cause"] for event in failed}
        assert "dns_unreachable" in causes, causes
