"""A proxy is killed with its workers: one incident, and the other proxy is not in it."""

from gateway.correlation.verdict import Cause, GroupKind
from hil.bench import Bench
from hil.fleet import PROXIES
from hil.found import one_incident
from hil.injectors.proxy import ProxyKilled


def run(bench: Bench) -> None:
    """Kill one of the two."""
    proxy = bench.random.choice(PROXIES)
    found = one_incident(bench, ProxyKilled(bench.stack, proxy))
    assert found.incident.cause is Cause.PROXY_FAILED
    group = found.group(GroupKind.PROXY)
    assert group.value == bench.stack.proxies[proxy].address, group
    drop = found.incident.drop
    assert drop is not None, "the drop of ws_active_connections was not seen"
    assert drop.before - drop.bottom >= group.lost, drop
