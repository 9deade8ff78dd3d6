"""Many incidents at a glance: the ones worth a line, and all of them by cause.

Owns the choice when there are more than fit: a drop is explained by its largest incidents, and
somebody has to look at those that go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.cli.drops_words import away
from gateway.correlation.verdict import Cause, Incident


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many incidents and lost sessions a cause has, and how many are not back."""

    cause: Cause
    incidents: int
    lost: int
    away: int


def chosen(incidents: Sequence[Incident], most: int, *, loud: bool = False) -> list[Incident]:
    """Return at most `most` incidents in their order: the largest, then those that go on, then the
    newest. `loud`: quiet ones only where there is room."""
    if len(incidents) <= most:
        return list(incidents)
    ranked = sorted(
        range(len(incidents)),
        key=lambda place: (
            loud and incidents[place].quiet,
            -len(incidents[place].losses),
            incidents[place].ended_ns is not None,
            -incidents[place].started_ns,
            incidents[place].identity,
        ),
    )
    return [incidents[place] for place in sorted(ranked[:most])]


def by_cause(incidents: Sequence[Incident]) -> list[CauseCount]:
    """Return the causes, the one with most lost sessions first."""
    counts: dict[Cause, list[int]] = {}
    for incident in incidents:
        count = counts.setdefault(incident.cause, [0, 0, 0])
        count[0] += 1
        count[1] += len(incident.losses)
        count[2] += away(incident)
    found = [CauseCount(cause, *count) for cause, count in counts.items()]
    return sorted(found, key=lambda one: (-one.lost, one.cause.value))
