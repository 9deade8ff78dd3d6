"""Questions to the store: gateways, points, events, sessions, gaps. Read-only, off the loop.

Owns the way from tables to plain rows with wall times; `readings` has the readings. Never holds a
statement open between two calls: a slow reader must not keep the log from being copied.
"""

import json
import sqlite3
from dataclasses import dataclass

from gateway.centre.store.epochs import unsigned
from gateway.centre.store.intake import gap_name
from gateway.centre.store.times import UNKNOWN, Offset, boot_offset
from gateway.errors import RemoteProtocolError, StoreError
from gateway.reading import TICK_NS
from gateway.wire.message import GapReason
from gateway.wire.rows import decode_schema

MAX_ROWS = 10_000
"""Rows of one answer."""
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Span:
    """A range of wall time, ns since 1970, both ends included."""

    from_ns: int
    to_ns: int


class UnknownGatewayError(StoreError):
    """No gateway of that name ever came in."""


class Offsets:
    """Offsets of boots, each looked up once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[int | None, Offset] = {None: UNKNOWN}

    def of(self, boot: int | None) -> Offset:
        """Return the offset of a boot."""
        if boot not in self._known:
            self._known[boot] = boot_offset(self._db, boot)
        return self._known[boot]


def gateway_pk(db: sqlite3.Connection, name: str) -> int:
    """Return a gateway's key. Raises: UnknownGatewayError."""
    row = db.execute("SELECT id FROM gateway WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UnknownGatewayError(f"gateway {name}: unknown here")
    return int(row[0])


def gateways(db: sqlite3.Connection, after: str, limit: int) -> list[Row]:
    """Return gateways by name, those behind `after`."""
    rows = db.execute(
        "SELECT g.name, g.first_ns, g.facts, s.id, s.opened_ns, s.closed_ns, s.side, s.cause,"
        " s.remote, s.proxy, s.node FROM gateway g LEFT JOIN session s ON s.id = g.session"
        " WHERE g.name > ? ORDER BY g.name LIMIT ?",
        (after, min(limit, MAX_ROWS)),
    ).fetchall()
    return [
        {
            "id": row[0],
            "first_seen_ns": row[1],
            "facts": json.loads(row[2]),
            "connected": row[3] is not None and row[5] is None,
            "session": row[3],
            "opened_ns": row[4],
            "closed_ns": row[5],
            "closed_by": row[6],
            "cause": row[7],
            "remote": row[8],
            "proxy": row[9],
            "node": row[10],
        }
        for row in rows
    ]


def points(db: sqlite3.Connection, name: str) -> list[Row]:
    """Return every point a gateway ever announced; of one announced twice, the newest."""
    rows = db.execute(
        "SELECT DISTINCT c.id, c.body FROM epoch e JOIN binding b ON b.epoch = e.id"
        " JOIN schema c ON c.id = b.schema WHERE e.gateway = ? ORDER BY c.id",
        (gateway_pk(db, name),),
    ).fetchall()
    found: dict[str, Row] = {}
    for _, body in rows:
        try:
            schema = decode_schema(body)
        except RemoteProtocolError:
            continue
        for block in schema.blocks:
            for point in block.points:
                key = f"{block.source}.{point.name}"
                found[key] = {
                    "point": key,
                    "device": block.source,
                    "name": point.name,
                    "unit": point.unit,
                    "type": point.type,
                    "poll_interval_s": block.period_s,
                }
    return [found[key] for key in sorted(found)]


def events(db: sqlite3.Connection, name: str, span: Span, limit: int) -> list[Row]:
    """Return events received in a span, newest first."""
    offsets = Offsets(db)
    rows = db.execute(
        "SELECT v.id, v.seq, v.t, v.received_ns, v.kind, v.fields, e.epoch, e.boot, b.boot_id"
        " FROM event v LEFT JOIN epoch e ON e.id = v.epoch LEFT JOIN boot b ON b.id = e.boot"
        " WHERE v.gateway = ? AND v.received_ns BETWEEN ? AND ? ORDER BY v.id DESC LIMIT ?",
        (gateway_pk(db, name), span.from_ns, span.to_ns, min(limit, MAX_ROWS)),
    ).fetchall()
    return [
        {
            "kind": kind,
            "time_ns": received_ns if t is None else offsets.of(boot).wall_ns(t),
            "time_source": "centre" if t is None else offsets.of(boot).source,
            "received_ns": received_ns,
            "source_time_ns": None if t is None else t * TICK_NS,
            "boot_id": boot_id.hex() if boot_id else None,
            "epoch": None if epoch is None else f"{unsigned(epoch):016x}",
            "seq": seq,
            "fields": json.loads(fields),
        }
        for _, seq, t, received_ns, kind, fields, epoch, boot, boot_id in rows
    ]


def sessions(db: sqlite3.Connection, name: str, span: Span, limit: int) -> list[Row]:
    """Return sessions opened in a span, newest first."""
    rows = db.execute(
        "SELECT s.id, s.node, s.instance, s.remote, s.proxy, s.opened_ns, s.closed_ns, s.side,"
        " s.cause, s.code, s.reason, s.evidence, s.hello, b.boot_id, e.epoch FROM session s"
        " LEFT JOIN boot b ON b.id = s.boot LEFT JOIN epoch e ON e.id = s.epoch"
        " WHERE s.gateway = ? AND s.opened_ns BETWEEN ? AND ? ORDER BY s.opened_ns DESC LIMIT ?",
        (gateway_pk(db, name), span.from_ns, span.to_ns, min(limit, MAX_ROWS)),
    ).fetchall()
    return [
        {
            "session": row[0],
            "node": row[1],
            "instance": row[2].hex(),
            "remote": row[3],
            "proxy": row[4],
            "opened_ns": row[5],
            "closed_ns": row[6],
            "closed_by": row[7],
            "cause": row[8],
            "code": row[9],
            "reason": row[10],
            "evidence": None if row[11] is None else json.loads(row[11]),
            "hello": json.loads(row[12]),
            "boot_id": row[13].hex() if row[13] else None,
            "epoch": None if row[14] is None else f"{unsigned(row[14]):016x}",
        }
        for row in rows
    ]


def gaps(db: sqlite3.Connection, name: str, span: Span, limit: int) -> list[Row]:
    """Return gaps found in a span, newest first. ``None``: unknown."""
    offsets = Offsets(db)
    rows = db.execute(
        "SELECT g.first, g.last, g.reason, g.t_from, g.t_to, g.next_epoch, g.readings,"
        " g.received_ns, e.epoch, e.boot, e.id, g.records FROM gap g JOIN epoch e ON e.id = g.epoch"
        " WHERE g.gateway = ? AND g.received_ns BETWEEN ? AND ? ORDER BY g.id DESC LIMIT ?",
        (gateway_pk(db, name), span.from_ns, span.to_ns, min(limit, MAX_ROWS)),
    ).fetchall()
    result: list[Row] = []
    for row in rows:
        first, last, reason, t_from, t_to, following, readings = row[:7]
        received_ns, epoch, boot, key, records = row[7:]
        offset = offsets.of(boot)
        to_ns = None if t_to is None else offset.wall_ns(t_to)
        if reason == GapReason.NOT_RECEIVED and t_from is None:
            t_from, before = _around(db, key, first)
            to_ns = None if before is None else offset.wall_ns(before)
        if to_ns is None and following is not None:
            to_ns = _first_of(db, offsets, following)
        result.append(
            {
                "epoch": f"{unsigned(epoch):016x}",
                "first": first,
                "last": last,
                "records": records,
                "reason": gap_name(reason),
                "found_by": "agent" if reason < 16 else "centre",
                "from_ns": None if t_from is None else offset.wall_ns(t_from),
                "to_ns": to_ns,
                "readings": None if readings < 0 else readings,
                "received_ns": received_ns,
            }
        )
    return result


def _around(db: sqlite3.Connection, epoch: int, seq: int) -> tuple[int | None, int | None]:
    """Return the ticks of the last row before a hole in an epoch and of the first behind it."""
    row = db.execute(
        "SELECT max(CASE WHEN p.seq < ?2 THEN p.t + p.span END),"
        " min(CASE WHEN p.seq > ?2 THEN p.t END)"
        " FROM stream s JOIN strip p ON p.stream = s.id WHERE s.epoch = ?1",
        (epoch, seq),
    ).fetchone()
    return row[0], row[1]


def _first_of(db: sqlite3.Connection, offsets: Offsets, epoch: int) -> int | None:
    """Return the wall time of the first row of an epoch: where the gap before it ends."""
    row = db.execute(
        "SELECT e.boot, (SELECT min((SELECT t FROM strip WHERE stream = s.id ORDER BY t LIMIT 1))"
        " FROM stream s WHERE s.epoch = e.id) FROM epoch e WHERE e.id = ?",
        (epoch,),
    ).fetchone()
    if row is None or row[1] is None:
        return None
    return offsets.of(row[0]).wall_ns(row[1])
