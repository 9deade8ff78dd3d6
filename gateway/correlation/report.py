"""What one analysis found, as one value.

Owns the result's shape only; `analysis` makes it, `story` puts it into words.
"""

from dataclasses import dataclass

from gateway.correlation.verdict import Drop, Incident


@dataclass(frozen=True, slots=True)
class Report:
    """Drops of the series and incidents of `from_ns`..`to_ns`, each the newest last.

    `gateways`, `sessions`: how much was looked at.
    """

    from_ns: int
    to_ns: int
    drops: tuple[Drop, ...]
    incidents: tuple[Incident, ...]
    gateways: int
    sessions: int

    @property
    def losses(self) -> int:
        """Return how many losses the incidents hold together."""
        return sum(len(incident.losses) for incident in self.incidents)
