"""Power cuts of the spool: random histories on a logged disk, replayed to random cuts.

Owns the histories, the cuts and the verdict: after every cut the file system is mounted, the real
spool is opened and read to its end. Lost are records that were committed before the cut, not acked
and not evicted; wrong are records whose bytes are not what was appended. `tests/blocklog.py` is
the rig. `main` runs `CUTS` honest cuts, and some of a lying device for information.
"""

import asyncio
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgpack

from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.spool import Spool
from gateway.config.agent import SpoolSettings
from gateway.process.clock import Clock
from gateway.wire.message import GapReason
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import unpack_gap
from tests.blocklog import Cuts, LoggedDisk, mounted, scratch
from tests.system import missing

CUTS = 510
LYING_CUTS = 90
HISTORIES = 10
MEGABYTES = 24
SEGMENT = 128 * 1024
GATEWAY = "site-042"


@dataclass(frozen=True, slots=True)
class Plan:
    """One history. `quota` decides whether it evicts; `sessions` how often the spool is opened."""

    seed: int
    steps: int
    sessions: int
    quota: int


@dataclass(slots=True)
class Verdict:
    """What the cuts showed. `lost` and `wrong` are records, `unusable` are cuts after which
    the spool did not start or write, `broken` those that left no file system to start on."""

    cuts: int = 0
    lossy: int = 0
    lost: int = 0
    wrong: int = 0
    unusable: int = 0
    broken: int = 0
    checked: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """Sum up."""
        for name in ("cuts", "lossy", "lost", "wrong", "unusable", "broken", "checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes

    @property
    def clean(self) -> bool:
        """Whether nothing committed was lost, nothing wrong, and it always started."""
        return not (self.lost or self.wrong or self.unusable)


def reason_to_skip() -> str | None:
    """Return why the rig cannot run here, ``None`` if it can."""
    if os.geteuid() != 0:
        return "needs root (mounts, loop devices)"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices (/dev/loop-control)"
    return missing("fuse") or missing("e2fsprogs")


def settings(root: Path, quota: int) -> SpoolSettings:
    """Return settings of a small spool on the mounted disk."""
    return SpoolSettings(
        directory=str(root / "spool"),
        max_bytes=quota,
        keep_free_bytes=0,
        segment_bytes=SEGMENT,
    )


def payload(epoch: int, seq: int) -> bytes:
    """Return what the record must hold: a function of its key, of 10 to 4,000 bytes."""
    seed = hashlib.sha256(b"%d %d" % (epoch, seq)).digest()
    size = 10 + int.from_bytes(seed[:2], "little") % (4000 if seed[2] < 40 else 700)
    filler = (seed * (size // 32 + 1))[:size]
    return bytes(msgpack.packb([1, seq, filler]))


async def live(disk: LoggedDisk, plan: Plan) -> None:
    """Live one history: append, commit, ack, stop and start; tell the log what is committed."""
    random = Random(plan.seed)
    where = settings(disk.root, plan.quota)
    for session in range(plan.sessions):
        spool = Spool.open(
            where, GATEWAY, bytes([session] * 16), Clock(), random=lambda n: random.randbytes(n)
        )
        spool.add_schema(random.randbytes(random.choice((300, 4000))))
        for _ in range(plan.steps // plan.sessions):
            await _step(disk, spool, random, evicts=plan.quota < 4 << 20)
        await spool.close(clean=random.random() < 0.5)
        disk.mark(_mark(spool, "held"))


async def _step(disk: LoggedDisk, spool: Spool, random: Random, *, evicts: bool) -> None:
    for _ in range(random.choice((1, 1, 3, 10, 30, 60))):
        seq = spool.next_seq
        spool.append(RecordKind.ROWS, 1, payload(spool.epoch, seq))
    if random.random() < 0.05:
        spool.add_schema(random.randbytes(200))
    if random.random() < (0.15 if evicts else 0.6):
        for state in spool.epochs():
            for first, last in state.available:
                share = random.choice((0.0, 0.3, 0.9, 1.0))
                upto = first + int((last - first + 1) * share) - 1
                if upto >= first:
                    acked = [(first, upto)]
                    disk.mark(json.dumps({"acked": [state.epoch, acked]}).encode())
                    spool.ack(state.epoch, acked)
    if random.random() < 0.8:
        await spool.flush()
        disk.mark(_mark(spool, "held"))


def _mark(spool: Spool, name: str) -> bytes:
    # Exactly what the spool itself claims to have on disk: memory is empty after a flush.
    assert spool.levels().memory_records == 0, "the disk of the rig does not fail"
    held = [[state.epoch, list(state.available)] for state in spool.epochs()]
    return json.dumps({name: held}).encode()


def required(marks: list[bytes]) -> dict[int, Intervals]:
    """Return what must be there: held after the last commit, less what was acked since."""
    held: dict[int, Intervals] = {}
    for mark in marks:
        fields = json.loads(mark)
        if "held" in fields:
            held = {epoch: Intervals(map(tuple, pairs)) for epoch, pairs in fields["held"]}
        else:
            epoch, pairs = fields["acked"]
            held.get(epoch, Intervals()).subtract(tuple(pair) for pair in pairs)
    return held


async def judge(root: Path, quota: int, must: dict[int, Intervals]) -> Verdict:
    """Open the spool that a cut left and compare."""
    verdict = Verdict(cuts=1)
    spool = Spool.open(settings(root, quota), GATEWAY, bytes(16), Clock())
    if not spool.levels().on_disk:
        verdict.unusable = 1
    found = await drain(spool)
    evicted: dict[int, Intervals] = {}
    for epoch, records in found.items():
        for record in records:
            verdict.checked += 1
            if record.kind == RecordKind.GAP:
                gap = unpack_gap(record.payload)
                if gap.reason == GapReason.QUOTA:
                    evicted.setdefault(gap.epoch, Intervals()).add(gap.first, gap.last)
            elif record.kind == RecordKind.ROWS:
                verdict.wrong += bytes(record.payload) != payload(epoch, record.seq)
    for epoch, held in must.items():
        held.subtract((record.seq, record.seq) for record in found.get(epoch, ()))
        held.subtract(evicted.get(epoch, Intervals()).pairs())
        verdict.lost += held.count()
        if held:
            verdict.notes.append(f"epoch {epoch:016x} lost {held.pairs()[:5]}")
    verdict.lossy = int(verdict.lost > 0)
    before = spool.next_seq
    spool.append(RecordKind.ROWS, 1, payload(spool.epoch, before))
    await spool.flush()
    if spool.levels().memory_records:
        verdict.unusable = 1
        verdict.notes.append("does not write after the cut")
    await spool.close(clean=False)
    return verdict


async def drain(spool: Spool) -> dict[int, list[Record]]:
    """Read everything a spool has, oldest first."""
    found: dict[int, list[Record]] = {}
    reader = spool.reader()
    while True:
        epoch, records = await reader.read(64 * 1024)
        if not records:
            return found
        found.setdefault(epoch, []).extend(records)


def cut_up(plan: Plan, cuts: int, *, lying: bool = False) -> Verdict:
    """Live a history, cut it at random moments, and judge every one."""
    with LoggedDisk(MEGABYTES) as disk:
        disk.mark(json.dumps({"held": []}).encode())
        asyncio.run(live(disk, plan))
        log = disk.taken()
    total = Verdict()
    random = Random(plan.seed + 1)
    with scratch() as folder:
        for number, cut in enumerate(_places(log, cuts, random)):
            medium = log.medium(cut, random, lying=lying)
            must = required(log.marks(cut))
            verdict = _after(medium, Path(folder), number, plan.quota, must, lying=lying)
            verdict.notes = [f"seed {plan.seed} cut {cut}: {note}" for note in verdict.notes]
            total.add(verdict)
    return total


def _after(
    medium: bytearray,
    folder: Path,
    number: int,
    quota: int,
    must: dict[int, Intervals],
    *,
    lying: bool,
) -> Verdict:
    """Judge one cut. A lying device may break the file system itself: then e2fsck goes first."""
    try:
        with mounted(medium, folder, number, check=lying) as root:
            return asyncio.run(judge(root, quota, must))
    except OSError:
        if not lying:
            raise
        return Verdict(cuts=1, broken=1)


def _places(log: Cuts, cuts: int, random: Random) -> Iterator[int]:
    first = log.first_mark() + 1
    yield from sorted(random.randrange(first, len(log.entries) + 1) for _ in range(cuts))


def plans(seed: int, histories: int, steps: int) -> list[Plan]:
    """Return histories of which every other one runs into its quota."""
    return [
        Plan(seed + 1000 * number, steps, 3, (8 << 20) if number % 2 else (1 << 20))
        for number in range(histories)
    ]


def main() -> int:
    """Run the long form; return 1 if anything was lost, wrong or did not start."""
    reason = reason_to_skip()
    if reason:
        print(f"skipped: {reason}")
        return 0
    logging.getLogger("gateway.agent.spool").setLevel(logging.CRITICAL)
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed} (SEED={seed} repeats it)")
    bad = False
    for lying, wanted in ((False, CUTS), (True, LYING_CUTS)):
        started = time.monotonic()
        total = Verdict()
        for plan in plans(seed, HISTORIES, 240):
            total.add(cut_up(plan, wanted // HISTORIES, lying=lying))
        name = "lying device" if lying else "honest device"
        print(
            f"{name}: {total.cuts} cuts, {total.lossy} with committed loss ({total.lost} records), "
            f"{total.wrong} silently wrong, {total.unusable} did not start or write, "
            f"{total.broken} without a file system; "
            f"{total.checked} records compared, {time.monotonic() - started:.0f} s"
        )
        for note in total.notes[:10] if not lying else ():
            print(f"  {note}")
        # A lying device loses what it said was safe: not the spool's to prevent, but never wrong.
        bad |= total.wrong > 0 if lying else not total.clean
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
