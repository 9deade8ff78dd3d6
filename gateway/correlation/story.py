"""One incident in words: a headline, its timeline, each gateway's evidence, what to check.

Owns the wording only; decides nothing.
"""

from dataclasses import dataclass

from gateway.correlation.verdict import Incident, Loss, Proof


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
    """What is known of one gateway's loss."""

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
    count = len(incident.losses)
    headline = f"{count} gateway{'' if count == 1 else 's'} lost: {incident.cause}"
    lines = [Line(loss.lost_ns, 0, loss.gateway, "lost") for loss in incident.losses]
    lines += [
        Line(loss.returned_ns, 0, loss.gateway, "back")
        for loss in incident.losses
        if loss.returned_ns is not None
    ]
    lines.sort(key=lambda line: (line.at_ns or 0, line.gateway))
    gateways = tuple(
        GatewayStory(loss, f"{loss.cause} ({loss.confidence})", loss.proofs)
        for loss in incident.losses
    )
    return Story(headline, tuple(lines), gateways, ())
