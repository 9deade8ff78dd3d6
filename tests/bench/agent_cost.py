"""What the agent costs: memory, CPU and card wear at 10 registers a second over RTU (Must show 7).

The real agent over TLS to the real centre; its spool has a block device of its own, whose counters
(/sys/block/loopN/stat) say what was written. The bus is a pty with an answering device.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig import CountingDevice
from tests.site import Site, wait_for
from tests.system import missing

STEADY_S = 60.0
SETTLE_S = 40.0
"""ext4 writes its journal within 5 s and forgotten pages within 30 s of the last change."""
RSS_LIMIT_MIB = 40.0
CPU_LIMIT_PERCENT = 1.5
PEER_RSS_MIB, PEER_CPU_PERCENT = 66.0, 9.9
"""ThingsBoard gateway on the same job (issue, measured)."""
OUT = Path(__file__).parent / "out" / "agent_cost.json"

POINTS = "".join(
    f'\n[[bus.device.point]]\nname = "r{i}"\ntable = "holding"\naddress = {i}\ntype = "u16"\n'
    for i in range(10)
)
BUS = """
[[bus]]
name = "bus1"
port = "{port}"
baud = 19200
parity = "none"

[[bus.device]]
name = "meter"
unit_id = 1
poll_interval_s = 1.0
"""


@contextmanager
def block_device(directory: Path, size_mib: int = 96) -> Iterator[tuple[Path, str]]:
    """Mount an ext4 of our own on a loop device; yield where, and the device's name."""
    image, mount = directory / "disk.img", directory / "card"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    lazy = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-E", lazy, str(image)], check=True)
    loop = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        subprocess.run(["mount", "-o", "noatime", loop, str(mount)], check=True)
        try:
            yield mount, Path(loop).name
        finally:
            subprocess.run(["umount", str(mount)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def device_counters(name: str) -> tuple[int, int]:
    """Return (bytes written, flushes) of a block device (Documentation/block/stat.rst)."""
    fields = [int(word) for word in Path(f"/sys/block/{name}/stat").read_text().split()]
    return fields[6] * 512, fields[15]


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Return a process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


def compile_once(directory: Path) -> None:
    """Let the daemons start from byte code, as an installer leaves it: compiling at each start
    leaves 1 MiB of torn heap behind, which only a checkout run with PYTHONDONTWRITEBYTECODE has."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
    daemons = "import gateway.cli.main, gateway.cli.run, gateway.agent.daemon"
    subprocess.run([sys.executable, "-c", daemons], check=True)


def measure(directory: Path, card: Path, device: str) -> dict[str, float]:
    """Run agent and centre for a steady minute and return what it cost."""
    meter = CountingDevice().start()
    bus = BUS.format(port=meter.port) + POINTS
    site = Site(directory, heartbeat_s=30.0, heartbeat_timeout_s=20.0, bus_toml=bus)
    site.spool = card / "spool"
    centre, agent = site.write().centre(), site.agent()
    try:
        centre.start()
        agent.start()
        wait_for("a session", lambda: site.metrics().get("gateway_uplink_connected") == 1.0)
        os.sync()
        time.sleep(SETTLE_S)
        assert agent.process is not None
        pid = agent.process.pid
        polls, cpu, began = len(meter.answers), cpu_s(pid), time.monotonic()
        written, flushes = device_counters(device)
        before = site.metrics()
        time.sleep(STEADY_S)
        took = time.monotonic() - began
        written_after, flushes_after = device_counters(device)
        after = site.metrics()
        figures = {
            "polls": len(meter.answers) - polls,
            "rss_mib": rss_mib(pid),
            "cpu_percent": 100 * (cpu_s(pid) - cpu) / took,
            "bytes_written": written_after - written,
            "flushes": flushes_after - flushes,
            "own_commits": _grown(before, after, "gateway_spool_commits_total"),
            "own_flushes": _grown(before, after, "gateway_spool_fsync_seconds_count"),
            "sessions": site.metrics().get("gateway_uplink_sessions_total", 0.0),
        }
        agent.stop()
        return figures
    finally:
        agent.ensure_gone()
        centre.ensure_gone()
        meter.stop()


def _grown(before: dict[str, float], after: dict[str, float], name: str) -> float:
    return after.get(name, -1.0) - before.get(name, 0.0)


def main() -> int:
    """Print the table; 1 if a target is missed."""
    if os.geteuid() != 0 or (reason := missing("e2fsprogs")):
        print(f"not run: needs root and e2fsprogs ({'no root' if os.geteuid() else reason})")
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="gateway-cost-") as name,
        block_device(Path(name)) as (card, device),
    ):
        site = Path(name) / "site"
        site.mkdir()
        compile_once(Path(name))
        figures = measure(site, card, device)
    rows = [
        ("RSS MiB", figures["rss_mib"], RSS_LIMIT_MIB, f"ThingsBoard gateway {PEER_RSS_MIB:g}"),
        ("CPU % of a core", figures["cpu_percent"], CPU_LIMIT_PERCENT, f"{PEER_CPU_PERCENT:g}"),
        ("bytes written in the minute", figures["bytes_written"], 0, ""),
        ("flushes in the minute", figures["flushes"], 0, "(sync(2) of anyone here counts)"),
        ("the agent's own commits", figures["own_commits"], 0, ""),
        ("the agent's own flushes", figures["own_flushes"], 0, ""),
    ]
    failed = False
    print(f"10 registers at 1 Hz over RTU, {figures['polls']:.0f} polls in {STEADY_S:g} s, Python")
    print(f"{sys.version.split()[0]}, TLS to the centre, {figures['sessions']:.0f} session")
    print(f"{'figure':30} {'measured':>10} {'target':>10}  peer")
    for text, value, limit, peer in rows:
        good = value <= limit
        failed |= not good
        print(f"{text:30} {value:10.2f} {limit:10.2f}  {peer:24} {'ok' if good else 'MISSED'}")
    if figures["polls"] < STEADY_S - 2:
        print(f"polls: {figures['polls']:.0f}, expected {STEADY_S:g}: MISSED")
        failed = True
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
