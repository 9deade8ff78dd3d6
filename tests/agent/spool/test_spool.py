"""The spool's API: what is kept, what is written, what is told."""

import asyncio
import errno
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.agent.spool import keeper, urgency
from gateway.agent.spool.spool import Spool
from gateway.errors import SpoolError
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.wire.message import GapReason
from gateway.wire.record import RecordKind
from gateway.wire.rows import unpack_gap
from tests.agent.spool.fakes import (
    BOOT,
    GATEWAY,
    SEGMENT,
    FailingDisk,
    StallingDisk,
    drain,
    fill,
    reopen,
    segment_files,
    seqs,
    settings,
    wrong,
)
from tests.waiting import until


class SteppedClock(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000_000

    def now(self) -> float:
        return self.ns / 1e9

    def boottime_ns(self) -> int:
        return self.ns


def gaps(found: dict, epoch: int) -> list:
    return [unpack_gap(r.payload) for r in found.get(epoch, []) if r.kind == RecordKind.GAP]


async def test_what_is_acked_in_time_never_touches_the_disk(tmp_path):
    """Online and acked within commit_s: not a write, not a flush, not a segment."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    task = asyncio.create_task(spool.run())
    before = disk.calls.copy()
    for _ in range(50):
        fill(spool, 20)
        await asyncio.sleep(0.001)
        spool.ack(spool.epoch, [(1, spool.next_seq - 1)])
    assert disk.calls == before
    assert disk.written == 0
    assert segment_files(tmp_path) == []
    assert spool.stats.never_written_records == 1000
    assert spool.backlog().records == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close(clean=False)


async def test_what_is_not_acked_is_committed_in_one_write_and_one_flush(tmp_path):
    """Everything unacked after commit_s goes down together: one pwrite, one fdatasync."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk, commit_s=0.05)
    fill(spool, 5)
    await spool.flush()
    task = asyncio.create_task(spool.run())
    before = disk.calls.copy()
    fill(spool, 40)
    await until(lambda: spool.levels().memory_records == 0)
    assert disk.calls - before == {"pwrite": 1, "fdatasync": 1}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close(clean=False)


async def test_committed_records_are_there_after_a_restart_in_order_and_verbatim(tmp_path):
    """Three lives of a spool: every unacked record comes back once, oldest first, unchanged."""
    disk = FailingDisk()
    epochs = []
    for life in range(3):
        spool = reopen(tmp_path, disk)
        sid = spool.add_schema(b"schema of life %d" % life)
        epochs.append(spool.epoch)
        fill(spool, 300)
        await spool.close(clean=life == 1)
        assert sid == 1
    spool = reopen(tmp_path, disk)
    states = spool.epochs()
    assert [state.epoch for state in states] == [*epochs, spool.epoch]
    assert [state.available for state in states[:3]] == [((1, 300),), ((1, 301),), ((1, 300),)]
    assert all(state.boot_id == BOOT for state in states)
    assert spool.schemas(epochs[1]) == {1: b"schema of life 1"}
    assert spool.backlog().records == 901
    found = await drain(spool)
    assert list(found) == epochs
    assert [seqs(found, epoch) for epoch in epochs] == [
        list(range(1, 301)), list(range(1, 302)), list(range(1, 301)),
    ]  # fmt: skip
    assert not wrong(found)
    assert found[epochs[1]][-1].kind == RecordKind.END
    for epoch in epochs:
        spool.ack(epoch, [(1, 10_000)])
    assert spool.epochs()[0].epoch == spool.epoch
    assert spool.backlog() == type(spool.backlog())(0, 0, 0)
    await spool.close(clean=False)
    assert segment_files(tmp_path) == []


async def test_acks_free_the_space_and_cost_no_write(tmp_path):
    """Acked segments are recycled by rename; part of a segment acked writes nothing."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    fill(spool, 600)
    await spool.flush()
    used = spool.levels()
    assert used.segments == 3
    before, written = disk.calls.copy(), disk.written
    spool.ack(spool.epoch, [(1, 50), (60, 70)])
    await asyncio.sleep(0)
    assert (disk.calls, disk.written) == (before, written)
    assert spool.epochs()[-1].available == ((51, 59), (71, 600))
    task = asyncio.create_task(spool.run())
    spool.ack(spool.epoch, [(1, 600)])
    await until(lambda: spool.levels().segments == 1)
    assert disk.written == written
    assert spool.levels().disk_bytes == used.disk_bytes
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    fill(spool, 600)
    await spool.flush()
    assert not wrong(await drain(spool))
    await spool.close(clean=False)


async def test_acks_out_of_order_and_unknown_are_harmless(tmp_path):
    """Duplicate, unknown and scattered acks leave exactly the rest."""
    spool = reopen(tmp_path)
    fill(spool, 100)
    await spool.flush()
    fill(spool, 100)
    for epoch, pairs in [(1, [(1, 9)]), (spool.epoch, [(190, 500), (50, 120)]), (spool.epoch, [])]:
        spool.ack(epoch, pairs)
        spool.ack(epoch, pairs)
    assert spool.epochs()[-1].available == ((1, 49), (121, 189))
    found = await drain(spool, 1000)
    assert seqs(found, spool.epoch) == [*range(1, 50), *range(121, 190)]
    await spool.close(clean=False)


async def test_a_reader_has_a_snapshot_and_what_is_added(tmp_path):
    """Records appended later only come when added; acked ones do not come; each comes once."""
    spool = reopen(tmp_path)
    fill(spool, 100)
    await spool.flush()
    fill(spool, 50)
    reader = spool.reader()
    fill(spool, 50)
    spool.ack(spool.epoch, [(141, 150)])
    reader.add(spool.epoch, (170, 172))
    reader.add(spool.epoch, (165, 165))
    found: list[int] = []
    while True:
        epoch, records = await reader.read(3000)
        if not records:
            break
        assert epoch == spool.epoch
        assert sum(len(record.data) for record in records) <= 3000
        found += [record.seq for record in records]
    assert found == [*range(1, 141), 165, 170, 171, 172]
    await spool.flush()
    reader.add(spool.epoch, (3, 3))
    reader.add(spool.epoch, (180, 182))
    assert [r.seq for r in (await reader.read(10_000))[1]] == [3, 180, 181, 182]
    assert (await reader.read(1))[1] == []
    reader.add(spool.epoch, (1, 2))
    assert [r.seq for r in (await reader.read(1))[1]] == [1], "one record at least"
    await spool.close(clean=False)


async def test_a_cancelled_read_loses_nothing(tmp_path):
    """What a cancelled read was about to return comes with the next one."""
    spool = reopen(tmp_path)
    fill(spool, 400)
    await spool.flush()
    reader = spool.reader()
    found = []
    while True:
        task = asyncio.create_task(reader.read(20_000))
        await asyncio.sleep(0)
        task.cancel()
        done = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(done[0], asyncio.CancelledError):
            found += [r.seq for r in done[0][1]]
        _, records = await reader.read(20_000)
        if not records:
            break
        found += [r.seq for r in records]
    assert found == list(range(1, 401))
    await spool.close(clean=False)


async def test_full_and_drop_oldest_evicts_segments_and_says_so(tmp_path):
    """The oldest go, each loss is a GAP with range, count and time, and nothing else is missing."""
    spool = reopen(tmp_path)
    events: list[Event] = []
    spool.on_event = events.append
    own: list[int] = []
    spool.on_own_record = lambda record: own.append(record.seq)
    for _ in range(80):  # so often that GAP records are evicted too: they are told again
        fill(spool, 60)
        await spool.flush()
    found = await drain(spool)
    told = gaps(found, spool.epoch)
    lost = [seq for gap in told for seq in range(gap.first, gap.last + 1)]
    there = seqs(found, spool.epoch)
    assert sorted(lost + there) == list(range(1, spool.next_seq))
    assert not wrong(found)
    oldest = min(told, key=lambda gap: gap.first)
    assert oldest.first == 1 and {gap.reason for gap in told} == {GapReason.QUOTA}
    assert oldest.from_ns == (10_000 + oldest.first) * 100_000
    # GAP records themselves carry no readings, and one may be among the evicted.
    counted = sum(gap.readings for gap in told)
    assert counted == spool.stats.appended_readings - sum(r.readings for r in found[spool.epoch])
    assert [event.kind for event in events] == [EventKind.SPOOL_FULL]
    assert set(own) >= {r.seq for r in found[spool.epoch] if r.kind == RecordKind.GAP}
    assert spool.levels().disk_bytes <= 8 * SEGMENT
    assert spool.stats.lost_records["quota"] == len(lost)
    await spool.close(clean=False)


async def test_full_and_drop_newest_refuses_and_tells_it_once_there_is_room(tmp_path):
    """The oldest stay; what memory cannot keep either is one GAP when space is free again."""
    spool = reopen(tmp_path, policy="drop_newest")
    events: list[Event] = []
    spool.on_event = events.append
    for _ in range(30):
        fill(spool, 60)
        await spool.flush()
    fill(spool, 5000)
    assert spool.levels().memory_bytes <= 4 << 20
    assert [event.kind for event in events] == [EventKind.SPOOL_FULL]
    last = spool.next_seq - 1
    assert spool.stats.lost_records.keys() == {"newest_refused"}
    first_lost = spool.epochs()[-1].available[-1][1] + 1
    told, there = [], []
    for _ in range(8):
        await spool.flush()
        found = await drain(spool)
        told += gaps(found, spool.epoch)
        there += seqs(found, spool.epoch)
        spool.ack(spool.epoch, [(1, max(there))])
    assert there == [*range(1, first_lost), last + 1]
    assert [(gap.last, gap.reason) for gap in told] == [(last, GapReason.NEWEST_REFUSED)]
    assert told[0].readings == 11 * (last - told[0].first + 1)
    await spool.close(clean=False)


async def test_a_stalled_disk_blocks_nobody_and_memory_stays_bounded(tmp_path):
    """While a flush hangs, append and ack go on; past the bound the oldest go, as one GAP."""
    disk = StallingDisk()
    spool = reopen(tmp_path, disk, commit_s=0.01, max_bytes=64 * SEGMENT)
    task = asyncio.create_task(spool.run())
    disk.go.clear()
    fill(spool, 10)
    await until(lambda: disk.calls["pwrite"] > 2)
    fill(spool, 6000)
    assert spool.levels().memory_bytes <= 4 << 20
    spool.ack(spool.epoch, [(5000, 5100)])
    lost = spool.stats.lost_records["write_failed"]
    assert lost > 0
    disk.go.set()
    await until(lambda: spool.levels().memory_records == 0 and spool.stats.commits >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.flush()
    held = spool.epochs()[-1].available
    (gap,) = (gap for gap in [unpack_gap(r.payload) for r in await _tail(spool)])
    assert (gap.first, gap.last, gap.reason) == (11, 10 + lost, GapReason.WRITE_FAILED)
    assert gap.readings == 11 * lost
    assert held == ((1, 10), (11 + lost, 4999), (5101, 6011))
    await spool.close(clean=False)


async def _tail(spool: Spool) -> list:
    found = await drain(spool)
    return [record for record in found[spool.epoch] if record.kind == RecordKind.GAP]


async def test_an_ack_that_comes_after_the_loss_takes_it_back(tmp_path):
    """A live record that memory had dropped and the centre then acks is no loss."""
    spool = reopen(tmp_path, policy="drop_newest")
    disk_full = FailingDisk()
    spool = Spool.open(
        settings(tmp_path / "other", policy="drop_newest"), GATEWAY, BOOT, Clock(), disk=disk_full
    )
    fill(spool, 6000)
    first_lost = spool.epochs()[-1].available[-1][1] + 1
    assert first_lost < 6000
    spool.ack(spool.epoch, [(first_lost, 6000)])
    await spool.flush()
    assert await _tail(spool) == []
    await spool.close(clean=False)


async def test_urgent_records_flush_at_once_but_not_without_limit(tmp_path):
    """Trouble is on disk without waiting for commit_s; a storm of it is limited by tokens."""
    disk = FailingDisk()
    clock = SteppedClock()
    spool = Spool.open(settings(tmp_path, commit_s=5.0), GATEWAY, BOOT, clock, disk=disk)
    task = asyncio.create_task(spool.run())
    await asyncio.sleep(0)
    for number in range(1, 31):
        spool.append(RecordKind.EVENT, 0, b"\x90", urgent=True)
        if number <= urgency.URGENT_BURST:
            await until(lambda number=number: spool.stats.commits == number)
        else:
            await asyncio.sleep(0.02)
            assert spool.stats.commits == urgency.URGENT_BURST
    clock.ns += 2_000_000_000
    spool.append(RecordKind.EVENT, 0, b"\x90", urgent=True)
    await until(lambda: spool.levels().memory_records == 0)
    assert spool.stats.commits == urgency.URGENT_BURST + 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close(clean=False)


async def test_schemas_travel_with_their_records(tmp_path):
    """Each segment has every schema its records use, also one added in mid-epoch."""
    spool = reopen(tmp_path)
    assert spool.add_schema(b"one") == 1
    fill(spool, 10)
    await spool.flush()
    assert spool.add_schema(b"two") == 2
    assert spool.add_schema(b"one") == 1
    fill(spool, 10)
    await spool.close(clean=False)
    first, second = segment_files(tmp_path)
    first.unlink()
    spool = reopen(tmp_path)
    (state, _) = spool.epochs()
    assert state.available == ((11, 20),)
    assert spool.schemas(state.epoch) == {1: b"one", 2: b"two"}
    assert second.exists()
    await spool.close(clean=False)


async def test_schemas_past_the_headers_room_are_refused(tmp_path):
    """Too many different schemas in one epoch are an error that names the limit and the cure."""
    import random

    spool = reopen(tmp_path)
    with pytest.raises(SpoolError, match="limit is 16384; restart"):
        for number in range(100):
            spool.add_schema(random.Random(number).randbytes(1000))
    fill(spool, 10)
    await spool.flush()
    assert spool.levels().memory_records == 0
    await spool.close(clean=False)


async def test_end_is_the_last_record(tmp_path):
    """After END nothing is appended, and closing cleanly does not append a second one."""
    spool = reopen(tmp_path)
    fill(spool, 1)
    end = spool.end()
    assert (end.seq, end.kind, bytes(end.payload)) == (2, RecordKind.END, b"\x90")
    with pytest.raises(SpoolError):
        fill(spool, 1)
    with pytest.raises(SpoolError):
        spool.end()
    await spool.close(clean=True)
    spool = reopen(tmp_path)
    assert spool.epochs()[0].available == ((1, 2),)
    await spool.close(clean=False)


async def test_one_process_at_a_time(tmp_path):
    """A second spool on the directory fails with the cure; after close it may open."""
    spool = reopen(tmp_path)
    with pytest.raises(SpoolError, match="another gateway process"):
        reopen(tmp_path)
    await spool.close(clean=False)
    spool = reopen(tmp_path)
    await spool.close(clean=False)


async def test_epochs_never_repeat_and_come_from_the_seam(tmp_path):
    """The epoch is eight random bytes, new at every open."""
    made = []
    for seed in (b"\x01" * 8, b"\x02" * 8):
        spool = Spool.open(
            settings(tmp_path),
            GATEWAY,
            BOOT,
            Clock(),
            disk=FailingDisk(),
            random=lambda n, s=seed: s,
        )
        made.append(spool.epoch)
        await spool.close(clean=False)
    assert made == [0x0101010101010101, 0x0202020202020202]


async def test_a_cancelled_commit_is_entered_into_the_books(tmp_path):
    """A task cancelled while the disk is busy finishes the commit first, then ends."""
    disk = StallingDisk()
    spool = reopen(tmp_path, disk, commit_s=0.01)
    task = asyncio.create_task(spool.run())
    disk.go.clear()
    fill(spool, 10)
    await until(lambda: disk.calls["pwrite"] > 2)
    task.cancel()
    await asyncio.sleep(0.02)
    assert not task.done()
    disk.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spool.levels().memory_records == 0
    assert spool.epochs()[-1].available == ((1, 10),)
    await spool.close(clean=False)


async def test_the_newest_segment_is_given_back_when_all_is_acked_and_quiet(tmp_path, monkeypatch):
    """After the backlog is gone and nothing was committed for a while, no segment is left."""
    monkeypatch.setattr(keeper, "IDLE_S", 0.05)
    spool = reopen(tmp_path, commit_s=0.01)
    task = asyncio.create_task(spool.run())
    fill(spool, 10)
    await until(lambda: spool.levels().memory_records == 0)
    spool.ack(spool.epoch, [(1, 10)])
    await until(lambda: segment_files(tmp_path) == [])
    fill(spool, 10)
    await until(lambda: spool.levels().memory_records == 0)
    assert seqs(await drain(spool), spool.epoch) == list(range(11, 21))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close(clean=False)


async def test_records_the_centre_refuses_are_kept_aside_and_told(tmp_path):
    """Dead letters leave the backlog as a GAP; their bytes are in quarantine."""
    spool = reopen(tmp_path)
    fill(spool, 10)
    await spool.flush()
    fill(spool, 10)
    task = asyncio.create_task(spool.run())
    spool.give_up(spool.epoch, [(5, 6), (15, 15)], "poison")
    spool.give_up(99, [(1, 1)], "not ours")
    aside = tmp_path / "quarantine"
    await until(lambda: list(aside.glob("*.records")))
    await spool.flush()
    found = await drain(spool)
    assert seqs(found, spool.epoch)[:17] == [1, 2, 3, 4, *range(7, 15), 16, 17, 18, 19, 20]
    assert [(g.first, g.last, g.reason) for g in gaps(found, spool.epoch)] == [
        (5, 6, GapReason.DEAD_LETTER),
        (15, 15, GapReason.DEAD_LETTER),
    ]
    spool.ack(spool.epoch, [(1, 100)])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close(clean=False)
    assert len(list(aside.glob("*.seg"))) == 1


async def test_hello_stays_within_the_wires_limits(tmp_path):
    """Past the limit of intervals the smallest holes are claimed too, never a record left out."""
    spool = reopen(tmp_path)
    fill(spool, 4000, 10)
    spool.ack(spool.epoch, [(seq, seq) for seq in range(2, 4000, 3)])
    spool.ack(spool.epoch, [(1000, 1100)])
    available = spool.epochs()[-1].available
    assert len(available) == 1024
    assert any(a[1] < 1000 and b[0] > 1100 for a, b in pairwise(available))
    claimed = {seq for first, last in available for seq in range(first, last + 1)}
    acked = set(range(2, 4000, 3)) | set(range(1000, 1101))
    assert set(range(1, 4001)) - acked <= claimed
    await spool.close(clean=False)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENOTDIR])
async def test_a_directory_that_cannot_be_used_is_survived(tmp_path, number, monkeypatch):
    """The spool starts, runs from memory, tells it, and takes the directory once it can."""
    monkeypatch.setattr(keeper, "REOPEN_S", 0.05)
    old = reopen(tmp_path)
    fill(old, 7)
    await old.close(clean=False)
    disk = FailingDisk()
    disk.fail("make_directory", number, 0)
    spool = reopen(tmp_path, disk, commit_s=0.01)
    events: list[Event] = []
    spool.on_event = events.append
    assert [event.kind for event in events] == [EventKind.SPOOL_WRITE_FAILED]
    assert not spool.levels().on_disk
    fill(spool, 10)
    task = asyncio.create_task(spool.run())
    await spool.flush()
    assert seqs(await drain(spool), spool.epoch) == list(range(1, 11))
    assert not Path(tmp_path / "absent").exists()
    disk.heal()
    await until(lambda: spool.levels().on_disk and spool.levels().memory_records == 0)
    assert [state.available for state in spool.epochs()] == [((1, 7),), ((1, 10),)]
    assert len(events) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close(clean=False)


async def test_nothing_follows_end_whatever_happens_at_the_last_flush(tmp_path):
    """Losses and events that come up after END are left to the centre: END stays the last."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    spool.on_event = lambda event: spool.append(RecordKind.EVENT, 0, b"\x90")
    fill(spool, 100)
    await spool.flush()
    spool.end()
    disk.fail("fdatasync", errno.EIO)
    spool.give_up(spool.epoch, [(1, 2)], "late")
    epoch = spool.epoch
    await spool.close(clean=True)
    spool = reopen(tmp_path, disk)
    found = await drain(spool)
    assert seqs(found, epoch) in ([*range(3, 102)], [*range(1, 102)])
    assert found[epoch][-1].kind == RecordKind.END
    await spool.close(clean=False)
