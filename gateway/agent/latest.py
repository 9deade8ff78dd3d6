"""The last reading of every point, for whoever stands at the cabinet.

Owns one row for each block of the schema in force, and how often they come. Runs in the event loop;
costs a few hundred nanoseconds a row. What is stored and sent is the recorder's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.process.control_messages import PointState
from gateway.reading import Cause, Row, Schema, SchemaBlock

_WELL = (Cause.NONE, Cause.NULL_PATTERN)
SMOOTHING = 0.2
"""Weight of the newest interval in the rate shown."""


@dataclass(slots=True)
class _Entry:
    """A block and its last row. `interval_s`: smoothed time between its rows, 0 before the second;
    `changed`: number of the last row, over all blocks; `good_ns`: source time of its last row with
    a good value, 0 before the first."""

    block: SchemaBlock
    row: Row | None = None
    interval_s: float = 0.0
    changed: int = 0
    good_ns: int = 0


class Latest:
    """What every point was when it was last heard of."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self.rows_seen = 0

    def use_schema(self, schema: Schema) -> None:
        """Make rows mean `schema`; what is known of blocks that stay is kept."""
        known = {entry.block: entry for entry in self._entries}
        self._entries = [known.get(block) or _Entry(block) for block in schema.blocks]

    def rows(self, rows: Sequence[Row]) -> None:
        """Take rows of the schema in force."""
        entries = self._entries
        for row in rows:
            if row.block >= len(entries):
                continue  # of a schema that was just replaced
            entry = entries[row.block]
            if entry.row is not None:
                passed_s = (row.source_time_ns - entry.row.source_time_ns) / 1e9
                known_s = entry.interval_s
                entry.interval_s = (
                    known_s + SMOOTHING * (passed_s - known_s) if known_s else passed_s
                )
            self.rows_seen += 1
            entry.changed = self.rows_seen
            entry.row = row
            if row.causes is None or Cause.NONE in row.causes:
                entry.good_ns = row.source_time_ns

    def points(
        self, now_ns: int, after: int = -1, source: str | None = None
    ) -> Iterator[PointState]:
        """Yield every point; with `after` only those with rows later than that `rows_seen`, with
        `source` only those of it."""
        for entry in list(self._entries):
            if entry.changed > after and source in (None, entry.block.source):
                yield from _states(entry, now_ns)

    def read_since(self, source: str, since_ns: int) -> bool:
        """Say whether every block of a source has a row of that time or later."""
        rows = [entry.row for entry in self._entries if entry.block.source == source]
        return all(row is not None and row.source_time_ns >= since_ns for row in rows)

    def good_ns(self) -> dict[str, int]:
        """Return for each source the source time of its last good reading."""
        found: dict[str, int] = {}
        for entry in self._entries:
            if entry.good_ns:
                source = entry.block.source
                found[source] = max(found.get(source, 0), entry.good_ns)
        return found

    def health(self) -> dict[str, str]:
        """Return for each source the first cause in its last rows, or ``good``.

        That a device says "no value" of a point it has not (SunSpec does) is no trouble of it.
        """
        found: dict[str, str] = {}
        for entry in self._entries:
            if entry.row is None:
                continue
            causes = [cause for cause in entry.row.causes or () if cause not in _WELL]
            word = causes[0].name.lower() if causes else "good"
            if found.get(entry.block.source, "good") == "good":
                found[entry.block.source] = word
        return found


def _states(entry: _Entry, now_ns: int) -> Iterator[PointState]:
    block, row = entry.block, entry.row
    for index, point in enumerate(block.points):
        if row is None:
            yield PointState(
                block.source, point.name, point.unit, point.type, interval_s=block.period_s
            )
            continue
        cause = row.causes[index] if row.causes else Cause.NONE
        # A device heard once and then no more has no rate: its rows stay away.
        age_s = (now_ns - row.source_time_ns) / 1e9
        yield PointState(
            block.source,
            point.name,
            point.unit,
            point.type,
            row.values[index],
            cause.quality.name.lower(),
            "" if cause is Cause.NONE else cause.name.lower(),
            row.source_time_ns / 1e9,
            age_s,
            block.period_s,
            1 / max(entry.interval_s, age_s) if entry.interval_s > 0 else 0.0,
        )
