"""What `gateway drops` says of a told day: `python -m tests.drops_transcript`.

Owns the commands that `docs/drops.md` shows: every one is the real one, run on the stores of two
centre nodes that `tests.drops_history` fills, and on a real Prometheus that holds the same day. The
page's blocks are made from what was printed; `tests/cli/test_drops_docs.py` plays it again and
compares.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from gateway.cli import drops
from gateway.cli.main import main as gateway
from tests import drops_history
from tests.prometheus_server import Metrics, backfilled

PAGE = Path(__file__).resolve().parents[1] / "docs/drops.md"
BLOCK = re.compile(
    r"(?s)(<!-- drops:(\w+) \(made by `python -m tests\.drops_transcript`\) -->\n)"
    r"```text\n(.*?)```\n"
)
STORES = "var/lib/gateway-centre"
ADDRESS = "http://prometheus:9090"
SCRAPE_S = 15


class DayOver:
    """A clock that stands at the end of the day."""

    def wall_ns(self) -> int:
        return drops_history.span()[1]


@dataclass
class Transcript:
    """What was typed and printed, by the name of its block."""

    root: Path
    blocks: dict[str, str] = field(default_factory=dict)
    address: str = ""
    as_json: tuple[str, ...] = ()
    """The day by the stores' own samples, and by Prometheus."""

    def type(self, block: str, *words: str) -> str:
        """Run a command and note it; return what it printed."""
        text = self.run(*words)
        shown = text.replace(str(self.root), "").replace(self.address or ADDRESS, ADDRESS)
        typed = " ".join(["gateway drops", *words])
        self.blocks[block] = self.blocks.get(block, "") + f"$ {typed}\n{shown}"
        return text

    def run(self, *words: str) -> str:
        """Run a command and return what it printed."""
        plain = [
            word.replace("/" + STORES, f"{self.root}/{STORES}").replace(ADDRESS, self.address)
            for word in words
        ]
        out = io.StringIO()
        with (
            mock.patch.object(drops, "Clock", DayOver),
            berlin(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            status = gateway(["drops", *plain])
        text = out.getvalue()
        assert status == 0, text
        return text


@contextlib.contextmanager
def berlin() -> Iterator[None]:
    """Be where local time has an offset."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def play(root: Path) -> tuple[Transcript, drops_history.Day]:
    """Let the day happen below `root` and ask about it."""
    directory = root / STORES
    directory.mkdir(parents=True)
    day = drops_history.play(directory)
    transcript = Transcript(root)
    stores = ["--store", f"/{STORES}/a.sqlite", "--store", f"/{STORES}/b.sqlite"]
    listed = transcript.type("list", "--since", "6h", *stores)
    first, _, third = re.findall(r"(?m)^(\S+)  \d{4}-", listed)[:3]
    transcript.type("show", "show", first, *stores)
    transcript.type("proxy", "show", third, *stores)
    return transcript, day


def ask_prometheus(
    transcript: Transcript, day: drops_history.Day, scrape_s: int = SCRAPE_S
) -> None:
    """Ask about the same day with the connections from Prometheus."""
    directory = transcript.root / f"prometheus-{scrape_s}"
    with backfilled(directory, metrics(day, scrape_s)) as transcript.address:
        stores = ["--store", f"/{STORES}/a.sqlite", "--store", f"/{STORES}/b.sqlite"]
        words = ("--since", "6h", *stores, "--prometheus", ADDRESS)
        transcript.type("prometheus", *words)
        transcript.as_json = (
            transcript.run("--json", "--since", "6h", *stores),
            transcript.run("--json", *words),
        )


def metrics(day: drops_history.Day, scrape_s: int) -> Metrics:
    """Return what scrapes of both nodes would have seen."""
    begin, end = (at_ns / 1e9 for at_ns in drops_history.span())
    moments = [seconds for seconds, *_ in day.counts]
    seconds = range(scrape_s, int(end - begin) + 1, scrape_s)
    seen = [(begin + s, day.counts[bisect_right(moments, s) - 1]) for s in seconds]
    nodes = ("a", "b")
    return {
        "ws_active_connections": (
            "gauge",
            {name: [(at_s, now[1][n]) for at_s, now in seen] for n, name in enumerate(nodes)},
        ),
        "ws_connection_total": (
            "counter",
            {name: [(at_s, now[2][n]) for at_s, now in seen] for n, name in enumerate(nodes)},
        ),
        "up": ("gauge", {name: [(at_s, 1.0) for at_s, _ in seen] for name in nodes}),
    }


def rewrite(page: str, blocks: dict[str, str]) -> str:
    """Return the page with its blocks made anew."""
    return BLOCK.sub(lambda match: f"{match[1]}```text\n{blocks[match[2]]}```\n", page)


def main() -> int:
    """Play the day and rewrite the page."""
    with tempfile.TemporaryDirectory(prefix="drops-") as directory:
        transcript, day = play(Path(directory))
        ask_prometheus(transcript, day)
    PAGE.write_text(rewrite(PAGE.read_text("utf-8"), transcript.blocks), "utf-8")
    for name, text in transcript.blocks.items():
        print(f"--- {name}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
