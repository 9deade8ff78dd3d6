"""Loss, with the real agent and centre processes (Must show 2).

The device numbers its answers and writes down when it gave each; afterwards the store must hold
every number exactly once. A number may be missing only if it was given within `WINDOW_S` before a
SIGKILL of the agent, and then a gap of the centre must cover it. The centre, the network and an
orderly stop of the agent may be lost at any time and cost nothing.
"""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.centre.store.layout import open_reader
from gateway.centre.store.strips import unpack
from gateway.reading import TICK_NS
from gateway.wire.rows import decode_schema
from tests.rig import CountingDevice, Daemon, Relay, seed_of
from tests.site import Site, wait_for

COMMIT_S = 1.0
WINDOW_S = COMMIT_S + 0.5
"""What a SIGKILL of the agent may cost, as stated: `spool.commit_s`, one flush, one poll."""
DEVICE = "counter"
"""The device of `tests.site`."""
IN_FLIGHT_S = 0.1
"""The device may answer a request that long after the agent that sent it was killed."""

# A gap at the end of an epoch lasts from the last row stored before it to the first one after it.
GAPS = """
WITH span AS (
    SELECT stream.epoch AS epoch, min(strip.t) AS first, max(strip.t + strip.span) AS last
    FROM strip JOIN stream ON stream.id = strip.stream GROUP BY stream.epoch
)
SELECT
    coalesce(t_from, (SELECT max(last) FROM span WHERE span.epoch <= gap.epoch), 0),
    coalesce(t_to, (SELECT min(first) FROM span WHERE span.epoch > gap.epoch), 1 << 60)
FROM gap
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each scenario happens. Times are seconds."""

    agent_kills: int
    centre_kills: int
    both_kills: int
    dark_s: float
    centre_away_s: float
    boot_alone_s: float


FULL = Counts(100, 100, 50, dark_s=30.0, centre_away_s=20.0, boot_alone_s=10.0)
SHORT = Counts(5, 4, 3, dark_s=4.0, centre_away_s=3.0, boot_alone_s=2.0)


@dataclass(slots=True)
class Stored:
    """What the store holds: how often each answer, and the gaps as (from, to) in boottime ns."""

    answers: Counter[int] = field(default_factory=Counter)
    bad_polls: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    epochs: int = 0
    sessions: int = 0


@dataclass(slots=True)
class Verdict:
    """Ground truth against store."""

    given: int
    stored: int
    duplicated: int
    missing: list[int]
    outside: list[int]
    uncovered: list[int]

    @property
    def good(self) -> bool:
        """Whether nothing is missing that must not be, and nothing is twice."""
        return not (self.duplicated or self.outside or self.uncovered)


class Bench:
    """Device, relay, centre and agent; scenarios call `kill_…` and `settle`."""

    def __init__(self, directory: Path, rng: random.Random) -> None:
        self.rng = rng
        self.device = CountingDevice().start()
        self.site = Site(directory, bus_port=self.device.port)
        self.relay = Relay(self.site.centre_port)
        self.site.relay_port = self.relay.port
        self.site.write()
        self.agent = self.site.agent()
        self.centre = self.site.centre()
        self.told: list[str] = []

    def close(self) -> None:
        """Leave nothing behind."""
        self.agent.ensure_gone()
        self.centre.ensure_gone()
        self.relay.stop()
        self.device.stop()

    def pause(self, low: float, high: float) -> None:
        """Let a random time pass."""
        time.sleep(self.rng.uniform(low, high))

    def answers(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait until the device gave `count` more answers."""
        target = len(self.device.answers) + count
        wait_for(f"{count} more answers", lambda: len(self.device.answers) >= target, timeout_s)

    def settle(self) -> None:
        """Wait until nothing is left to send, then stop both in order.

        The device falls silent before: a stop may cut the transaction in hand short.
        """
        wait_for("an empty spool", self._drained, 120.0)
        self.device.silent = True
        time.sleep(0.2)
        if self.agent.stop() != 0 or self.centre.stop(20.0) != 0:
            raise RuntimeError(f"a daemon did not stop well; see {self.site.directory}")

    def _drained(self) -> bool:
        self.agent.check()
        self.centre.check()
        metrics = self.site.metrics()
        connected = metrics.get("gateway_uplink_connected") == 1.0
        # Polling goes on, so a few records are always under way.
        return connected and metrics.get("gateway_spool_records", 1e9) <= 5

    def repeat(self, count: int, kill: Callable[[], None], low: float, high: float) -> None:
        """Do `kill` at `count` random moments."""
        for _ in range(count):
            self.pause(low, high)
            kill()

    def kill_agent(self) -> None:
        """SIGKILL the agent and start it again."""
        self.agent.kill()
        self.agent.start()

    def kill_centre(self) -> None:
        """SIGKILL the centre and start it again, at once or a little later."""
        self.centre.kill()
        self.pause(0.0, 0.5)
        self.centre.start()

    def kill_both(self) -> None:
        """SIGKILL both in either order and start them again."""
        daemons: list[Daemon] = [self.agent, self.centre]
        self.rng.shuffle(daemons)
        for daemon in daemons:
            daemon.kill()
        self.rng.shuffle(daemons)
        for daemon in daemons:
            daemon.start()

    def run(self, counts: Counts) -> Verdict:
        """Go through every scenario on one spool and one store, and compare at the end."""
        self._step("centre down when the agent boots")
        self.agent.start()
        self.answers(10)
        time.sleep(counts.boot_alone_s)
        self.centre.start()
        wait_for("a session", self._drained, 60.0)

        self._step(f"half-open for {counts.dark_s:g} s, then the centre killed")
        self.relay.dark()
        time.sleep(counts.dark_s)
        self.centre.kill()
        time.sleep(counts.centre_away_s)
        self.relay.light()
        self.centre.start()
        wait_for("a session", self._drained, 60.0)

        self._step(f"SIGKILL of the centre, {counts.centre_kills} times")
        self.repeat(counts.centre_kills, self.kill_centre, 0.3, 1.5)
        wait_for("a session", self._drained, 60.0)
        if self.agent.kills:
            raise RuntimeError("no agent was to be killed so far")
        self._step(f"SIGKILL of the agent, {counts.agent_kills} times")
        self.repeat(counts.agent_kills, self.kill_agent, 0.3, 3.0)
        self._step(f"SIGKILL of both, {counts.both_kills} times")
        self.repeat(counts.both_kills, self.kill_both, 0.5, 4.0)
        self._step("settling")
        self.settle()
        return self.compare()

    def compare(self) -> Verdict:
        """Compare the device's own list with the store."""
        stored = read_store(self.site.directory / "store.sqlite")
        given = self.device.answers
        kills = self.agent.kills
        window = round(WINDOW_S * 1e9)
        missing = [n for n in range(len(given)) if not stored.answers[n]]
        late = round(IN_FLIGHT_S * 1e9)
        outside = [n for n in missing if not any(-late <= k - given[n] <= window for k in kills)]
        uncovered = [n for n in missing if not any(a <= given[n] <= b for a, b in stored.gaps)]
        self.told.append(
            f"epochs {stored.epochs}, sessions {stored.sessions}, gaps {len(stored.gaps)}, "
            f"bad polls {stored.bad_polls}, kills of the agent {len(kills)}, "
            f"of the centre {len(self.centre.kills)}"
        )
        duplicated = sum(times - 1 for times in stored.answers.values() if times > 1)
        return Verdict(len(given), len(stored.answers), duplicated, missing, outside, uncovered)

    def _step(self, text: str) -> None:
        print(f"  {len(self.device.answers):7d} answers: {text}", flush=True)


def read_store(path: Path) -> Stored:
    """Unpack every row of the store (its file is closed: the centre has stopped)."""
    stored = Stored()
    database = open_reader(path)
    try:
        for block, body, schema in database.execute(
            "SELECT stream.block, strip.body, schema.body FROM strip"
            " JOIN stream ON stream.id = strip.stream JOIN schema ON schema.id = stream.schema"
        ):
            if decode_schema(schema).blocks[block].source != DEVICE:
                continue  # what the gateway says of its own host
            for _, row, _ in unpack(body):
                if row[0] is None:
                    stored.bad_polls += 1
                else:
                    stored.answers[row[0]] += 1
        stored.gaps = [
            (first * TICK_NS, (last + 1) * TICK_NS) for first, last in database.execute(GAPS)
        ]
        (stored.epochs,) = database.execute("SELECT count(*) FROM epoch").fetchone()
        (stored.sessions,) = database.execute("SELECT count(*) FROM session").fetchone()
    finally:
        database.close()
    return stored


def show(bench: Bench, verdict: Verdict) -> None:
    """Print the figures."""
    kills = bench.agent.kills
    given = bench.device.answers
    ages = [
        min((k - given[n] for k in kills if k - given[n] >= -IN_FLIGHT_S * 1e9), default=0) / 1e9
        for n in verdict.missing
    ]
    print(f"readings given {verdict.given}, stored {verdict.stored}, twice {verdict.duplicated}")
    print(
        f"missing {len(verdict.missing)}, oldest {max(ages, default=0.0):.3f} s before a kill of "
        f"the agent (window {WINDOW_S:g} s); outside the window {len(verdict.outside)}, "
        f"not covered by a gap {len(verdict.uncovered)}"
    )
    for line in bench.told:
        print(line)


def run(counts: Counts, directory: Path) -> Verdict:
    """Run every scenario below `directory` and print the figures."""
    _, rng = seed_of("loss")
    bench = Bench(directory, rng)
    try:
        verdict = bench.run(counts)
        show(bench, verdict)
        return verdict
    finally:
        bench.close()


def main() -> int:
    """Run the full counts; the files stay when something is wrong."""
    directory = Path(tempfile.mkdtemp(prefix="gateway-loss-"))
    verdict = run(FULL, directory)
    if not verdict.good:
        print(f"FAILED: outside {verdict.outside[:20]}, uncovered {verdict.uncovered[:20]}")
        print(f"files: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
