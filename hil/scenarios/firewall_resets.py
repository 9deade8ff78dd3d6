"""A box in the path resets connections: neither the proxy nor the centre is blamed."""

from gateway.correlation.verdict import Cause, HeldBy
from hil.bench import Bench
from hil.fleet import Kind
from hil.found import one_incident
from hil.injectors.network import FirewallResets


def run(bench: Bench) -> None:
    """Reset an agent and a driver."""
    fleet = bench.stack.fleet
    agent = bench.random.choice(fleet.where(kind=Kind.AGENT))
    driver = bench.random.choice(fleet.where(kind=Kind.DRIVER, quiet=False))
    found = one_incident(bench, FirewallResets(bench.stack, [agent, driver]))
    assert found.incident.cause is Cause.RESET_IN_PATH
    assert found.fields(agent.gateway, "session_ended")["cause"] == "reset"
    assert found.loss(agent.gateway).held_by is HeldBy.REFUSED
    found.says(agent.gateway, "104", "others")
