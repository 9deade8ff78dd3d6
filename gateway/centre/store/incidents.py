"""Incidents in the store: what the analysis found, kept up to date, each loss counted once.

Owns the tables `incident` and `loss` and the marks. A loss is known by gateway and session, so that
it stays one when a better verdict moves it to another incident. Runs inside the writer's
transaction; reading is `fleet`'s.
"""

import sqlite3

from gateway.centre.store.jobs import FoundIncident, FoundLoss, Incidents, Settled

CAUSE, GAP = 1, 2
"""Bits of `loss.counted`: its cause, and how long it took to come back."""


def write(db: sqlite3.Connection, job: Incidents) -> None:
    """Store incidents and losses, remove those that are none any more, note what is counted."""
    db.executemany("DELETE FROM incident WHERE identity = ?", [(name,) for name in job.gone])
    db.executemany("DELETE FROM loss WHERE gateway = ? AND session = ?", job.gone_losses)
    for incident in job.incidents:
        _incident(db, incident, job)
    for loss in job.losses:
        _loss(db, loss, job)
    for name, value in job.marks:
        db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, value))


def _incident(db: sqlite3.Connection, found: FoundIncident, job: Incidents) -> None:
    db.execute(
        "INSERT INTO incident (identity, started_ns, ended_ns, cause, confidence, quiet, lost,"
        " pending, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (identity) DO UPDATE SET"
        " started_ns = excluded.started_ns, ended_ns = excluded.ended_ns, cause = excluded.cause,"
        " confidence = excluded.confidence, quiet = excluded.quiet, lost = excluded.lost,"
        " pending = excluded.pending, body = excluded.body",
        (
            found.identity,
            found.started_ns,
            found.ended_ns,
            found.cause,
            found.confidence,
            found.quiet,
            found.lost,
            found.pending,
            found.body,
        ),
    )
    if (
        found.settled
        and db.execute(
            "UPDATE incident SET counted = 1 WHERE identity = ? AND counted = 0", (found.identity,)
        ).rowcount
    ):
        job.settled.append(Settled(found.cause, incident=True))


def _loss(db: sqlite3.Connection, found: FoundLoss, job: Incidents) -> None:
    db.execute(
        "INSERT INTO loss (gateway, session, incident, lost_ns, returned_ns, cause, pending, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, session) DO UPDATE SET"
        " incident = excluded.incident, lost_ns = excluded.lost_ns,"
        " returned_ns = excluded.returned_ns, cause = excluded.cause,"
        " pending = excluded.pending, body = excluded.body",
        (
            found.gateway,
            found.session,
            found.incident,
            found.lost_ns,
            found.returned_ns,
            found.cause,
            found.pending,
            found.body,
        ),
    )
    if found.settled and _count(db, found, CAUSE):
        job.settled.append(Settled(found.cause))
    if found.returned_ns is not None and not found.pending and _count(db, found, GAP):
        job.settled.append(Settled(gap_s=max(0.0, (found.returned_ns - found.lost_ns) / 1e9)))


def _count(db: sqlite3.Connection, found: FoundLoss, bit: int) -> bool:
    """Note that something of a loss is counted; ``False``: it was before."""
    return bool(
        db.execute(
            "UPDATE loss SET counted = counted | ?3 WHERE gateway = ?1 AND session = ?2"
            " AND counted & ?3 = 0",
            (found.gateway, found.session, bit),
        ).rowcount
    )


def mark(db: sqlite3.Connection, name: str) -> int | None:
    """Return what was marked last under a name."""
    row = db.execute("SELECT value FROM mark WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])
