"""A disk that fails while it is written: nothing is lost, nothing is claimed too early."""

import errno
import shutil

import pytest

from gateway.agent.spool import keeper
from gateway.event import EventKind
from tests.agent.spool.fakes import (
    BadFileDisk,
    FailingDisk,
    drain,
    fill,
    reopen,
    segment_files,
    seqs,
    wrong,
)


async def test_a_failed_flush_poisons_the_segment(tmp_path):
    """fdatasync EIO: everything since the last whole page is written again into a new segment."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    events = []
    spool.on_event = events.append
    fill(spool, 20)
    await spool.flush()
    disk.fail("fdatasync", errno.EIO)
    fill(spool, 20)
    await spool.flush()
    first, second = segment_files(tmp_path)
    assert spool.levels().memory_records == 0
    assert [event.kind for event in events] == [EventKind.SPOOL_WRITE_FAILED]
    assert spool.stats.write_failures == 1
    # The device may have lost the poisoned segment's last page: what was on it is safe elsewhere.
    with first.open("r+b") as file:
        file.truncate(16 + 20 * 618 // 4096 * 4096)
    epoch = spool.epoch
    found = await drain(spool)
    assert seqs(found, epoch) == list(range(1, 41))
    assert not wrong(found)
    fill(spool, 5)
    await spool.flush()
    await spool.close(clean=False)
    spool = reopen(tmp_path)
    assert seqs(await drain(spool), epoch) == list(range(1, 46))
    assert second.exists()
    await spool.close(clean=False)


async def test_a_bad_free_file_does_not_block_the_others(tmp_path):
    """EIO while a reserved file is zeroed: the next attempt takes another file."""
    disk = BadFileDisk()
    spool = reopen(tmp_path, disk)
    disk.bad = max(tmp_path.glob("*.new")).name  # the one that would be taken
    fill(spool, 20)
    await spool.flush()
    assert spool.stats.write_failures == 1 and spool.levels().memory_records == 20
    await spool.flush()
    assert spool.levels().memory_records == 0 and disk.refused == 1
    assert seqs(await drain(spool), spool.epoch) == list(range(1, 21))
    await spool.close(clean=False)


async def test_a_poisoned_segment_is_never_used_again(tmp_path):
    """Once acked its file goes to quarantine, and another takes its place in the reserve."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    fill(spool, 20)
    await spool.flush()
    disk.fail("fdatasync", errno.EIO)
    fill(spool, 20)
    await spool.flush()
    poisoned = segment_files(tmp_path)[0].name
    spool.ack(spool.epoch, [(1, 40)])
    fill(spool, 1)
    await spool.flush()
    await spool.close(clean=False)
    assert [path.name[9:] for path in (tmp_path / "quarantine").iterdir()] == [poisoned]
    spool = reopen(tmp_path)
    assert spool.levels().free_segments >= 7
    await spool.close(clean=False)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "rename", "fsync", "open"])
async def test_while_the_disk_fails_nothing_is_lost(tmp_path, call, number):
    """Every call failing for a while: memory keeps all, one event, and it all goes down later."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    events = []
    spool.on_event = events.append
    fill(spool, 10)
    await spool.flush()
    disk.fail(call, number, 0)
    for _ in range(3):
        fill(spool, 250)
        await spool.flush()
    assert spool.backlog().records == 760
    assert len({event.kind for event in events}) <= 1
    disk.heal()
    fill(spool, 10)
    await spool.flush()
    assert spool.levels().memory_records == 0
    found = await drain(spool)
    assert seqs(found, spool.epoch) == list(range(1, 771))
    assert not wrong(found)
    epoch = spool.epoch
    await spool.close(clean=False)
    spool = reopen(tmp_path)
    assert seqs(await drain(spool), epoch) == list(range(1, 771))
    await spool.close(clean=False)


async def test_a_short_write_is_not_a_commit(tmp_path):
    """A write that a full disk cuts short is an error, and is made good later."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    fill(spool, 10)
    await spool.flush()
    disk.write_limit = 1000
    fill(spool, 10)
    await spool.flush()
    assert spool.levels().memory_records == 10
    assert spool.stats.write_failures == 1
    disk.write_limit = None
    spool.ack(spool.epoch, [(11, 13)])
    await spool.flush()
    assert seqs(await drain(spool), spool.epoch) == [*range(1, 11), *range(14, 21)]
    await spool.close(clean=False)


async def test_a_failing_disk_is_not_asked_all_the_time(tmp_path):
    """Retries back off: from 1 s to 30 s, and a success starts afresh."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk, commit_s=0.0)
    disk.fail("rename", errno.EROFS, 0)
    fill(spool, 1)
    waits = []
    for _ in range(7):
        await spool.flush()
        waits.append(round(spool._keeper._retry_s))
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert keeper.RETRY_S == (1.0, 30.0)
    disk.heal()
    await spool.flush()
    assert spool._keeper._retry_at == 0.0
    await spool.close(clean=False)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("which", [1, 2])
async def test_a_header_the_disk_refused_is_written_with_the_next_commit(tmp_path, number, which):
    """A segment without its header would lose its schemas, or pass for its file's earlier life."""
    disk = FailingDisk()
    spool = reopen(tmp_path / "spool", disk)
    sid = spool.add_schema(b"a schema")
    spool._keeper.writer.pool.prepare()
    disk.fail_after("pwrite", number, which)
    fill(spool, 5)
    await spool.flush()
    fill(spool, 5)
    await spool.flush()
    assert spool.levels().memory_records == 0
    epoch = spool.epoch
    shutil.copytree(tmp_path / "spool", tmp_path / "crashed")
    await spool.close(clean=False)
    spool = reopen(tmp_path / "crashed")
    assert seqs(await drain(spool), epoch) == list(range(1, 11))
    assert spool.schemas(epoch) == {sid: b"a schema"}
    await spool.close(clean=False)


async def test_what_a_poisoned_segment_shared_is_not_forgotten_by_an_empty_commit(tmp_path):
    """Records to be written anew wait for a disk that works, also when nothing new waits."""
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    fill(spool, 20)
    await spool.flush()
    disk.fail("fdatasync", errno.EIO, 0)
    fill(spool, 1)
    await spool.flush()
    spool.ack(spool.epoch, [(21, 21)])
    await spool.flush()
    disk.heal()
    await spool.flush()
    epoch = spool.epoch
    first = segment_files(tmp_path)[0]
    with first.open("r+b") as file:  # the page that was being written is gone
        file.truncate(16 + 20 * 618 // 4096 * 4096)
    assert seqs(await drain(spool), epoch) == list(range(1, 21))
    await spool.close(clean=False)
