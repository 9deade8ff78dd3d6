"""The way into the spool: batches, schemas, trouble at once, and the end."""

import asyncio
from pathlib import Path

import pytest

from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.spool.spool import Spool
from gateway.config.agent import SpoolSettings
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.reading import Cause, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import unpack_rows


def schema(*names: str) -> Schema:
    """One block of float points."""
    points = tuple(SchemaPoint(name, "V", "f32") for name in names)
    return Schema((SchemaBlock("meter", 1.0, points),))


class Bench:
    """A recorder on a real spool; what it shows is kept."""

    def __init__(self, directory: Path, batch_s: float) -> None:
        settings = SpoolSettings(str(directory / "spool"), max_bytes=4 << 20, keep_free_bytes=0)
        self.spool = Spool.open(settings, "site-1", b"b" * 16, Clock())
        self.metrics = Metrics()
        self.recorder = Recorder(self.spool, self.metrics, batch_s)
        self.shown: list[Record] = []
        self.recorder.live = self.shown.append


def row(*values: float | None, causes: tuple[Cause, ...] | None = None) -> Row:
    return Row(0, 1_000_000_000, values, causes)


async def test_without_a_batch_each_call_is_a_record(tmp_path: Path) -> None:
    """batch_s = 0 records at once."""
    bench = Bench(tmp_path, 0.0)
    bench.recorder.use_schema(schema("a"))
    for value in (1.0, 2.0):
        bench.recorder.rows([row(value)])
    assert [record.readings for record in bench.shown] == [1, 1]
    assert bench.spool.backlog().records == 2
    await bench.spool.close(clean=True)


async def test_a_batch_gathers_until_its_time(tmp_path: Path) -> None:
    """Rows within batch_s share a record; a new schema closes the batch before it."""
    bench = Bench(tmp_path, 0.05)
    bench.recorder.use_schema(schema("a"))
    for value in (1.0, 2.0, 3.0):
        bench.recorder.rows([row(value)])
    assert bench.shown == []
    async with asyncio.timeout(30):
        while not bench.shown:
            await asyncio.sleep(0.01)
    assert [record.readings for record in bench.shown] == [3]
    bench.recorder.rows([row(4.0)])
    bench.recorder.use_schema(schema("a", "b"))
    bench.recorder.rows([row(5.0, 6.0)])
    bench.recorder.flush()
    assert [record.payload[1] for record in bench.shown] == [1, 1, 2]
    unpacked = unpack_rows(bench.shown[2].payload, schema("a", "b"))
    assert unpacked[0].values == (5.0, 6.0)
    await bench.spool.close(clean=True)


async def test_counts_by_quality_and_cause(tmp_path: Path) -> None:
    """Uncertain readings are no bad ones, and each bad one has its cause."""
    bench = Bench(tmp_path, 0.0)
    bench.recorder.use_schema(schema("a", "b", "c"))
    bench.recorder.rows([row(1.0, 2.0, 3.0)])
    causes = (Cause.NO_REPLY, Cause.OUT_OF_RANGE, Cause.NONE)
    bench.recorder.rows([row(None, 9.0, 3.0, causes=causes)])
    value = bench.metrics.registry.get_sample_value
    assert value("gateway_readings_total", {"quality": "good"}) == 4
    assert value("gateway_readings_total", {"quality": "uncertain"}) == 1
    assert value("gateway_readings_total", {"quality": "bad"}) == 1
    assert value("gateway_bad_readings_total", {"cause": "no_reply"}) == 1
    assert bench.recorder.readings == 6
    await bench.spool.close(clean=True)


async def test_the_end_is_the_last_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After `end` nothing is recorded, and nothing raises."""
    bench = Bench(tmp_path, 10.0)
    bench.recorder.use_schema(schema("a"))
    bench.recorder.rows([row(1.0)])
    assert bench.recorder.end() == 2
    bench.recorder.event(Event.make(EventKind.SESSION_ENDED, 0))
    assert [record.kind for record in bench.shown] == [RecordKind.ROWS, RecordKind.END]
    await bench.spool.close(clean=True)


async def test_rows_without_a_schema(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bug of the caller is logged and nothing is invented."""
    bench = Bench(tmp_path, 0.0)
    bench.recorder.rows([row(1.0)])
    assert "rows without a schema" in caplog.text
    await bench.spool.close(clean=False)
