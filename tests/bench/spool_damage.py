"""Damage at rest: what is lost of 4,000 records, beside SQLite with the same damage.

Each trial copies a closed spool (and a closed SQLite file of the same records, one BLOB each),
damages one place, and reads everything back. Lost is what does not come back, wrong is what comes
back changed. Targets: the prototype's row "own segments + resync" (mean of 60 trials).
"""

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from gateway.agent.spool.disk import PAGE
from gateway.agent.spool.spool import Spool
from gateway.config.agent import SpoolSettings
from gateway.process.clock import Clock
from gateway.wire.record import RecordKind

OUT = Path(__file__).parent / "out" / "spool_damage.json"
RECORDS = 4000
TRIALS = 60
SIZE = 600

Damage = Callable[[bytearray, Random], None]


@dataclass(frozen=True, slots=True)
class Harm:
    """Percent of the records lost, and trials in which a record came back changed."""

    damage: str
    engine: str
    mean: float
    median: float
    most: float
    wrong: int
    unreadable: int


def _page(data: bytearray, random: Random) -> None:
    place = random.randrange(len(data) // PAGE) * PAGE
    data[place : place + PAGE] = random.randbytes(PAGE)


def _zeros(data: bytearray, random: Random) -> None:
    place = random.randrange(max(1, len(data) - 4 * PAGE) // PAGE) * PAGE
    data[place : place + 4 * PAGE] = bytes(4 * PAGE)


def _cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def _first(data: bytearray, random: Random) -> None:
    data[:PAGE] = random.randbytes(PAGE)


def _bit(data: bytearray, random: Random) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


DAMAGES: tuple[tuple[str, Damage, float], ...] = (
    # name, what is done, target: mean percent lost
    ("one 4 KiB page random", _page, 0.25),
    ("16 KiB zeroed", _zeros, 0.8),
    ("first 4 KiB destroyed", _first, 0.25),
    ("one bit flipped", _bit, 0.03),
    ("truncated at random", _cut, 20.0),
)


def body(seq: int) -> bytes:
    """Return a record's payload: a function of its seq."""
    return Random(seq).randbytes(SIZE)


def lost_in_spool(whole: Path, damage: Damage, random: Random) -> tuple[int, int]:
    """Return (records lost, records changed) of a damaged copy of the spool."""
    with tempfile.TemporaryDirectory(dir=whole.parent) as made:
        copy = Path(made) / "spool"
        shutil.copytree(whole, copy)
        file = random.choice(sorted(copy.glob("*.seg")))
        data = bytearray(file.read_bytes())
        damage(data, random)
        file.write_bytes(data)
        found = asyncio.run(_drained(copy))
    wrong = sum(data != body(seq) for seq, data in found.items())
    return RECORDS - len(found), wrong


async def _drained(directory: Path) -> dict[int, bytes]:
    spool = _opened(directory)
    reader, found = spool.reader(), {}
    epoch = spool.epochs()[0].epoch
    while True:
        at, records = await reader.read(64 * 1024)
        if not records:
            break
        found |= {r.seq: bytes(r.payload) for r in records if at == epoch}
    await spool.close(clean=False)
    return found


def lost_in_sqlite(whole: Path, damage: Damage, random: Random) -> tuple[int, int]:
    """Return the same of a damaged copy of the SQLite file, read by SELECT."""
    with tempfile.TemporaryDirectory(dir=whole.parent) as made:
        copy = Path(made) / "copy.sqlite"
        data = bytearray(whole.read_bytes())
        damage(data, random)
        copy.write_bytes(data)
        store = sqlite3.connect(copy)
        there = wrong = 0
        try:
            for seq, data_ in store.execute("SELECT seq, data FROM record ORDER BY seq"):
                good = data_ == body(seq)
                there += good
                wrong += not good
        except (sqlite3.DatabaseError, OverflowError):
            pass
        finally:
            store.close()
    return RECORDS - there, wrong


def _opened(directory: Path) -> Spool:
    settings = SpoolSettings(directory=str(directory), max_bytes=16 << 20, keep_free_bytes=0)
    return Spool.open(settings, "bench", bytes(16), Clock())


async def _make_spool(directory: Path) -> None:
    spool = _opened(directory)
    spool.add_schema(b"schema" * 100)
    for seq in range(1, RECORDS + 1):
        spool.append(RecordKind.ROWS, 100, body(seq))
        if seq % 100 == 0:
            await spool.flush()
    await spool.close(clean=False)


def _make_sqlite(path: Path) -> None:
    store = sqlite3.connect(path)
    store.execute("CREATE TABLE record(seq INTEGER PRIMARY KEY, data BLOB)")
    rows = ((seq, body(seq)) for seq in range(1, RECORDS + 1))
    store.executemany("INSERT INTO record VALUES(?, ?)", rows)
    store.commit()
    store.close()


def main() -> int:
    """Print the table; return 1 if a target is missed or anything came back changed."""
    logging.getLogger("gateway.agent.spool").setLevel(logging.CRITICAL)
    seed = int(os.environ.get("SEED", "20260"))
    print(f"seed {seed}, {RECORDS} records, {TRIALS} trials each; % of records lost")
    print(f"{'damage':24}{'engine':16}{'mean':>7}{'median':>8}{'most':>8}{'changed':>9}{'all':>5}")
    harms = []
    bad = False
    with tempfile.TemporaryDirectory() as made:
        spool, store = Path(made) / "spool", Path(made) / "store.sqlite"
        asyncio.run(_make_spool(spool))
        _make_sqlite(store)
        for name, damage, target in DAMAGES:
            engines = (("spool", lost_in_spool, spool), ("sqlite SELECT", lost_in_sqlite, store))
            for engine, trial, whole in engines:
                random = Random(seed)
                results = [trial(whole, damage, random) for _ in range(TRIALS)]
                lost = [100 * count / RECORDS for count, _ in results]
                harm = Harm(
                    name,
                    engine,
                    statistics.mean(lost),
                    statistics.median(lost),
                    max(lost),
                    sum(changed > 0 for _, changed in results),
                    sum(share >= 100 for share in lost),
                )
                harms.append(harm)
                verdict = ""
                if engine == "spool":
                    met = harm.mean <= target and not harm.wrong
                    bad |= not met
                    verdict = f"  target <= {target} %, 0 changed: {'met' if met else 'MISSED'}"
                print(
                    f"{name:24}{engine:16}{harm.mean:7.2f}{harm.median:8.2f}{harm.most:8.2f}"
                    f"{harm.wrong:9}{harm.unreadable:5}{verdict}"
                )
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([asdict(harm) for harm in harms], indent=1))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
