"""Is a record that comes again the same record: known for the last few thousand of an epoch."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.centre.store.sums import CHUNK, KEPT, Sums
from gateway.wire.record import Record
from tests.centre.peer import meter, rows_record
from tests.centre.shop import EPOCH, Shop


def made(seq: int, crc: int) -> Record:
    return Record(seq, 99, 0, crc.to_bytes(4, "little") + bytes(14))


@contextmanager
def table() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE sums (epoch, chunk, body, PRIMARY KEY (epoch, chunk))")
    try:
        yield db
    finally:
        db.close()


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(1, 9)), max_size=60), st.booleans())
def test_the_same_record_never_differs_and_another_does(
    steps: list[tuple[int, int]], reread: bool
) -> None:
    """Whatever the order, and after the memory is written and read again."""
    sums, truth = Sums(), dict[int, int]()
    with table() as db:
        for seq, crc in steps:
            if seq not in truth:
                truth[seq] = crc
                sums.note(db, 1, [made(seq, crc)])
        if reread:
            sums.write(db, 1)
            sums = Sums()
        for seq, crc in truth.items():
            assert not sums.differs(db, 1, made(seq, crc))
            assert sums.differs(db, 1, made(seq, crc + 100))
        for seq in range(1, 600):
            assert seq in truth or not sums.differs(db, 1, made(seq, 5))


def test_the_memory_is_bounded_and_what_it_forgot_is_no_conflict() -> None:
    """A long epoch keeps its last chunks; a very old record is taken for what it says it is."""
    sums = Sums()
    with table() as db:
        last = 3 * KEPT * CHUNK
        sums.note(db, 1, [made(seq, seq) for seq in range(1, last)])
        sums.write(db, 1)
        assert db.execute("SELECT count(*) FROM sums").fetchone()[0] <= KEPT + 1
        assert sums.differs(db, 1, made(last - 1, 7))
        assert sums.differs(db, 1, made(last - (KEPT - 1) * CHUNK, 7))
        assert not sums.differs(db, 1, made(10, 7))


def test_another_record_under_a_stored_key_is_not_acked(tmp_path: Path) -> None:
    """The first stays as it was, also across a restart; the same one again is a duplicate."""
    shop = Shop(tmp_path / "store.sqlite")
    first = [rows_record(EPOCH, seq, [meter(seq)]) for seq in (1, 2, 3)]
    shop.ingest(first)
    other = rows_record(EPOCH, 2, [meter(2, 999.0)])
    job = shop.ingest([first[0], other, rows_record(EPOCH, 4, [meter(4)])])
    assert job.intervals == ((1, 1), (4, 4)) and job.conflicts == ((2, 2),) and job.stored == 1
    shop.close()
    again = Shop(tmp_path / "store.sqlite")
    job = again.ingest([*first, rows_record(EPOCH, 4, [meter(4, 5.0)])])
    assert job.intervals == ((1, 3),) and job.conflicts == ((4, 4),) and job.stored == 0
    assert again.query("SELECT sum(rows) FROM strip") == [(4,)]
    again.close()
