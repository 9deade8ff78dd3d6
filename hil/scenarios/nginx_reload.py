"""A deploy of nginx: everybody behind it falls at once and is back at once; not alarmed."""

from gateway.correlation.verdict import Cause, GroupKind
from hil.bench import Bench
from hil.capability import Capability
from hil.found import one_incident
from hil.injectors.proxy import NginxReload

NEEDS = (Capability.NGINX,)


def run(bench: Bench) -> None:
    """Reload."""
    found = one_incident(bench, NginxReload(bench.stack))
    assert found.incident.cause is Cause.PROXY_RELOADED and found.incident.quiet
    group = found.group(GroupKind.PROXY)
    assert group.value == bench.stack.nginx.address and group.lost == group.of, group
    assert found.incident.drop is not None, "the drop of ws_active_connections was not seen"
