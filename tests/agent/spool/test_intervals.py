"""Sets of seq behave like sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.spool.intervals import Intervals

seq = st.integers(0, 40)
pairs = st.lists(st.tuples(seq, seq).map(lambda pair: (min(pair), max(pair))), max_size=8)
steps = st.lists(st.tuples(st.booleans(), seq, seq), max_size=30)


def members(intervals: Intervals) -> set[int]:
    return {n for first, last in intervals for n in range(first, last + 1)}


def span(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))


@given(steps)
def test_any_history_gives_the_same_set_in_canonical_form(history):
    """Adding and removing is set arithmetic; intervals stay sorted, apart and non-empty."""
    intervals, model = Intervals(), set()
    for adding, first, last in history:
        if adding:
            intervals.add(first, last)
            model |= span(first, last)
        else:
            intervals.remove(first, last)
            model -= span(first, last)
        found = intervals.pairs()
        assert members(intervals) == model
        assert all(first <= last for first, last in found)
        assert all(a[1] + 1 < b[0] for a, b in pairwise(found))
        assert intervals.count() == len(model)
        assert intervals.fragments() == len(found)
        assert bool(intervals) == bool(model)
    if model:
        assert (intervals.first, intervals.last) == (min(model), max(model))
    assert all((n in intervals) == (n in model) for n in range(42))


@given(pairs, pairs, seq, seq)
def test_parts_and_common_members(one, other, first, last):
    """`within` and `common` are intersections, `subtract` a difference, none shares state."""
    a, b = Intervals(one), Intervals(other)
    assert members(a.within(first, last)) == members(a) & span(first, last)
    assert members(a.common(b)) == members(a) & members(b)
    assert a.common(b) == Intervals(a.common(b).pairs())
    rest = a.copy()
    rest.subtract(b.pairs())
    assert members(rest) == members(a) - members(b)
    assert members(a) == members(Intervals(one))
    rest.update(a.pairs())
    assert members(rest) == members(a)
    assert repr(a) == f"Intervals({list(a.pairs())})"
    assert (a == 3) is False
