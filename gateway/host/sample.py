"""One look at the host, and what ten seconds of looks are recorded as.

Owns the names, types and order of the points of the sources ``host`` (aggregates) and
``host.trace`` (full resolution, around trouble only). What a machine cannot tell is a bad reading
with a cause: never zero, never good. Never reads anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.host.alarm import UnderVoltage
from gateway.host.link import LinkKind, LinkState
from gateway.host.radio import Level
from gateway.reading import TICK_NS, Cause, Row, SchemaBlock, SchemaPoint, Value

SOURCE = "host"
TRACE_SOURCE = "host.trace"
TRACE_PERIOD_S = 1.0
RADIO = (LinkKind.WIFI, LinkKind.MOBILE)


@dataclass(frozen=True, slots=True)
class LinkSample:
    """One interface. `level` ``None``: no radio, or it hears nothing."""

    name: str
    kind: LinkKind
    state: LinkState
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `suspect`: the volts are outside of what a supply can be, or jumped."""

    source_time_ns: int
    volts: float | None = None
    suspect: bool = False
    undervoltage: UnderVoltage = UnderVoltage.UNKNOWN
    celsius: float | None = None
    throttled: bool | None = None
    route: str = ""
    links: tuple[LinkSample, ...] = ()

    def link(self, name: str) -> LinkSample | None:
        """Return the interface of that name."""
        return next((link for link in self.links if link.name == name), None)


Links = Sequence[tuple[str, LinkKind]]
"""The interfaces in the schema, in their order."""


def blocks(links: Links, period_s: float) -> tuple[SchemaBlock, ...]:
    """Return the schema's blocks: the host, each interface, the trace."""
    host = SchemaBlock(
        SOURCE,
        period_s,
        (
            SchemaPoint("supply_v", "V", "f32"),
            SchemaPoint("supply_min_v", "V", "f32"),
            SchemaPoint("supply_mean_v", "V", "f32"),
            SchemaPoint("supply_max_v", "V", "f32"),
            SchemaPoint("undervoltage", "", "bool"),
            SchemaPoint("cpu_temperature", "°C", "f32"),
            SchemaPoint("throttled", "", "bool"),
            SchemaPoint("default_route", "", "str"),
        ),
    )
    trace = [
        SchemaPoint("supply_v", "V", "f32"),
        SchemaPoint("undervoltage", "", "bool"),
        SchemaPoint("cpu_temperature", "°C", "f32"),
        SchemaPoint("default_route", "", "str"),
    ]
    for name, kind in links:
        trace.append(SchemaPoint(f"{name}.carrier", "", "bool"))
        if kind in RADIO:
            trace.append(SchemaPoint(f"{name}.signal", "dBm", "f32"))
    middle = (SchemaBlock(SOURCE, period_s, _link_points(name, kind)) for name, kind in links)
    return (host, *middle, SchemaBlock(TRACE_SOURCE, TRACE_PERIOD_S, tuple(trace)))


def _link_points(name: str, kind: LinkKind) -> tuple[SchemaPoint, ...]:
    points = [
        SchemaPoint(f"{name}.carrier", "", "bool"),
        SchemaPoint(f"{name}.carrier_downs", "", "i64"),
        SchemaPoint(f"{name}.errors", "", "i64"),
    ]
    if kind in RADIO:
        points += [
            SchemaPoint(f"{name}.signal", "dBm", "f32"),
            SchemaPoint(f"{name}.signal_min", "dBm", "f32"),
            SchemaPoint(f"{name}.signal_mean", "dBm", "f32"),
        ]
    if kind is LinkKind.MOBILE:
        points += [
            SchemaPoint(f"{name}.rsrq", "dB", "f32"),
            SchemaPoint(f"{name}.snr", "dB", "f32"),
            SchemaPoint(f"{name}.quality", "%", "i64"),
        ]
    return tuple(points)


def aggregate(samples: Sequence[Sample], links: Links, now_ns: int) -> list[Row]:
    """Return a row for each block but the trace. Without a sample everything is stale."""
    if not samples:
        at_ns = now_ns // TICK_NS * TICK_NS
        schema = blocks(links, 0.0)[:-1]
        return [
            Row(index, at_ns, (None,) * len(b.points), (Cause.STALE,) * len(b.points))
            for index, b in enumerate(schema)
        ]
    last = samples[-1]
    volts = [s.volts for s in samples if s.volts is not None]
    row: list[tuple[Value, Cause]] = [
        _volts(last.volts, last.suspect, bool(volts)),
        *(_statistic(volts, samples)),
        _sticky(samples),
        _plain(last.celsius),
        _plain(last.throttled),
        (last.route, Cause.NONE),
    ]
    rows = [_row(0, last.source_time_ns, row)]
    for index, (name, kind) in enumerate(links, start=1):
        found = [link for s in samples if (link := s.link(name)) is not None]
        rows.append(_row(index, last.source_time_ns, _link(found, last.link(name), kind)))
    return rows


def trace(samples: Iterable[Sample], links: Links, block: int) -> list[Row]:
    """Return one row of the trace's block for each sample."""
    rows = []
    for sample in samples:
        values: list[tuple[Value, Cause]] = [
            _volts(sample.volts, sample.suspect, True),
            _sticky([sample]),
            _plain(sample.celsius),
            (sample.route, Cause.NONE),
        ]
        for name, kind in links:
            link = sample.link(name)
            values.append(_carrier([] if link is None else [link]))
            if kind in RADIO:
                values.append(_plain(None if link is None else _dbm(link)))
        rows.append(_row(block, sample.source_time_ns, values))
    return rows


def _row(block: int, at_ns: int, pairs: Sequence[tuple[Value, Cause]]) -> Row:
    causes = tuple(cause for _, cause in pairs)
    good = all(cause is Cause.NONE for cause in causes)
    values = tuple(value for value, _ in pairs)
    return Row(block, at_ns // TICK_NS * TICK_NS, values, None if good else causes)


def _plain(value: Value) -> tuple[Value, Cause]:
    """A value, or "the host has none to give"."""
    return (None, Cause.NULL_PATTERN) if value is None else (value, Cause.NONE)


def _volts(volts: float | None, suspect: bool, answered: bool) -> tuple[Value, Cause]:
    if volts is None:
        return None, Cause.NO_REPLY if answered else Cause.NULL_PATTERN
    return volts, Cause.OUT_OF_RANGE if suspect else Cause.NONE


def _statistic(volts: Sequence[float], samples: Sequence[Sample]) -> list[tuple[Value, Cause]]:
    if not volts:
        return [(None, Cause.NULL_PATTERN)] * 3
    cause = Cause.OUT_OF_RANGE if any(s.suspect for s in samples) else Cause.NONE
    return [(min(volts), cause), (sum(volts) / len(volts), cause), (max(volts), cause)]


def _sticky(samples: Sequence[Sample]) -> tuple[Value, Cause]:
    """Under-voltage if any look said so; good only if every look could tell."""
    states = {s.undervoltage for s in samples}
    if UnderVoltage.UNDER in states:
        return True, Cause.NONE
    if UnderVoltage.UNKNOWN in states:
        return None, Cause.NULL_PATTERN
    return False, Cause.NONE


def _carrier(found: Sequence[LinkSample]) -> tuple[Value, Cause]:
    """Carrier only if every look saw it."""
    known = [link.state.carrier for link in found if link.state.carrier is not None]
    return (all(known), Cause.NONE) if known else (None, Cause.NO_REPLY)


def _dbm(link: LinkSample) -> float | None:
    return None if link.level is None else link.level.dbm


def _link(
    found: Sequence[LinkSample], last: LinkSample | None, kind: LinkKind
) -> list[tuple[Value, Cause]]:
    state = LinkState(None) if last is None else last.state
    values = [_carrier(found), _plain(state.carrier_downs), _plain(state.errors)]
    if kind in RADIO:
        levels = [dbm for link in found if (dbm := _dbm(link)) is not None]
        values.append(_plain(None if last is None else _dbm(last)))
        values.append(_plain(min(levels) if levels else None))
        values.append(_plain(sum(levels) / len(levels) if levels else None))
    if kind is LinkKind.MOBILE:
        level = None if last is None else last.level
        values.append(_plain(None if level is None else level.rsrq_db))
        values.append(_plain(None if level is None else level.snr_db))
        values.append(_plain(None if level is None else level.quality_percent))
    return values
