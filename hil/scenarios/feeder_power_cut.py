"""A feeder loses power: one incident, and it names the feeder its gateways have in common."""

from gateway.correlation.verdict import Cause, GroupKind
from hil.bench import Bench
from hil.fleet import Kind
from hil.found import one_incident
from hil.injectors.power import FeederPowerCut


def run(bench: Bench) -> None:
    """Cut the feeder with all its real agents."""
    agents = bench.stack.fleet.where(kind=Kind.AGENT)
    feeder = bench.random.choice(sorted({member.label("feeder") for member in agents}))
    members = [member for member in agents if member.label("feeder") == feeder]
    boxes = [bench.stack.boxes[member.gateway] for member in members]
    found = one_incident(bench, FeederPowerCut(boxes))
    assert found.incident.cause in (Cause.BROWN_OUT, Cause.POWER_CUT)
    group = found.group(GroupKind.FEEDER)
    assert feeder in group.value and group.lost == group.of == len(members), group
    for member in members:
        lost, following = found.sessions(member.gateway)
        assert lost.boot_id != following.boot_id, f"{member.gateway}: the boot id did not change"
        assert found.events(member.gateway, "supply_low"), f"{member.gateway}: no sag was stored"
