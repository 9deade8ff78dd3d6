"""What is left out of a trace, and that nothing else is."""

import sqlite3

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from gateway.centre.store.looks import Layout
from gateway.centre.store.traces import (
    DBM,
    STRONG_DBM,
    STRONG_STEP,
    VOLTS,
    thin,
    trace_looks,
)
from gateway.reading import TICK_NS

TRACE = Layout(0, 1, 2, (("wlan0", 3, 4), ("eth0", 5, None)), True)
ALL = [(0, 1 << 40)]
rows = st.tuples(
    st.sampled_from([None, 5.1, 5.11, 5.115, 4.6, 4.4]),
    st.sampled_from([None, False, True]),
    st.sampled_from(["wlan0", "eth0", "", None]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, -60.0, -60.4, -68.2, -71.0, -72.5, -92.0]),
    st.sampled_from([True, False]),
)


def store(strips: list[tuple[int, object]]) -> sqlite3.Connection:
    """Return a database with these strips of stream 1."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE strip (stream, t, seq, span, rows, body)")
    for t, body in strips:
        packed = body if isinstance(body, bytes) else msgpack.packb(body)
        db.execute("INSERT INTO strip VALUES (1, ?, 1, 0, 0, ?)", (t, packed))
    return db


@given(st.lists(rows, min_size=1, max_size=60), st.integers(1, 20))
def test_every_change_is_kept(found: list[tuple[object, ...]], length: int) -> None:
    """At every instant the last look kept says what the row there said, within the steps."""
    strips = []
    for start in range(0, len(found), length):
        part = found[start : start + length]
        strips.append((10 + start, [[n, list(row)] for n, row in enumerate(part)]))
    db = store(strips)
    looks = trace_looks(db, "b", 1, 60, TRACE, ALL)
    db.close()
    at = {look.source_time_ns // TICK_NS: look for look in looks}
    assert {10, 9 + len(found)} <= set(at)
    route, now = "", None
    for t, (volts, low, said, wlan, dbm, eth) in enumerate(found, start=10):
        route = said or route
        now = at.get(t, now)
        assert now is not None
        assert now.undervoltage == low
        assert now.carrier == {"wlan0": wlan, "eth0": eth}.get(str(route))
        heard = dbm if route in ("wlan0", "") else None
        strong = heard is not None and heard >= STRONG_DBM
        level = STRONG_STEP if strong else DBM
        for kept, true, step in ((now.volts, volts, VOLTS), (now.dbm, heard, level)):
            assert (kept is None) == (true is None)
            assert kept is None or abs(kept - float(str(true))) < step


def test_both_ends_of_a_run_are_kept() -> None:
    """A fall after an hour of the same is dated by the last look before it."""
    body = [[n, [5.1, False, "wlan0", True, -60.0, True]] for n in range(50)]
    body.append([50, [4.5, True, "wlan0", True, -60.0, True]])
    db = store([(100, body)])
    looks = trace_looks(db, "b", 1, 60, TRACE, ALL)
    db.close()
    assert [look.source_time_ns // TICK_NS for look in looks] == [100, 149, 150]
    assert [look.volts for look in looks] == [5.1, 5.1, 4.5]


def test_readings_with_a_cause_are_not_known() -> None:
    """A suspect value is left out of its look, never compared."""
    body = [
        [0, [5.1, False, "wlan0", True, -60.0, True]],
        [1, [99.0, False, "wlan0", True, -60.0, True], [7, 0, 0, 0, 0, 0]],
        [2, [5.1, False, "wlan0", True, -60.0, True], 3],
    ]
    db = store([(0, body)])
    looks = trace_looks(db, "b", 1, 60, TRACE, ALL)
    db.close()
    assert [look.volts for look in looks] == [5.1, None, None]
    assert [look.dbm for look in looks] == [-60.0, -60.0, None]


def test_rows_that_are_too_short_say_nothing() -> None:
    """Garbage in a strip costs that strip at most."""
    good = [[0, [5.1, False, "wlan0", True, -60.0, True]]]
    db = store([(0, [[0, [5.1]]]), (5, b"\xc1"), (6, [[0]]), (7, [["x", []]]), (9, good)])
    looks = trace_looks(db, "b", 1, 60, TRACE, ALL)
    raws = list(thin(db, 1, 60, TRACE, ALL))
    db.close()
    assert [look.source_time_ns // TICK_NS for look in looks] == [0, 9]
    assert looks[0].volts is None
    assert looks[1].volts == 5.1
    assert [raw.t for raw in raws] == [0, 9]


def test_only_the_ranges_are_read() -> None:
    """Rows outside of the ranges are not told."""
    body = [[n, [5.1 - n / 10, False, "wlan0", True, -60.0, True]] for n in range(20)]
    db = store([(0, body)])
    looks = trace_looks(db, "b", 1, 60, TRACE, [(3, 4), (10, 10)])
    db.close()
    assert [look.source_time_ns // TICK_NS for look in looks] == [3, 4, 10]


def test_a_layout_of_nothing_is_all_alike() -> None:
    """A block without any of the host's values leaves its ends only."""
    db = store([(0, [[n, [n]] for n in range(9)])])
    raws = list(thin(db, 1, 60, Layout(None, None, None, (), False), ALL))
    db.close()
    assert [raw.t for raw in raws] == [0, 8]
