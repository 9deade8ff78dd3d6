"""Power cuts, in short: the soak's histories and rig with few cuts, and proof that it can fail."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from gateway.agent.spool.spool import Spool
from tests.agent.spool.fakes import DeafDisk
from tests.blocklog import LoggedDisk, mounted, scratch
from tests.soak import power_cut

SEED = 20_260

pytestmark = [pytest.mark.root, pytest.mark.system("fuse"), pytest.mark.system("e2fsprogs")]


@pytest.mark.parametrize("plan", power_cut.plans(SEED, 2, 150), ids=["evicting", "roomy"])
def test_no_cut_loses_a_committed_record(plan):
    """After any cut: 0 committed records lost, 0 silently wrong, it starts and writes."""
    verdict = power_cut.cut_up(plan, 15)
    print(verdict)
    assert verdict.cuts == 15
    assert verdict.checked > 500
    assert verdict.clean, verdict.notes


def test_the_rig_catches_a_spool_that_does_not_flush(monkeypatch):
    """The same histories on a disk layer that never flushes do lose committed records."""
    opened = Spool.open

    def deaf(*args, **kwargs):
        return opened(*args, **kwargs, disk=DeafDisk())

    plan = power_cut.plans(SEED, 2, 90)[1]
    with LoggedDisk(power_cut.MEGABYTES) as disk:
        disk.mark(b'{"held": []}')
        monkeypatch.setattr(Spool, "open", deaf)
        asyncio.run(power_cut.live(disk, plan))
        monkeypatch.undo()
        _run_sync(disk.root)
        log = disk.taken()
    random = Random(SEED)
    lost = 0
    with scratch() as folder:
        last = len(log.entries)
        for number, cut in enumerate(range(last - 60, last, 12)):
            medium = log.medium(cut, random)
            with mounted(medium, Path(folder), number) as root:
                must = power_cut.required(log.marks(cut))
                verdict = asyncio.run(power_cut.judge(root, plan.quota, must))
            assert not verdict.wrong
            lost += verdict.lost
    assert lost > 0


def _run_sync(root: Path) -> None:
    """Give the medium something to cut: the kernel's own write-back, at last."""
    import os

    fd = os.open(root, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
