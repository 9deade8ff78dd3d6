"""Sensor-to-store latency and drain speed over TLS (Must show 6).

The agent's sending side runs in this process (`_uplink_rig`), the centre is the real one with its
SQLite store. Latency is from a row's source time to the agent having the centre's ack: an upper
bound of sensor-to-store. The limit for the slow link is measured in the same run: a plain TLS bulk
transfer over the same namespace and the same token bucket.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.agent.spool.disk import Disk
from gateway.event import Event, EventKind
from gateway.process.files import load_agent
from gateway.process.tls import client_context
from tests.bench._uplink_rig import (
    LIVE_SCHEMA,
    LiveSource,
    SendingAgent,
    StallingDisk,
    percentiles,
)
from tests.rig import free_port
from tests.site import Site, wait_for

LIVE_S = 20.0
BACKLOG = 2_000_000
DRAINS = 5
"""Drains of each form: one lasts a second or two, too short for many live readings."""
STALL_S = 0.25
SLOW_BITS = 5_000_000
SLOW_S = 20.0
NAMESPACE = "gateway-bench"
OUT = Path(__file__).parent / "out" / "latency.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `low`: the target is a least, else a most."""

    name: str
    value: float
    target: float
    low: bool = False
    beside: str = ""

    @property
    def good(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target if self.low else self.value <= self.target


@contextmanager
def centre_at(host: str, namespace: str = "") -> Iterator[Site]:
    """Run a centre (in a network namespace) for the length of a block."""
    directory = Path(tempfile.mkdtemp(prefix="gateway-latency-"))
    site = Site(directory, host=host, bus_toml="", spool_bytes=256 << 20)
    centre = site.write().centre()
    centre.prefix = ["ip", "netns", "exec", namespace] if namespace else []
    centre.start()
    try:
        wait_for("the centre to listen", lambda: listens(host, site.centre_port))
        yield site
        centre.stop(30.0)
    finally:
        centre.ensure_gone()
        shutil.rmtree(directory)


def listens(host: str, port: int) -> bool:
    """Whether a TCP connection is taken."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def sending_agent(site: Site, disk: Disk | None = None) -> SendingAgent:
    """Open the site's spool in this process."""
    return SendingAgent(load_agent(site.directory / "gateway.toml"), disk)


def latency_line(name: str, latencies_s: list[float], target_ms: float) -> Figure:
    """Judge p99; p50 and the maximum stand beside it."""
    p50, p99, most = percentiles(latencies_s)
    beside = f"p50 {p50:.1f}, max {most:.1f}, {len(latencies_s)} records"
    return Figure(name, p99, target_ms, beside=beside)


async def live_only(site: Site, disk: Disk | None, trouble: bool) -> list[float]:
    """Live readings for `LIVE_S`; with `trouble`, an event flushes the spool twice a second."""
    agent = sending_agent(site, disk)
    agent.recorder.use_schema(LIVE_SCHEMA)
    async with agent.running():
        await agent.connected()
        with LiveSource(agent, asyncio.get_running_loop()):
            end = time.monotonic() + LIVE_S
            while time.monotonic() < end:
                await asyncio.sleep(0.5)
                if trouble:
                    now = agent.clock.boottime_ns()
                    agent.recorder.event(Event.make(EventKind.PORT_LOST, now, port="bench"))
        await agent.drained(0)
    return agent.latencies_s


async def drain(site: Site, *, single_rows: bool) -> tuple[float, list[float]]:
    """Drain the backlog with live readings beside it; return readings/s and live latencies."""
    agent = sending_agent(site)
    made = await agent.fill(BACKLOG, single_rows=single_rows)
    agent.recorder.use_schema(LIVE_SCHEMA)
    async with agent.running():
        await agent.connected()
        began = time.monotonic()
        with LiveSource(agent, asyncio.get_running_loop()):
            while agent.acked_readings < made:
                await asyncio.sleep(0.005)
            took = time.monotonic() - began
        latencies = list(agent.latencies_s)
        await agent.drained(0)
    return made / took, latencies


async def slow(site: Site) -> tuple[float, float, list[float]]:
    """Drain over the slow link; return application bytes/s, readings/s, live latencies."""
    agent = sending_agent(site)
    await agent.fill(2 * BACKLOG, single_rows=True)
    agent.recorder.use_schema(LIVE_SCHEMA)
    sent = agent.metrics.bytes.labels("out")._value
    async with agent.running():
        await agent.connected()
        with LiveSource(agent, asyncio.get_running_loop()):
            await asyncio.sleep(3.0)
            agent.latencies_s.clear()
            bytes_before, readings_before = sent.get(), agent.acked_readings
            began = time.monotonic()
            await asyncio.sleep(SLOW_S)
            took = time.monotonic() - began
            rate = (sent.get() - bytes_before) / took
            readings = (agent.acked_readings - readings_before) / took
            latencies = list(agent.latencies_s)
    return rate, readings, latencies


@contextmanager
def slow_namespace() -> Iterator[str]:
    """A namespace behind a veth pair with a token bucket of `SLOW_BITS` each way."""

    def sh(*words: str) -> None:
        subprocess.run(words, check=True)

    subprocess.run(["ip", "netns", "del", NAMESPACE], stderr=subprocess.DEVNULL)
    sh("ip", "netns", "add", NAMESPACE)
    inside = ("ip", "netns", "exec", NAMESPACE)
    try:
        sh("ip", "link", "add", "gwb0", "type", "veth", "peer", "name", "gwb1", "netns", NAMESPACE)
        sh("ip", "addr", "add", "10.99.7.1/24", "dev", "gwb0")
        sh("ip", "link", "set", "gwb0", "up")
        sh(*inside, "ip", "addr", "add", "10.99.7.2/24", "dev", "gwb1")
        sh(*inside, "ip", "link", "set", "gwb1", "up")
        sh(*inside, "ip", "link", "set", "lo", "up")
        bucket = ("root", "tbf", "rate", f"{SLOW_BITS}bit", "burst", "5000", "latency", "400ms")
        sh("tc", "qdisc", "add", "dev", "gwb0", *bucket)
        sh(*inside, "tc", "qdisc", "add", "dev", "gwb1", *bucket)
        yield "10.99.7.2"
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE])


BULK_SERVER = """
import socket, sys, time
from pathlib import Path
from gateway.process.tls import server_context
host, port, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
context = server_context(directory / "centre.pem", directory / "key.pem")
with socket.create_server((host, port)) as server:
    raw, _ = server.accept()
    with context.wrap_socket(raw, server_side=True) as tls:
        total, began, last = 0, None, 0.0
        while data := tls.recv(65536):
            now = time.monotonic()
            if began is None:
                began = now
            else:
                total += len(data)
            last = now
print(total / (last - began))
"""


def bulk_tls(site: Site, host: str) -> float:
    """Send random bytes over plain TLS as fast as it goes; return bytes/s as received."""
    port = free_port()
    inside = ("ip", "netns", "exec", NAMESPACE)
    server = subprocess.Popen(
        [*inside, sys.executable, "-c", BULK_SERVER, host, str(port), str(site.directory)],
        stdout=subprocess.PIPE,
        text=True,
    )
    context = client_context(site.directory / "ca.pem")
    data = os.urandom(64 * 1024)
    deadline = time.monotonic() + 10.0
    while True:
        try:
            raw = socket.create_connection((host, port), timeout=30)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with context.wrap_socket(raw, server_hostname=host) as tls:
        end = time.monotonic() + 8.0
        while time.monotonic() < end:
            tls.sendall(data)
    out, _ = server.communicate(timeout=60)
    return float(out)


def main() -> int:
    """Print the table; 1 if a target is missed."""
    figures = []
    with centre_at("127.0.0.1") as site:
        figures.append(latency_line("live p99 ms", asyncio.run(live_only(site, None, False)), 50))
    with centre_at("127.0.0.1") as site:
        stalled = asyncio.run(live_only(site, StallingDisk(STALL_S), True))
        figures.append(latency_line("live p99 ms, spool disk stalls 250 ms", stalled, 50))
    for single_rows, form in ((True, "poll row a record"), (False, "1 s a record")):
        rates, latencies = [], []
        for _ in range(DRAINS):
            with centre_at("127.0.0.1") as site:
                rate, some = asyncio.run(drain(site, single_rows=single_rows))
            rates.append(rate)
            latencies += some
        figures.append(latency_line(f"live p99 ms, 2 M drain, {form}", latencies, 50))
        figures.append(Figure(f"drain readings/s, {form}", min(rates), 300_000, low=True))
    if os.geteuid() == 0 and shutil.which("ip") and shutil.which("tc"):
        with slow_namespace() as host, centre_at(host, NAMESPACE) as site:
            bulk = bulk_tls(site, host)
            rate, readings, latencies = asyncio.run(slow(site))
            share = 100 * rate / bulk
            beside = f"bulk TLS {bulk / 1000:.0f} kB/s, ours {rate / 1000:.0f}; {readings:,.0f} r/s"
            figures.append(Figure("drain at 5 Mbit/s, % of bulk TLS", share, 90, True, beside))
            figures.append(latency_line("live p99 ms while draining at 5 Mbit/s", latencies, 75))
    else:
        print("5 Mbit/s link not measured: needs root, ip and tc")
    print(f"{'figure':42} {'measured':>12} {'target':>12}")
    for f in figures:
        sign = ">=" if f.low else "<="
        verdict = "ok" if f.good else "MISSED"
        print(f"{f.name:42} {f.value:12,.1f} {sign}{f.target:10,.0f}  {verdict:7} {f.beside}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({f.name: [f.value, f.target, f.good] for f in figures}, indent=1))
    return int(not all(f.good for f in figures))


if __name__ == "__main__":
    sys.exit(main())
