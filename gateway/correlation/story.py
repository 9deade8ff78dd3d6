"""One incident in words: a headline, its timeline, each gateway's evidence, what to check.

Owns the wording only; decides nothing. What the error strings in it mean is told by `signatures`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.correlation.checks import CHECKS, HELD_CHECKS, MEANING
from gateway.correlation.verdict import Cause, Drop, Group, GroupKind, HeldBy, Incident, Loss, Proof

MANY = 12
"""Of more losses than this, the timeline tells the first and the last."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline. `at_ns`: UTC, ``None``: not dated; `error_ns`: how far it may be
    off. `gateway`: whom it concerns, empty: all of them."""

    at_ns: int | None
    error_ns: int
    gateway: str
    text: str


@dataclass(frozen=True, slots=True)
class GatewayStory:
    """What is known of one gateway's loss: the lines that decided first."""

    loss: Loss
    verdict: str
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """One incident. `checks`: what to look at on site, the likeliest first."""

    headline: str
    timeline: tuple[Line, ...]
    gateways: tuple[GatewayStory, ...]
    checks: tuple[str, ...]


def tell(incident: Incident) -> Story:
    """Put an incident into words."""
    losses = incident.losses
    lines = [*_series(incident.drop), *_shared(losses), *_course(losses)]
    lines.sort(key=lambda line: (line.at_ns is None, line.at_ns or 0, line.gateway, line.text))
    return Story(
        headline(incident),
        tuple(lines),
        tuple(GatewayStory(loss, verdict(loss), _ordered(loss.proofs)) for loss in losses),
        tuple(checks(incident)),
    )


def headline(incident: Incident) -> str:
    """Return one line: how many, whose, why; what is not known is said."""
    gateways = {loss.gateway for loss in incident.losses}
    who = next(iter(gateways)) if len(gateways) == 1 else f"{len(gateways)} gateways"
    where = f" of {group_words(incident.groups[0])}" if incident.groups else ""
    sure = "" if incident.cause is Cause.UNKNOWN else f" ({incident.confidence})"
    said = f"{who}{where} lost: {MEANING[incident.cause]}{sure}"
    notes = []
    unknown = sum(loss.cause is Cause.UNKNOWN for loss in incident.losses)
    if unknown and incident.cause is not Cause.UNKNOWN:
        notes.append(f"{unknown} for no known cause")
    away = sum(loss.returned_ns is None for loss in incident.losses)
    if away:
        notes.append(f"{away} not back yet")
    pending = sum(loss.pending for loss in incident.losses)
    if pending:
        notes.append(f"{pending} judged without what they saw themselves")
    return f"{said}; {', '.join(notes)}" if notes else said


def group_words(group: Group) -> str:
    """Return what gateways have in common, with how many of how many fell."""
    count = f"({group.lost} of {group.of})"
    if group.kind is GroupKind.FLEET:
        return f"the fleet {count}"
    if group.kind is GroupKind.AGE:
        return f"age {group.value} s {count}"
    if group.kind is GroupKind.LABEL:
        return f"{group.value} {count}"
    return f"{group.kind.value.replace('_', ' ')} {group.value} {count}"


def verdict(loss: Loss) -> str:
    """Return a loss's verdict: why it was lost, how sure, what kept it away."""
    said = MEANING[loss.cause]
    if loss.cause is not Cause.UNKNOWN:
        said = f"{loss.cause} ({loss.confidence}): {said}"
    if loss.held_by not in (HeldBy.NOTHING, HeldBy.UNKNOWN):
        said += f"; held by {loss.held_by}"
    if loss.returned_ns is None:
        said += "; not back yet"
    if loss.pending:
        said += "; pending: it has not told its side yet"
    return said


def checks(incident: Incident) -> Iterator[str]:
    """Yield what to look at, each once: for the cause, then for what held most gateways, then for
    the causes of a few."""
    said: set[str] = set()
    causes = Counter(loss.cause for loss in incident.losses)
    held = Counter(loss.held_by for loss in incident.losses)
    lists = [CHECKS[incident.cause]]
    lists += [HELD_CHECKS[by] for by, _ in sorted(held.items(), key=_most)]
    if incident.cause is not Cause.UNKNOWN:
        rest = sorted(causes.items(), key=_most)
        lists += [CHECKS[cause] for cause, _ in rest if cause is not Cause.UNKNOWN]
    for check in (check for some in lists for check in some):
        if check not in said:
            said.add(check)
            yield check


def _most(pair: tuple[Cause | HeldBy, int]) -> tuple[int, str]:
    return -pair[1], pair[0].value


def _series(drop: Drop | None) -> Iterator[Line]:
    if drop is None:
        return
    if drop.hidden:
        text = f"of {drop.before} connections {drop.before - drop.bottom} ended and came back"
        yield Line(drop.started_ns, 0, "", f"{text} between two samples")
        return
    yield Line(drop.started_ns, 0, "", f"connections began to fall from {drop.before}")
    yield Line(drop.bottom_ns, 0, "", f"connections were fewest: {drop.bottom}")
    if drop.recovered_ns is not None:
        yield Line(drop.recovered_ns, 0, "", "connections were as many as before")


def _shared(losses: Sequence[Loss]) -> Iterator[Line]:
    """Yield the evidence that decided: once where it is alike for several gateways."""
    seen: dict[tuple[int | None, str], tuple[Proof, list[str]]] = {}
    for loss in losses:
        for proof in loss.proofs:
            if proof.supports:
                key = proof.at_ns, proof.text
                seen.setdefault(key, (proof, []))[1].append(loss.gateway)
    for proof, gateways in seen.values():
        alone = gateways[0] if len(set(gateways)) == 1 else ""
        if len(losses) <= MANY or not alone:
            yield Line(proof.at_ns, proof.error_ns, alone, f"{proof.observer}: {proof.text}")


def _course(losses: Sequence[Loss]) -> Iterator[Line]:
    if len(losses) <= MANY:
        for loss in losses:
            yield Line(loss.lost_ns, 0, loss.gateway, "lost")
            if loss.returned_ns is not None:
                yield Line(loss.returned_ns, 0, loss.gateway, f"back{_held(loss)}")
        return
    first = min(losses, key=lambda loss: loss.lost_ns)
    last = max(losses, key=lambda loss: loss.lost_ns)
    yield Line(first.lost_ns, 0, first.gateway, f"the first of {len(losses)} was lost")
    yield Line(last.lost_ns, 0, last.gateway, "the last was lost")
    back = sorted(loss.returned_ns for loss in losses if loss.returned_ns is not None)
    if back:
        yield Line(back[0], 0, "", "the first was back")
        yield Line(back[len(back) // 2], 0, "", f"half of the {len(back)} that came back were")
        yield Line(back[-1], 0, "", f"{len(back)} of {len(losses)} were back")


def _held(loss: Loss) -> str:
    quiet = (HeldBy.NOTHING, HeldBy.UNKNOWN)
    return "" if loss.held_by in quiet else f", held by {loss.held_by} until then"


def _ordered(proofs: Sequence[Proof]) -> tuple[Proof, ...]:
    """Return the lines that decided first, each part in order of time."""
    return tuple(
        sorted(
            proofs, key=lambda proof: (not proof.supports, proof.at_ns is None, proof.at_ns or 0)
        )
    )
