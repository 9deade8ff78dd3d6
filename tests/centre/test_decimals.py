"""Pins that decimal fractions sent as integers are read back as what was measured."""

from pathlib import Path

from gateway.centre.store import layout
from gateway.centre.store.jobs import Binding
from gateway.centre.store.queries import Span
from gateway.centre.store.readings import readings
from gateway.reading import Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import record, rows
from gateway.wire.record import RecordKind
from tests.centre.test_store import EPOCH, Shop

SCHEMA = Schema(
    (
        SchemaBlock(
            "meter",
            1.0,
            (SchemaPoint("t", "°C", "d1"), SchemaPoint("n", "", "i64")),
        ),
    )
)
VALUES = (23.4, -0.3, 0.25, 12.0, 6553.5)
"""0.25 is no tenth: it travels as a float."""


def test_decimals_come_back_exactly(tmp_path: Path) -> None:
    """234 under d1 is 23.4 in the API, a float is itself, and an i64 beside it stays whole."""
    shop = Shop(tmp_path / "store.sqlite")
    try:
        body = rows.encode_schema(SCHEMA)
        digest = rows.schema_digest(body)
        shop.ask(Binding(gateway=shop.gateway, epoch=EPOCH, sid=2, digest=digest, body=body))
        payload = rows.pack_rows(
            2, [Row(0, n * 10**9, (v, n)) for n, v in enumerate(VALUES, 1)], SCHEMA
        )
        seed = record.epoch_seed(EPOCH)
        shop.ingest([record.pack(seed, 1, RecordKind.ROWS, 10, payload)])
        db = layout.open_reader(shop.path)
        ever = Span(0, 1 << 62)
        tenths = [r.value for page in readings(db, "site-1", "meter.t", ever) for r in page]
        whole = [r.value for page in readings(db, "site-1", "meter.n", ever) for r in page]
        db.close()
    finally:
        shop.close()
    assert tenths == list(VALUES)
    assert whole == [1, 2, 3, 4, 5]
