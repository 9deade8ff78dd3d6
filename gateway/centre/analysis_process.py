"""The process that analyses: reads the store, says what is to be written, line by line.

Owns one analysis at a time; started by `analyst`, ends when its standard input does. Never writes
to the store: two writers would wait for each other. A request is ``[from_ns, to_ns, now_ns]``, the
answer lines of JSON of which the last holds ``"done"``.
"""

import contextlib
import gc
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

from gateway.centre.store import findings, layout
from gateway.centre.store.evidence_reader import Evidence
from gateway.centre.store.findings import Again, Difference
from gateway.correlation.analysis import analyse
from gateway.errors import StoreError

PART = 20
"""Losses in one line: what the centre's loop takes in one turn."""
NICE = 19


def main(path: Path) -> int:
    """Answer requests until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the centre's end is ours, after its goodbyes
    with contextlib.suppress(OSError):
        os.nice(NICE)
    gc.disable()  # short-lived values without cycles: collected between two analyses
    again = Again()
    for line in sys.stdin:
        from_ns, to_ns, now_ns = json.loads(line)
        try:
            for answer in answers(path, again, from_ns, to_ns, now_ns):
                print(json.dumps(answer), flush=False)
        except (StoreError, sqlite3.Error) as error:
            print(json.dumps({"done": True, "error": str(error)}))
        sys.stdout.flush()
        gc.collect()
    return 0


def answers(
    path: Path, again: Again, from_ns: int, to_ns: int, now_ns: int
) -> Iterator[dict[str, object]]:
    """Analyse a span, and again what was pending before it; yield what is to be written."""
    db = layout.open_reader(path)
    try:
        spans = again.windows(db, from_ns + findings.GUARD_NS, now_ns)
        waiting = losses = 0
        for low, high in [*spans, (from_ns, to_ns)]:
            with Evidence([path], low, high) as evidence:
                nodes, series = evidence.nodes(), evidence.series()
                report = analyse(evidence.gateways(), nodes, series, low, high, now_ns)
            found = findings.difference(db, report, now_ns)
            yield from _lines(found)
            waiting, losses = waiting + found.open, report.losses
        boots = findings.reboots(db, now_ns)
        marks = [] if boots.mark is None else [[findings.REBOOTS, boots.mark]]
        yield {
            "done": True,
            "open": waiting + boots.waiting,
            "found": losses,
            "reboots": dict(boots.counts),
            "marks": marks,
            "states": findings.states(db),
        }
    finally:
        db.close()


def _lines(found: Difference) -> Iterator[dict[str, object]]:
    # First what takes the place of another, then what is gone: never neither.
    for some in findings.parts(found.incidents, PART):
        yield {"incidents": [astuple(one) for one in some]}  # type: ignore[call-overload]
    for some in findings.parts(found.losses, PART):
        yield {"losses": [astuple(one) for one in some]}  # type: ignore[call-overload]
    for some in findings.parts(found.gone_losses, PART):
        yield {"gone_losses": some}
    for some in findings.parts(found.gone, PART):
        yield {"gone": some}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
