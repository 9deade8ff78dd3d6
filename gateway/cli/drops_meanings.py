"""What the error strings around a loss mean: from what both sides recorded to the table's rows.

Owns the choice of recorded endings that belong to a loss: the session's own at the centre, how the
agent saw it end, and the connections it could not make until it was back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.correlation.evidence import Boot, GatewayEvidence, Seen, Session
from gateway.correlation.signature import Signature
from gateway.correlation.signatures import AGENT, CENTRE, signature_for
from gateway.correlation.verdict import Loss

SOONER_NS = 120_000_000_000
"""An agent may see the end of its session this long before the centre does, and try anew."""
SLACK_NS = 1_000_000_000
"""How far an agent's instant may be off on the centre's clock."""


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
    endings = [(CENTRE, session.cause, session.code) for session in _lost(loss, evidence)]
    told = [one.ended for one in evidence.sessions if _follows(one, loss)]
    told += [seen.fields for seen in evidence.events if _belongs(seen, loss, evidence.boots)]
    for fields in told:
        known = dict(fields)
        cause, code = known.get("cause"), known.get("code")
        number = code if isinstance(code, int) and not isinstance(code, bool) else None
        endings.append((AGENT, cause if isinstance(cause, str) else "", number))
    for observer, word, number in endings:
        row = signature_for(word, number, observer)
        if row is not None:
            yield row


def _lost(loss: Loss, evidence: GatewayEvidence) -> Iterator[Session]:
    for session in evidence.sessions:
        if session.number == loss.session and session.node == loss.node:
            yield session


def _follows(session: Session, loss: Loss) -> bool:
    """Say whether a session told how the lost one ended."""
    return session.last_session == loss.session and session.opened_ns >= loss.opened_ns


def _belongs(seen: Seen, loss: Loss, boots: Iterable[Boot]) -> bool:
    """Say whether an event tells of the loss, or of an attempt to come back from it."""
    if seen.kind == "session_ended":
        return dict(seen.fields).get("session") == loss.session
    offset_ns = next((boot.offset_ns for boot in boots if boot.boot_id == seen.boot_id), None)
    if seen.kind != "connect_failed" or offset_ns is None:
        return False
    at_ns = seen.source_time_ns + offset_ns
    from_ns = max(loss.opened_ns, loss.lost_ns - SOONER_NS)
    return from_ns <= at_ns and (loss.returned_ns is None or at_ns <= loss.returned_ns + SLACK_NS)
