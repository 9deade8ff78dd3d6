"""The writer thread: a fair share for the backlog, and nothing is lost to a passing trouble."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.centre.store.jobs import Job
from gateway.wire import record
from gateway.wire.record import Record, RecordKind
from tests.centre.peer import meter, rows_record
from tests.centre.shop import EPOCH, Shop
from tests.waiting import wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "store.sqlite")
    yield made
    made.close()


def poison() -> Record:
    """Return a record that no table takes (the receiver would refuse it)."""
    return Record(1 << 70, RecordKind.EVENT, 0, b"\0" * 18 + b"\x93\x01\xa1k\x80")


def test_live_records_without_end_do_not_starve_the_backlog(shop: Shop) -> None:
    """There is always a live job in the queue, and the backlog is stored all the same."""
    going, seq = True, iter(range(1_000_000, 2_000_000))

    def next_live(_: Job | None = None) -> None:
        if going:
            number = next(seq)
            job = shop.job([rows_record(EPOCH, number, [meter(number)])])
            job.done = next_live
            shop.writer.submit(job)

    next_live()
    next_live()
    backlog = shop.submit(shop.job([rows_record(EPOCH, 1, [meter(1)])], backlog=True))
    stored = backlog.wait(10)
    going = False
    assert stored


def test_a_full_disk_beside_a_poisonous_job_condemns_nothing(shop: Shop) -> None:
    """While the disk refuses, no job is answered as bad: only the one that is."""
    (pages,) = shop.query("PRAGMA page_count")[0]
    with shop.writer._wake:  # both in one transaction
        bad = shop.job([poison()])
        good = shop.job(
            [
                rows_record(EPOCH, seq, [meter(seq + n / 500) for n in range(200)])
                for seq in range(1, 99)
            ]
        )
        shop.writer._db.execute(f"PRAGMA max_page_count = {pages}")
        events = [shop.submit(bad), shop.submit(good)]
    wait_until(lambda: "full" in shop.writer.trouble)
    assert not events[1].is_set()
    shop.writer._db.execute("PRAGMA max_page_count = 1000000")
    assert all(event.wait(10) for event in events)
    assert bad.failed and not good.failed and good.stored == 98


def test_the_thread_outlives_a_bug_in_what_it_calls(shop: Shop) -> None:
    """A callback that raises does not end storing for every gateway."""
    raised = threading.Event()

    def raises(_: Job) -> None:
        raised.set()
        raise RuntimeError("a bug")

    job = shop.job([rows_record(EPOCH, 1, [meter(1)])])
    job.done = raises
    shop.writer.submit(job)
    assert raised.wait(10)
    assert shop.submit(shop.job([rows_record(EPOCH, 2, [meter(2)])])).wait(10)
    wait_until(lambda: not shop.writer.trouble)


@pytest.mark.parametrize(
    ("payload", "others"),
    [
        (b"\x93\x01\x00\x91\x93\x00\x00\x91" + b"\x91" * 700 + b"\xc0", 1),
        (b"\x93\x01\x00\x91\x94\x00\x00\x91\x01" + b"\x91" * 700 + b"\xc0", 1),
        (b"\x93\x01\x00\x91\x95\x00\x00\x91\x01\xc0" + b"\x91" * 700 + b"\xc0", 0),
        (b"\x93\x01\x00\x91\x93\x00\x00\x91\xc4\x01x", 1),
    ],
    ids=["nested", "causes", "further", "binary"],
)
def test_values_that_are_none_are_no_rows(shop: Shop, payload: bytes, others: int) -> None:
    """What no reading can be is kept as it came, where no query stumbles over it; the records
    beside it are stored, and all are acked."""
    odd = record.pack(record.epoch_seed(EPOCH), 2, RecordKind.ROWS, 1, payload)
    job = shop.ingest([rows_record(EPOCH, 1, [meter(1)]), odd, rows_record(EPOCH, 3, [meter(3)])])
    assert not job.failed and job.intervals == ((1, 3),)
    assert shop.query("SELECT sum(rows) FROM strip") == [(3 - others,)]
    assert shop.query("SELECT count(*) FROM other") == [(others,)]
