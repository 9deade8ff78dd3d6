"""When the disk side acts: files given back, losses told, leaving while the disk hangs."""

import asyncio
import errno
import os
import subprocess
import sys
import textwrap

from gateway.agent.spool import keeper
from gateway.agent.spool.disk import Disk
from gateway.wire.message import GapReason
from gateway.wire.rows import unpack_gap
from tests.agent.spool.fakes import (
    FailingDisk,
    StallingDisk,
    drain,
    fill,
    reopen,
    segment_files,
    seqs,
)
from tests.waiting import until


async def ended(task: asyncio.Task) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_segments_whose_records_were_acked_while_being_written_are_given_back(tmp_path):
    """Acks that come during a long commit leave segments no later ack would find."""
    disk = StallingDisk()
    spool = reopen(tmp_path, disk)
    disk.go.clear()
    fill(spool, 500)
    task = asyncio.create_task(spool.run())
    flush = asyncio.create_task(spool.flush())
    await until(lambda: disk.calls["pwrite"] > 2)
    spool.ack(spool.epoch, [(1, 500)])
    disk.go.set()
    await flush
    await until(lambda: spool.levels().segments <= 1)
    assert spool.levels().free_segments >= 7
    await ended(task)
    await spool.close(clean=False)


async def test_a_segment_emptied_as_the_newest_is_given_back_once_it_is_not(tmp_path):
    """All acked, and then a new schema begins the next segment."""
    spool = reopen(tmp_path, commit_s=0.005)
    task = asyncio.create_task(spool.run())
    for number in range(20):
        spool.add_schema(b"schema-%d" % number)
        fill(spool, 5)
        await until(lambda: spool.levels().memory_records == 0)
        spool.ack(spool.epoch, [(1, spool.next_seq - 1)])
        await asyncio.sleep(0.01)
    await until(lambda: spool.levels().segments <= 1)
    await ended(task)
    await spool.close(clean=False)


async def test_a_loss_is_told_though_there_is_no_disk(tmp_path):
    """The directory cannot be used and memory overflowed: the GAP goes out as soon as it fits."""
    disk = FailingDisk()
    disk.fail("names", errno.EROFS, 0)
    spool = reopen(tmp_path / "spool", disk, commit_s=0.01)
    shown = []
    spool.on_own_record = shown.append
    task = asyncio.create_task(spool.run())
    fill(spool, 6000)
    lost = spool.stats.lost_records["write_failed"]
    await asyncio.sleep(0.05)
    assert shown == []
    spool.ack(spool.epoch, [(lost + 1, 6000)])
    await until(lambda: bool(shown))
    (record,) = shown
    gap = unpack_gap(record.payload)
    assert (gap.first, gap.last, gap.reason) == (1, lost, GapReason.WRITE_FAILED)
    await ended(task)
    await spool.close(clean=False)


async def test_a_reserve_that_somebody_deleted_costs_space_only(tmp_path):
    """Free files removed under the running spool: the others are used."""
    spool = reopen(tmp_path)
    fill(spool, 150)
    await spool.flush()
    removed = sorted([*tmp_path.glob("*.free"), *tmp_path.glob("*.new")])[-3:]
    for path in removed:
        path.unlink()
    fill(spool, 600)
    await spool.flush()
    assert spool.levels().memory_records == 0
    assert spool.stats.write_failures == 0
    assert seqs(await drain(spool), spool.epoch) == list(range(1, 751))
    await spool.close(clean=False)


async def test_leaving_while_a_flush_hangs(tmp_path, monkeypatch):
    """`end`, cancel, `close` take no longer than LEAVE_S; the directory stays locked until the
    disk lets go, and nothing that was committed is lost."""
    monkeypatch.setattr(keeper, "LEAVE_S", 0.2)
    disk = StallingDisk()
    spool = reopen(tmp_path, disk, commit_s=0.01)
    task = asyncio.create_task(spool.run())
    fill(spool, 10)
    await until(lambda: spool.levels().memory_records == 0)
    disk.go.clear()
    fill(spool, 10)
    await until(lambda: disk.calls["pwrite"] > 3)
    spool.end()
    async with asyncio.timeout(5.0):
        await ended(task)
        await spool.close(clean=True)
        await spool.flush()
    assert task.cancelled()
    assert spool.levels().memory_records == 11
    disk.go.set()
    epoch = spool.epoch
    await until(lambda: _free(tmp_path))
    spool = reopen(tmp_path)
    assert seqs(await drain(spool), epoch)[:10] == list(range(1, 11))
    await spool.close(clean=False)


def _free(directory) -> bool:
    """Tell whether nobody has the directory locked."""
    try:
        fd = Disk().lock(str(directory))
    except OSError:
        return False
    os.close(fd)
    return True


async def test_end_is_flushed_at_once(tmp_path):
    """A stop does not wait for commit_s: the last flush runs while the goodbye is said."""
    spool = reopen(tmp_path, commit_s=60.0)
    task = asyncio.create_task(spool.run())
    await asyncio.sleep(0.01)
    fill(spool, 3)
    spool.end()
    await until(lambda: spool.levels().memory_records == 0)
    assert len(segment_files(tmp_path)) == 1
    await ended(task)
    await spool.close(clean=True)


HUNG = """
    import asyncio, sys, threading
    from pathlib import Path
    from gateway.agent.spool import keeper
    from tests.agent.spool.fakes import FailingDisk, fill, reopen

    class DeadDisk(FailingDisk):
        def fdatasync(self, fd):
            threading.Event().wait()

    async def main():
        keeper.LEAVE_S = 0.2
        spool = reopen(Path(sys.argv[1]), DeadDisk(), commit_s=0.01)
        task = asyncio.create_task(spool.run())
        fill(spool, 10)
        await asyncio.sleep(0.1)
        spool.end()
        task.cancel()
        await asyncio.wait({task})
        await spool.close(clean=True)

    asyncio.run(main())
    print("left")
"""


def test_a_process_ends_though_its_flush_never_returns(tmp_path):
    """The interpreter's exit does not join the thread that hangs in the kernel."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HUNG), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr
