"""Starting with any content of the directory: never a wrong record, never a refusal to start."""

import asyncio
import os
import shutil
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.agent.spool.disk import PAGE
from gateway.agent.spool.segment import MAGIC
from gateway.agent.spool.spool import Spool
from gateway.event import EventKind
from gateway.process.clock import Clock
from gateway.wire.message import GapReason
from gateway.wire.record import RecordKind
from gateway.wire.rows import unpack_gap
from tests.agent.spool.fakes import (
    BOOT,
    SEGMENT,
    BadSectorDisk,
    FailingDisk,
    drain,
    fill,
    reopen,
    segment_files,
    seqs,
    settings,
    wrong,
)

COUNT = 700
ROOMY = 24 * SEGMENT


async def _lived(directory: Path, lives: int = 1) -> list[int]:
    """Leave a directory with `lives` epochs of `COUNT` records, as a power cut would."""
    epochs = []
    for _ in range(lives):
        spool = reopen(directory, max_bytes=ROOMY)
        spool.add_schema(b"schema")
        epochs.append(spool.epoch)
        for _ in range(COUNT // 50):
            fill(spool, 50)
            await spool.flush()
        await spool.close(clean=False)
    return epochs


async def _opened(directory: Path, epoch: int) -> tuple[list[int], set[int], list[EventKind]]:
    """Open, read everything, write something; return seqs of `epoch`, told lost, event kinds."""
    spool = reopen(directory, max_bytes=ROOMY)
    events: list[EventKind] = []
    spool.on_event = lambda event: events.append(event.kind)
    found = await drain(spool)
    assert not wrong(found)
    await spool.flush()
    own = (await drain(spool)).get(spool.epoch, [])
    told: set[int] = set()
    for record in own:
        assert record.kind == RecordKind.GAP
        gap = unpack_gap(record.payload)
        assert gap.reason == GapReason.DAMAGED
        if gap.epoch == epoch:
            told |= set(range(gap.first, gap.last + 1))
    fill(spool, 10)
    await spool.flush()
    assert spool.levels().memory_records == 0
    await spool.close(clean=False)
    return seqs(found, epoch), told, events


# -- damage at rest (facts: §1.5) ------------------------------------------------------------------


def _random_page(file: Path, random: Random) -> None:
    _overwrite(file, random.randrange(file.stat().st_size // PAGE) * PAGE, random.randbytes(PAGE))


def _zeros(file: Path, random: Random) -> None:
    _overwrite(file, random.randrange(file.stat().st_size - 4 * PAGE), bytes(4 * PAGE))


def _first_page(file: Path, random: Random) -> None:
    _overwrite(file, 0, random.randbytes(PAGE))


def _last_page(file: Path, random: Random) -> None:
    _overwrite(file, file.stat().st_size - PAGE, random.randbytes(PAGE))


def _bit(file: Path, random: Random) -> None:
    data = bytearray(file.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    file.write_bytes(data)


def _cut(file: Path, random: Random) -> None:
    os.truncate(file, random.randrange(file.stat().st_size))


def _overwrite(file: Path, place: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(data)


DAMAGES = {
    # name: (how, most records of 620 bytes that it may cost, beside those of a cut part)
    "one bad page": (_random_page, PAGE // 618 + 2),
    "16 KiB zeroed": (_zeros, 4 * PAGE // 618 + 2),
    "first 4 KiB destroyed": (_first_page, PAGE // 618 + 2),
    "last 4 KiB destroyed": (_last_page, PAGE // 618 + 2),
    "one bit flipped": (_bit, 1),
    "truncated": (_cut, SEGMENT // 618 + 1),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_at_rest_costs_only_what_it_touches(tmp_path, name):
    """Each kind of damage, anywhere: only the touched records are gone, and each is told."""
    damage, most = DAMAGES[name]
    whole = tmp_path / "whole"
    (epoch,) = await _lived(whole)
    worst = 0
    for trial in range(12):
        random = Random(trial)
        copy = tmp_path / f"{trial}"
        shutil.copytree(whole, copy)
        damage(random.choice(segment_files(copy)), random)
        there, told, events = await _opened(copy, epoch)
        gone = set(range(1, COUNT + 1)) - set(there)
        assert len(there) == len(set(there))
        assert len(gone) <= most, (trial, len(gone))
        # Only at the end of what was written can damage not be told from never written.
        untold = gone - told
        assert not untold or max(untold) == COUNT, (trial, sorted(untold))
        assert bool(told - gone) is False
        assert not gone & told or EventKind.SPOOL_DAMAGED in events
        worst = max(worst, len(gone))
        shutil.rmtree(copy)
    print(f"{name}: at most {worst} of {COUNT} records lost in 12 trials (bound {most})")


async def test_unreadable_sectors_are_damage_too(tmp_path):
    """A page that gives EIO costs the records on it, in sealed and newest segments alike."""
    (epoch,) = await _lived(tmp_path)
    spool = reopen(tmp_path, BadSectorDisk(3))
    found = await drain(spool)
    assert not wrong(found)
    gone = COUNT - len(seqs(found, epoch))
    assert 0 < gone <= len(segment_files(tmp_path)) * 9
    await spool.close(clean=False)


@st.composite
def mutations(draw):
    """Return what is done to one file: a list of (place, bytes) and perhaps a new length."""
    writes = draw(
        st.lists(
            st.tuples(
                st.integers(0, SEGMENT - 1),
                st.one_of(
                    st.binary(min_size=1, max_size=64),
                    st.integers(1, 20_000).map(bytes),
                    st.just(b"\xff" * 300),
                ),
            ),
            max_size=4,
        )
    )
    return draw(st.integers(0, 9)), writes, draw(st.none() | st.integers(0, SEGMENT + 5000))


@examples(max_examples=40, deadline=None)
@given(mutated=st.lists(mutations(), min_size=1, max_size=3))
def test_any_damage_is_survived_and_never_believed(mutated):
    """Whatever happens to the files: it starts, gives no wrong record, loses only what was hit."""
    with TemporaryDirectory() as folder:
        asyncio.run(_damaged(Path(folder), mutated))


async def _damaged(folder: Path, mutated: list) -> None:
    epochs = await _lived(folder, 2)
    files = segment_files(folder)
    hit = set()
    for number, writes, length in mutated:
        file = files[number % len(files)]
        hit.add(file)
        size = file.stat().st_size
        for place, data in writes if size else ():
            _overwrite(file, min(place, size - 1), data[: size - min(place, size - 1)])
        if length is not None:
            os.truncate(file, length)
    spool = reopen(folder, max_bytes=ROOMY)
    found = await drain(spool)
    assert not wrong(found)
    total = sum(len(seqs(found, epoch)) for epoch in epochs)
    for epoch in epochs:
        assert seqs(found, epoch) == sorted(set(seqs(found, epoch)))
    assert total >= 2 * COUNT - len(hit) * (SEGMENT // 600)
    fill(spool, 5)
    await spool.flush()
    assert spool.levels().memory_records == 0
    await spool.close(clean=False)


A_SEGMENT_OF_ZEROS = b"as many zeros as a segment has bytes"


@examples(max_examples=30, deadline=None)
@given(
    names=st.lists(
        st.sampled_from(
            [
                "x.seg", "00000001-00000000-0000000000000000.seg", "core", "quarantine", "a b.free",
                "ffffffff.free", "ffffffff.new", "00000001.free", "00000002.new", ".seg", "lock",
                "ffffffffff-ffffffffff-ffffffffffffffff.seg",
                "0fffffffff-00000000-00000000000000ff.seg",
            ]
        ),
        unique=True,
    ),
    kind=st.lists(
        st.sampled_from(["file", "directory", "link", "dangling", "fifo"]), min_size=13, max_size=13
    ),
    content=st.one_of(st.binary(max_size=300), st.just(MAGIC), st.just(A_SEGMENT_OF_ZEROS)),
)  # fmt: skip
@example(  # a name that was to be the next free file's
    names=["ffffffff.free", "ffffffff.new"],
    kind=["directory", "file"],
    content=A_SEGMENT_OF_ZEROS,
)
def test_any_stranger_in_the_directory_is_survived(names, kind, content):
    """Garbage files, directories, links and pipes under any name do not stop or block it."""
    with TemporaryDirectory() as folder:
        for name, made in zip(names, kind, strict=False):
            path = Path(folder, name)
            match made:
                case "file" if content == A_SEGMENT_OF_ZEROS:
                    path.write_bytes(bytes(SEGMENT))
                case "file":
                    path.write_bytes(content)
                case "directory":
                    (path / "sub").mkdir(parents=True)
                case "link":
                    path.symlink_to("/etc/passwd")
                case "dangling":
                    path.symlink_to("/nowhere")
                case "fifo":
                    os.mkfifo(path)
        asyncio.run(_twice(Path(folder)))


async def _twice(folder: Path) -> None:
    epochs = []
    for _ in range(2):
        spool = reopen(folder)
        epochs.append(spool.epoch)
        fill(spool, 300)
        await spool.flush()
        await spool.close(clean=False)
    spool = reopen(folder)
    found = await drain(spool)
    assert not wrong(found)
    assert spool.levels().on_disk
    assert [seqs(found, epoch) for epoch in epochs] == [list(range(1, 301))] * 2
    await spool.close(clean=False)


# -- particular contents ---------------------------------------------------------------------------


async def test_another_gateways_segments_are_set_aside(tmp_path):
    """Records of another gateway id are not sent as ours; their files are kept in quarantine."""
    other = Spool.open(settings(tmp_path), "site-007", BOOT, Clock(), disk=FailingDisk())
    fill(other, 10)
    await other.close(clean=False)
    spool = reopen(tmp_path)
    events = []
    spool.on_event = events.append
    assert await drain(spool) == {}
    assert dict(events[0].fields)["why"] == "of another gateway: 'site-007'"
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
    await spool.close(clean=False)


async def test_another_formats_segments_are_set_aside(tmp_path):
    """After a downgrade the newer format's files are kept, not taken for garbage and recycled."""
    await _lived(tmp_path)
    for file in segment_files(tmp_path):
        data = file.read_bytes()
        newer = MAGIC[:-1] + b"\x63"
        file.write_bytes(newer + data[8:-8] + newer)
    spool = reopen(tmp_path)
    assert spool.epochs()[0].epoch == spool.epoch
    assert len(list((tmp_path / "quarantine").iterdir())) == 4
    await spool.close(clean=False)


async def test_the_quarantine_is_bounded(tmp_path):
    """Only the newest files of the quarantine are kept."""
    for round_ in range(3):
        for number in range(8):
            (tmp_path / f"garbage{round_}{number}.seg").write_bytes(b"garbage")
        spool = reopen(tmp_path)
        await spool.close(clean=False)
    kept = sorted(path.name for path in (tmp_path / "quarantine").iterdir())
    assert len(kept) == 16
    assert kept[-1].endswith("garbage27.seg")


async def test_a_cloned_or_restored_card_never_collides(tmp_path):
    """Two copies of a directory continue with different epochs and send the same old records."""
    (epoch,) = await _lived(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    spools = [reopen(tmp_path / name) for name in ("one", "two")]
    assert len({spool.epoch for spool in spools} | {epoch}) == 3
    one, two = [await drain(spool) for spool in spools]
    assert one == two
    for spool in spools:
        await spool.close(clean=False)


async def test_a_segment_that_is_there_twice_gives_its_records_once(tmp_path):
    """A copied segment file (or an older copy of it) is no second source; both are freed."""
    (epoch,) = await _lived(tmp_path)
    first, second, *_ = segment_files(tmp_path)
    shutil.copy(first, tmp_path / "copy.seg")
    data = bytearray(second.read_bytes())
    data[30_000:50_000] = bytes(20_000)
    (tmp_path / "damaged copy.seg").write_bytes(data)
    spool = reopen(tmp_path)
    assert seqs(await drain(spool), epoch) == list(range(1, COUNT + 1))
    spool.ack(epoch, [(1, COUNT)])
    await spool.flush()
    await spool.close(clean=False)
    assert segment_files(tmp_path) == []


async def test_many_short_lives_do_not_use_up_the_quota(tmp_path):
    """A hundred crashes with a few records each fit into eight segments: none is evicted."""
    for _ in range(100):
        spool = reopen(tmp_path)
        fill(spool, 3)
        await spool.flush()
        assert not spool.stats.lost_records
        await spool.close(clean=False)
    spool = reopen(tmp_path)
    assert spool.backlog().records == 300
    assert spool.levels().disk_bytes <= 8 * SEGMENT
    found = await drain(spool)
    assert not wrong(found)
    assert sum(map(len, found.values())) == 300
    await spool.close(clean=False)


async def test_only_unsealed_segments_are_read_at_start(tmp_path):
    """At start a sealed segment costs two small reads, not its size."""
    (epoch,) = await _lived(tmp_path)
    disk = FailingDisk()
    spool = reopen(tmp_path, disk)
    assert len(spool.epochs()) == 2
    assert disk.calls["pread"] <= 2 * 4 + 2
    assert seqs(await drain(spool), epoch) == list(range(1, COUNT + 1))
    await spool.close(clean=False)


async def test_another_segment_size_or_quota_is_taken_over(tmp_path):
    """Old segments drain whatever the sizes are now; the space follows the new quota."""
    (epoch,) = await _lived(tmp_path)
    spool = reopen(tmp_path, segment_bytes=2 * SEGMENT, max_bytes=16 * SEGMENT)
    assert seqs(await drain(spool), epoch) == list(range(1, COUNT + 1))
    fill(spool, 500)
    await spool.flush()
    spool.ack(epoch, [(1, COUNT)])
    await spool.flush()
    await spool.close(clean=False)
    spool = reopen(tmp_path, max_bytes=4 * SEGMENT)
    assert spool.backlog().records == 500
    spool.ack(spool.epochs()[0].epoch, [(1, 500)])
    await spool.flush()
    await spool.close(clean=False)
    assert sum(f.stat().st_size for f in tmp_path.iterdir() if f.is_file()) <= 4 * SEGMENT


async def test_a_thousand_headers_share_their_schemas(tmp_path):
    """What every segment says again is held once in memory after a start."""
    for _ in range(3):
        spool = reopen(tmp_path)
        spool.add_schema(b"one schema of all lives")
        fill(spool, 300)
        await spool.flush()
        await spool.close(clean=False)
    spool = reopen(tmp_path)
    books = [book for book in spool._holdings.books.values() if book.segments]
    schemas = [segment.header.schemas for book in books for segment in book.segments]
    assert len(books) == 3
    assert len(schemas) > 3
    assert len({id(one) for one in schemas}) == 1
    await spool.close(clean=False)
