"""What the centre has stored of a gateway, asked over its API.

Owns the questions scenarios ask of stored data; the node is the one the gateway is pinned to.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hil.stack import Stack


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading. `cause` as the API writes it, such as ``port_lost``; ``none`` when good."""

    at_ns: int
    value: float | str | None
    quality: str
    cause: str


class Stored:
    """Asks for one gateway."""

    def __init__(self, stack: Stack, gateway: str) -> None:
        self._node = stack.nodes[stack.fleet[gateway].node]
        self._path = f"/api/gateways/{quote(gateway)}"

    def readings(self, point: str, from_ns: int) -> list[StoredReading]:
        """Return the readings of ``device.point`` since `from_ns`, in order."""
        found = self._node.api(f"{self._path}/readings?point={quote(point)}&from={from_ns}")
        return [
            StoredReading(one["time_ns"], one["value"], one["quality"], one["cause"])
            for one in found["readings"]
        ]

    def events(self, from_ns: int) -> list[str]:
        """Return the kinds of the events recorded since `from_ns`, the newest first."""
        return [event["kind"] for event in self._rows("events", from_ns)]

    def gaps(self, from_ns: int) -> list[dict[str, Any]]:
        """Return the gaps in the record since `from_ns`."""
        return self._rows("gaps", from_ns)

    def _rows(self, what: str, from_ns: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._node.api(f"{self._path}/{what}?from={from_ns}")
        return found
