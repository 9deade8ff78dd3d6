"""Check, edit and doctor as the docs show them: `python -m tests.config_transcript`.

Owns the transcripts in `docs/configuration.md` and `docs/doctor.md`: every command is the real
one, in a process of its own; the site is two virtual buses, a real agent and a real centre, what
the doctor finds wrong are real servers. `tests/cli/test_transcripts.py` plays them again and
compares. Only the temporary directory is taken out of the paths.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from gateway.process.tls import server_context
from tests.cli.pki import make_pki
from tests.site import Site, wait_for
from tests.virtual_site import virtual_bus

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "docs/configuration.md", ROOT / "docs/doctor.md")
BLOCK = re.compile(
    r"(?s)(<!-- transcript:(\w+) \(made by `python -m tests\.config_transcript`\) -->\n)"
    r"```text\n(.*?)```\n"
)
FIVE_ERRORS = ROOT / "tests/golden/config/agent/five-errors.toml"
BUSES = """
[[bus]]
name = "hall"
port = "{hall}"
baud = 9600
parity = "none"

[[bus.device]]
name = "oven"
unit_id = 3
profile = "eastron-sdm120"
poll_interval_s = 1.0

[[bus]]
name = "roof"
port = "{roof}"
baud = 19200
parity = "none"

[[bus.device]]
name = "main-meter"
unit_id = 5
profile = "eastron-sdm630"
poll_interval_s = 1.0
"""


@dataclass(slots=True)
class Play:
    """What was typed and printed below `root`, by the name of its block."""

    root: Path
    blocks: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.root / "etc/gateway/gateway.toml"

    def run(self, block: str, typed: str, *words: str, typing: str = "", editor: str = "") -> str:
        """Run a command and note it as `typed`; `typing` is what a person answers."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli.main", *words],
            env={**os.environ, "VISUAL": editor},
            input=typing,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        printed = done.stdout.replace(str(self.root), "")
        for answer in typing.split():
            printed = re.sub(
                r"(What now\? [^\n]*\?) (?=[^ \n])", rf"\1 {answer}\n", printed, count=1
            )
        lines = "\n".join(line.rstrip() for line in printed.strip("\n").split("\n"))
        self.blocks[block] = self.blocks.get(block, "") + f"$ {typed}\n{lines}\n"
        return done.stdout


def play(root: Path) -> Play:
    """Make every transcript below `root`."""
    scene = Play(root)
    scene.config.parent.mkdir(parents=True)
    scene.config.write_text(FIVE_ERRORS.read_text())
    scene.run("errors", "gateway check", "check", str(scene.config))
    with _buses(scene) as ports:
        site = Site(
            scene.config.parent, bus_toml=BUSES.format(**ports), spool_bytes=8 << 20
        ).write()
        scene.run("summary", "gateway check", "check", str(scene.config))
        with _daemons(site):
            _edits(scene)
            scene.run("well", "gateway doctor", "doctor", str(scene.config))
        text = scene.config.read_text()
        with _portal() as port:
            scene.config.write_text(_to(text, site, f"ws://127.0.0.1:{port}/gateway"))
            scene.run("portal", "gateway doctor", "doctor", str(scene.config))
        pki = make_pki(root / "old", begin_days=-60, end_days=-2)
        with _portal(pki.certificate_file, pki.key_file) as port:
            (scene.config.parent / "ca.pem").write_bytes(pki.ca_file.read_bytes())
            scene.config.write_text(_to(text, site, f"wss://127.0.0.1:{port}/gateway"))
            scene.run("expired", "gateway doctor", "doctor", str(scene.config))
    return scene


def _to(text: str, site: Site, url: str) -> str:
    return text.replace(f"wss://127.0.0.1:{site.centre_port}/gateway", url)


@contextlib.contextmanager
def _buses(scene: Play) -> Iterator[dict[str, Path]]:
    """Run two virtual buses that look like adapters; yield their lasting names."""
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, baud, device in (("hall", 9600, "sdm120:3"), ("roof", 19200, "sdm630:5")):
            link = scene.root / f"dev/serial/by-id/usb-FTDI_{name}-if00-port0"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(stack.enter_context(virtual_bus(scene.root, baud, device)))
            ports[name] = link
        yield ports


@contextlib.contextmanager
def _daemons(site: Site) -> Iterator[None]:
    """Run a centre and an agent that is connected; stop both."""
    daemons = [site.centre(), site.agent()]
    with contextlib.ExitStack() as stack:
        for daemon in daemons:
            stack.callback(daemon.ensure_gone)
            daemon.start()
        wait_for("a session", lambda: site.metrics().get("gateway_uplink_connected") == 1)
        yield
        for daemon in reversed(daemons):
            daemon.stop()


def _edits(scene: Play) -> None:
    """One edit with a mistake that is given up, and one that is taken over."""
    editor = scene.root / "editor.py"
    for old, new, typing in (
        ("poll_interval_s = 1.0", "poll_intervall_s = 0.5", "u\n"),
        ("poll_interval_s = 1.0", "poll_interval_s = 0.5", "i\n"),
    ):
        editor.write_text(
            "import sys\nfrom pathlib import Path\npath = Path(sys.argv[1])\n"
            f"text = path.read_text()\npath.write_text({new!r}.join(text.rsplit({old!r}, 1)))\n"
        )
        scene.run(
            "edit",
            "sudo gateway edit",
            "edit",
            str(scene.config),
            typing=typing,
            editor=f"{sys.executable} {editor}",
        )


@contextlib.contextmanager
def _portal(certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run what stands in the centre's place: a web server that sends everybody to its login."""

    class Login(BaseHTTPRequestHandler):
        server_version, sys_version = "HotelWiFi/2.1", ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://login.hotel.example/welcome")
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return None

    class Quiet(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            return None  # a client that does not like the certificate leaves

    server = Quiet(("127.0.0.1", 0), Login)
    if certificate is not None:
        context = server_context(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def rewrite(page: str, blocks: dict[str, str]) -> str:
    """Return a page with its blocks made anew."""
    return BLOCK.sub(lambda match: f"{match[1]}```text\n{blocks[match[2]]}```\n", page)


def main() -> int:
    """Play everything and rewrite the pages."""
    with tempfile.TemporaryDirectory(prefix="transcript-") as directory:
        scene = play(Path(directory))
    for page in PAGES:
        page.write_text(rewrite(page.read_text("utf-8"), scene.blocks), "utf-8")
    for name, text in scene.blocks.items():
        print(f"--- {name}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
