"""How long the centre's page takes with 10,000 gateways in the store.

The store is made with SQL in the store's own layout: 10,000 gateways with labels and what is known
last of each, 40,000 sessions (the newest open for 98 % of them), a day of connection samples (one a
second: they change all the time), 300 incidents, one of which took all gateways; one gateway has a
day of host readings every 10 s, each in a strip of its own, which is how live ones are stored.

A figure is the time from request to the last byte over HTTP on loopback, nothing of it shared from
an earlier answer (they are older than a second). Beside it, in the same run: the least such a
request can take (a static file of the same listener), and the plain SQL count over the same join.

    python -m tests.bench.page
"""

import asyncio
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

from gateway.centre.store import layout
from gateway.centre.store.incident_text import incident_text, loss_text
from gateway.centre.web.shell import ASSETS
from gateway.centre.web.site import Site
from gateway.config.centre import WebSettings
from gateway.correlation.verdict import Cause, Group, GroupKind, HeldBy, Incident, Loss, Proof
from gateway.host.reboot import Confidence
from gateway.process.clock import Clock
from gateway.wire.rows import encode_schema, schema_digest
from tests.centre.history import SCHEMA, Box, History, at

OUT = Path(__file__).parent / "out" / "page.json"
GATEWAYS = 10_000
SEED = 4
DAY_S = 86_400
TARGET_MS = 200.0
ROUNDS = 8
S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One page: milliseconds by the clock and of processor time (client included), and kilobytes
    before compression."""

    page: str
    median_ms: float
    worst_ms: float
    cpu_ms: float
    kilobytes: float


def fill(path: Path, now_ns: int) -> str:
    """Make the store; return an incident's identity."""
    draw = random.Random(SEED)
    db = layout.open_writer(path)
    db.execute("BEGIN")
    _gateways(db, draw, now_ns)
    identity = _incidents(db, draw, now_ns)
    active, opened = GATEWAYS - 200, GATEWAYS
    samples = []
    for second in range(DAY_S):
        active += draw.choice((-1, 0, 1))
        opened += draw.choice((0, 1, 2))
        samples.append(("one", now_ns - (DAY_S - second) * S, active, opened))
    db.executemany(
        "INSERT INTO connection (node, at_ns, active, opened) VALUES (?, ?, ?, ?)", samples
    )
    db.execute("INSERT INTO node VALUES ('one', ?)", (now_ns,))
    db.execute("COMMIT")
    db.close()
    return identity


def _gateways(db: sqlite3.Connection, draw: random.Random, now_ns: int) -> None:
    hello = json.dumps({"software": "gateway 0.3.0", "ended": {"cause": "reset"}, "epochs": 1})
    evidence = json.dumps({"last_message_age_s": 50.2, "round_trip_s": 0.04, "tcp_info": {}})
    for number in range(1, GATEWAYS + 1):
        facts = {
            "label.site": f"site-{number // 20:03}",
            "label.feeder": f"F{number // 50}",
            "label.operator": ("metro", "swift", "nova")[number % 3],
            "config_revision": "4f2a9c01bb20",
            "reboot": "first_start",
        }
        last = number * 10 + 3
        db.execute(
            "INSERT INTO gateway VALUES (?, ?, x'00', ?, ?, ?)",
            (number, f"gw-{number:05}", now_ns - 90 * DAY_S * S, last, json.dumps(facts)),
        )
        opened = now_ns - 4 * DAY_S * S
        for session in range(number * 10, last + 1):
            closed = opened + draw.randrange(DAY_S) * S
            open_now = session == last and number % 50
            ending = (None,) * 6
            if not open_now:
                ending = (closed, "network", "reset", 1006, "ECONNRESET", evidence)
            db.execute(
                "INSERT INTO session (id, gateway, node, instance, remote, proxy, opened_ns, hello,"
                " closed_ns, side, cause, code, reason, evidence)"
                " VALUES (?, ?, 'one', x'00', '10.1.2.3', '10.0.0.5', ?, ?, ?, ?, ?, ?, ?, ?)",
                (session, number, opened, hello, *ending),
            )
            opened = closed + 20 * S
        db.execute(
            "INSERT INTO latest VALUES (?, ?, ?, ?, ?, 'wlan0', ?, ?, ?, ?)",
            (
                number,
                now_ns - draw.randrange(5 * S),
                now_ns - draw.randrange(10 * S),
                draw.gauss(5.08, 0.05),
                int(draw.random() < 0.01),
                draw.gauss(-68, 9),
                now_ns,
                0 if draw.random() < 0.99 else 5000,
                0,
            ),
        )


def _incidents(db: sqlite3.Connection, draw: random.Random, now_ns: int) -> str:
    identity = ""
    proof = Proof(now_ns, 0, "centre", "no answer to a ping for 50 s, closed")
    for number in range(300):
        began = now_ns - draw.randrange(DAY_S) * S
        size = GATEWAYS if number == 0 else 10
        losses = tuple(
            Loss(
                f"gw-{one:05}", number * 10_000 + one, "one", "10.0.0.5", "gateway 0.3.0",
                (("feeder", "F7"), ("operator", "metro")), began - DAY_S * S, began,
                began + 300 * S, Cause.POWER_CUT, Confidence.PROBABLE, HeldBy.DOWN, False,
                (proof, proof, proof),
            )
            for one in draw.sample(range(1, GATEWAYS + 1), size)
        )  # fmt: skip
        one = Incident(
            f"2026-{number:04}", began, began + 400 * S, Cause.POWER_CUT, Confidence.PROBABLE,
            number % 3 == 1, losses, (Group(GroupKind.FEEDER, "F7", size, size),), None,
        )  # fmt: skip
        identity = identity or one.identity
        db.execute(
            "INSERT INTO incident VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?)",
            (one.identity, one.started_ns, one.ended_ns, one.cause, one.confidence, one.quiet,
             size, incident_text(one)),
        )  # fmt: skip
        db.executemany(
            "INSERT INTO loss (gateway, session, incident, lost_ns, returned_ns, cause, pending,"
            " body) VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
            [
                (
                    x.gateway,
                    x.session,
                    one.identity,
                    x.lost_ns,
                    x.returned_ns,
                    x.cause,
                    loss_text(x),
                )
                for x in losses
            ],
        )
    return identity


def busy_gateway(path: Path, now_ns: int) -> str:
    """Give one gateway a day of readings, through the writer; return its name."""
    node = History(path, "two")
    box = Box("gw-with-a-day", booted=(now_ns - at(0)) / S - 2 * DAY_S)
    end_s = (now_ns - at(0)) / S
    node.come(box, end_s - DAY_S)
    assert schema_digest(encode_schema(SCHEMA))
    draw = random.Random(SEED)
    for step in range(DAY_S // 10):
        seconds = end_s - DAY_S + 10 * step
        node.look(box, seconds, draw.gauss(5.08, 0.01), draw.gauss(-66, 2))
        if step % 4 == 3:
            node.send(box, seconds)
    node.close()
    return box.name


async def measure(path: Path, identity: str, busy: str) -> tuple[list[Figure], float]:
    """Return a figure for each page, and the milliseconds of a static file."""
    pages = {
        "fleet": "/",
        "fleet, 24 h of connections": "/?hours=24",
        "fleet, part of a name": "/?q=gw-07",
        "fleet, one feeder": "/?label.feeder=F7",
        "fleet, not connected": "/?state=lost&order=since",
        "fleet, weakest radio": "/?order=dbm",
        "fleet, last page": "/?page=100",
        "incidents, 7 d": "/incidents?hours=168",
        "incident of 10,000 gateways": f"/incidents/{identity}",
        "gateway, 6 h": f"/gateways/{busy}",
        "gateway, 24 h": f"/gateways/{busy}?hours=24",
    }
    site = Site(WebSettings("127.0.0.1:0"), path.parent, path, "one", Clock())
    await site.open()
    taken: dict[str, list[float]] = {name: [] for name in pages}
    worked: dict[str, list[float]] = {name: [] for name in pages}
    sizes: dict[str, int] = {}
    base = f"http://127.0.0.1:{site.port}"
    async with ClientSession(connector=TCPConnector(limit=1)) as client:
        await _get(client, base + "/")
        for _ in range(ROUNDS):
            for name, address in pages.items():
                await asyncio.sleep(1.05)  # older than what is shared
                before = time.process_time()
                taken[name].append(await _get(client, base + address))
                worked[name].append((time.process_time() - before) * 1000)
                async with client.get(base + address) as answer:
                    sizes[name] = len(await answer.read())
        least = min([await _get(client, base + ASSETS.urls["page.css"]) for _ in range(20)])
    await site.close()
    figures = [
        Figure(
            name,
            sorted(some)[len(some) // 2],
            max(some),
            sorted(worked[name])[len(some) // 2],
            sizes[name] / 1000,
        )
        for name, some in taken.items()
    ]
    return figures, least


async def _get(client: ClientSession, url: str) -> float:
    started = time.perf_counter()
    async with client.get(url) as answer:
        await answer.read()
        assert answer.status == 200, url
    return (time.perf_counter() - started) * 1000


def counting(path: Path) -> float:
    """Return the milliseconds of the plain count over the tables of the fleet."""
    db = layout.open_reader(path)
    best = 1e9
    for _ in range(5):
        started = time.perf_counter()
        db.execute(
            "SELECT count(*), sum(s.closed_ns IS NULL) FROM gateway g JOIN session s"
            " ON s.id = g.session JOIN latest l ON l.gateway = g.id"
        ).fetchone()
        best = min(best, (time.perf_counter() - started) * 1000)
    db.close()
    return best


def main() -> int:
    """Print the table; return 1 if a page's median misses the target."""
    now_ns = Clock().wall_ns()
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "store.sqlite"
        identity = fill(path, now_ns)
        busy = busy_gateway(path, now_ns)
        print(f"{GATEWAYS} gateways, seed {SEED}, store {path.stat().st_size / 1e6:.0f} MB")
        figures, least = asyncio.run(measure(path, identity, busy))
        count_ms = counting(path)
    print(f"{'page':28}{'median':>9}{'worst':>9}{'CPU':>9}{'target':>9}{'kB':>7}   verdict")
    for one in figures:
        verdict = "met" if one.median_ms < TARGET_MS else "MISSED"
        print(
            f"{one.page:28}{one.median_ms:6.0f} ms{one.worst_ms:6.0f} ms{one.cpu_ms:6.0f} ms"
            f"{TARGET_MS:6.0f} ms"
            f"{one.kilobytes:7.0f}   {verdict}"
        )
    print(
        f"in the same run: a static file {least:.1f} ms, the plain SQL count {count_ms:.0f} ms,"
        f" load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps(
            {"figures": [asdict(f) for f in figures], "static_ms": least, "count_ms": count_ms},
            indent=1,
        )
    )
    return int(any(one.median_ms >= TARGET_MS for one in figures))


if __name__ == "__main__":
    sys.exit(main())
