"""Rows of the store as evidence: sessions, boots, events, what the nodes noted.

Owns the SQL and the way from JSON columns to the values of `correlation.evidence`. Asks for many
gateways at once and never for one. What an agent sent is bounded when it came in; what is not
there is ``None`` or empty.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from sys import intern

from gateway.centre.store.layout import MAX_VARIABLES
from gateway.correlation.evidence import Anchor, Boot, NodeEvent, Pairs, Seen, Session
from gateway.event import EventKind
from gateway.reading import TICK_NS

KINDS = (
    EventKind.AGENT_STARTED,
    EventKind.AGENT_STOPPING,
    EventKind.CONFIG_CHANGED,
    EventKind.CONFIG_APPLIED,
    EventKind.SESSION_OPENED,
    EventKind.SESSION_ENDED,
    EventKind.CONNECT_FAILED,
    EventKind.CLOCK_STEPPED,
    EventKind.TASK_FAILED,
    EventKind.SUPPLY_LOW,
    EventKind.SUPPLY_RECOVERED,
    EventKind.CARRIER_LOST,
    EventKind.CARRIER_RETURNED,
    EventKind.RADIO_LOST,
    EventKind.RADIO_RETURNED,
    EventKind.ROUTE_CHANGED,
    EventKind.BOOT_CLASSIFIED,
    EventKind.BOOT_REVISED,
)
"""Events that can say why a session ended."""
_KIND_LIST = ", ".join(f"'{kind.value}'" for kind in KINDS)
MAX_ANCHORS = 200
"""Anchors of one boot: a week of hourly ones."""
_SESSION = (
    "SELECT s.gateway, s.id, s.node, b.boot_id, s.proxy, s.remote, s.opened_ns, s.closed_ns,"
    " s.side, s.cause, s.code, s.reason, s.evidence, s.hello, s.boot, s.epoch FROM session s"
    " LEFT JOIN boot b ON b.id = s.boot WHERE s.id IN ({})"
)
_EVENT = (
    "SELECT v.gateway, v.t, v.received_ns, v.kind, v.fields, e.boot, b.boot_id, b.offset_ns,"
    " e.id FROM event v JOIN epoch e ON e.id = v.epoch JOIN boot b ON b.id = e.boot"
    " WHERE v.id IN ({})"
)


def session_keys(db: sqlite3.Connection, from_ns: int, to_ns: int) -> Iterator[tuple[int, int]]:
    """Yield (gateway, session) of the sessions of a span, in order of gateway."""
    return iter(
        db.execute(
            "SELECT gateway, id FROM session WHERE closed_ns >= ?1 AND opened_ns <= ?2 UNION ALL"
            " SELECT gateway, id FROM session WHERE closed_ns IS NULL AND opened_ns <= ?2"
            " ORDER BY gateway",
            (from_ns, to_ns),
        )
    )


def next_session_keys(
    db: sqlite3.Connection, gateways: Iterable[int], to_ns: int
) -> list[tuple[int, int]]:
    """Return (gateway, session) of the first sessions behind a span."""
    found = []
    for gateway in gateways:
        row = db.execute(
            "SELECT id FROM session WHERE gateway = ? AND opened_ns > ? ORDER BY opened_ns LIMIT 1",
            (gateway, to_ns),
        ).fetchone()
        if row is not None:
            found.append((gateway, row[0]))
    return found


def event_keys(db: sqlite3.Connection, from_ns: int) -> Iterator[tuple[int, int]]:
    """Yield (gateway, event) of what agents told since, in order of gateway."""
    return iter(
        db.execute(
            "SELECT gateway, id FROM event WHERE received_ns >= ? AND epoch IS NOT NULL"
            f" AND kind IN ({_KIND_LIST}) ORDER BY gateway",
            (from_ns,),
        )
    )


def sessions(
    db: sqlite3.Connection, keys: Sequence[int]
) -> Iterator[tuple[int, int, int, Session]]:
    """Yield (gateway, boot, epoch, session)."""
    for row in _many(db, _SESSION, keys):
        yield row[0], row[14] or 0, row[15] or 0, _session(row)


def last_rows(db: sqlite3.Connection, epochs: Iterable[int]) -> dict[int, int]:
    """Return the source time of the last row stored of each epoch that has any."""
    return {
        epoch: t * TICK_NS
        for epoch, t in _many(
            db,
            "SELECT s.epoch, max((SELECT t + span FROM strip WHERE stream = s.id"
            " ORDER BY t DESC LIMIT 1)) FROM stream s WHERE s.epoch IN ({}) GROUP BY s.epoch",
            sorted(set(epochs)),
        )
        if t is not None
    }


def _session(row: tuple[object, ...]) -> Session:
    evidence = _map(row[12])
    hello = _map(row[13])
    tcp = evidence.get("tcp_info")
    tcp = tcp if isinstance(tcp, dict) else {}
    boot_id = row[3]
    return Session(
        number=_int(row[1]) or 0,
        node=intern(str(row[2])),
        boot_id=boot_id.hex() if isinstance(boot_id, bytes) else "",
        proxy=intern(str(row[4])),
        remote=str(row[5]),
        opened_ns=_int(row[6]) or 0,
        closed_ns=_int(row[7]),
        side=intern(_str(row[8])),
        cause=intern(_str(row[9])),
        code=_int(row[10]),
        reason=_str(row[11]),
        last_message_age_s=_float(evidence.get("last_message_age_s")),
        last_pong_age_s=_float(evidence.get("last_pong_age_s")),
        round_trip_s=_float(evidence.get("round_trip_s")),
        round_trip_min_s=_float(evidence.get("round_trip_min_s")),
        round_trip_max_s=_float(evidence.get("round_trip_max_s")),
        messages_in=_int(evidence.get("messages_in")) or 0,
        messages_out=_int(evidence.get("messages_out")) or 0,
        path_dead=_bool(tcp.get("path_dead")),
        tcp=_pairs({name: value for name, value in tcp.items() if name != "path_dead"}),
        software=intern(_str(hello.get("software"))),
        last_session=_int(hello.get("last_session")) or 0,
        ended=_pairs(hello.get("ended")),
        facts=_pairs(hello.get("facts")),
    )


class Events:
    """Events of agents, with the boots they belong to."""

    def __init__(self, db: sqlite3.Connection, latest_ns: int) -> None:
        self._db = db
        self._latest_ns = latest_ns

    def of(self, keys: Sequence[int]) -> Iterator[tuple[int, int, int, Seen]]:
        """Yield (gateway, boot, epoch, event); not those that happened long after the span."""
        latest_ns = self._latest_ns
        for gateway, t, received_ns, kind, fields, boot, boot_id, offset_ns, epoch in _many(
            self._db, _EVENT, keys
        ):
            source_ns = t * TICK_NS
            late = received_ns > latest_ns and not kind.startswith("boot_")
            if late and (offset_ns is None or source_ns + offset_ns > latest_ns):
                continue
            yield (
                gateway,
                boot,
                epoch,
                Seen(boot_id.hex(), source_ns, received_ns, kind, _pairs_of(fields)),
            )


def boots(
    db: sqlite3.Connection, keys: Iterable[int], from_ns: int, to_ns: int
) -> dict[int, dict[int, Boot]]:
    """Return boots by gateway and key, each with the anchors around the span."""
    keys = sorted(set(keys))
    anchors: dict[int, list[Anchor]] = defaultdict(list)
    for row in _many(
        db,
        "SELECT a.boot, a.boottime_ns, a.wall_ns, a.source, a.error_us FROM boot b JOIN anchor a"
        f" ON a.boot = b.id AND (b.offset_ns IS NULL OR a.boottime_ns BETWEEN {from_ns:d}"
        f" - b.offset_ns AND {to_ns:d} - b.offset_ns) WHERE b.id IN ({{}})",
        keys,
    ):
        if len(anchors[row[0]]) < MAX_ANCHORS:
            anchors[row[0]].append(Anchor(*row[1:]))
    found: dict[int, dict[int, Boot]] = defaultdict(dict)
    for pk, gateway, boot_id, first_ns, offset_ns in _many(
        db, "SELECT id, gateway, boot_id, first_ns, offset_ns FROM boot WHERE id IN ({})", keys
    ):
        near = anchors.get(pk) or _last_anchors(db, pk)
        found[gateway][pk] = Boot(boot_id.hex(), first_ns, offset_ns, tuple(near))
    return found


def _last_anchors(db: sqlite3.Connection, boot: int) -> list[Anchor]:
    rows = db.execute(
        "SELECT boottime_ns, wall_ns, source, error_us FROM anchor WHERE boot = ?"
        " ORDER BY boottime_ns DESC LIMIT 8",
        (boot,),
    ).fetchall()
    return [Anchor(*row) for row in rows]


def node_events(db: sqlite3.Connection, from_ns: int, to_ns: int) -> Iterator[NodeEvent]:
    """Yield what the centre's processes noted themselves."""
    for received_ns, kind, fields, name in db.execute(
        "SELECT v.received_ns, v.kind, v.fields, g.name FROM event v"
        " LEFT JOIN gateway g ON g.id = v.gateway"
        " WHERE v.received_ns BETWEEN ? AND ? AND v.epoch IS NULL",
        (from_ns, to_ns),
    ):
        known = _map(fields)
        node = known.pop("node", "")
        yield NodeEvent(_str(node), received_ns, kind, name or "", _pairs(known))


def streams(
    db: sqlite3.Connection, boot_keys: Iterable[int]
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (boot, stream, schema, block, span) of the epochs of some boots."""
    return _many(
        db,
        "SELECT e.boot, s.id, s.schema, s.block, s.span FROM epoch e JOIN stream s"
        " ON s.epoch = e.id WHERE e.boot IN ({})",
        sorted(set(boot_keys)),
    )


def _many(db: sqlite3.Connection, sql: str, keys: Sequence[int]) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Yield the rows of a query with a list of keys, whatever their number."""
    for start in range(0, len(keys), MAX_VARIABLES):
        part = keys[start : start + MAX_VARIABLES]
        marks = ", ".join("?" * len(part))
        yield from db.execute(sql.format(marks), part).fetchall()


_SCALARS = frozenset((str, int, float, bool, type(None)))


def _map(text: object) -> dict[str, object]:
    if not isinstance(text, str):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _pairs_of(text: str) -> Pairs:
    return _pairs(_map(text)) if text != "{}" else ()


def _pairs(found: object) -> Pairs:
    if not isinstance(found, dict):
        return ()
    if _SCALARS.issuperset(map(type, found.values())):
        return tuple(found.items())
    return tuple(
        (name, value)
        for name, value in found.items()
        if value is None or isinstance(value, str | int | float)
    )


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
