"""A certificate runs out, and a cut makes some come back: the certificate held them."""

from gateway.correlation.verdict import Cause, HeldBy
from hil.bench import Bench
from hil.fleet import Kind
from hil.found import one_incident
from hil.injectors.proxy import CertificateExpired


def run(bench: Bench) -> None:
    """Show an old certificate, then reset."""
    behind = bench.stack.fleet.where(kind=Kind.AGENT, proxy="haproxy")
    members = bench.random.sample(behind, 2)
    found = one_incident(bench, CertificateExpired(bench.stack, "haproxy", members))
    assert found.incident.cause is Cause.RESET_IN_PATH
    for member in members:
        assert found.loss(member.gateway).held_by is HeldBy.CERTIFICATE
        failed = found.events(member.gateway, "connect_failed")
        causes = {dict(event.fields)["cause"] for event in failed}
        assert "tls_expired" in causes, causes
