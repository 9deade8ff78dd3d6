"""What this side knows of a connection when it ends: the evidence in a session's record.

Owns the choice and the names (`docs/centre.md` §Endings). Never judges: causes are `ending`'s, and
later `correlation`'s.
"""

from dataclasses import asdict

from gateway.centre.link import Link
from gateway.process import tcp_info


def evidence_of(link: Link, unacked_jobs: int, now: float) -> dict[str, object]:
    """Return the evidence of a link that ends now; call it while the socket still stands."""
    pulse, transport = link.pulse, link.transport
    measured = pulse.ponged > 0
    sample = tcp_info.sample(transport.get_extra_info("socket") if transport is not None else None)
    return {
        "last_message_age_s": round(now - link.heard, 3),
        "last_pong_age_s": round(now - pulse.ponged, 3) if measured else None,
        "round_trip_s": round(pulse.last_s, 6) if measured else None,
        "round_trip_min_s": round(pulse.least_s, 6) if measured else None,
        "round_trip_max_s": round(pulse.most_s, 6) if measured else None,
        "messages_in": link.messages_in,
        "messages_out": link.messages_out,
        "bytes_in": link.bytes_in,
        "bytes_out": link.bytes_out,
        "unacked_jobs": unacked_jobs,
        "tcp_info": {} if sample is None else asdict(sample) | {"path_dead": sample.path_dead},
    }
