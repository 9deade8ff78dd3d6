"""The centre's own samples of its connections: written as changes, read as one summed series.

Owns both sides of the table `connection`. A sample is written when it differs from the one before
and at least every `EVERY_S`, so that silence means that the node did not run: then it had no
sessions. What a killed node left is closed with a zero at its next start, at the last instant it
was alive. Sums over nodes and stores; `ws_connection_total` of a node that starts again goes on.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.centre.store.jobs import Connections
from gateway.correlation.evidence import Sample

EVERY_S = 60.0
"""A sample is written at least this often."""
SILENT_NS = 90_000_000_000
"""A node without a sample for longer did not run."""
STEP_NS = 1_000_000_000
"""The resolution of the samples."""


@dataclass(frozen=True, slots=True)
class NodeSample:
    """A sample of one node."""

    at_ns: int
    active: int
    opened: int


class Sampler:
    """Which samples of a node are worth writing. Pure."""

    __slots__ = ("_active", "_at_ns", "_opened")

    def __init__(self) -> None:
        self._at_ns: int | None = None
        self._active = self._opened = 0

    def see(self, at_ns: int, active: int, opened: int) -> bool:
        """Tell whether to write this sample."""
        last = self._at_ns
        same = active == self._active and opened == self._opened
        if last is not None and same and 0 <= at_ns - last < EVERY_S * 1e9:
            return False
        self._at_ns, self._active, self._opened = at_ns, active, opened
        return True


# Writing, in the writer's transaction


def write(db: sqlite3.Connection, node: str, job: Connections) -> None:
    """Store one sample."""
    db.execute(
        "INSERT INTO connection (node, at_ns, active, opened) VALUES (?, ?, ?, ?)",
        (node, job.at_ns, job.active, job.opened),
    )


def close_run(db: sqlite3.Connection, node: str, now_ns: int) -> None:
    """Let the series of the node's run before fall to zero where that run ended."""
    row = db.execute("SELECT alive_ns FROM node WHERE name = ?", (node,)).fetchone()
    if row is None:
        return
    last = db.execute(
        "SELECT at_ns, active, opened FROM connection WHERE node = ? AND at_ns >= ?"
        " ORDER BY id DESC LIMIT 1",
        (node, row[0] - SILENT_NS),
    ).fetchone()
    if last is not None and last[1] > 0:
        at_ns = min(max(row[0], last[0]) + STEP_NS, max(now_ns, last[0] + 1))
        db.execute(
            "INSERT INTO connection (node, at_ns, active, opened) VALUES (?, ?, 0, ?)",
            (node, at_ns, last[2]),
        )


# Reading


def read_nodes(
    db: sqlite3.Connection, from_ns: int, to_ns: int, width_ns: int = 0
) -> dict[str, tuple[NodeSample, ...]]:
    """Return each node's samples of a span, with what it had at the beginning and the zeros of
    the times in which it did not run.

    With `width_ns`, of each stretch that long only the lowest and the last sample.
    """
    found: dict[str, list[NodeSample]] = {}
    query = _THINNED.format(width=width_ns) if width_ns else _ALL
    for node, at_ns, active, opened in db.execute(query, (from_ns - SILENT_NS, to_ns)):
        found.setdefault(node, []).append(NodeSample(at_ns, active, opened))
    alive = dict(db.execute("SELECT name, alive_ns FROM node").fetchall())
    silent_ns = SILENT_NS + 2 * width_ns
    return {
        node: tuple(_with_zeros(samples, alive.get(node, 0), to_ns, silent_ns))
        for node, samples in found.items()
    }


_ALL = (
    "SELECT node, at_ns, active, opened FROM connection WHERE at_ns BETWEEN ? AND ?"
    " ORDER BY at_ns, id"
)
# `active << 32 | id`: the lowest carries its id along (an id is below 2^32 for a century).
_THINNED = (
    "WITH part AS (SELECT max(id) AS last, min((active << 32) | (id & 4294967295)) AS low"
    " FROM connection WHERE at_ns BETWEEN ? AND ? GROUP BY node, at_ns / {width:d})"
    " SELECT node, at_ns, active, opened FROM connection WHERE id IN"
    " (SELECT last FROM part UNION SELECT low & 4294967295 FROM part) ORDER BY at_ns, id"
)


def _with_zeros(
    samples: Sequence[NodeSample], alive_ns: int, to_ns: int, silent_ns: int
) -> Iterator[NodeSample]:
    before: NodeSample | None = None
    for sample in samples:
        if before is not None and sample.at_ns - before.at_ns > silent_ns and before.active:
            yield NodeSample(before.at_ns + STEP_NS, 0, before.opened)
        yield sample
        before = sample
    if before is not None and before.active:
        end = max(before.at_ns, alive_ns)
        if to_ns - end > SILENT_NS:
            yield NodeSample(end + STEP_NS, 0, before.opened)


def summed(nodes: Iterable[Sequence[NodeSample]], from_ns: int) -> list[Sample]:
    """Return one series over all nodes; it begins at `from_ns` or with the first sample."""
    changes: list[tuple[int, int, int, int]] = []
    for number, samples in enumerate(nodes):
        active = opened = 0
        first = True
        for sample in samples:
            # Of a run that began before the span only what it opens from now on is known to be new.
            grown = 0 if first else sample.opened - opened
            if grown < 0:  # it began anew, at nought
                grown = sample.opened
            changes.append((sample.at_ns, number, sample.active - active, grown))
            active, opened, first = sample.active, sample.opened, False
    changes.sort()
    result: list[Sample] = []
    active = total = 0
    for at_ns, _, more, grown in changes:
        active += more
        total += grown
        at_ns = max(at_ns, from_ns)
        if result and result[-1].at_ns == at_ns:
            result[-1] = Sample(at_ns, active, total)
        else:
            result.append(Sample(at_ns, active, total))
    return result


def thinned(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """Return at most about `most` samples: of each stretch the lowest and the last."""
    if len(samples) <= most:
        return tuple(samples)
    size = -(-2 * len(samples) // most)
    result: list[Sample] = []
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        lowest = min(part, key=_active)
        result += [part[-1]] if lowest is part[-1] else [lowest, part[-1]]
    return tuple(result)


def _active(sample: Sample) -> int:
    return sample.active
