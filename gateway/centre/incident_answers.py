"""Incidents and the connection series as the API answers them (`docs/centre.md`).

Owns the form of these answers; `store.fleet` has the queries.
"""

import sqlite3
from dataclasses import asdict

from gateway.centre.store import fleet
from gateway.centre.store.queries import Span
from gateway.correlation.verdict import Loss

Row = dict[str, object]


def listed(db: sqlite3.Connection, span: Span, limit: int) -> list[Row]:
    """Return incidents, newest first."""
    return [asdict(row) for row in fleet.incidents(db, span, limit)]


def one(db: sqlite3.Connection, identity: str) -> list[Row]:
    """Return one incident with its losses and their evidence, or nothing."""
    found = fleet.incident(db, identity)
    if found is None:
        return []
    return [
        {
            "identity": found.identity,
            "started_ns": found.started_ns,
            "ended_ns": found.ended_ns,
            "cause": found.cause,
            "confidence": found.confidence,
            "quiet": found.quiet,
            "groups": [asdict(group) for group in found.groups],
            "drop": None if found.drop is None else asdict(found.drop),
            "losses": [_loss(loss) for loss in found.losses],
        }
    ]


def connections(db: sqlite3.Connection, span: Span, most: int) -> list[Row]:
    """Return `ws_active_connections` over a span, oldest first."""
    return [asdict(sample) for sample in fleet.connections(db, span.from_ns, span.to_ns, most)]


def _loss(loss: Loss) -> Row:
    row = asdict(loss)
    row["labels"] = dict(loss.labels)
    return row
