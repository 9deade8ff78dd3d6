"""Does the centre wait while it looks for incidents? The loop's lag and the acks, with and without.

    python -m tests.bench.analyst

A real centre (door, sessions, SQLite store) with `CLIENTS` gateways that send 52 points each 2.5 s
(`BENCH_RATE`) from `load.c`: two cores then have room for the clients too. It runs on a store that
holds a day of another fleet (`_day`, seeded). First it only serves; then it analyses that whole day
meanwhile, again and again, and writes what it finds. The lag is how much later than asked a timer
of 5 ms runs on the loop.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.centre import analyst
from gateway.centre.daemon import SWITCH_INTERVAL_S, Centre
from gateway.centre.tokens import token_digest
from gateway.config.centre import AdminSettings, CentreSettings, StoreSettings, WebSettings
from gateway.process.clock import Clock
from tests.bench import _day
from tests.bench import centre as bench

HERE = Path(__file__).parent
OUT = HERE / "out"
CLIENTS = int(os.environ.get("BENCH_CLIENTS", "10000"))
RATE = float(os.environ.get("BENCH_RATE", "0.4"))
GATEWAYS = int(os.environ.get("BENCH_GATEWAYS", "3000"))
SEED = 4
TICK_S = 0.005
LAG_MS = 50.0
"""Target for the lag's 99th percentile: the latency an alert is about."""


class DayClock(Clock):
    """A clock at the end of the generated day."""

    def __init__(self) -> None:
        self._ahead_ns = _day.START_NS + _day.DAY_S * _day.SECOND - time.time_ns()

    def wall_ns(self) -> int:
        return time.time_ns() + self._ahead_ns


class Lag:
    """How late a timer runs."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._tick(self._loop.time())

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        self.late.append(now - due)
        self._loop.call_at(now + TICK_S, self._tick, now + TICK_S)

    def take(self) -> dict[str, float]:
        late, self.late = sorted(self.late), []
        return {
            "p50": late[len(late) // 2] * 1e3,
            "p99": late[len(late) * 99 // 100] * 1e3,
            "max": late[-1] * 1e3,
        }


async def serve(folder: Path, store: str) -> None:
    """Run the centre; each line of standard input is a phase of so many seconds."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    analyst.SPAN_NS = _day.DAY_S * _day.SECOND
    settings = CentreSettings(
        listen="127.0.0.1:0",
        node="bench",
        tokens_file="tokens",
        store=StoreSettings(path=store),
        admin=AdminSettings(""),
        web=WebSettings(listen=""),
    )
    centre = Centre(settings, folder, DayClock())
    centre.analyst._every_s = 1e9  # only when told
    await centre.open()
    print(json.dumps({"port": centre.port}), flush=True)
    lag = Lag()
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, seconds = line.split()
        lag.take()
        looks, ended = [], asyncio.get_running_loop().time() + float(seconds)
        while (left := ended - asyncio.get_running_loop().time()) > 0:
            if word == "look":
                began = time.monotonic()
                centre.analyst._seen = None
                await centre.analyst.look()
                looks.append(time.monotonic() - began)
            else:
                await asyncio.sleep(min(left, 0.5))
        stats = {"lag_ms": lag.take(), "looks_s": looks, "active": centre.server.active}
        print(json.dumps(stats), flush=True)
    await centre.close()


def main() -> int:
    """Print the table; return 1 if a target is missed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        _day.write(folder, GATEWAYS, SEED)
        print(
            f"a day of {GATEWAYS} gateways written in {time.monotonic() - began:.0f} s", flush=True
        )
        tokens = folder / "tokens"
        tokens.touch(mode=0o600)
        tokens.write_text(
            "".join(f"g{n} {token_digest(bench.token_of(n)).hex()} 0\n" for n in range(CLIENTS))
        )
        binary = folder / "load"
        subprocess.run(["gcc", "-O2", "-o", str(binary), str(HERE / "load.c")], check=True)
        # A store of its own for each: the clients' epochs are the same.
        found = {
            word: phase(folder, binary, word, f"{node}.sqlite")
            for word, node in zip(("rest", "look"), _day.NODES, strict=True)
        }
    return report(found)


def phase(folder: Path, binary: Path, word: str, store: str) -> dict[str, object]:
    """Serve a fleet for `bench.SECONDS`, with the analysis or without."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.analyst", "--serve", str(folder), store],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None
    port = int(json.loads(server.stdout.readline())["port"])
    load = bench.Load(binary, port, CLIENTS, 2, RATE, 64)
    opened = load.line()
    if opened["opened"] != CLIENTS:
        raise SystemExit(f"only {opened['opened']:.0f} of {CLIENTS} connected: {opened}")
    time.sleep(2)
    load.go()
    server.stdin.write(f"{word} {bench.SECONDS}\n")
    server.stdin.flush()
    done = load.line()
    stats: dict[str, object] = json.loads(server.stdout.readline())
    load.close()
    server.stdin.close()
    server.wait(60)
    return stats | {"ack_p50_ms": done["p50_ms"], "ack_p99_ms": done["p99_ms"]}


def report(found: dict[str, dict[str, object]]) -> int:
    """Print and keep the figures."""
    rest, look = found["rest"], found["look"]
    lags = [phase["lag_ms"] for phase in (rest, look)]
    print(
        f"{f'{CLIENTS} gateways at {RATE:g} Hz':34}{'target':>10}{'serving':>12}{'analysing':>12}"
    )
    for key in ("p50", "p99", "max"):
        values = [lag[key] for lag in lags if isinstance(lag, dict)]
        target = f"<= {LAG_MS:g}" if key == "p99" else ""
        print(f"loop's lag {key}, ms{'':17}{target:>10}{values[0]:12.2f}{values[1]:12.2f}")
    for key in ("ack_p50_ms", "ack_p99_ms"):
        print(f"{key:34}{'':10}{rest[key]:12.2f}{look[key]:12.2f}")
    looks = look["looks_s"]
    assert isinstance(looks, list)
    print(f"analyses meanwhile: {len(looks)}, seconds each: {[round(s, 1) for s in looks]}")
    OUT.mkdir(exist_ok=True)
    (OUT / "analyst.json").write_text(json.dumps(found, indent=1) + "\n")
    assert isinstance(lags[0], dict) and isinstance(lags[1], dict)
    if lags[0]["p99"] > LAG_MS:
        print("MISSED: this machine does not keep up even while nothing is analysed")
        return 1
    met = lags[1]["p99"] <= LAG_MS and bool(looks)
    print("met" if met else "MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve(Path(sys.argv[2]), sys.argv[3]))
    else:
        sys.exit(main())
