"""Aggregates and traces: what ten seconds of looks become, and what unknown looks like."""

from gateway.host.alarm import UnderVoltage
from gateway.host.link import LinkKind, LinkState
from gateway.host.radio import Level
from gateway.host.sample import LinkSample, Sample, aggregate, blocks, trace
from gateway.reading import Cause, Row

S = 1_000_000_000
LINKS = [("eth0", LinkKind.WIRE), ("wlan0", LinkKind.WIFI), ("wwan0", LinkKind.MOBILE)]
OK, UNDER, UNKNOWN = UnderVoltage.OK, UnderVoltage.UNDER, UnderVoltage.UNKNOWN


def look(
    at_s: int,
    volts: float | None = 12.0,
    state: UnderVoltage = OK,
    *,
    carrier: bool = True,
    dbm: float | None = -60.0,
    suspect: bool = False,
) -> Sample:
    level = None if dbm is None else Level("wifi", rssi_dbm=dbm)
    return Sample(
        *(at_s * S + 12_345, volts, suspect, state, 48.0, False, "eth0"),
        links=(
            LinkSample("eth0", LinkKind.WIRE, LinkState(carrier, carrier_downs=3, errors=1)),
            LinkSample("wlan0", LinkKind.WIFI, LinkState(True), level),
        ),
    )


def named(row: Row, causes: bool = False) -> dict[str, object]:
    """Return a row's values (or causes) by the names of its block."""
    points = blocks(LINKS, 10.0)[row.block].points
    shown = row.causes or (Cause.NONE,) * len(points) if causes else row.values
    return {point.name: value for point, value in zip(points, shown, strict=True)}


def test_minimum_mean_and_maximum() -> None:
    """The aggregate keeps the sag that its last look no longer shows."""
    host, eth0, wlan0, wwan0 = aggregate(
        [look(1), look(2, 9.0, UNDER, carrier=False, dbm=-85.0), look(3, 12.3)], LINKS, 4 * S
    )
    assert named(host) == {
        "supply_v": 12.3,
        "supply_min_v": 9.0,
        "supply_mean_v": 11.1,
        "supply_max_v": 12.3,
        "undervoltage": True,
        "cpu_temperature": 48.0,
        "throttled": False,
        "default_route": "eth0",
    }
    assert host.causes is None and host.source_time_ns == 3 * S
    assert named(eth0) == {"eth0.carrier": False, "eth0.carrier_downs": 3, "eth0.errors": 1}
    assert (named(wlan0)["wlan0.signal_min"], named(wlan0)["wlan0.signal"]) == (-85.0, -60.0)
    assert set(named(wwan0, causes=True).values()) == {Cause.NO_REPLY, Cause.NULL_PATTERN}


def test_unknown_is_never_good() -> None:
    """One look that could not tell makes the sticky bit unknown, and a machine without a source
    says "not available", not zero."""
    (host, *_) = aggregate([look(1), look(2, None, UNKNOWN)], [], 3 * S)
    assert named(host)["undervoltage"] is None and named(host)["supply_v"] is None
    assert named(host, causes=True)["undervoltage"] is Cause.NULL_PATTERN
    assert named(host, causes=True)["supply_v"] is Cause.NO_REPLY
    (host, *_) = aggregate([look(1, None, UNKNOWN)], [], 3 * S)
    assert named(host, causes=True)["supply_mean_v"] is Cause.NULL_PATTERN


def test_suspect_volts_are_kept_as_uncertain() -> None:
    """An absurd number is recorded, marked out of range."""
    (host, *_) = aggregate([look(1, 99.0, suspect=True)], [], 2 * S)
    assert named(host)["supply_v"] == 99.0
    assert named(host, causes=True)["supply_v"] is Cause.OUT_OF_RANGE


def test_no_look_at_all_is_stale() -> None:
    """A sensor that hangs makes bad readings with a cause, never silence."""
    rows = aggregate([], LINKS, 5 * S)
    assert [row.block for row in rows] == [0, 1, 2, 3]
    for row in rows:
        assert row.causes is not None and set(row.causes) == {Cause.STALE}
        assert row.source_time_ns == 5 * S


def test_a_trace_has_every_look() -> None:
    """One row a look, of the trace's own source, each with its own time."""
    schema = blocks(LINKS, 10.0)
    assert [block.source for block in schema] == [*("host",) * 4, "host.trace"]
    rows = trace([look(1), look(2, 11.0, UNDER)], LINKS, 4)
    assert [row.source_time_ns for row in rows] == [S, 2 * S]
    assert named(rows[1]) == {
        "supply_v": 11.0,
        "undervoltage": True,
        "cpu_temperature": 48.0,
        "default_route": "eth0",
        "eth0.carrier": True,
        "wlan0.carrier": True,
        "wlan0.signal": -60.0,
        "wwan0.carrier": None,
        "wwan0.signal": None,
    }
