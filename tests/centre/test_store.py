"""The store alone: commit before ack, once each, after kills, full disks and retention."""

import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.centre.store import layout
from gateway.centre.store.epochs import signed
from gateway.centre.store.jobs import Binding, Farewell, Job
from gateway.centre.store.keeper import Retention
from gateway.centre.store.queries import Span
from gateway.centre.store.readings import readings
from gateway.centre.store.strips import MAX_SPAN, unpack
from gateway.centre.store.writer import Writer
from gateway.errors import StoreError
from gateway.process.clock import Clock
from gateway.reading import TICK_NS
from gateway.wire import record, rows
from gateway.wire.message import Interval
from gateway.wire.record import Record, RecordKind
from tests.centre.peer import SCHEMA, meter, rows_record
from tests.centre.shop import EPOCH, Shop, stored_seconds
from tests.waiting import wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "store.sqlite")
    yield made
    made.close()


def test_random_batches_with_repeats_are_stored_once(shop: Shop) -> None:
    """Whatever order, overlap and lane: each seq once, the ledger exact, acks name the batch."""
    random.seed(4)
    seen: set[int] = set()
    for _ in range(60):
        first = random.randrange(1, 400)
        seqs = sorted(random.sample(range(first, first + 40), random.randrange(1, 40)))
        job = shop.ingest(
            [rows_record(EPOCH, seq, [meter(seq)]) for seq in seqs],
            backlog=bool(random.getrandbits(1)),
        )
        assert [s for a, b in job.intervals for s in range(a, b + 1)] == seqs
        assert job.stored == len(set(seqs) - seen)
        seen |= set(seqs)
    ledger = shop.query("SELECT first, last FROM ledger ORDER BY first")
    listed = [s for a, b in ledger for s in range(int(str(a)), int(str(b)) + 1)]
    assert listed == sorted(seen)
    assert stored_seconds(shop.path) == [float(seq) for seq in sorted(seen)]


def test_kill_minus_nine_loses_nothing_that_was_acked(tmp_path: Path, seed: int = 0) -> None:
    """After every kill the store opens by itself; all acked is there, nothing twice."""
    print(f"seed {seed}")
    path, acked, first = tmp_path / "store.sqlite", set[int](), 1
    for round_ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.centre.crash_writer", str(path), str(EPOCH), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        random.seed(10 * seed + round_)
        for _ in range(random.randrange(5, 60)):
            low, high = map(int, child.stdout.readline().split())
            acked |= set(range(low, high + 1))
        child.kill()
        for line in child.stdout.read().splitlines():
            if len(fields := line.split()) == 2:
                acked |= set(range(int(fields[0]), int(fields[1]) + 1))
        child.stdout.close()
        child.wait()
        first = max(acked) + 1000
        db = layout.open_reader(path)
        intervals = db.execute("SELECT first, last FROM ledger").fetchall()
        bodies = db.execute("SELECT t, seq, rows, body FROM strip").fetchall()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
        ledger = {seq for low, high in intervals for seq in range(low, high + 1)}
        assert acked <= ledger
        times = [
            (t + dt) * TICK_NS // 10**9 for t, _, _, body in bodies for dt, _, _ in unpack(body)
        ]
        assert sorted(times) == sorted(ledger)


def test_sessions_left_open_by_a_kill_are_closed_at_the_next_start(tmp_path: Path) -> None:
    """A killed centre's sessions end as centre_lost, not never."""
    path = tmp_path / "store.sqlite"
    shop = Shop(path)
    shop.close()  # no Farewell: as after a kill
    again = Shop(path)
    assert again.left == 1
    assert again.query("SELECT cause, side FROM session WHERE closed_ns IS NOT NULL") == [
        ("centre_lost", "centre")
    ]
    again.close()


def test_a_full_disk_acks_nothing_and_recovers(shop: Shop) -> None:
    """No ack while the file cannot grow; the jobs wait and are stored when it can."""
    pages = shop.query("PRAGMA page_count")[0][0]
    shop.writer._db.execute(f"PRAGMA max_page_count = {pages}")
    waiting = shop.submit(
        shop.job([rows_record(EPOCH, seq, [meter(seq)] * 200) for seq in range(1, 60)])
    )
    wait_until(lambda: "full" in shop.writer.trouble)
    assert not waiting.is_set()
    shop.writer._db.execute("PRAGMA max_page_count = 1000000")
    assert waiting.wait(10)
    wait_until(lambda: not shop.writer.trouble)
    assert shop.query("SELECT first, last FROM ledger") == [(1, 59)]


def test_retention_by_days_deletes_old_strips_in_steps(tmp_path: Path) -> None:
    """Only what is older goes, while new records are stored."""

    class Late(Clock):
        ahead_ns = 0

        def wall_ns(self) -> int:
            return 1_700_000_000_000_000_000 + self.ahead_ns

    clock = Late()
    shop = Shop(tmp_path / "store.sqlite", Retention(days=1, size=0), clock)
    # hello() anchors boottime 1 s at 1.7e18.
    for seq in range(1, 301):
        second = 1 + (seq - 1) * 600.0
        shop.submit(shop.job([rows_record(EPOCH, seq, [meter(second)])]))
    shop.ingest([rows_record(EPOCH, 301, [meter(1 + 300 * 600.0)])])
    clock.ahead_ns = 300 * 600 * 1_000_000_000
    shop.keeper.retain()
    assert shop.query("SELECT count(*) FROM stream") == [(1,)]
    kept = stored_seconds(shop.path)
    assert kept[0] == pytest.approx(1 + (300 - 144) * 600.0)
    assert kept[-1] == 1 + 300 * 600.0 and len(kept) == 145
    assert shop.keeper.deleted == 156
    assert shop.query("SELECT first, last FROM ledger") == [(1, 301)]
    shop.close()


def test_streams_of_finished_epochs_leave_with_their_last_strip(tmp_path: Path) -> None:
    """Ten years of restarts leave no empty streams; a late record makes its stream anew."""

    class Late(Clock):
        ahead_ns = 0

        def wall_ns(self) -> int:
            return 1_700_000_000_000_000_000 + self.ahead_ns

    clock = Late()
    shop = Shop(tmp_path / "store.sqlite", Retention(days=1, size=0), clock)
    shop.ingest([rows_record(EPOCH, 1, [meter(5)])])
    shop.greet(EPOCH + 1)
    clock.ahead_ns = 2 * 86_400 * 1_000_000_000
    shop.keeper.retain()
    assert shop.query("SELECT count(*) FROM stream") == [(0,)]
    body = rows.encode_schema(SCHEMA)
    digest = rows.schema_digest(body)
    shop.ask(Binding(gateway=shop.gateway, epoch=EPOCH, sid=1, digest=digest, body=body))
    shop.ingest([rows_record(EPOCH, 2, [meter(6)])])
    assert stored_seconds(shop.path) == [6.0]
    shop.close()


def test_retention_by_size_keeps_the_newest(tmp_path: Path) -> None:
    """The file's used pages come under the bound; the oldest readings go first."""
    shop = Shop(tmp_path / "store.sqlite", Retention(days=0, size=1_500_000))
    seq = 0
    for _ in range(40):
        records = []
        for _ in range(20):
            seq += 1
            records.append(
                rows_record(EPOCH, seq, [meter(seq * 10 + n / 50, 1.5 + n) for n in range(200)])
            )
        shop.ingest(records, backlog=True)
    before = len(stored_seconds(shop.path))
    shop.keeper.retain()
    assert shop.keeper._used() <= 1_500_000
    kept = stored_seconds(shop.path)
    assert 0 < len(kept) < before
    assert max(kept) > seq * 10 and min(kept) > 10
    shop.close()


def test_live_records_overtake_a_backlog(shop: Shop) -> None:
    """A live job submitted behind a long backlog commits before its end."""
    order: list[str] = []
    lock = threading.Lock()

    def note(name: str) -> Callable[[Job], None]:
        def done(_: Job) -> None:
            with lock:
                order.append(name)

        return done

    seq, backlog = 1, []
    for _ in range(60):
        records = [
            rows_record(EPOCH, seq + n, [meter(seq + n + k / 1000) for k in range(500)])
            for n in range(8)
        ]
        seq += 8
        backlog.append(shop.job(records, backlog=True))
    for job in backlog:
        job.done = note("backlog")
        shop.writer.submit(job)
    live = shop.job([rows_record(EPOCH, 1_000_000, [meter(9e6)])])
    live.done = note("live")
    shop.writer.submit(live)
    wait_until(lambda: len(order) == 61)
    assert order.index("live") < 20


def test_a_job_that_cannot_be_stored_does_not_stop_the_others(shop: Shop) -> None:
    """One poisonous job fails alone; those of the same transaction are stored."""
    bad = shop.job([Record(1 << 70, RecordKind.EVENT, 0, b"\0" * 18 + b"\x93\x01\xa1k\x80")])
    good = shop.job([rows_record(EPOCH, 1, [meter(1)])])
    events = [shop.submit(bad), shop.submit(good)]
    assert all(event.wait(10) for event in events)
    assert bad.failed and not good.failed
    assert shop.query("SELECT first, last FROM ledger") == [(1, 1)]


def test_hostile_payloads_are_kept_as_they_came(shop: Shop) -> None:
    """ROWS that are none, huge times, wrong types: stored raw, never an error."""
    seed = record.epoch_seed(EPOCH)
    payloads = [
        b"\xc1",
        b"\x90",
        b"\x93\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x91\x93\x00\x00\x91\x01",  # t0 2^64-1
        b"\x93\x01\x00\x91\x93\x00\x00\x05",  # values no list
        b"\x93\x01\x00\x91\x93\xa1x\x00\x91\x01",  # block a text
        b"\x93\xa1x\x00\x90",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 2000,
    ]
    records = [
        record.pack(seed, seq, RecordKind.ROWS, 1, payload)
        for seq, payload in enumerate(payloads, 1)
    ]
    job = shop.ingest(records)
    assert job.intervals == ((1, len(payloads)),) and not job.failed
    assert [row[0] for row in shop.query("SELECT payload FROM other ORDER BY seq")] == payloads


def test_long_strips_are_split_so_that_a_query_looks_back_little(shop: Shop) -> None:
    """A Data of slow points spans hours; no strip does."""
    hours = [rows_record(EPOCH, seq, [meter(seq * 900.0)]) for seq in range(1, 41)]
    random.Random(5).shuffle(hours)
    shop.ingest(hours, backlog=True)
    spans = [int(str(row[0])) for row in shop.query("SELECT span FROM strip")]
    assert len(spans) > 5 and max(spans) <= MAX_SPAN
    assert stored_seconds(shop.path) == [seq * 900.0 for seq in range(1, 41)]


def test_readings_of_a_range_are_exactly_those_in_it(shop: Shop) -> None:
    """Ends included, overlapping strips merged in order of time."""
    for start in (1, 4, 2, 3):
        shop.ingest(
            [rows_record(EPOCH, start * 100, [meter(1000.0 + start + 4 * n) for n in range(50)])]
        )
    db = layout.open_reader(shop.path)
    offset = 1_700_000_000_000_000_000 - 1_000_000_000
    span = Span(offset + 1_010 * 10**9, offset + 1_020 * 10**9)
    found = [
        r.source_time_ns // 10**9 for page in readings(db, "site-1", "meter.v", span) for r in page
    ]
    db.close()
    assert found == list(range(1_010, 1_021))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A database of something else is not touched."""
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StoreError, match="not a store of this version"):
        Writer(path, "test", Clock(), lambda jobs: None)


def test_the_log_is_copied_and_starts_again(shop: Shop) -> None:
    """A long drain does not let the log grow for ever."""
    seq, biggest = 1, 0
    log = shop.path.with_name("store.sqlite-wal")
    for _ in range(20):
        records = [
            rows_record(EPOCH, seq + n, [meter(seq + n + k / 2000, float(k)) for k in range(1500)])
            for n in range(20)
        ]
        seq += 20
        shop.ingest(records, backlog=True)
        biggest = max(biggest, log.stat().st_size)
    written = shop.path.stat().st_size
    assert written > 4 * 1024 * 1024
    wait_until(lambda: shop.path.stat().st_size > written // 2)
    assert biggest < 96 * 1024 * 1024


def test_a_farewell_of_an_unknown_session_changes_nothing(shop: Shop) -> None:
    """The store's answers never depend on what is not there."""
    job = Farewell(
        session=99, closed_ns=1, side="agent", cause="normal", code=1000, reason="", evidence={}
    )
    shop.ask(job)
    assert not job.failed and signed(EPOCH) < 0
    intervals: list[Interval] = []
    assert intervals == []
