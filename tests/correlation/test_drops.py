"""Tests of finding drops in a series."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.correlation.drops import WINDOW, find_drops
from gateway.correlation.evidence import Sample
from gateway.correlation.verdict import Drop

S = 1_000_000_000


def series(active: Sequence[int], opened: Sequence[int | None] | None = None) -> list[Sample]:
    """Return one sample a second."""
    return [
        Sample(second * S, value, None if opened is None else opened[second])
        for second, value in enumerate(active)
    ]


def test_a_quiet_fleet_has_no_drop() -> None:
    """Nothing falls; nothing is told. Nor of no samples."""
    assert find_drops(series([30] * 500)) == ()
    assert find_drops([]) == ()


def test_one_gateway_of_a_quiet_fleet_is_a_drop() -> None:
    """Where nothing churns, one is beyond the usual."""
    (drop,) = find_drops(series([30] * 60 + [29] * 5 + [30] * 20))
    assert drop == Drop(59 * S, 60 * S, 65 * S, 30, 29)


def test_a_fall_in_steps_is_one_drop_from_its_first_step() -> None:
    """Time-outs come in one by one."""
    fall = [*range(30, 10, -1), *[10] * 30, *range(10, 31), *[30] * 20]
    (drop,) = find_drops(series([30] * 60 + fall))
    assert drop == Drop(60 * S, 80 * S, 130 * S, 30, 10)


def test_what_falls_from_a_new_level_is_a_drop_of_its_own() -> None:
    """Ten are away for good, five more fall later and come back."""
    first, second = find_drops(series([30] * 60 + [20] * 40 + [15] * 30 + [20] * 30))
    assert (first.before, first.bottom, first.recovered_ns) == (30, 20, None)
    assert (second.before, second.bottom, second.recovered_ns) == (20, 15, 130 * S)


def test_a_fleet_that_grows_has_a_level_at_once() -> None:
    """After a start, the drop of a minute later is found."""
    (drop,) = find_drops(series([*range(31), *[30] * 30, *[20] * 5, *[30] * 30]))
    assert (drop.before, drop.bottom) == (30, 20)


def test_usual_churn_is_no_drop() -> None:
    """Gateways come and go by the dozen all day; two thousand at once are a drop."""
    rng = random.Random(7)
    active, now = [], 0
    for second in range(20_000):
        now = max(0, now + rng.choice((-1, 0, 1))) if now < 40 else now - 1
        active.append(10_000 - now - (2000 if 15_000 <= second < 15_100 else 0))
    drops = find_drops(series(active))
    big = [drop for drop in drops if drop.before - drop.bottom > 1000]
    assert len(big) == 1
    assert len(drops) < 20


def test_a_dip_between_two_samples_shows_in_the_counter() -> None:
    """Thirty ended and were back: the gauge stands, the counter does not."""
    (drop,) = find_drops(series([30] * 60, [100] * 40 + [130] * 20))
    assert drop == Drop(39 * S, 40 * S, 40 * S, 30, 0, hidden=True)


def test_a_dip_over_two_intervals_is_one() -> None:
    """Some were back before the sample, some behind it."""
    opened = [100] * 40 + [110] + [130] * 19
    (drop,) = find_drops(series([30] * 60, opened))
    assert (drop.started_ns, drop.recovered_ns, drop.bottom) == (39 * S, 41 * S, 0)


def test_two_dips_are_two() -> None:
    """Ten seconds lie between."""
    opened = [100] * 40 + [110] * 10 + [120] * 10
    assert [drop.started_ns for drop in find_drops(series([30] * 60, opened))] == [39 * S, 49 * S]


def test_a_drop_that_shows_needs_no_counter() -> None:
    """What the gauge tells is not told again; what comes behind it is."""
    active = [30] * 60 + [10] * 20 + [30] * 100
    opened: list[int | None] = [100] * 80 + [120] * 60 + [140] * 40
    visible, hidden = find_drops(series(active, opened))
    assert (visible.hidden, hidden.hidden) == (False, True)
    assert hidden.started_ns == 139 * S


def test_a_counter_that_began_anew_or_is_missing_tells_nothing() -> None:
    """A node restarted: its counter is smaller than before."""
    assert find_drops(series([30] * 60, [500] * 30 + [20] * 30)) == ()
    assert find_drops(series([30] * 60, [500] * 30 + [None] * 30)) == ()


def test_a_centre_stores_only_what_changes() -> None:
    """A minute without a sample is a level; so is what a few samples hold together."""
    stored = [(0, 0, 0), (1, 36, 36), (60, 36, 36), (100, 27, 36), (101, 18, 36), (106, 36, 54)]
    (drop,) = find_drops([Sample(at * S, active, opened) for at, active, opened in stored])
    assert (drop.started_ns, drop.bottom_ns) == (99 * S, 101 * S)
    assert (drop.before, drop.bottom, drop.recovered_ns) == (36, 18, 106 * S)


def test_a_hidden_dip_between_stored_changes_is_seen() -> None:
    """Eighteen ended and came back: only the counter moved, some time since the last sample."""
    stored = [(0, 36, 36), (60, 36, 36), (100, 36, 54), (160, 36, 54)]
    (drop,) = find_drops([Sample(at * S, active, opened) for at, active, opened in stored])
    assert drop == Drop(60 * S, 100 * S, 100 * S, 36, 18, hidden=True)


def test_a_drop_that_lasts_is_not_over() -> None:
    """The series ends while they are away."""
    (drop,) = find_drops(series([30] * 60 + [3] * 5))
    assert (drop.recovered_ns, drop.bottom) == (None, 3)


def test_a_fleet_that_becomes_noisy_does_not_hide_a_fall() -> None:
    """A quiet night, then a noisy morning with some gateways always away: the proxy's death at
    noon, of half the fleet, is a drop of its own."""
    rng = random.Random(5)
    noisy = [940 + rng.randrange(-15, 16) for _ in range(3 * WINDOW)]
    noon = [480 + rng.randrange(-9, 10) for _ in range(30)]
    drops = find_drops(series([1000] * 200 + noisy + noon + noisy))
    deep = [drop for drop in drops if drop.bottom < 500]
    assert [(drop.started_ns // S) for drop in deep] in ([1099], [1098], [1097])
    assert deep[0].recovered_ns is not None and deep[0].before > 900


def test_the_window_forgets() -> None:
    """A level of an hour ago is not the usual any more."""
    slow = [100 - second // 60 for second in range(20 * WINDOW)]
    assert all(drop.before - drop.bottom < 5 for drop in find_drops(series(slow)))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40)), max_size=120), st.randoms())
def test_order_and_duplicates_mean_nothing(
    values: list[tuple[int, int]], rng: random.Random
) -> None:
    """Any order, any sample twice: the same drops; each starts before its bottom."""
    samples = [Sample(at * S, active, active + at) for at, active in values]
    found = find_drops(samples)
    mixed = [*samples, *samples[:7]]
    rng.shuffle(mixed)
    assert find_drops(mixed) == found
    for drop in found:
        assert drop.started_ns < drop.bottom_ns
        assert drop.bottom < drop.before
        assert drop.recovered_ns is None or drop.recovered_ns >= drop.bottom_ns
