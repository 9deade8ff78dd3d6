"""What `Welcome` tells a gateway of its boot before: the last the centre has of it.

Owns the choice: a gateway whose card lost the last minutes judges its reboot by this
(`docs/host.md` §Why it rebooted). Runs inside the writer's transaction: the host's values are
looked for only while the boot that asks is young, and in a bounded number of rows.
"""

import sqlite3

from gateway.centre.store import looks
from gateway.centre.store.jobs import Pairs
from gateway.centre.store.looks import Layouts, Raw
from gateway.event import EventKind
from gateway.reading import TICK_NS

YOUNG_NS = 600_000_000_000
"""A boot is classified once, soon after it began; a `Welcome` that was lost is said again."""
STRIPS = 8
"""Strips of each block of the host's that are looked at."""
EVENTS = 100
"""Events looked at for the supply's last word."""


def previous(
    db: sqlite3.Connection, layouts: Layouts, gateway: int, boot_id: bytes, now_ns: int
) -> Pairs:
    """Say what was last stored of the gateway's previous boot."""
    row = db.execute(
        "SELECT id, boot_id, offset_ns FROM boot WHERE gateway = ? AND boot_id <> ?"
        " ORDER BY id DESC LIMIT 1",
        (gateway, boot_id),
    ).fetchone()
    if row is None:
        return ()
    boot, name, offset_ns = row
    newest, ended = db.execute(
        "SELECT max((SELECT max(t + span) FROM (SELECT t, span FROM strip WHERE stream = s.id"
        " ORDER BY t DESC LIMIT 1))), (SELECT end_seq IS NOT NULL FROM epoch WHERE boot = ?1"
        " ORDER BY id DESC LIMIT 1) FROM stream s JOIN epoch e ON e.id = s.epoch"
        " WHERE e.boot = ?1",
        (boot,),
    ).fetchone()
    host: Pairs = ()
    if _young(db, gateway, boot_id, now_ns):
        words = _words(db, gateway, boot)
        newest = max((t for t in (newest, *words.values()) if t is not None), default=None)
        host = _host(db, layouts, boot, newest, words)
    pairs: Pairs = (("boot_id", name.hex()), ("clean", bool(ended)))
    if newest is not None:
        pairs += (("last_source_time_ns", newest * TICK_NS),)
        if offset_ns is not None:
            pairs += (("last_wall_ns", newest * TICK_NS + offset_ns),)
    return pairs + host


def _young(db: sqlite3.Connection, gateway: int, boot_id: bytes, now_ns: int) -> bool:
    row = db.execute(
        "SELECT first_ns FROM boot WHERE gateway = ? AND boot_id = ?", (gateway, boot_id)
    ).fetchone()
    return row is not None and now_ns - row[0] < YOUNG_NS


def _words(db: sqlite3.Connection, gateway: int, boot: int) -> dict[str, int]:
    """Return when a boot last said of its supply that it is low, and that it is well again."""
    found: dict[str, int] = {}
    for kind, t in db.execute(
        "SELECT v.kind, v.t FROM (SELECT kind, t, epoch FROM event WHERE gateway = ?"
        " ORDER BY id DESC LIMIT ?) v JOIN epoch e ON e.id = v.epoch WHERE e.boot = ?",
        (gateway, EVENTS, boot),
    ).fetchall():
        if kind in (EventKind.SUPPLY_LOW, EventKind.SUPPLY_RECOVERED):
            found[kind] = max(t, found.get(kind, t))
    return found


def _host(
    db: sqlite3.Connection,
    layouts: Layouts,
    boot: int,
    newest: int | None,
    words: dict[str, int],
) -> Pairs:
    """Say how the supply and the radio were last, and when the supply was last known low."""
    rows: list[Raw] = []
    for stream, schema, block in db.execute(
        "SELECT s.id, s.schema, s.block FROM epoch e JOIN stream s ON s.epoch = e.id"
        " WHERE e.boot = ?",
        (boot,),
    ).fetchall():
        layout = layouts.of(schema).get(block)
        if layout is not None:
            for t, body in db.execute(
                "SELECT t, body FROM strip WHERE stream = ? ORDER BY t DESC LIMIT ?",
                (stream, STRIPS),
            ).fetchall():
                rows += looks.decode(t, body, layout)
    known = looks.put_together("", rows)
    volts = [look.volts for look in known if look.volts is not None]
    levels = [look.dbm for look in known if look.dbm is not None]
    states = [look.undervoltage for look in known if look.undervoltage is not None]
    lows = [look.source_time_ns for look in known if look.undervoltage]
    low, well = words.get(EventKind.SUPPLY_LOW), words.get(EventKind.SUPPLY_RECOVERED)
    if low is not None:
        # Told low and not told well: it was low until the end.
        over = well if well is not None and well >= low else newest
        lows.append((low if over is None else over) * TICK_NS)
    pairs: Pairs = ()
    if volts:
        pairs += (("supply_v", round(volts[-1], 3)),)
    if states:
        pairs += (("undervoltage", states[-1]),)
    if lows:
        pairs += (("low_source_time_ns", max(lows)),)
    if levels:
        pairs += (("radio_dbm", round(levels[-1], 1)),)
    return pairs
