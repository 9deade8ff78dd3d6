"""The bench's own record of what it broke, when, and what ought to be said of it.

Owns the truth the report is compared with. It is written beside the stack's files and read by
nobody but the comparison: no code under `gateway/` sees it.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gateway.correlation.verdict import Cause, HeldBy


@dataclass(frozen=True, slots=True)
class Expected:
    """What a fault ought to be found as.

    `gateways`: those that must fall (none: the fault drops nothing). `held_by`: any of these is
    right; empty: not looked at. `also`: causes that are right as well, because the evidence a
    gateway has cannot tell them apart; keep it empty unless the reason stands beside it.
    `side_effects`: gateways that may or may not fall with it (they are not counted).
    """

    gateways: tuple[str, ...]
    cause: Cause | None
    held_by: tuple[HeldBy, ...] = ()
    also: tuple[Cause, ...] = ()
    side_effects: tuple[str, ...] = ()


@dataclass(slots=True)
class Entry:
    """One fault. Wall times (UTC ns): `began_ns` just before `inject`, `cleared_ns` after
    `clear`, `settled_ns` when all its gateways were back; ``None``: not yet. `failure`: why the
    injection itself failed."""

    number: int
    fault: str
    scope: str
    expected: Expected
    began_ns: int
    injected_ns: int | None = None
    cleared_ns: int | None = None
    settled_ns: int | None = None
    failure: str = ""


@dataclass(slots=True)
class Ledger:
    """All faults of a run, in the order in which they began. May be used from many threads."""

    entries: list[Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, fault: str, scope: str, expected: Expected) -> Entry:
        """Note that a fault is about to be injected."""
        with self._lock:
            entry = Entry(len(self.entries) + 1, fault, scope, expected, time.time_ns())
            self.entries.append(entry)
            return entry

    @contextmanager
    def failing(self, entry: Entry) -> Iterator[None]:
        """Note the error that ends the block, and let it pass."""
        try:
            yield
        except Exception as error:
            entry.failure = repr(error)[:500]
            raise

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        with self._lock:
            text = json.dumps([asdict(entry) for entry in self.entries], indent=1)
        path.write_text(text + "\n", "utf-8")
