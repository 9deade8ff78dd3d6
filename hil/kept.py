"""What a run leaves to be judged again: both stores, the ledger, the span.

Owns the files. A change of the analysis is judged in a second on what a bench took minutes to make:
``python -m hil judge DIRECTORY``.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.centre.store.evidence_reader import Evidence
from gateway.centre.store.layout import open_reader
from gateway.correlation.analysis import analyse
from gateway.correlation.verdict import Cause, HeldBy
from hil.bench import Told
from hil.comparison import compare
from hil.ledger import Entry, Expected, Ledger

LEDGER, SPAN = "ledger.json", "span.json"


def keep(stores: Iterable[Path], ledger: Ledger, from_ns: int, to_ns: int, into: Path) -> None:
    """Copy everything into a directory, while the centre may be writing."""
    into.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(stores):
        target = into / f"store-{number}.sqlite"
        target.unlink(missing_ok=True)
        with (
            contextlib.closing(open_reader(path)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    ledger.write(into / LEDGER)
    (into / SPAN).write_text(json.dumps([from_ns, to_ns]) + "\n", "ascii")


def judge(directory: Path) -> Told:
    """Analyse what was kept, and compare. Raises: OSError, StoreError."""
    begin, end = json.loads((directory / SPAN).read_text("ascii"))
    found = json.loads((directory / LEDGER).read_text("utf-8"))
    return tell(sorted(directory.glob("*.sqlite")), [_entry(one) for one in found], begin, end)


def tell(stores: Sequence[Path], entries: Sequence[Entry], begin: int, end: int) -> Told:
    """Analyse stores and compare with the ledger's entries."""
    with Evidence(stores, begin, end) as found:
        evidence = tuple(found.gateways())
        report = analyse(evidence, found.nodes(), found.series(), begin, end, end)
    return Told(report, evidence, compare(entries, report))


def _entry(found: dict[str, Any]) -> Entry:
    expected = found.pop("expected")
    cause = expected["cause"]
    return Entry(
        **found,
        expected=Expected(
            gateways=tuple(expected["gateways"]),
            cause=None if cause is None else Cause(cause),
            held_by=tuple(HeldBy(one) for one in expected["held_by"]),
            also=tuple(Cause(one) for one in expected["also"]),
            side_effects=tuple(expected["side_effects"]),
        ),
    )
