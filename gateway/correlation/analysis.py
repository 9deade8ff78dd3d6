"""From evidence to a report: the one entry of the room.

Owns the order of the steps. Takes the gateways lazily and keeps only their losses.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from gateway.correlation.evidence import GatewayEvidence, NodeEvent, Pairs, Sample, Session
from gateway.correlation.report import Report
from gateway.correlation.verdict import Cause, HeldBy, Incident, Loss, Proof
from gateway.host.reboot import Confidence

_SURE = {
    "draining": Cause.CENTRE_DRAINED,
    "centre_lost": Cause.CENTRE_KILLED,
    "store_failed": Cause.CENTRE_ERROR,
    "internal": Cause.CENTRE_ERROR,
    "identity": Cause.CENTRE_REFUSED,
    "revoked": Cause.CENTRE_REFUSED,
    "protocol_error": Cause.CENTRE_REFUSED,
    "too_big": Cause.CENTRE_REFUSED,
}


def analyse(
    gateways: Iterable[GatewayEvidence],
    nodes: Sequence[NodeEvent],
    series: Sequence[Sample],
    from_ns: int,
    to_ns: int,
    now_ns: int,
) -> Report:
    """Say who was lost in `from_ns`..`to_ns`, why, and what belongs together.

    `now_ns`: until when the evidence was gathered. The order of everything given means nothing.
    """
    count = sessions = 0
    losses: list[Loss] = []
    for evidence in gateways:
        count += 1
        sessions += len(evidence.sessions)
        ordered = sorted(evidence.sessions, key=lambda one: (one.opened_ns, one.number))
        for session, following in zip(ordered, [*ordered[1:], None], strict=True):
            closed_ns = session.closed_ns
            if closed_ns is None or not from_ns <= closed_ns <= to_ns:
                continue
            if session.cause == "replaced":
                continue
            losses.append(_loss(evidence.gateway, session, closed_ns, following))
    return Report(from_ns, to_ns, (), _incidents(losses), count, sessions)


def labels_of(session: Session) -> Pairs:
    """Return a session's grouping keys."""
    return tuple(
        (name.removeprefix("label."), value)
        for name, value in session.facts
        if name.startswith("label.")
    )


def _loss(gateway: str, session: Session, closed_ns: int, following: Session | None) -> Loss:
    cause = _SURE.get(session.cause, Cause.UNKNOWN)
    return Loss(
        gateway=gateway,
        session=session.number,
        node=session.node,
        proxy=session.proxy,
        software=session.software,
        labels=labels_of(session),
        opened_ns=session.opened_ns,
        lost_ns=closed_ns,
        returned_ns=None if following is None else following.opened_ns,
        cause=cause,
        confidence=Confidence.NONE if cause is Cause.UNKNOWN else Confidence.CERTAIN,
        held_by=HeldBy.UNKNOWN if following is None else HeldBy.NOTHING,
        pending=following is None and cause is Cause.UNKNOWN,
        proofs=(Proof(closed_ns, 0, "centre", f"closed by {session.side}: {session.cause}"),),
    )


def _incidents(losses: Iterable[Loss]) -> tuple[Incident, ...]:
    groups: dict[tuple[Cause, int], list[Loss]] = defaultdict(list)
    for loss in losses:
        groups[loss.cause, loss.lost_ns // 60_000_000_000].append(loss)
    incidents = []
    for (cause, _), members in groups.items():
        members.sort(key=lambda loss: (loss.lost_ns, loss.gateway))
        first, back = members[0], [loss.returned_ns for loss in members]
        known = [at for at in back if at is not None]
        incidents.append(
            Incident(
                identity=f"{first.lost_ns // 1_000_000_000}-{first.gateway}",
                started_ns=first.lost_ns,
                ended_ns=max(known) if len(known) == len(members) else None,
                cause=cause,
                confidence=min((loss.confidence for loss in members), key=list(Confidence).index),
                quiet=cause is Cause.CENTRE_DRAINED,
                losses=tuple(members),
                groups=(),
                drop=None,
            )
        )
    return tuple(sorted(incidents, key=lambda one: (one.started_ns, one.identity)))
