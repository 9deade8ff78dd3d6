"""A technician's whole visit on virtual ports: `python -m tests.commissioning_transcript`.

Owns the visit that `docs/commissioning.md` shows: every command is the real one, in a process of
its own, on two virtual RS-485 buses with six devices that nobody has described yet, with a real
centre. The page's blocks are made from what was printed; `tests/cli/test_commissioning.py` plays
the visit again and compares. Only the temporary directory is taken out of the paths.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.rig import Daemon
from tests.site import GATEWAY_ID, Site, wait_for
from tests.virtual_site import virtual_bus

PAGE = Path(__file__).resolve().parents[1] / "docs/commissioning.md"
BLOCK = re.compile(
    r"(?s)(<!-- visit:(\w+) \(made by `python -m tests\.commissioning_transcript`\) -->\n)"
    r"```text\n(.*?)```\n"
)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
REDRAW = re.compile(r"\x1b\[\?25l(?:\x1b\[\d+F)?")
ROWS, COLUMNS = 40, 118
CTRL_C_S = 15.0
"""After this long a command that Ctrl-C did not end is killed, so that nothing hangs."""
BY_ID = "dev/serial/by-id"


@dataclass(frozen=True, slots=True)
class VirtualBus:
    """One of the two buses: what hangs on it, and the adapter it looks like."""

    adapter: str
    baud: int
    devices: tuple[tuple[str, int, str], ...]
    """Model of the virtual device, unit id, and the profile that it must be named as."""


BUSES = (
    VirtualBus(
        "usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0",
        9600,
        (
            ("sdm120", 3, "eastron-sdm120"),
            ("pzem016", 17, "peacefair-pzem-016"),
            ("xymd02", 88, "xy-md02"),
        ),
    ),
    VirtualBus(
        "usb-FTDI_FT232R_USB_UART_B6037XQK-if00-port0",
        19200,
        (
            ("sdm630", 5, "eastron-sdm630"),
            ("em340", 45, "carlo-gavazzi-em340"),
            ("abb-b23", 120, "abb-b23"),
        ),
    ),
)
WRITABLE = """
[[bus.device.point]]           # a register that may be written
name = "display_mode"
table = "holding"
address = 0xFFF0
type = "u16"
writable = true
write_min = 0
write_max = 3
"""


@dataclass(slots=True)
class Visit:
    """One visit below `root`. `blocks`: what was typed and printed, by the name of its block."""

    root: Path
    blocks: dict[str, str] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    """Device → unit of a point of it that the centre has stored as good."""
    config: str = ""

    @property
    def file(self) -> Path:
        return self.root / "etc/gateway/gateway.toml"

    def port(self, bus: VirtualBus) -> Path:
        return self.root / BY_ID / bus.adapter

    def plain(self, text: str) -> str:
        """Return text as the technician of the page sees it."""
        return ESCAPE.sub("", text).replace(str(self.root), "").replace("\r", "")

    def note(self, block: str, typed: str, printed: str) -> None:
        """Add a command and what it printed to a block."""
        lines = "\n".join(line.rstrip() for line in self.plain(printed).strip("\n").split("\n"))
        self.blocks[block] = self.blocks.get(block, "") + f"$ {typed}\n{lines}\n"


def play(root: Path) -> Visit:
    """Make the whole visit below `root` and return it."""
    visit = Visit(root)
    visit.file.parent.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        for bus in BUSES:
            stack.enter_context(_virtual(visit, bus))
        running = _scans(visit)
        for scan in running:
            stack.callback(scan.kill)
        site = Site(visit.file.parent, bus_toml="", spool_bytes=8 << 20).write()
        centre = site.centre()
        stack.callback(centre.ensure_gone)
        centre.start()
        _scanned(visit, running)
        _check(visit)
        agent = site.agent()
        stack.callback(agent.ensure_gone)
        agent.start()
        _live(visit, site)
        _stored(visit, site)
        _leave(visit, agent)
        centre.stop()
    return visit


@contextlib.contextmanager
def _virtual(visit: Visit, bus: VirtualBus) -> Iterator[None]:
    """Run a virtual bus; its pty looks like an adapter below /dev/serial/by-id."""
    devices = [f"{model}:{unit_id}" for model, unit_id, _ in bus.devices]
    with virtual_bus(visit.root, bus.baud, *devices) as port:
        visit.port(bus).parent.mkdir(parents=True, exist_ok=True)
        visit.port(bus).symlink_to(port)
        yield


def _gateway(*words: str) -> list[str]:
    return [sys.executable, "-m", "gateway.cli.main", *words]


def _scans(visit: Visit) -> list[subprocess.Popen[str]]:
    """Scan both ports at once, as in two terminals."""
    return [
        subprocess.Popen(
            _gateway("scan", str(visit.port(bus))),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for bus in BUSES
    ]


def _scanned(visit: Visit, running: list[subprocess.Popen[str]]) -> None:
    """Append both snippets to the config."""
    for bus, process in zip(BUSES, running, strict=True):
        snippet, told = process.communicate(timeout=120)
        with visit.file.open("a") as file:
            file.write(snippet)
        typed = f"gateway scan /{BY_ID}/{bus.adapter} | tee -a /etc/gateway/gateway.toml"
        visit.note(f"scan{bus.baud}", typed, told + snippet)
    visit.config = visit.file.read_text()


def _check(visit: Visit) -> None:
    text = visit.config
    end = text.index("\n", text.index('profile = "peacefair-pzem-016"'))
    end = text.index("\n", end + 1)
    visit.file.write_text(text[: end + 1] + WRITABLE + text[end + 1 :])
    done = _run(visit, "check", str(visit.file))
    visit.note("check", "gateway check /etc/gateway/gateway.toml", done)


def _run(visit: Visit, *words: str) -> str:
    """Run a command and return all that it printed."""
    done = subprocess.run(
        _gateway(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    return done.stdout


def _live(visit: Visit, site: Site) -> None:
    """Look at the running agent, read, write, watch."""
    config = ("--config", str(visit.file))
    wait_for("a session", lambda: site.metrics().get("gateway_uplink_connected") == 1)
    time.sleep(2.0)  # a few polls of every device, as a technician would let pass
    visit.note("status", "gateway status", _run(visit, "status", *config))
    names = [line.split('"')[1] for line in visit.config.splitlines() if line.startswith("name")]
    sensor = next(name for name in names if name.startswith("md02"))
    meter = next(name for name in names if name.startswith("pzem"))
    read = ("read", sensor, "--frames")
    visit.note("read", "gateway " + " ".join(read), _run(visit, *read, *config))
    for value in ("2", "7"):
        write = ("write", f"{meter}.display_mode", value)
        visit.note("write", "gateway " + " ".join(write), _run(visit, *write, *config))
    watch = ("watch", "md02*", "*.frequency", "*.active_power", "*.voltage*1")
    typed = "gateway " + " ".join(f"'{word}'" if "*" in word else word for word in watch)
    visit.note("watch", typed, _on_terminal([*_gateway(*watch), *config], seconds=2.5))
    piped = _run(visit, "watch", f"{sensor}", "--seconds", "1", *config)
    visit.note("pipe", f"gateway watch {sensor} | cat", piped)


def _on_terminal(command: Sequence[str], seconds: float) -> str:
    """Run a command on a terminal, end it with Ctrl-C, return its last screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        # readline, once imported, puts the size of another terminal into the environment.
        sizes = ("COLUMNS", "LINES")
        environment = {name: value for name, value in os.environ.items() if name not in sizes}
        os.execve(command[0], list(command), environment)
    written, until, interrupted = b"", time.monotonic() + seconds, False
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if time.monotonic() > until + CTRL_C_S:
            os.kill(pid, signal.SIGKILL)
        if not interrupted and time.monotonic() > until:
            os.write(terminal, b"\x03")
            interrupted = True
        if not ready:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # EIO: it has ended
            break
        written += piece
    os.close(terminal)
    os.waitpid(pid, 0)
    return REDRAW.split(written.decode("utf-8"))[-1].replace("^C", "")


def _stored(visit: Visit, site: Site) -> None:
    """Note which devices the centre has good readings of."""
    for point in site.api(f"/api/gateways/{GATEWAY_ID}/points"):
        name = point["point"]
        device = name.partition(".")[0]
        if device in visit.stored or device == "host":
            continue
        readings = site.api(f"/api/gateways/{GATEWAY_ID}/readings?point={name}&limit=1")
        if any(reading.get("value") is not None for reading in _items(readings)):
            visit.stored[device] = str(point["unit"])


def _items(answer: object) -> list[dict[str, object]]:
    """Return the rows of an answer of the API, which may be a list or an object with one."""
    if isinstance(answer, dict):
        answer = next((value for value in answer.values() if isinstance(value, list)), [])
    assert isinstance(answer, list)
    return answer


def _leave(visit: Visit, agent: Daemon) -> None:
    status = agent.stop()
    visit.note(
        "stop",
        "systemctl stop gateway; gateway status",
        _run(visit, "status", "--config", str(visit.file)),
    )
    assert status == 0


def rewrite(page: str, blocks: dict[str, str]) -> str:
    """Return the page with its blocks made anew."""
    return BLOCK.sub(lambda match: f"{match[1]}```text\n{blocks[match[2]]}```\n", page)


def main() -> int:
    """Play the visit and rewrite the page."""
    with tempfile.TemporaryDirectory(prefix="visit-") as directory:
        visit = play(Path(directory))
    PAGE.write_text(rewrite(PAGE.read_text("utf-8"), visit.blocks), "utf-8")
    for name, text in visit.blocks.items():
        print(f"--- {name}\n{text}")
    print(visit.stored)
    return 0


if __name__ == "__main__":
    sys.exit(main())
