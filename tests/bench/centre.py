"""The centre's connections against its targets, beside websockets' asyncio server in the same run.

Every server runs in a process of its own with the same null store (it acks without storing) and the
real `wire.Receiver`; the clients are `load.c`, in another process, from many loopback addresses.
Memory is growth of the server's RSS per connection past `Welcome` with one schema; messages per
core are messages per CPU-second of the server. A shared machine is now fast, now slow, for minutes:
the servers take turns, `ROUNDS` times, and what is judged is the median of the rounds; the least
and the most are printed beside it.
"""

import asyncio
import gc
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop
from websockets.asyncio.server import ServerConnection, serve

from gateway.centre.door import Door
from gateway.centre.metrics import Metrics
from gateway.centre.server import Server
from gateway.centre.store.jobs import Greeting, Ingest, Job
from gateway.centre.tokens import TokenFile, token_digest
from gateway.config.centre import LinkSettings
from gateway.errors import RemoteProtocolError
from gateway.process.clock import Clock
from gateway.reading import TICK_NS, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import codec, record, rows
from gateway.wire.message import (
    SUBPROTOCOL,
    Backlog,
    ClockReading,
    ClockSource,
    Data,
    EpochState,
    Hello,
    Lane,
    SchemaAnnouncement,
)
from gateway.wire.receiver import HelloReceived, Receiver, ReceiverLimits, RecordsReceived
from gateway.wire.schemas import SchemaTable

HERE = Path(__file__).parent
OUT = HERE / "out"
CLIENTS = 10_000
STORM = 6_000
BUSY_CLIENTS = 1_000
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
POINTS = 52
SCHEMA = Schema(
    (SchemaBlock("meter", 1.0, tuple(SchemaPoint(f"p{n}", "V", "f32") for n in range(POINTS))),)
)


class NullStore:
    """Answers every job at once and stores nothing: what is left is the connections' own cost."""

    queued = 0

    def submit(self, job: Job) -> None:
        if isinstance(job, Greeting):
            job.gateway = 1
        elif isinstance(job, Ingest):
            job.intervals = ((job.records[0].seq, job.records[-1].seq),)
            job.stored = len(job.records)
        if job.done is not None:
            job.done(job)


async def serve_centre(tokens: Path) -> None:
    """Run the centre's door and sessions on a null store."""
    clock, metrics, table = Clock(), Metrics(), TokenFile(tokens)
    table.refresh()
    server = Server(clock, metrics, ReceiverLimits(), table, 1 << 30, 30.0)
    server.store = NullStore()
    settings = LinkSettings()
    door = Door("/gateway", settings, table, metrics, clock, server.make_session)
    server.to_flush = lambda session: None  # type: ignore[method-assign] # answers are given inline
    port = await door.open("127.0.0.1:0", None)
    gc.collect()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.Event().wait()


async def serve_websockets(tuned: bool) -> None:
    """Run websockets' asyncio server with the same receiver, as its documentation shows it."""
    clock, limits, table = Clock(), ReceiverLimits(), SchemaTable()

    async def handler(connection: ServerConnection) -> None:
        receiver = Receiver(limits, table, clock.now())
        async for message in connection:
            try:
                receiver.receive(bytes(message), clock.now())  # type: ignore[arg-type]
            except RemoteProtocolError as error:
                await connection.close(error.close_code)
                return
            for event in receiver.events_received():
                if isinstance(event, HelloReceived):
                    receiver.welcome(1, (), clock.wall_ns(), (), (), clock.now())
                elif isinstance(event, RecordsReceived):
                    seqs = ((event.records[0].seq, event.records[-1].seq),)
                    receiver.committed(event.epoch, seqs, clock.now())
            for out in receiver.messages_to_send():
                await connection.send(out)

    options: dict[str, object] = {"compression": None, "max_queue": 2, "ping_interval": 30}
    server = await serve(
        handler,
        "127.0.0.1",
        0,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
        backlog=4096,
        **(options if tuned else {}),  # type: ignore[arg-type]
    )
    gc.collect()
    print(json.dumps({"port": next(iter(server.sockets)).getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


# --- clients ----------------------------------------------------------------------------------


def token_of(number: int) -> str:
    """Return a bench gateway's token."""
    return f"bench-token-{number:08d}"


def client_parts(number: int) -> bytes:
    """Return one client's messages as `load.c` reads them."""
    epoch, clock = 1_000_000 + number, Clock()
    request = (
        f"GET /gateway/g{number} HTTP/1.1\r\nHost: centre\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
        f"Authorization: Bearer {token_of(number)}\r\n\r\n"
    ).encode()
    hello = codec.encode(
        Hello(
            gateway_id=f"g{number}",
            instance=number.to_bytes(8, "big"),
            boot_id=number.to_bytes(16, "big"),
            software="bench",
            epochs=(EpochState(epoch, number.to_bytes(16, "big"), 1, ()),),
            clock=ClockReading(clock.boottime_ns(), clock.wall_ns(), ClockSource.NTP, 100),
            encodings=(),
            max_message=65536,
            last_session=0,
            backlog=Backlog(0, 0, 0),
        )
    )
    encoded = rows.encode_schema(SCHEMA)
    schema = codec.encode(SchemaAnnouncement(epoch, 1, rows.schema_digest(encoded), encoded))
    row = Row(0, clock.boottime_ns() // TICK_NS * TICK_NS, tuple(230.5 + n for n in range(POINTS)))
    seed = record.epoch_seed(epoch)
    packed = record.pack(seed, 1, 1, POINTS, rows.pack_rows(1, [row], SCHEMA))
    data = codec.encode(Data(epoch, Lane.LIVE, 0, packed.data))
    patched = struct.pack("<II", data.index(packed.data), seed) + data
    return b"".join(struct.pack("<H", len(p)) + p for p in (request, hello, schema, patched))


class Load:
    """The C clients of one run."""

    def __init__(
        self, binary: Path, port: int, count: int, mode: int, rate: float, in_flight: int
    ) -> None:
        head = struct.pack(
            "<7I", count, port, 0x10001, int(SECONDS * 1000), mode, int(rate * 1000), in_flight
        )
        self.process = subprocess.Popen(
            [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.process.stdin is not None
        text = head + b"".join(client_parts(n) for n in range(count))
        view = memoryview(text)
        while view:
            view = view[self.process.stdin.write(view) :]

    def line(self) -> dict[str, float]:
        assert self.process.stdout is not None
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"g")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def rss(pid: int) -> int:
    """Return a process's resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """One server under test."""

    def __init__(self, kind: str, tokens: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.centre", "--serve", kind, str(tokens)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the peers log every client that leaves at the end
        )
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])
        self.pid = self.process.pid
        time.sleep(0.3)
        self.base = rss(self.pid)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@dataclass(slots=True)
class Figures:
    """What one server did. `per_core` messages per CPU-second, `core` share of a core at 1 Hz."""

    kib: float = 0.0
    core: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    per_core: float = 0.0
    storm_s: float = 0.0
    storm_failed: int = 0


def measure(kind: str, binary: Path, tokens: Path) -> Figures:
    """Run every scenario against one kind of server, once."""
    figures = Figures()
    with_server(kind, tokens, lambda server: _idle_and_paced(server, binary, figures))
    with_server(kind, tokens, lambda server: _saturated(server, binary, figures))
    with_server(kind, tokens, lambda server: _storm(server, binary, figures))
    return figures


def with_server(kind: str, tokens: Path, work: Callable[[ServerProcess], None]) -> None:
    server = ServerProcess(kind, tokens)
    try:
        work(server)
    finally:
        server.close()


def _idle_and_paced(server: ServerProcess, binary: Path, figures: Figures) -> None:
    load = Load(binary, server.port, CLIENTS, 2, 1.0, 64)
    opened = load.line()
    if opened["opened"] != CLIENTS:
        raise SystemExit(f"only {opened['opened']:.0f} of {CLIENTS} connected: {opened}")
    time.sleep(2)
    figures.kib = (rss(server.pid) - server.base) / CLIENTS / 1024
    before, began = cpu_s(server.pid), time.monotonic()
    load.go()
    done = load.line()
    figures.core = (cpu_s(server.pid) - before) / (time.monotonic() - began)
    figures.p50_ms, figures.p99_ms = done["p50_ms"], done["p99_ms"]
    if done["acks"] < 0.98 * done["sends"]:
        figures.core = float("nan")
    load.close()


def _saturated(server: ServerProcess, binary: Path, figures: Figures) -> None:
    load = Load(binary, server.port, BUSY_CLIENTS, 1, 0, 64)
    load.line()
    before = cpu_s(server.pid)
    load.go()
    done = load.line()
    figures.per_core = done["acks"] / max(cpu_s(server.pid) - before, 0.01)
    load.close()


def _storm(server: ServerProcess, binary: Path, figures: Figures) -> None:
    load = Load(binary, server.port, STORM, 0, 0, STORM)
    done = load.line()
    figures.storm_s, figures.storm_failed = done["seconds"], int(done["failed"])
    if done["opened"] < STORM:
        figures.storm_s = float("inf")
    load.close()


def middle(rounds: list[Figures], key: str) -> float:
    """Return the median of the rounds; NaN as soon as one of them did not keep up."""
    values = [float(getattr(figures, key)) for figures in rounds]
    return float("nan") if any(value != value for value in values) else median(values)


def shown(rounds: list[Figures], key: str) -> str:
    """Return a figure of the table; NaN: fewer than 98 % of the messages were acked in time."""
    value = middle(rounds, key)
    if value != value:
        return f"{'did not keep up':>28}"
    values = [float(getattr(figures, key)) for figures in rounds]
    form = ",.0f" if value > 1000 else ".2f"
    return f"{value:{form}} ({min(values):{form}} to {max(values):{form}})".rjust(28)


def main() -> int:
    """Print the table; return 1 if a target is missed."""
    peers = {
        "centre": "centre",
        "websockets": "websockets (asyncio)",
        "websockets-tuned": "websockets (uvloop)",
    }
    with tempfile.TemporaryDirectory() as folder:
        binary, tokens = Path(folder, "load"), Path(folder, "tokens")
        subprocess.run(["gcc", "-O2", "-o", str(binary), str(HERE / "load.c")], check=True)
        tokens.touch(mode=0o600)
        tokens.write_text(
            "".join(f"g{n} {token_digest(token_of(n)).hex()} 0\n" for n in range(CLIENTS))
        )
        found: dict[str, list[Figures]] = {kind: [] for kind in peers}
        for number in range(ROUNDS):
            for kind in peers:
                found[kind].append(measure(kind, binary, tokens))
            print(f"round {number + 1} of {ROUNDS} done", file=sys.stderr, flush=True)
    ours = found["centre"]
    targets = (
        ("kib", "RSS per idle connection, KiB", 4.0, "<="),
        ("core", "10,000 x 1 Hz, share of a core", 0.35, "<="),
        ("per_core", "300-byte messages/s per core", 45_000, ">="),
        ("storm_s", "6,000 at once, all welcomed, s", 1.0, "<="),
    )
    names = "".join(f"{name:>28}" for name in peers.values())
    print(f"{f'median of {ROUNDS} (least to most)':34}{'target':>10}{names}  verdict")
    verdicts = []
    for key, text, target, sign in targets:
        value = middle(ours, key)
        verdicts.append(value <= target if sign == "<=" else value >= target)
        values = "".join(shown(found[kind], key) for kind in peers)
        print(f"{text:34}{sign:>3}{target:>7,g}{values}  {'met' if verdicts[-1] else 'MISSED'}")
    for key, text in (("p50_ms", "1 Hz: ack p50, ms"), ("p99_ms", "1 Hz: ack p99, ms")):
        print(f"{text:34}{'':>10}{''.join(shown(found[kind], key) for kind in peers)}")
    OUT.mkdir(exist_ok=True)
    result = {
        kind: [{key: getattr(one, key) for key in Figures.__slots__} for one in rounds]
        for kind, rounds in found.items()
    }
    (OUT / "centre.json").write_text(json.dumps(result, indent=1))
    return 0 if all(verdicts) else 1


def serve_one(kind: str, tokens: Path) -> None:
    """Be one of the servers."""
    sys.setswitchinterval(0.0005)
    gc.set_threshold(50_000, 50, 1000)
    if kind == "centre":
        uvloop.run(serve_centre(tokens))
    elif kind == "websockets-tuned":
        uvloop.run(serve_websockets(True))
    else:
        asyncio.run(serve_websockets(False))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve_one(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
