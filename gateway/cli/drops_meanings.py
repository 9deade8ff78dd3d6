"""What the error strings around a loss mean: from what both sides recorded to the table's rows.

Owns the choice of recorded endings that belong to a loss: the session's own at the centre, how the
agent saw it end, and the connections it could not make until it was back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.correlation.evidence import GatewayEvidence, Pairs, Session
from gateway.correlation.signature import Signature
from gateway.correlation.signatures import AGENT, CENTRE, signature_for
from gateway.correlation.verdict import Loss

LATE_NS = 120_000_000_000
"""An agent may see the end of its session this long before or after the centre."""
TOLD = ("session_ended", "connect_failed")


@dataclass(frozen=True, slots=True)
class Meaning:
    """A row of the table and how many gateways met it."""

    signature: Signature
    gateways: int


def meanings(
    losses: Iterable[Loss], evidence: Mapping[str, GatewayEvidence]
) -> tuple[Meaning, ...]:
    """Return the rows that the losses of an incident met, the commonest first."""
    met: dict[str, set[str]] = {}
    rows: dict[str, Signature] = {}
    for loss in losses:
        known = evidence.get(loss.gateway)
        if known is None:
            continue
        for row in _of_loss(loss, known):
            rows[row.key] = row
            met.setdefault(row.key, set()).add(loss.gateway)
    found = [Meaning(rows[key], len(names)) for key, names in met.items()]
    return tuple(sorted(found, key=lambda one: (-one.gateways, one.signature.key)))


def _of_loss(loss: Loss, evidence: GatewayEvidence) -> Iterator[Signature]:
    endings: list[tuple[str, object, object]] = []
    for session in evidence.sessions:
        if session.number == loss.session and session.node == loss.node:
            cut = session.code == 1006  # then the reason is the errno's name
            endings.append((CENTRE, session.cause, session.reason if cut else session.code))
        if session.last_session == loss.session and _follows(session, loss):
            endings.append((AGENT, *_cause_and_code(session.ended)))
    offsets = {boot.boot_id: boot.offset_ns for boot in evidence.boots}
    until_ns = loss.returned_ns
    for seen in evidence.events:
        offset_ns = offsets.get(seen.boot_id)
        if seen.kind not in TOLD or offset_ns is None:
            continue
        at_ns = seen.source_time_ns + offset_ns
        late = until_ns is not None and at_ns > until_ns + LATE_NS
        if at_ns >= loss.lost_ns - LATE_NS and not late:
            endings.append((AGENT, *_cause_and_code(seen.fields)))
    for observer, cause, code in endings:
        if isinstance(cause, str):
            known = code if isinstance(code, int | str) and not isinstance(code, bool) else None
            row = signature_for(cause, known, observer)
            if row is not None:
                yield row


def _follows(session: Session, loss: Loss) -> bool:
    return session.opened_ns >= loss.opened_ns


def _cause_and_code(fields: Pairs) -> tuple[object, object]:
    known = dict(fields)
    return known.get("cause"), known.get("code")
