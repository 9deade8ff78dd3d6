"""The campaign: every fault in a random seeded order over the whole fleet, then the verdict.

Owns the order of a run: build the stack, deal the deck, break and mend, let the last evidence
arrive, ask the analysis once about everything. What comes of it is `comparison`'s and `report`'s.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.child import ChildError
from hil.bench import QUIET_S, Bench, Told
from hil.capability import Capability, missing
from hil.deck import Deck
from hil.fleet import plan
from hil.kept import keep
from hil.ledger import Ledger
from hil.scraped import Scraped, scraped
from hil.stack import Stack

AGENTS, DRIVERS = 12, 24
WARM_UP_S = 15.0
"""Sessions are to be older than a reconnect before the first fault."""
LAST_S = 15.0


@dataclass(frozen=True, slots=True)
class Run:
    """One campaign's result. `left_out`: (fault, what the machine lacks). `scraped`: the same with
    the drop read from Prometheus; ``None`` where there is none."""

    seed: int
    agents: int
    drivers: int
    seconds: float
    ledger: Ledger
    told: Told
    left_out: tuple[tuple[str, str], ...]
    scraped: Scraped | None = None

    def shortcomings(self) -> list[str]:
        """Say what either judge found wrong; empty: nothing."""
        found = [
            f"fault {entry.number}, {entry.fault}: {entry.failure}"
            for entry in self.ledger.entries
            if entry.failure
        ]
        found += self.told.comparison.shortcomings()
        if self.scraped is not None:
            found += [f"Prometheus: {line}" for line in self.scraped.comparison.shortcomings()]
            found += self.scraped.shortcomings()
        return found


def run(
    seed: int,
    say: Callable[[str], None],
    out: Path,
    *,
    copies: int = 1,
    agents: int = AGENTS,
    drivers: int = DRIVERS,
    only: Collection[str] | None = None,
    calm: float = 1.0,
) -> Run:
    """Run one campaign and return what came of it. What can be judged again goes below `out`.
    `only`: the faults to inject, ``None`` for all. `calm`: part of the usual pauses.

    Raises: TimeoutError, ChildError when the bench itself fails; a single fault that does is named
    in the ledger.
    """
    began = time.monotonic()
    reason = missing(Capability.PROMETHEUS)
    if reason is not None:
        say(f"without Prometheus: {reason}")
    fleet = plan(agents, drivers)
    with Stack(fleet, prometheus=reason is None, seed=seed) as stack:
        bench = Bench(stack)
        bench.quiet(WARM_UP_S * calm)
        deck = Deck(stack, seed, copies, only)
        for number, injectors in enumerate(deck.rounds(), 1):
            names = ", ".join(
                f"{one.name}({' '.join(one.expected().gateways)})" for one in injectors
            )
            say(f"round {number}: {names}")
            try:
                bench.fault(*injectors)
            except (TimeoutError, ChildError) as error:
                say(f"round {number} failed: {error}")
            bench.quiet(QUIET_S * calm)
        bench.quiet(LAST_S * calm)
        told = bench.told()
        kept, entries = out / f"seed-{seed}", bench.ledger.entries
        other = None if reason else scraped(stack, entries, bench.from_ns, kept)
        keep(stack.stores(), bench.ledger, bench.from_ns, told.report.to_ns, kept)
    seconds = time.monotonic() - began
    left_out = tuple(deck.left_out)
    return Run(seed, agents, drivers, seconds, bench.ledger, told, left_out, other)
