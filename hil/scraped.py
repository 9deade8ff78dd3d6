"""The second judge: the drop read from a real Prometheus, the evidence from both stores.

Owns asking as it is asked in the field, by `gateway drops --prometheus` with a store for each node:
once in this process, for the comparison with the ledger, once from the command line, which also
writes the HTML report. The two must name the same incidents.
"""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.child import ChildError, own_command
from gateway.cli.drops_source import Asked, Looked, look
from gateway.process.prometheus import Prometheus
from gateway.process.prometheus_series import DEFAULT_QUERY
from hil.comparison import Comparison, compare
from hil.ledger import Entry
from hil.network import inside
from hil.stack import Stack

DROPS_S = 60.0
NEAR_NS = 10_000_000_000
"""How far a drop may begin from a fault that belongs to it: a scrape a second, an instant of the
analysis, a fault that takes seconds to bite."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """What came of it. `printed`: the incidents' ids that the command line printed. `unseen`:
    (fault's number, fault) that took gateways and that no drop of the series shows."""

    looked: Looked
    comparison: Comparison
    printed: tuple[str, ...]
    unseen: tuple[tuple[int, str], ...]

    @property
    def hidden(self) -> int:
        """Return how many drops came and went between two scrapes."""
        return sum(drop.hidden for drop in self.looked.report.drops)

    def shortcomings(self) -> list[str]:
        """Say what the command line has otherwise than this process; empty: nothing."""
        own = {incident.identity for incident in self.looked.report.incidents}
        other = own ^ set(self.printed)
        return [f"gateway drops names other incidents: {', '.join(sorted(other))}"] if other else []


def scraped(stack: Stack, entries: Sequence[Entry], from_ns: int, directory: Path) -> Scraped:
    """Ask both ways about everything since `from_ns`; ``drops.json`` and ``drops.html`` go to
    `directory`. The stack must have its Prometheus. Raises: ChildError, GatewayError."""
    assert stack.scraper is not None
    directory.mkdir(parents=True, exist_ok=True)
    to_ns = time.time_ns()
    prometheus = Prometheus(stack.scraper.url)
    asked = Asked(stack.stores(), from_ns, to_ns, to_ns, prometheus, DEFAULT_QUERY)
    looked = inside(stack.network.core, lambda: look(asked))
    return Scraped(
        looked,
        compare(entries, looked.report),
        printed(stack, from_ns, to_ns, directory),
        _unseen(entries, looked),
    )


def printed(stack: Stack, from_ns: int, to_ns: int, directory: Path) -> tuple[str, ...]:
    """Run ``gateway drops`` within the bench's namespace; return the incidents' ids it prints."""
    assert stack.scraper is not None
    command = ["ip", "netns", "exec", stack.network.core, *own_command("drops", "--json")]
    command += ["--since", _utc(from_ns), "--until", _utc(to_ns)]
    command += ["--prometheus", stack.scraper.url, "--html", str(directory / "drops.html")]
    for store in stack.stores():
        command += ["--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DROPS_S, check=False)
    if done.returncode != 0:
        raise ChildError(f"gateway drops ended with {done.returncode}: {done.stderr.strip()}")
    (directory / "drops.json").write_text(done.stdout, "utf-8")
    return tuple(str(incident["id"]) for incident in json.loads(done.stdout)["incidents"])


def _utc(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest // 1000:06d}Z"


def _unseen(entries: Sequence[Entry], looked: Looked) -> tuple[tuple[int, str], ...]:
    drops = looked.report.drops
    unseen = []
    for entry in entries:
        end_ns = entry.settled_ns or entry.cleared_ns or entry.began_ns
        near = any(
            drop.started_ns <= end_ns + NEAR_NS
            and (drop.recovered_ns or drop.bottom_ns) >= entry.began_ns - NEAR_NS
            for drop in drops
        )
        if entry.expected.cause is not None and not near:
            unseen.append((entry.number, entry.fault))
    return tuple(unseen)
