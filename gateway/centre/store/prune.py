"""What retention deletes, one small step at a time, inside the writer's transaction.

Owns the deleting of strips, rows and epochs with all that hangs on them; `keeper` decides when and
what is too old. An epoch leaves when its agent has not listed it for as long as readings are kept
and nothing of it is left: should an older card bring it back, it is stored anew.
"""

import sqlite3

from gateway.centre.store.epochs import unsigned
from gateway.centre.store.intake import Intake
from gateway.centre.store.jobs import Purge

PURGED = {
    "event": "received_ns",
    "gap": "received_ns",
    "other": "received_ns",
    "session": "closed_ns",
    "connection": "at_ns",
    "incident": "started_ns",
    "loss": "lost_ns",
}
"""Tables that retention empties by the time of what they tell, and their (indexed) column."""
EPOCH = "epoch"


def purge(db: sqlite3.Connection, intake: Intake, job: Purge) -> int:
    """Delete one step of what is older than retention allows; return how much."""
    if job.stream:
        deleted = _strips(db, job)
        if deleted:
            intake.drop_empty(job.stream)
        return deleted
    if job.table == EPOCH:
        return _epochs(db, intake, job)
    return db.execute(
        f"DELETE FROM {job.table} WHERE rowid IN (SELECT rowid FROM {job.table}"
        f" WHERE {PURGED[job.table]} < ? LIMIT ?)",
        (job.before, job.limit),
    ).rowcount


def _strips(db: sqlite3.Connection, job: Purge) -> int:
    bound = db.execute(
        "SELECT t FROM strip WHERE stream = ? AND t < ? ORDER BY t LIMIT 1 OFFSET ?",
        (job.stream, job.before, job.limit),
    ).fetchone()
    before = job.before if bound is None else bound[0]
    return db.execute("DELETE FROM strip WHERE stream = ? AND t < ?", (job.stream, before)).rowcount


def _epochs(db: sqlite3.Connection, intake: Intake, job: Purge) -> int:
    gone = db.execute(
        "SELECT id, gateway, epoch, boot FROM epoch WHERE gone_ns < ? AND NOT EXISTS"
        " (SELECT 1 FROM stream s JOIN strip p ON p.stream = s.id WHERE s.epoch = epoch.id)"
        " LIMIT ?",
        (job.before, job.limit),
    ).fetchall()
    for pk, gateway, epoch, boot in gone:
        intake.drop(gateway, unsigned(epoch))
        bound = db.execute("SELECT DISTINCT schema FROM binding WHERE epoch = ?", (pk,)).fetchall()
        for table in ("ledger", "accounted", "binding", "sums", "stream"):
            db.execute(f"DELETE FROM {table} WHERE epoch = ?", (pk,))
        db.execute("DELETE FROM epoch WHERE id = ?", (pk,))
        db.executemany(
            "DELETE FROM schema WHERE id = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM binding WHERE schema = ?1)",
            bound,
        )
        if db.execute("SELECT 1 FROM epoch WHERE boot IS ? LIMIT 1", (boot,)).fetchone() is None:
            db.execute("DELETE FROM anchor WHERE boot = ?", (boot,))
            db.execute("DELETE FROM boot WHERE id = ?", (boot,))
    return len(gone)
