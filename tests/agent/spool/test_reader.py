"""Reading a backlog while the world changes under it."""

import errno
import os

from gateway.agent.spool.disk import Disk
from gateway.event import EventKind
from gateway.wire.message import GapReason
from gateway.wire.record import RecordKind
from gateway.wire.rows import unpack_gap
from tests.agent.spool.fakes import (
    FailingDisk,
    drain,
    fill,
    reopen,
    segment_files,
    seqs,
    wrong,
)


async def test_segments_evicted_while_they_are_read_give_nothing_wrong(tmp_path):
    """A file recycled in mid-read yields no wrong record and no false damage."""
    spool = reopen(tmp_path, Disk())
    events = []
    spool.on_event = lambda event: events.append(event.kind)
    fill(spool, 1000)
    await spool.flush()
    reader = spool.reader()
    found = {spool.epoch: []}
    while True:
        epoch, records = await reader.read(20_000)
        if not records:
            break
        found[epoch] += records
        fill(spool, 60)
        await spool.flush()
    assert not wrong(found)
    got = seqs(found, spool.epoch)
    assert got == sorted(set(got))
    assert EventKind.SPOOL_DAMAGED not in events
    assert 0 < len(got) <= 1000
    await spool.close(clean=False)


async def test_a_segment_file_that_vanished_is_told_as_lost(tmp_path):
    """Somebody deleted a file: its records become a GAP, the others come."""
    spool = reopen(tmp_path)
    fill(spool, 700)
    await spool.flush()
    victim = segment_files(tmp_path)[1]
    victim.unlink()
    epoch = spool.epoch
    found = await drain(spool)
    await spool.flush()
    (gap,) = [unpack_gap(r.payload) for r in (await _gaps(spool))]
    assert gap.reason == GapReason.DAMAGED
    assert seqs(found, epoch) == [*range(1, gap.first), *range(gap.last + 1, 701)]
    await spool.close(clean=False)


async def _gaps(spool):
    found = await drain(spool)
    return [r for r in found[spool.epoch] if r.kind == RecordKind.GAP]


async def test_a_segment_that_cannot_be_opened_now_is_not_lost(tmp_path):
    """Out of file descriptors: this reader leaves it out, the next one has it."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    fill(spool, 700)
    await spool.flush()
    disk.fail("open", errno.EMFILE)
    found = await drain(spool)
    assert 0 < len(found[spool.epoch]) < 700
    assert spool.stats.read_failures == 1
    assert len((await drain(spool))[spool.epoch]) == 700
    await spool.close(clean=False)


async def test_records_move_from_memory_to_disk_under_a_reader(tmp_path):
    """A snapshot taken in memory is read to its end after a commit, each record once."""
    spool = reopen(tmp_path)
    fill(spool, 700)
    reader = spool.reader()
    _, first = await reader.read(10_000)
    await spool.flush()
    got = [record.seq for record in first]
    while True:
        _, records = await reader.read(10_000)
        if not records:
            break
        got += [record.seq for record in records]
        fill(spool, 10)
        await spool.flush()
    assert got == list(range(1, 701))
    await spool.close(clean=False)


async def test_the_newest_segment_is_read_while_it_grows(tmp_path):
    """Live records without credit are added while the segment they end up in is written."""
    spool = reopen(tmp_path)
    reader = spool.reader()
    got = []
    for _ in range(40):
        fill(spool, 7)
        last = spool.next_seq - 1
        reader.add(spool.epoch, (last - 6, last))
        if last % 3:
            await spool.flush()
        if last % 2:
            _, records = await reader.read(3000)
            got += [record.seq for record in records]
    while True:
        _, records = await reader.read(3000)
        if not records:
            break
        got += [record.seq for record in records]
    assert got == list(range(1, 281))
    await spool.close(clean=False)


async def test_a_drain_reads_each_byte_about_once(tmp_path):
    """Small pieces do not read a segment again and again."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    fill(spool, 800)
    await spool.flush()
    before = disk.calls["pread"]
    reader, count = spool.reader(), 0
    while True:
        _, records = await reader.read(1500)
        if not records:
            break
        count += len(records)
        spool.ack(spool.epoch, [(records[0].seq, records[-1].seq)])
    assert count == 800
    assert disk.calls["pread"] - before <= 2 * len(os.listdir(tmp_path))
    await spool.close(clean=False)
