"""A file system with not one byte left: the spool keeps writing into what it reserved."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from gateway.agent.spool import keeper
from gateway.agent.spool.disk import Disk
from tests.agent.spool.fakes import SEGMENT, drain, fill, reopen, seqs, wrong
from tests.blocklog import make_ext4, mounted, scratch
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.system("e2fsprogs")]


@pytest.fixture
def small():
    """Yield the root of a mounted ext4 of 12 MB."""
    with scratch() as folder:
        image = Path(folder) / "made"
        image.write_bytes(bytes(12_000_000 // 4096 * 4096))
        make_ext4(str(image))
        with mounted(image.read_bytes(), Path(folder), 0) as root:
            yield root


def fill_up(root: Path, name: str = "others") -> None:
    """Write until there is nothing left, to the last block and inode's worth."""
    for number in range(2):
        fd = os.open(root / f"{name}{number}", os.O_WRONLY | os.O_CREAT)
        try:
            for size in (1 << 20, 4096, 1):
                while True:
                    try:
                        os.write(fd, bytes(size))
                    except OSError as error:
                        assert error.errno == errno.ENOSPC
                        break
        finally:
            os.close(fd)
    assert os.statvfs(root).f_bavail == 0


async def test_with_0_bytes_free_it_commits_acks_recycles_and_restarts(small):
    """Others fill the disk to the last byte: commit, drain, recycle, evict and restart go on."""
    disk = Disk()
    spool = reopen(small / "spool", disk)
    fill(spool, 100)
    await spool.flush()
    fill_up(small)
    epoch = spool.epoch
    for _ in range(10):
        fill(spool, 60)
        await spool.flush()
        assert spool.levels().memory_records == 0
    found = await drain(spool)
    assert seqs(found, epoch) == list(range(1, 701))
    spool.ack(epoch, [(1, 650)])
    await spool.flush()
    await spool.close(clean=True)
    spool = reopen(small / "spool", disk)
    assert spool.levels().on_disk
    for _ in range(30):
        fill(spool, 60)
        await spool.flush()
        assert spool.levels().memory_records == 0
    found = await drain(spool)
    assert not wrong(found)
    assert spool.stats.lost_records.keys() == {"quota"}
    assert spool.stats.write_failures == 0
    for state in spool.epochs():
        spool.ack(state.epoch, state.available)
    await spool.close(clean=True)
    assert os.statvfs(small).f_bavail == 0


@pytest.mark.parametrize("prepared", [False, True])
async def test_a_disk_that_was_full_before_is_used_as_soon_as_there_is_room(
    small, prepared, monkeypatch
):
    """Started on a full disk the spool runs from memory, and reserves space when some is free."""
    monkeypatch.setattr(keeper, "REOPEN_S", 0.05)
    monkeypatch.setattr(keeper, "RETRY_S", (0.05, 0.05))
    if prepared:
        (small / "spool").mkdir()
    fill_up(small)
    spool = reopen(small / "spool", Disk(), commit_s=0.05)
    fill(spool, 50)
    await spool.flush()
    assert spool.levels().memory_records == 50
    assert seqs(await drain(spool), spool.epoch) == list(range(1, 51))
    (small / "others0").unlink()
    task = asyncio.create_task(spool.run())
    await until(lambda: spool.levels().memory_records == 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert spool.levels().memory_records == 0
    assert spool.levels().disk_bytes >= 4 * SEGMENT
    await spool.close(clean=False)
