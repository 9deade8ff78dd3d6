"""What one session cannot send goes with the next, and what nobody can read stops no session."""

import asyncio
import errno
from pathlib import Path

import pytest

from gateway.agent.spool import keeper
from gateway.agent.spool.segment import SegmentHeader, encode_header
from gateway.event import Event, EventKind
from gateway.reading import Row
from gateway.wire.limits import MAX_EPOCHS, MAX_SCHEMAS
from gateway.wire.message import GapReason
from gateway.wire.record import RecordKind, epoch_seed, pack
from gateway.wire.rows import RowsBatch, encode_schema, pack_event, unpack_gap
from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.agent.side import SCHEMA, agent, rows_of
from tests.agent.spool.fakes import FailingDisk
from tests.waiting import until

BOOT = b"b" * 16
EVENT = pack_event(Event.make(EventKind.AGENT_STARTED, 0))


def segment(directory: Path, epoch: int, *, rows: int, events: int, schema: bool = True) -> None:
    """Write what an earlier life left: an unsealed segment with these records."""
    schemas = ((1, encode_schema(SCHEMA)),) if schema else ()
    header = SegmentHeader("site-1", epoch, BOOT, epoch, 0, 1, 0, schemas)
    batch = RowsBatch(1, SCHEMA)
    records = [pack(epoch_seed(epoch), n, RecordKind.EVENT, 0, EVENT) for n in range(1, events + 1)]
    for seq in range(events + 1, events + rows + 1):
        batch.add([Row(0, seq * 100_000, (float(seq),))])
        ((readings, payload),) = batch.take()
        records.append(pack(epoch_seed(epoch), seq, RecordKind.ROWS, readings, payload))
    directory.mkdir(exist_ok=True)
    data = encode_header(header) + b"".join(record.data for record in records)
    (directory / header.name).write_bytes(data)


async def test_more_epochs_than_hello_lists_follow_in_the_next_session(tmp_path: Path) -> None:
    """Hello says it is not complete; once the listed epochs are drained the agent connects again
    by itself, at once, and the last Hello is complete."""
    count = 2 * MAX_EPOCHS
    for epoch in range(1, count + 1):
        segment(tmp_path / "spool", epoch, rows=0, events=1)
    async with memory_centre(MemoryCentre()) as centre, agent(tmp_path, centre.port) as side:
        async with asyncio.timeout(30):
            await until(lambda: side.spool.held_epochs() <= {side.spool.epoch}, 30)
            await until(lambda: len(centre.hellos) >= 3 and centre.hellos[-1].complete)
        assert {(epoch, 1) for epoch in range(1, count + 1)} <= centre.records.keys()
        assert set(centre.copies.values()) == {1}
        assert [hello.complete for hello in centre.hellos] == [False, False, True]
        await side.empty()
        assert [e["cause"] for e in centre.events("session_ended")] == ["continued"] * 2


async def test_more_schemas_than_a_session_announces_follow_in_the_next(tmp_path: Path) -> None:
    """Each epoch has its own sid 1: the session makes way before the centre would close it."""
    for epoch in range(1, MAX_SCHEMAS + 51):
        segment(tmp_path / "spool", epoch, rows=1, events=0)
    async with memory_centre(MemoryCentre()) as centre, agent(tmp_path, centre.port) as side:
        side.read()
        await until(lambda: len(centre.hellos) == 2)
        await side.empty()
        assert rows_of(centre) == MAX_SCHEMAS + 51
        assert set(centre.copies.values()) == {1}
        assert [e["cause"] for e in centre.events("session_ended")] == ["continued"]


async def test_rows_whose_schema_is_lost_stop_nothing(tmp_path: Path) -> None:
    """Header and trailer destroyed, records sound: they are told as lost, the rest is sent."""
    segment(tmp_path / "spool", 7, rows=3, events=2, schema=False)
    segment(tmp_path / "spool", 8, rows=3, events=2)
    async with memory_centre(MemoryCentre()) as centre, agent(tmp_path, centre.port) as side:
        side.read(2)
        await side.empty()
        await until(lambda: any(r.kind == RecordKind.GAP for r in centre.records.values()))
        assert len(centre.hellos) == 1
        assert rows_of(centre) == 5
        assert {(7, 1), (7, 2)} <= centre.records.keys()
        gaps = [unpack_gap(r.payload) for r in centre.records.values() if r.kind == RecordKind.GAP]
        lost = [(gap.epoch, gap.first, gap.last, gap.reason) for gap in gaps]
        assert lost == [(7, 3, 5, GapReason.DAMAGED)]


async def test_a_backlog_that_turns_up_during_a_session_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool's directory could not be used at the start: what it holds goes in a new session."""
    monkeypatch.setattr(keeper, "REOPEN_S", 0.2)
    segment(tmp_path / "spool", 7, rows=4, events=0)
    disk = FailingDisk()
    disk.fail("names", errno.EROFS, 0)
    async with (
        memory_centre(MemoryCentre()) as centre,
        agent(tmp_path, centre.port, disk=disk) as side,
    ):
        side.read(1)
        await side.empty()
        assert rows_of(centre) == 1
        disk.heal()
        await until(lambda: rows_of(centre) == 5)
        await side.empty()
        assert [e["cause"] for e in centre.events("session_ended")] == ["continued"]
