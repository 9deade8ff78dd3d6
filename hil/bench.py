"""A stack with a ledger: injects faults, waits until they have bitten, and asks the analysis.

Owns the course of a fault (inject, wait for the losses, mend, wait until all are back) and the
reading of the nodes' stores. What broke is told to the ledger only; the analysis gets the stores.
"""

import contextlib
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway.centre.store.evidence_reader import Evidence
from gateway.centre.store.layout import open_reader
from gateway.correlation.analysis import analyse
from gateway.correlation.evidence import GatewayEvidence
from gateway.correlation.report import Report
from hil.comparison import Comparison, compare
from hil.injector import Injector
from hil.ledger import Entry, Ledger
from hil.stack import Stack, wait_for

BITE_S = 25.0
"""How long a fault may take until its gateways have lost their sessions."""
BACK_S = 60.0
HOLD_S = 2.0
"""How long a fault lasts at least once it has bitten."""
USUAL_NS = 60_000_000_000
QUIET_S = 9.0
"""Between two rounds: what a gateway recorded of the last one has arrived."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the analysis makes of a span, with what it was given."""

    report: Report
    evidence: tuple[GatewayEvidence, ...]
    comparison: Comparison

    def of(self, gateway: str) -> GatewayEvidence:
        """Return a gateway's evidence."""
        return next(one for one in self.evidence if one.gateway == gateway)


class Bench:
    """Faults on one stack. `random` is drawn from the seed."""

    def __init__(self, stack: Stack, seed: int = 0) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.from_ns = time.time_ns()

    def fault(self, *injectors: Injector, hold_s: float = HOLD_S) -> tuple[Entry, ...]:
        """Inject these at once, and mend them once they have bitten; return when all is well.

        Raises: TimeoutError when a fault takes no session or a gateway does not come back.
        """
        before = self._sessions()
        entries = [
            self.ledger.begin(one.name, one.scope.value, one.expected()) for one in injectors
        ]
        with ThreadPoolExecutor(len(injectors), "hil.fault") as pool:
            plays = [
                pool.submit(self._play, one, entry, before, hold_s)
                for one, entry in zip(injectors, entries, strict=True)
            ]
        for play in plays:
            play.result()
        return tuple(entries)

    def _play(
        self, injector: Injector, entry: Entry, before: dict[str, tuple[str, int]], hold_s: float
    ) -> None:
        expected = entry.expected
        falls = set() if expected.cause is None else set(expected.gateways)
        try:
            with self.ledger.failing(entry):
                try:
                    injector.inject()
                    entry.injected_ns = time.time_ns()
                    self._wait_lost(falls, before)
                    time.sleep(hold_s)
                finally:
                    injector.clear()
                    entry.cleared_ns = time.time_ns()
                touched = {*expected.gateways, *expected.side_effects}
                self.stack.wait_connected(touched, BACK_S)
        finally:
            entry.settled_ns = time.time_ns()

    def quiet(self, seconds: float = QUIET_S) -> None:
        """Let things settle: everybody connected, then `seconds` of peace."""
        self.stack.wait_connected(timeout_s=BACK_S)
        time.sleep(seconds)

    def told(self, from_ns: int | None = None) -> Told:
        """Ask the analysis about everything since `from_ns` (``None``: since the bench began)."""
        begin, end = self.from_ns if from_ns is None else from_ns, time.time_ns()
        # What is usual has to be learnt before a fall from it can be seen.
        with Evidence(self.stack.stores(), begin - USUAL_NS, end) as found:
            evidence = tuple(found.gateways())
            report = analyse(evidence, found.nodes(), found.series(), begin, end, end)
        entries = [entry for entry in self.ledger.entries if entry.began_ns >= begin]
        return Told(report, evidence, compare(entries, report))

    # -- the stores ----------------------------------------------------------------------------

    def _sessions(self) -> dict[str, tuple[str, int]]:
        """Return each gateway's newest session: its node and number."""
        found: dict[str, tuple[str, int]] = {}
        for name, node in self.stack.nodes.items():
            for gateway, number, _ in _newest(node.store):
                found[gateway] = name, number
        return found

    def _wait_lost(self, gateways: set[str], before: dict[str, tuple[str, int]]) -> None:
        """Wait until every one of the sessions there were `before` is over."""
        left = set(gateways)

        def check() -> bool:
            for name, node in self.stack.nodes.items():
                mine = {gateway for gateway in left if before.get(gateway, (name,))[0] == name}
                if mine and not node.running:
                    left.difference_update(mine)
                    continue
                with contextlib.suppress(sqlite3.Error):
                    for gateway, number, closed_ns in _newest(node.store):
                        if gateway in mine:
                            old = before.get(gateway, ("", -1))[1]
                            if number != old or closed_ns is not None:
                                left.discard(gateway)
            return not left

        wait_for(lambda: f"{', '.join(sorted(left))} to fall", check, BITE_S)


def _newest(store: Path) -> list[tuple[str, int, int | None]]:
    """Return (gateway, number, closed) of the newest session of each gateway."""
    with contextlib.closing(open_reader(store)) as db:
        rows = db.execute(
            "SELECT g.name, s.id, s.closed_ns, max(s.opened_ns) FROM session s JOIN gateway g"
            " ON g.id = s.gateway GROUP BY s.gateway"
        )
        return [(str(name), int(number), closed) for name, number, closed, _ in rows]
