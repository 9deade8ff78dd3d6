"""Pins the interval arithmetic against sets of numbers, and what is called lost."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.ledger import IntervalSet, Loss, count, loss, normalise, of_seqs, subtract

INTERVALS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=8
)


def seqs(intervals: object) -> set[int]:
    return {s for a, b in intervals for s in range(a, b + 1)}  # type: ignore[attr-defined]


def is_normal(intervals: list[tuple[int, int]]) -> bool:
    return all(a <= b for a, b in intervals) and all(
        left[1] + 1 < right[0] for left, right in itertools.pairwise(intervals)
    )


@given(INTERVALS)
def test_normalise(intervals: list[tuple[int, int]]) -> None:
    """The same seqs, ascending, disjoint, nothing touching."""
    assert is_normal(normalise(intervals))
    assert seqs(normalise(intervals)) == seqs(intervals)


@given(st.sets(st.integers(1, 60)))
def test_of_seqs(numbers: set[int]) -> None:
    """Numbers become the normal list of the same numbers."""
    assert is_normal(of_seqs(sorted(numbers)))
    assert seqs(of_seqs(sorted(numbers))) == numbers
    assert count(of_seqs(sorted(numbers))) == len(numbers)


@given(INTERVALS, INTERVALS)
def test_subtract(intervals: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    """Subtraction is that of sets."""
    rest = subtract(normalise(intervals), normalise(taken))
    assert is_normal(rest)
    assert seqs(rest) == seqs(intervals) - seqs(taken)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(0, 8)), max_size=20))
def test_interval_set_is_a_set(steps: list[tuple[bool, int, int]]) -> None:
    """Any sequence of add and discard leaves what a set of numbers would hold."""
    ours, truth = IntervalSet(), set[int]()
    for add, first, length in steps:
        numbers = set(range(first, first + length + 1))
        if add:
            assert seqs(ours.add(first, first + length)) == numbers - truth
            truth |= numbers
        else:
            ours.discard(first, first + length)
            truth -= numbers
        assert seqs(ours) == truth
        assert is_normal(list(ours))
        assert ours.last == max(truth, default=0)
        assert [n in ours for n in range(60)] == [n in truth for n in range(60)]
        assert seqs(ours.missing(1, 50)) == set(range(1, 51)) - truth
        assert len(ours) == len(list(ours))
        assert ours == IntervalSet(list(ours))
    assert ours != "something else"


def test_nothing_known_nothing_lost() -> None:
    """A current epoch without records has lost nothing, an old one has an unknown tail from 1."""
    assert loss([], None, (1, ()), current=True) == Loss((), None)
    assert loss([], None, None, current=False) == Loss((), 1)


def test_holes_are_lost_and_the_tail_is_unknown() -> None:
    """What neither side has below the top is lost for sure; above it nobody knows."""
    assert loss([(1, 3), (6, 8)], None, (12, ((10, 11),)), current=False) == Loss(
        ((4, 5), (9, 9)), 12
    )


def test_end_closes_an_epoch() -> None:
    """With END as its highest seq an epoch has no unknown tail, but may have holes."""
    assert loss([(1, 9)], 9, None, current=False) == Loss((), None)
    assert loss([(1, 4), (9, 9)], 9, None, current=False) == Loss(((5, 8),), None)


def test_an_end_below_the_top_closes_nothing() -> None:
    """Records behind END mean that END was not the end."""
    assert loss([(1, 9)], 5, None, current=False).tail_from == 10


@given(INTERVALS, INTERVALS, st.one_of(st.none(), st.integers(1, 50)), st.booleans())
def test_loss_never_names_what_is_safe(
    have: list[tuple[int, int]],
    available: list[tuple[int, int]],
    end: int | None,
    current: bool,
) -> None:
    """Lost is disjoint from stored and available, and what is stored later only shrinks it."""
    there = normalise(available)
    next_seq = there[-1][1] + 1 if there else 1
    before = loss(have, end, (next_seq, there), current=current)
    assert not seqs(before.lost) & (seqs(have) | seqs(there))
    after = loss([*have, *there], end, (next_seq, ()), current=current)
    assert seqs(after.lost) == seqs(before.lost)
    assert after.tail_from == before.tail_from
