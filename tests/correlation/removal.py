"""Taking evidence away, one piece at a time.

Owns what a piece is. Not among them is what the centre itself knows without being told: which
sessions there were, when they were opened and closed, through what, and in which boot
(`docs/decisions/attribution.md`). A gateway's later sessions can only be missing together: it has
not come back yet.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from gateway.correlation.evidence import Boot, GatewayEvidence, Session

Keep = Callable[[], bool]


def poorer(evidence: GatewayEvidence, keep: Keep, keep_sessions: int | None) -> GatewayEvidence:
    """Return evidence with less in it: `keep` is asked for every piece. `keep_sessions`: how many
    sessions, the oldest, are there already; ``None``: all."""
    ordered = sorted(evidence.sessions, key=lambda one: one.opened_ns)
    return GatewayEvidence(
        evidence.gateway,
        tuple(_session(one, keep) for one in ordered[:keep_sessions]),
        tuple(_boot(one, keep) for one in evidence.boots),
        tuple(one for one in evidence.events if keep()),
        tuple(one for one in evidence.looks if keep()),
    )


def _session(session: Session, keep: Keep) -> Session:
    """Return a session of which less is told and measured."""
    facts = tuple(pair for pair in session.facts if pair[0].startswith("label.") or keep())
    return replace(
        session,
        facts=facts,
        ended=session.ended if keep() else (),
        last_message_age_s=session.last_message_age_s if keep() else None,
        last_pong_age_s=session.last_pong_age_s if keep() else None,
        path_dead=session.path_dead if keep() else None,
        alive_until_ns=session.alive_until_ns if keep() else None,
        reason=session.reason if keep() else "",
        software=session.software if keep() else "",
    )


def _boot(boot: Boot, keep: Keep) -> Boot:
    return replace(boot, anchors=tuple(one for one in boot.anchors if keep()))


def each(evidence: GatewayEvidence) -> Iterator[GatewayEvidence]:
    """Yield evidence with each single piece taken away in turn."""
    count = [0]

    def asked() -> bool:
        count[0] += 1
        return True

    poorer(evidence, asked, None)
    for missing in range(1, count[0] + 1):
        place = [0]

        def keep(missing: int = missing, place: list[int] = place) -> bool:
            place[0] += 1
            return place[0] != missing

        yield poorer(evidence, keep, None)
    for size in range(1, len(evidence.sessions)):
        yield poorer(evidence, lambda: True, size)
