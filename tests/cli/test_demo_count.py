"""Pins that a reading that is missing or there twice is found in the store, not assumed away."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.centre.store.intake import Intake
from gateway.centre.store.jobs import Ingest
from gateway.centre.store.layout import open_writer
from gateway.cli.demo_count import (
    CountError,
    Made,
    Stored,
    duplicated_readings,
    missing_readings,
)
from gateway.reading import TICK_NS, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.record import Record, RecordKind, epoch_seed, pack
from gateway.wire.rows import encode_schema, pack_end, pack_rows, schema_digest

EPOCH = 0xF00D_0000_0000_0001
SCHEMA = Schema((SchemaBlock("meter", 1.0, (SchemaPoint("a", "V", "f32"),) * 3),))


def _rows(seq: int, tick: int | None = None) -> Record:
    row = Row(0, (seq if tick is None else tick) * TICK_NS, (1.0, 2.0, 3.0))
    return pack(epoch_seed(EPOCH), seq, RecordKind.ROWS, 3, pack_rows(1, [row], SCHEMA))


def _end(seq: int) -> Record:
    return pack(epoch_seed(EPOCH), seq, RecordKind.END, 0, pack_end())


def _store(path: Path, batches: Sequence[Sequence[Record]]) -> Stored:
    """Make a store with the centre's own intake, each batch a transaction, and count it."""
    database = open_writer(path)
    database.execute("INSERT INTO gateway (name, instance, first_ns) VALUES ('g', x'00', 0)")
    intake = Intake(database)
    body = encode_schema(SCHEMA)
    for records in batches:
        database.execute("BEGIN")
        ledger = intake.epoch(1, EPOCH, 0)
        intake.bind(ledger, 1, schema_digest(body), body)
        intake.ingest(
            Ingest(
                gateway=1,
                session=1,
                epoch=EPOCH,
                records=records,
                offset_ns=0,
                received_ns=0,
            )
        )
        intake.write()
        database.execute("COMMIT")
    database.close()
    return Stored.count(path, "g")


def test_all_there(tmp_path: Path) -> None:
    """What came once, also when it was sent twice, is neither missing nor duplicated."""
    stored = _store(tmp_path / "s", [[_rows(1), _rows(2)], [_rows(2), _rows(3)], [_end(4)]])
    made = Made(readings=9, records=4)
    assert stored.readings == 9
    assert stored.end_seq == 4
    assert missing_readings(made, stored) == 0
    assert duplicated_readings(made, stored) == 0


def test_a_lost_record_is_missing(tmp_path: Path) -> None:
    """A record in the middle that never came counts with its readings."""
    stored = _store(tmp_path / "s", [[_rows(1), _rows(3)], [_end(4)]])
    assert missing_readings(Made(readings=9, records=4), stored) == 3


def test_a_lost_event_is_missing_too(tmp_path: Path) -> None:
    """Every reading is there, but not every record: that is not clean either."""
    stored = _store(tmp_path / "s", [[_rows(1), _rows(2)], [_end(4)]])
    assert missing_readings(Made(readings=6, records=4), stored) == 1


def test_no_clean_end_is_missing(tmp_path: Path) -> None:
    """Without the record END nobody knows what else there was."""
    stored = _store(tmp_path / "s", [[_rows(1)]])
    assert missing_readings(Made(readings=3, records=1), stored) == 1


def test_the_same_row_under_two_seqs_is_duplicated(tmp_path: Path) -> None:
    """The dedupe key cannot see it, the source time can."""
    stored = _store(tmp_path / "s", [[_rows(1)], [_rows(2, tick=1)], [_end(3)]])
    made = Made(readings=3, records=3)
    assert duplicated_readings(made, stored) == 3


def test_last_words_of_the_agent() -> None:
    """The agent's final counts are read from its log, the last ones if it ran twice."""
    log = "agent stopped readings=1 records=2\nx\nagent stopped epoch=5 readings=30 records=4\n"
    assert Made.read(log) == Made(30, 4)
    with pytest.raises(CountError):
        Made.read("Traceback")
