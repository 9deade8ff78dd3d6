"""Intervals of stored seqs against a plain set."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.centre.store.have import Have, runs

ranges = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.lists(st.tuples(ranges, st.booleans()), max_size=25))
def test_intervals_are_the_set_and_changes_keep_a_table_right(
    steps: list[tuple[tuple[int, int], bool]],
) -> None:
    """Any adding, any moment of writing: memory and table both are the set."""
    have, model, table = Have(), set[int](), dict[int, int]()
    for (first, last), write in steps:
        have.add(first, last)
        model |= set(range(first, last + 1))
        if write:
            written, gone = have.take_changes()
            for start in gone:
                table.pop(start, None)
            table.update(written)
            assert sorted(table.items()) == have.intervals()
    assert have.intervals() == runs(sorted(model))
    assert have.top == max(model, default=0)
    assert all((seq in have) == (seq in model) for seq in range(75))


@given(st.lists(st.integers(1, 40), max_size=30))
def test_runs_coalesce_whatever_the_order(seqs: list[int]) -> None:
    """Sorted or not, repeated or not."""
    found = runs(seqs)
    assert [s for low, high in found for s in range(low, high + 1)] == sorted(set(seqs))
    assert all(b[0] > a[1] + 1 for a, b in pairwise(found))
