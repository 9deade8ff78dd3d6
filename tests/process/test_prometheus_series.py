"""Pins what the connections out of Prometheus mean: sums, missing nodes, restarts, holes, steps."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.correlation.evidence import Sample
from gateway.errors import PrometheusError
from gateway.process import prometheus_series
from gateway.process.prometheus_series import (
    COUNTER,
    GAUGE,
    MAX_SAMPLES,
    Connections,
    Missing,
    connections,
    is_plain,
    pieces,
    selector_of,
    step,
)
from tests.process.stored_prometheus import S, StoredPrometheus, told

NAN = math.nan


def read(stored: StoredPrometheus, to_s: int, query: str = GAUGE, from_s: int = 0) -> Connections:
    """Read the series of some seconds."""
    return connections(stored, query, from_s * S, to_s * S)


def actives(found: Connections) -> list[int]:
    """Return the numbers of connections."""
    return [sample.active for sample in found.samples]


def opened(found: Connections) -> list[int | None]:
    """Return how many were opened since the first sample."""
    return [sample.opened_total for sample in found.samples]


def test_nodes_are_summed() -> None:
    """Two nodes are one series, with the connections made since its beginning."""
    found = read(
        StoredPrometheus(
            {
                GAUGE: {"a:1": told(3, 3, 2, 3), "b:1": told(5, 5, 5, 5)},
                COUNTER: {"a:1": told(103, 103, 103, 104), "b:1": told(7, 7, 7, 7)},
            }
        ),
        3,
    )
    assert found.samples == (
        Sample(0, 8, 0),
        Sample(S, 8, 0),
        Sample(2 * S, 7, 0),
        Sample(3 * S, 8, 1),
    )
    assert found.nodes == ("a:1", "b:1")
    assert (found.step_ns, found.scrape_ns, found.counted, found.missing) == (S, S, True, ())


def test_a_node_that_vanishes_is_a_drop() -> None:
    """A node whose scrape fails has no sessions until it is back, and the report says so."""
    found = read(
        StoredPrometheus(
            {GAUGE: {"a:1": told(3, 3, None, None, 3), "b:1": told(5, 5, 5, 5, 5)}, COUNTER: {}}
        ),
        4,
    )
    assert actives(found) == [8, 8, 5, 5, 8]
    assert found.missing == (Missing("a:1", S, 4 * S, 3),)
    assert not found.counted and opened(found) == [None] * 5


def test_the_only_node_vanishes() -> None:
    """Nothing at all left of the series is 0 while Prometheus goes on scraping others."""
    stored = StoredPrometheus(
        {GAUGE: {"a:1": told(3, 3, None, None)}}, up=[place * S for place in range(6)]
    )
    found = read(stored, 5)
    assert actives(found) == [3, 3, 0, 0, 0, 0]
    assert found.missing == (Missing("a:1", S, None, 3),)


def test_where_prometheus_was_away_nothing_is_known() -> None:
    """While Prometheus itself did not scrape there are no samples, neither 0 nor the last value."""
    late = 1000
    stored = StoredPrometheus(
        {
            GAUGE: {"a:1": [*told(3, 3, None), *told(3, 3, from_s=late)]},
            COUNTER: {"a:1": [*told(9, 9, None), *told(11, 11, from_s=late)]},
        },
        up=[0, S, late * S, (late + 1) * S],
    )
    found = read(stored, late + 1)
    times = [sample.at_ns // S for sample in found.samples]
    assert times[0] == 0 and times[-2:] == [late, late + 1]
    assert not any(1 + 300 <= time < late for time in times), "but for the 5 minutes of its rule"
    assert opened(found)[-1] == 2


def test_a_server_without_up() -> None:
    """A server that has no `up` (remote write) is taken to have been scraping: 0, not a hole."""
    found = read(StoredPrometheus({GAUGE: {"a:1": told(3, 3, None, None)}}, up=[]), 4)
    assert actives(found) == [3, 3, 0, 0, 0]


def test_a_dip_between_two_scrapes() -> None:
    """Sessions that were lost and came back between two scrapes show in what was opened."""
    stored = StoredPrometheus(
        {GAUGE: {"a:1": told(9, 9, 9)}, COUNTER: {"a:1": told(100, 104, 104)}}
    )
    found = read(stored, 2)
    assert actives(found) == [9, 9, 9]
    assert opened(found) == [0, 4, 4]


def test_a_node_that_restarts() -> None:
    """A counter that begins anew counts what it has now, whether a scrape saw it down or not."""
    stored = StoredPrometheus(
        {
            GAUGE: {"a:1": told(9, 9, 9, 9), "b:1": told(2, None, 2, 2)},
            COUNTER: {"a:1": told(100, 9, 9, 10), "b:1": told(50, None, 2, 2)},
        }
    )
    found = read(stored, 3)
    assert opened(found) == [0, 9, 11, 12]
    assert actives(found) == [11, 9, 11, 11]


def test_a_scrape_that_failed_opens_nothing() -> None:
    """A node that comes back as the same process has reopened nothing: it never was down."""
    stored = StoredPrometheus(
        {
            GAUGE: {"a:1": told(9, 9, 9, None, 9)},
            COUNTER: {"a:1": told(100, 100, 100, None, 100)},
        }
    )
    found = read(stored, 4)
    assert actives(found) == [9, 9, 9, 0, 9] and opened(found) == [0] * 5


def test_a_node_that_joins() -> None:
    """A node seen for the first time in the middle counts its sessions of now, not its past."""
    stored = StoredPrometheus(
        {
            GAUGE: {"a:1": told(4, 4, 4), "b:1": told(6, 6, from_s=1)},
            COUNTER: {"a:1": told(4, 4, 4), "b:1": told(90_000, 90_000, from_s=1)},
        }
    )
    found = read(stored, 2)
    assert actives(found) == [4, 10, 10] and opened(found) == [0, 6, 6]
    assert found.missing == ()


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf, -1.0, 1e18])
def test_a_value_that_is_none(odd: float) -> None:
    """NaN, infinities and the impossible are no number of connections: the node is missing."""
    stored = StoredPrometheus(
        {
            GAUGE: {"a:1": told(3, odd, 3), "b:1": told(1, 1, 1)},
            COUNTER: {"a:1": told(3, odd if odd < 0 else NAN, 3), "b:1": told(1, 1, 1)},
        }
    )
    found = read(stored, 2)
    assert actives(found) == [4, 1, 4] and opened(found) == [0, 0, 0]


def test_before_the_series_begins() -> None:
    """Where the series did not exist yet there are no samples."""
    stored = StoredPrometheus({GAUGE: {"a:1": told(2, 2, 2, from_s=7)}}, up=range(0, 10 * S, S))
    assert [sample.at_ns // S for sample in read(stored, 9).samples] == [7, 8, 9]


def test_a_query_of_ones_own() -> None:
    """An expression is asked for as it is; the counter's name takes the gauge's place in it."""
    stored = StoredPrometheus({GAUGE: {"a:1": told(3, 3, 3)}, COUNTER: {"a:1": told(5, 6, 6)}})
    found = read(stored, 2, GAUGE + '{job="c}{",x!~`}`} ')
    assert {query for query, *_ in stored.asked} == {
        GAUGE + '{job="c}{",x!~`}`} ', COUNTER + '{job="c}{",x!~`}`}', "count(up)"
    }  # fmt: skip
    assert opened(found) == [0, 1, 1]


def test_selectors() -> None:
    """The one selector of the gauge is found wherever it stands; of two or none, none is."""
    assert selector_of(GAUGE) == GAUGE
    assert selector_of(f'sum({GAUGE}{{a="}}"}})') == f'{GAUGE}{{a="}}"}}'
    assert selector_of(f"sum by (x) (max_over_time({GAUGE} {{}}[5m]))") == f"{GAUGE}{{}}"
    assert selector_of(f"{GAUGE} or {GAUGE}") is None
    assert selector_of("other_active") is None and selector_of(f"x:{GAUGE}") is None
    assert selector_of(f"{GAUGE}_more") is None
    assert is_plain(f' {GAUGE} {{ job = "x" }} ')
    assert not is_plain(f"sum({GAUGE})") and not is_plain("up")


@pytest.mark.parametrize("query", ["", "   ", "x" * 5000])
def test_a_query_that_is_none(query: str) -> None:
    """An empty or endless query is refused before anybody is asked."""
    stored = StoredPrometheus({})
    with pytest.raises(PrometheusError, match="--query is"):
        read(stored, 2, query)
    assert stored.asked == []


def test_nothing_there() -> None:
    """A series that has no value names the query and what to check."""
    stored = StoredPrometheus({}, up=range(0, 10 * S, S))
    with pytest.raises(PrometheusError, match=r"'ws_active_connections' has no value.*--since"):
        read(stored, 9)


def test_the_step_follows_the_scrape() -> None:
    """The step is the scrape interval as the stored points show it; where none is known, 15 s."""
    jitter = [(place * 30 * S + (place % 3) * 1_000_000, 1.0) for place in range(30)]
    found = read(StoredPrometheus({GAUGE: {"a:1": list(jitter)}}), 800)
    assert (found.step_ns, found.scrape_ns) == (30 * S, 30 * S)
    short = StoredPrometheus({GAUGE: {"a:1": told(1)}}, up=[0, S])
    assert (read(short, 30).step_ns, read(short, 30).scrape_ns) == (S, None)
    assert read(short, 86400).step_ns == 15 * S
    ended = StoredPrometheus({GAUGE: {"a:1": told(*[1] * 60, None, every_s=5)}}, up=[0])
    assert read(ended, 3000).scrape_ns == 5 * S, "a series that ended long ago tells it too"


def test_long_times_get_larger_steps() -> None:
    """However long the time, the number of samples is bounded."""
    assert step(24 * 3600 * S, S) == S
    for days in (1, 7, 30, 400):
        span_ns = days * 86400 * S
        assert span_ns / step(span_ns, S) <= MAX_SAMPLES
    assert step(0, 15 * S) == 15 * S and step(S, 1) == 1_000_000


@given(
    from_ms=st.integers(0, 10**7),
    span_ms=st.integers(0, 10**6),
    step_ms=st.integers(1, 10**5),
    most=st.integers(1, 500),
)
def test_pieces_cover_each_step_once(from_ms: int, span_ms: int, step_ms: int, most: int) -> None:
    """Requests follow each other without a hole or a step twice, none longer than allowed."""
    step_ns, to_ms = step_ms * 1_000_000, from_ms + min(span_ms, step_ms * 2000)
    steps: list[int] = []
    for first, last in pieces(from_ms * 1_000_000, to_ms * 1_000_000, step_ns, most):
        piece = list(range(first, last + 1, step_ns))
        assert 1 <= len(piece) <= most
        steps += piece
    assert steps[0] <= from_ms * 1_000_000 < steps[0] + step_ns
    assert steps[-1] <= to_ms * 1_000_000 < steps[-1] + step_ns
    assert all(b - a == step_ns for a, b in pairwise(steps))


VALUES = st.lists(st.none() | st.integers(0, 9), min_size=4, max_size=40)


@given(first=VALUES, second=VALUES, most=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_cutting_into_requests_changes_nothing(
    first: list[int | None], second: list[int | None], most: int
) -> None:
    """The samples are the same whether one request brought them or many."""
    stored = {
        GAUGE: {"a": told(1, 1, 1, *first), "b": told(1, 1, 1, *second)},
        COUNTER: {"a": told(1, 1, 1, *first), "b": told(1, 1, 1, *second)},
    }
    whole = read(StoredPrometheus(stored), 45)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prometheus_series, "MAX_POINTS", most)
        cut = read(StoredPrometheus(stored), 45)
    assert cut == whole
    totals = [sample.opened_total or 0 for sample in whole.samples]
    assert totals == sorted(totals), "what was opened never shrinks"
