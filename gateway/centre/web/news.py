"""What changed in the store since it was last looked at: sessions and incidents.

Owns the two small queries behind the news, answered from indexes. All processes of a centre write
the same store, so that one of them can tell of all.
"""

import sqlite3

from gateway.centre.store import fleet
from gateway.centre.store.fleet import Filters, FleetPage, Page
from gateway.centre.web.live import News
from gateway.centre.web.shelf import Shelf
from gateway.process.clock import Clock

LATE_NS = 10_000_000_000
"""A session's instant may be that much older than its COMMIT."""
RECENT_NS = 7 * 86_400_000_000_000
MOST = 1000
_SESSIONS = (
    "SELECT s.id, g.name, s.closed_ns FROM session s JOIN gateway g ON g.id = s.gateway WHERE"
    " s.opened_ns > ?1 UNION SELECT s.id, g.name, s.closed_ns FROM session s"
    " JOIN gateway g ON g.id = s.gateway WHERE s.closed_ns > ?1 LIMIT ?2"
)
_INCIDENTS = (
    "SELECT identity, ended_ns, cause, confidence, lost, pending FROM incident"
    " WHERE started_ns > ? OR ended_ns IS NULL LIMIT ?"
)
Totals = FleetPage
_Sessions = frozenset[tuple[int, int | None]]


def totals(db: sqlite3.Connection) -> Totals:
    """Return the counts of the whole fleet."""
    return fleet.fleet(db, Filters(), Page(limit=0))


def counts(found: Totals) -> tuple[tuple[str, int], ...]:
    """Return the counts by the names under which the page shows them."""
    return (
        ("gateways", found.gateways),
        ("connected", found.connected),
        ("lost", found.matching - found.connected),
        ("undervoltage", found.undervoltage),
        ("radio", found.radio),
        ("backlog", found.backlog),
    )


class Lookout:
    """Compares the store with what it was. One per process."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf = shelf
        self._clock = clock
        self._sessions: _Sessions | None = None
        self._incidents: frozenset[tuple[object, ...]] = frozenset()
        self._connected = -1

    async def look(self) -> News:
        """Return what changed since the last look; the first one only counts."""
        found = await self._shelf.share("totals", totals)
        sessions, incidents = await self._shelf.ask(self._read)
        first, before = self._sessions is None, self._sessions or frozenset()
        seen = frozenset((number, closed_ns) for number, _, closed_ns in sessions)
        moved = seen - before
        gateways = tuple(
            dict.fromkeys(name for number, name, closed in sessions if (number, closed) in moved)
        )
        changed = tuple(
            dict.fromkeys(str(row[0]) for row in incidents.symmetric_difference(self._incidents))
        )
        # A node that was killed has its sessions closed long after the instant they bear.
        more = len(sessions) >= MOST or (not gateways and found.connected != self._connected)
        self._sessions, self._incidents, self._connected = seen, incidents, found.connected
        if first:
            return News(counts(found))
        return News(counts(found), gateways, changed, more)

    def _read(
        self, db: sqlite3.Connection
    ) -> tuple[list[tuple[int, str, int | None]], frozenset[tuple[object, ...]]]:
        now_ns = self._clock.wall_ns()
        sessions = db.execute(_SESSIONS, (now_ns - LATE_NS, MOST)).fetchall()
        incidents = db.execute(_INCIDENTS, (now_ns - RECENT_NS, MOST)).fetchall()
        return sessions, frozenset(incidents)
