"""Quiet gateways behind a proxy's short idle time-out: each is cut at the same age."""

from gateway.correlation.verdict import Cause, GroupKind
from hil.bench import Bench
from hil.capability import Capability
from hil.found import one_incident
from hil.injectors.proxy import NginxIdle
from hil.stack import IDLE_S

NEEDS = (Capability.NGINX,)


def run(bench: Bench) -> None:
    """Have nothing to say."""
    members = bench.stack.fleet.where(quiet=True)
    found = one_incident(bench, NginxIdle(bench.stack, members))
    assert found.incident.cause is Cause.PROXY_IDLE
    group = found.group(GroupKind.AGE)
    assert abs(float(group.value) - IDLE_S) <= 1.0, group
    for member in members:
        lost, _ = found.sessions(member.gateway)
        assert lost.code == 1006 and lost.proxy, lost
        age_s = lost.last_message_age_s
        assert age_s is not None and abs(age_s - IDLE_S) < 0.5, age_s
