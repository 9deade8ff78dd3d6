"""Intervals of stored seqs against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.centre.store.have import Have

ranges = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.lists(st.tuples(ranges, st.booleans()), max_size=25))
def test_intervals_are_the_set_and_changes_keep_a_table_right(
    steps: list[tuple[tuple[int, int], bool]],
) -> None:
    """Any adding, any moment of writing: memory and table both are the set."""
    have, model, table = Have(), set[int](), dict[int, int]()
    for (first, last), write in steps:
        new = have.add(first, last)
        added = set(range(first, last + 1))
        assert {s for low, high in new for s in range(low, high + 1)} == added - model
        model |= added
        if write:
            written, gone = have.take_changes()
            for start in gone:
                table.pop(start, None)
            table.update(written)
            assert sorted(table.items()) == list(have)
    assert {s for low, high in have for s in range(low, high + 1)} == model
    assert have.last == max(model, default=0)
    assert all((seq in have) == (seq in model) for seq in range(75))


def test_what_was_there_already_is_no_change() -> None:
    """A duplicate writes nothing."""
    have = Have([(1, 9)])
    assert have.add(3, 5) == [] and have.take_changes() == ([], [])
