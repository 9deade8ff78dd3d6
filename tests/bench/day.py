"""A day of 10,000 gateways, analysed: seconds, memory, and whether the verdicts are true.

    python -m tests.bench.day

`_day` generates the day (seeded) into the stores of two centre nodes; each analysis runs in a
process of its own. Beside it, as the limit: the same stores' sessions, events and strips read once
through SQLite without looking at them. A gateway blamed on power without power in its plan fails
the run; the time does not.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.centre.store.layout import open_reader
from gateway.correlation.verdict import Cause
from tests.bench import _day

OUT = Path(__file__).parent / "out"
SIZES = tuple(map(int, os.environ.get("BENCH_GATEWAYS", "2500,5000,10000").split(",")))
SEED = 20_261
TARGET_S, TARGET_MIB = 60.0, 500.0
TARGET_SESSIONS = 200_000
POWER = (Cause.BROWN_OUT, Cause.POWER_CUT)
LINEAR = 1.3
"""Time per session of the largest day over that of the smallest: more is not linear."""


def read_once(paths: tuple[Path, ...]) -> float:
    """Return the seconds it takes to fetch the rows an analysis could ask for."""
    began = time.monotonic()
    for path in paths:
        with closing(open_reader(path)) as db:
            for query in (
                "SELECT * FROM session",
                "SELECT * FROM event",
                "SELECT t, body FROM strip",
            ):
                _drain(db, query)
    return time.monotonic() - began


def _drain(db: sqlite3.Connection, query: str) -> None:
    cursor = db.execute(query)
    while cursor.fetchmany(1000):
        pass


def analysed(paths: tuple[Path, ...]) -> dict[str, Any]:
    """Analyse the day in a process of its own."""
    to_ns = _day.START_NS + _day.DAY_S * _day.SECOND
    return _child(str(_day.START_NS), str(to_ns), *map(str, paths))


def command(paths: tuple[Path, ...]) -> tuple[float, float]:
    """Return seconds of `gateway drops` as an operator runs it, and the most MiB that both its
    processes held at one time."""
    stores = [word for path in paths for word in ("--store", str(path))]
    since, until = _day.START_NS // _day.SECOND, _day.START_NS // _day.SECOND + _day.DAY_S
    span = ["--since", _date(since), "--until", _date(until)]
    began, peak = time.monotonic(), 0.0
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.main", "drops", *stores, *span],
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            peak = max(peak, _proportional_mib(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"gateway drops ended with {process.returncode}")
    return time.monotonic() - began, peak


def _proportional_mib(pid: int) -> float:
    """Return what a process and its children hold now; what they share counts once (PSS)."""
    total = 0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (str(pid), *children):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
    except (OSError, ValueError):
        return 0.0  # one of them has just ended
    return total / 1024


def _child(*words: str) -> dict[str, Any]:
    """Run `_day_child`; return the last line it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench._day_child", *words],
        stdout=subprocess.PIPE,
        check=True,
        timeout=900,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def judged(truth: _day.Truth, verdicts: list[list[Any]]) -> tuple[Counter[tuple[str, str]], int]:
    """Return (planned, said) of every loss, and how many were blamed on power without any."""
    pairs: Counter[tuple[str, str]] = Counter()
    for gateway, session, said in verdicts:
        planned = truth.causes.get((gateway, session))
        pairs["none" if planned is None else planned.value, said] += 1
    missed = sum(truth.causes_count().values()) - sum(
        count for (planned, _), count in pairs.items() if planned != "none"
    )
    if missed:
        pairs["(not reported)", ""] += missed
    power = {cause.value for cause in POWER}
    blamed = sum(
        count for (planned, said), count in pairs.items() if said in power and planned not in power
    )
    return pairs, blamed


def main() -> int:
    """Measure each size and print; 1 when a gateway was blamed on power wrongly."""
    print(f"seed {SEED}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    heads = ("gateways", "sessions", "records", "MiB of store", "losses", "incidents", "drops")
    print(
        "".join(f"{name:>13}" for name in (*heads, "seconds", "MiB", "us/session", "read once s"))
    )
    rows, wrong, found = [], 0, {}
    last: tuple[Counter[tuple[str, str]], tuple[float, float]] | None = None
    for gateways in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            paths, truth = _day.write(Path(folder), gateways, SEED)
            limit_s = read_once(paths)
            found = analysed(paths)
            pairs, blamed = judged(truth, found.pop("verdicts"))
            size = sum(path.stat().st_size for path in paths) / (1 << 20)
            each = found["seconds"] / found["sessions"] * 1e6
            row = {**found, "records": truth.records, "store_mib": size, "us_per_session": each}
            rows.append({**row, "read_once_s": limit_s, "gateways": gateways})
            wrong += blamed
            figures: tuple[float, ...] = (gateways, found["sessions"], truth.records, size)
            figures += (found["losses"], found["incidents"], found["drops"])
            measured = (found["seconds"], found["rss_mib"], each, limit_s)
            texts = [f"{value:>13,.0f}" for value in figures]
            print("".join(texts + [f"{value:>13.1f}" for value in measured]), flush=True)
            if gateways == SIZES[-1]:
                last = pairs, command(paths)
    assert last is not None
    return _conclude(rows, last[0], last[1], wrong)


def _conclude(
    rows: list[dict[str, Any]],
    pairs: Counter[tuple[str, str]],
    drops: tuple[float, float],
    wrong: int,
) -> int:
    top, ratio = rows[-1], rows[-1]["us_per_session"] / rows[0]["us_per_session"]
    right = sum(count for (planned, said), count in pairs.items() if planned == said)
    unknown = sum(count for (_, said), count in pairs.items() if said == "unknown")
    total = sum(pairs.values())
    print(f"\nplanned -> said, of {total:,} losses: {right / total:.2%} right, {unknown:,} unknown")
    for (planned, said), count in sorted(pairs.items()):
        print(f"  {planned:>16} -> {said:<16} {count:>8,}{'' if planned == said else '   *'}")
    print()
    for what, figure, target, met in (
        ("sessions", f"{top['sessions']:,}", f">= {TARGET_SESSIONS:,}", None),
        (
            "analysis in one process, s",
            f"{top['seconds']:.1f}",
            f"< {TARGET_S:.0f}",
            top["seconds"] < TARGET_S,
        ),
        (
            "its memory, MiB",
            f"{top['rss_mib']:.0f}",
            f"< {TARGET_MIB:.0f}",
            top["rss_mib"] < TARGET_MIB,
        ),
        ("`gateway drops`, s", f"{drops[0]:.1f}", f"< {TARGET_S:.0f}", drops[0] < TARGET_S),
        ("`gateway drops`, MiB", f"{drops[1]:.0f}", f"< {TARGET_MIB:.0f}", drops[1] < TARGET_MIB),
        (
            "time per session, largest over smallest",
            f"{ratio:.2f}",
            f"<= {LINEAR}",
            ratio <= LINEAR,
        ),
        ("blamed on power without power", f"{wrong}", "0", wrong == 0),
    ):
        good = top["sessions"] >= TARGET_SESSIONS if met is None else met
        print(f"{what:<42}{figure:>12}  target {target:<10} {'met' if good else 'MISSED'}")
    OUT.mkdir(exist_ok=True)
    body = {"rows": rows, "verdicts": {f"{a} -> {b}": n for (a, b), n in sorted(pairs.items())}}
    body |= {"drops_s": drops[0], "drops_mib": drops[1]}
    (OUT / "day.json").write_text(json.dumps(body, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
