"""Evidence of a span of time from one store or several, for `correlation.analysis`.

Owns the merging: the same gateway in two stores (two centre nodes) is one `GatewayEvidence`. Reads
only, from files that a centre may be writing, and yields gateway by gateway so that memory stays
bounded: of a span only the keys are held (16 bytes a session or event). No statement stays open
while a gateway is out.
"""

import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from gateway.centre.store import evidence_rows, layout, looks, series, traces
from gateway.correlation.evidence import (
    Boot,
    GatewayEvidence,
    Look,
    NodeEvent,
    Sample,
    Seen,
    Session,
)
from gateway.errors import StoreError
from gateway.reading import TICK_NS

MARGIN_NS = 900_000_000_000
"""What is read before and behind the span."""
TOGETHER = 128
"""Gateways asked for at once."""
LOOK_BEFORE_NS = 240_000_000_000
LOOK_AFTER_NS = 60_000_000_000
"""Looks around the end of a session: the centre may see it most of a minute late."""
TRACED_NS = 90_000_000_000
MINUTE_NS = 60_000_000_000
"""A trace of a minute that comes so near to the end of a session tells all that aggregates do."""
MAX_LOOKS = 4000
"""Looks of one gateway: more than an hour of full resolution."""
_OF_THE_CENTRE = frozenset({"draining", "replaced", "identity", "revoked", "centre_lost"})
"""Endings that no look of the host's explains."""


def gateway_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of every gateway in some stores. Raises: StoreError."""
    names: set[str] = set()
    for path in paths:
        try:
            with closing(layout.open_reader(path)) as db:
                layout.reader_version(db, path)
                names.update(name for (name,) in db.execute("SELECT name FROM gateway"))
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
    return sorted(names)


class Evidence:
    """Evidence of a span. A context manager; not for two threads at once."""

    def __init__(self, paths: Sequence[Path], from_ns: int, to_ns: int) -> None:
        """Open the stores. Raises: StoreError."""
        self._stores: list[_Store] = []
        try:
            for path in dict.fromkeys(path.resolve() for path in paths):
                self._stores.append(_Store(path, from_ns, to_ns))
        except BaseException:
            self.close()
            raise
        self._from_ns, self._to_ns = from_ns, to_ns

    def __enter__(self) -> "Evidence":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stores."""
        for store in self._stores:
            store.close()

    def gateways(self, only: Collection[str] | None = None) -> Iterator[GatewayEvidence]:
        """Yield every gateway that had a session in the span, by name; of those in `only` if it is
        given. Raises: StoreError."""
        names = sorted({name for store in self._stores for name in store.names()})
        if only is not None:
            names = [name for name in names if name in only]
        for start in range(0, len(names), TOGETHER):
            some = names[start : start + TOGETHER]
            found = [store.gateways(some) for store in self._stores]
            for name in some:
                parts = [part[name] for part in found if name in part]
                if parts:
                    yield parts[0] if len(parts) == 1 else _merged(parts)

    def nodes(self) -> tuple[NodeEvent, ...]:
        """Return what the centre nodes noted themselves, in order of time."""
        events = [event for store in self._stores for event in store.nodes()]
        return tuple(sorted(events, key=lambda event: event.at_ns))

    def series(self) -> tuple[Sample, ...]:
        """Return `ws_active_connections`, summed over the nodes."""
        nodes = [node for store in self._stores for node in store.series()]
        return tuple(series.summed(nodes, self._from_ns))


class _Store:
    """One store's part."""

    def __init__(self, path: Path, from_ns: int, to_ns: int) -> None:
        self._path = path
        self._from_ns, self._to_ns = from_ns, to_ns
        try:
            self._db = layout.open_reader(path)
            try:
                self._version = layout.reader_version(self._db, path)
                self._keys = _Keys(self._db, from_ns - MARGIN_NS, to_ns)
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        self._layouts = looks.Layouts(self._db)
        self._pks = {
            name: pk
            for pk, name in self._db.execute("SELECT id, name FROM gateway")
            if pk in self._keys.sessions
        }

    def close(self) -> None:
        self._db.close()

    def names(self) -> Iterable[str]:
        return self._pks

    def nodes(self) -> list[NodeEvent]:
        low, high = self._from_ns - MARGIN_NS, self._to_ns + MARGIN_NS
        return list(evidence_rows.node_events(self._db, low, high))

    def series(self) -> list[tuple[series.NodeSample, ...]]:
        if self._version < 3:
            return []
        return list(series.read_nodes(self._db, self._from_ns, self._to_ns).values())

    def gateways(self, names: Sequence[str]) -> dict[str, GatewayEvidence]:
        """Return the evidence of some gateways, by name."""
        pks = {self._pks[name]: name for name in names if name in self._pks}
        try:
            return self._gather(pks)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot be read ({error})") from error

    def _gather(self, pks: dict[int, str]) -> dict[str, GatewayEvidence]:
        db, found = self._db, {pk: _Gathered() for pk in pks}
        held = list(evidence_rows.sessions(db, self._session_keys(pks)))
        alive = evidence_rows.last_rows(db, (epoch for _, _, epoch, _ in held))
        told = evidence_rows.Events(db, self._to_ns + MARGIN_NS)
        for gateway, boot, epoch, seen in told.of(self._keys.events.of(pks)):
            found[gateway].events.append((boot, seen))
            alive[epoch] = max(alive.get(epoch, 0), seen.source_time_ns)
        for gateway, boot, epoch, session in held:
            lived = replace(session, alive_until_ns=alive.get(epoch))
            found[gateway].sessions.append((boot, lived))
        keys = {boot for one in found.values() for boot, _ in (*one.sessions, *one.events)}
        low, high = self._from_ns - MARGIN_NS, self._to_ns + MARGIN_NS
        boots = evidence_rows.boots(db, keys, low - 4 * MARGIN_NS, high + 4 * MARGIN_NS)
        looked = self._looks(found, boots)
        return {
            name: GatewayEvidence(
                name,
                tuple(session for _, session in found[pk].sessions),
                tuple(boots.get(pk, {}).values()),
                tuple(seen for _, seen in found[pk].events),
                tuple(looked.get(pk, ())),
            )
            for pk, name in pks.items()
        }

    def _session_keys(self, pks: Iterable[int]) -> list[int]:
        keys = self._keys.sessions.of(pks)
        behind = evidence_rows.next_session_keys(self._db, pks, self._to_ns)
        return [*keys, *(key for _, key in behind)]

    def _looks(
        self, found: "dict[int, _Gathered]", boots: dict[int, dict[int, Boot]]
    ) -> dict[int, list[Look]]:
        """Return the looks around the ends of sessions."""
        ranges: dict[int, tuple[int, list[looks.Range]]] = {}
        for pk, one in found.items():
            for boot, session in one.sessions:
                known = boots.get(pk, {}).get(boot)
                if (
                    session.closed_ns is None
                    or session.cause in _OF_THE_CENTRE
                    or known is None
                    or known.offset_ns is None
                ):
                    continue
                at_ns = session.closed_ns - known.offset_ns
                low, high = at_ns - LOOK_BEFORE_NS, at_ns + LOOK_AFTER_NS
                ranges.setdefault(boot, (pk, []))[1].append((low // TICK_NS, high // TICK_NS))
        result: dict[int, list[Look]] = {}
        aggregates = []
        covered: dict[int, list[int]] = {}
        for boot, stream, schema, block, width in evidence_rows.streams(self._db, ranges):
            place = self._layouts.of(schema).get(block)
            if place is None:
                continue
            if not place.trace:
                aggregates.append((boot, stream, width, place))
                continue
            pk, within = ranges[boot][0], _without_overlap(ranges[boot][1])
            name = boots[pk][boot].boot_id
            trace = traces.trace_looks(self._db, name, stream, width, place, within)
            result.setdefault(pk, []).extend(trace)
            covered.setdefault(boot, []).extend(look.source_time_ns // TICK_NS for look in trace)
        raws: dict[int, list[looks.Raw]] = {}
        bare = {
            boot: _without_overlap(_bare(within, covered.get(boot, ())))
            for boot, (_, within) in ranges.items()
        }
        for boot, stream, width, place in aggregates:
            rows = traces.thin(self._db, stream, width, place, bare[boot])
            raws.setdefault(boot, []).extend(rows)
        for boot, some in raws.items():
            pk = ranges[boot][0]
            result.setdefault(pk, []).extend(looks.put_together(boots[pk][boot].boot_id, some))
        return {pk: some[-MAX_LOOKS:] for pk, some in result.items()}


class _Gathered:
    """What was read of one gateway, each with the key of its boot."""

    __slots__ = ("events", "sessions")

    def __init__(self) -> None:
        self.sessions: list[tuple[int, Session]] = []
        self.events: list[tuple[int, Seen]] = []


class _Keys:
    """The keys of a span's sessions and events, by gateway."""

    def __init__(self, db: sqlite3.Connection, from_ns: int, to_ns: int) -> None:
        self.sessions = _Grouped(evidence_rows.session_keys(db, from_ns, to_ns))
        self.events = _Grouped(evidence_rows.event_keys(db, from_ns))


class _Grouped:
    """Keys in the order of their gateway, packed."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self._keys = array("q")
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        for gateway, key in pairs:
            self._first.setdefault(gateway, len(self._keys))
            self._keys.append(key)
            self._last[gateway] = len(self._keys)

    def __contains__(self, gateway: int) -> bool:
        return gateway in self._first

    def of(self, gateways: Iterable[int]) -> list[int]:
        """Return the keys of some gateways."""
        result: list[int] = []
        for gateway in gateways:
            if gateway in self._first:
                result += self._keys[self._first[gateway] : self._last[gateway]]
        return result


def _bare(ranges: Sequence[looks.Range], traced: Sequence[int]) -> list[looks.Range]:
    """Return the ranges of whose last minute no trace tells: there the aggregates are asked."""
    at = sorted(traced)
    result = []
    for low, high in ranges:
        within = at[bisect_left(at, low) : bisect_right(at, high)]
        near = low + (LOOK_BEFORE_NS - TRACED_NS) // TICK_NS
        if not within or within[-1] < near or within[-1] - within[0] < MINUTE_NS // TICK_NS:
            result.append((low, high))
    return result


def _without_overlap(ranges: Sequence[looks.Range]) -> list[looks.Range]:
    result: list[looks.Range] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1]:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return result


def _merged(parts: Sequence[GatewayEvidence]) -> GatewayEvidence:
    """Join what several nodes know of one gateway; a boot that more than one saw is one."""
    boots: dict[str, Boot] = {}
    for boot in (boot for part in parts for boot in part.boots):
        known = boots.get(boot.boot_id)
        boots[boot.boot_id] = boot if known is None else _one_boot(known, boot)
    return GatewayEvidence(
        parts[0].gateway,
        tuple(session for part in parts for session in part.sessions),
        tuple(boots.values()),
        tuple(dict.fromkeys(seen for part in parts for seen in part.events)),
        tuple(dict.fromkeys(look for part in parts for look in part.looks)),
    )


def _one_boot(a: Boot, b: Boot) -> Boot:
    offsets = [offset for offset in (a.offset_ns, b.offset_ns) if offset is not None]
    return Boot(
        a.boot_id,
        min(a.first_ns, b.first_ns),
        min(offsets) if offsets else None,
        tuple(dict.fromkeys((*a.anchors, *b.anchors))),
    )
