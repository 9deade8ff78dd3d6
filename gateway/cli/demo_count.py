"""What the agent made against what the centre stored: counted, not assumed.

Owns the comparison. The agent's side is its own count when it stopped (its last log line); the
centre's side is every row of the store, unpacked and counted one by one, its ledger of seqs, and
the seq of the record END. Nothing here trusts an ack.
"""

import re
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gateway.centre.store.layout import open_reader
from gateway.centre.store.strips import unpack
from gateway.errors import GatewayError

_FINAL = re.compile(r"agent stopped .*?\breadings=(\d+) records=(\d+)")


class CountError(GatewayError):
    """One side did not say what it has; nothing can be compared."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in the store. `seqs`: records in the ledger; `end_seq`: last seq of a clean stop.

    `repeated`: readings of a row that is there more than once (same stream, same source time).
    """

    readings: int
    repeated: int
    seqs: int
    end_seq: int | None
    epochs: int
    gaps: int
    sessions: int

    @classmethod
    def count(cls, store: Path, gateway_id: str) -> "Stored":
        """Count one gateway's part of the store. The centre must have stopped."""
        database = open_reader(store)
        try:
            return cls._count(database, gateway_id)
        finally:
            database.close()

    @classmethod
    def _count(cls, database: sqlite3.Connection, gateway_id: str) -> "Stored":
        def one(query: str) -> tuple[int, ...]:
            row: tuple[int, ...] = database.execute(query, (gateway_id,)).fetchone()
            return row

        readings = 0
        rows: Counter[tuple[int, int]] = Counter()
        values: dict[tuple[int, int], int] = {}
        for stream, t, body in database.execute(
            "SELECT strip.stream, strip.t, strip.body FROM strip"
            " JOIN stream ON stream.id = strip.stream JOIN epoch ON epoch.id = stream.epoch"
            " JOIN gateway ON gateway.id = epoch.gateway WHERE gateway.name = ?",
            (gateway_id,),
        ):
            for dt, row, _ in unpack(body):
                readings += len(row)
                rows[stream, t + dt] += 1
                values[stream, t + dt] = len(row)
        repeated = sum((times - 1) * values[key] for key, times in rows.items() if times > 1)
        epochs, end_seq = one(
            "SELECT count(*), max(end_seq) FROM epoch JOIN gateway ON gateway.id = epoch.gateway"
            " WHERE gateway.name = ?"
        )
        (seqs,) = one(
            "SELECT coalesce(sum(last - first + 1), 0) FROM ledger"
            " JOIN epoch ON epoch.id = ledger.epoch JOIN gateway ON gateway.id = epoch.gateway"
            " WHERE gateway.name = ?"
        )
        gaps, sessions = (
            one(
                f"SELECT count(*) FROM {table} JOIN gateway ON gateway.id = {table}.gateway"
                " WHERE gateway.name = ?"
            )[0]
            for table in ("gap", "session")
        )
        return cls(readings, repeated, seqs, end_seq, epochs, gaps, sessions)


@dataclass(frozen=True, slots=True)
class Made:
    """What the agent says it made, when it stopped."""

    readings: int
    records: int

    @classmethod
    def read(cls, log: str) -> "Made":
        """Find the agent's last word in its log. Raises: CountError when it is not there."""
        found = _FINAL.findall(log)
        if not found:
            raise CountError("the agent's log does not end with its counts; it did not stop well")
        readings, records = found[-1]
        return cls(int(readings), int(records))


def missing_readings(made: Made, stored: Stored) -> int:
    """Return how many readings are not in the store; at least 1 if any record is not."""
    fewer = max(0, made.readings - (stored.readings - stored.repeated))
    whole = stored.gaps == 0 and stored.end_seq == made.records == stored.seqs
    return max(fewer, 0 if whole else 1)


def duplicated_readings(made: Made, stored: Stored) -> int:
    """Return how many readings are there more often than made."""
    return stored.repeated + max(0, stored.readings - stored.repeated - made.readings)
