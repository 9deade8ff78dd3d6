"""Tests of the common clock."""

from gateway.correlation.evidence import Anchor, Boot, Session
from gateway.correlation.timeline import (
    SECOND_NS,
    SPOKE_ERROR_NS,
    Placed,
    Timeline,
    merged,
)

S = SECOND_NS
T0 = 1_800_000_000 * S


def session(boot_id: str, opened: int, closed: int | None, age_s: float | None = 1.0) -> Session:
    closed_ns = None if closed is None else T0 + closed * S
    return Session(
        opened, "a", boot_id, "", "", T0 + opened * S, closed_ns, last_message_age_s=age_s
    )


def test_the_centres_clock_places_a_boot_that_spoke() -> None:
    """Without anchors, the least offset does, late by a message's way."""
    line = Timeline([Boot("x", T0, T0 - 50 * S)], [], {})
    assert line.place("x", 60 * S) == Placed(T0 + 10 * S, SPOKE_ERROR_NS)
    assert line.source_ns("x", T0 + 10 * S) == 60 * S


def test_an_anchor_that_agrees_is_better() -> None:
    """NTP to two milliseconds, within a message's way of what the centre saw."""
    boot = Boot("x", T0, T0 - 50 * S + 20_000_000, (Anchor(100 * S, T0 + 50 * S, 2, 2000),))
    placed = Timeline([boot], [], {}).place("x", 60 * S)
    assert placed is not None
    assert placed.at_ns == T0 + 10 * S
    assert 2_000_000 <= placed.error_ns < 10_000_000


def test_an_anchor_that_disagrees_moves_nothing() -> None:
    """Hours off, whatever it claims: the centre's own clock stands."""
    boot = Boot("x", T0, T0 - 50 * S, (Anchor(100 * S, T0 + 7200 * S, 3, 1),))
    assert Timeline([boot], [], {}).place("x", 60 * S) == Placed(T0 + 10 * S, SPOKE_ERROR_NS)


def test_the_next_later_anchor_counts_else_the_last() -> None:
    """A clock is right from its synchronisation on; what was before is placed by what followed."""
    anchors = (
        Anchor(10 * S, T0 + 10 * S, 0, 0),
        Anchor(20 * S, T0 + 21 * S, 2, 1000),
        Anchor(40 * S, T0 + 42 * S, 2, 1000),
    )
    line = Timeline([Boot("x", T0, None, anchors)], [], {})
    assert [line.place("x", at * S) for at in (5, 30, 60)] == [
        Placed(T0 + 6 * S, 1_000_000 + 750_000),
        Placed(T0 + 32 * S, 1_000_000 + 500_000),
        Placed(T0 + 62 * S, 1_000_000 + 1_000_000),
    ]


def test_a_boot_that_never_spoke_lies_between_its_neighbours() -> None:
    """After the last sign of the boot before, before the start of the one that told of it."""
    boots = [
        Boot("1", T0, T0 - 1000 * S),
        Boot("2", T0 + 900 * S, None),
        Boot("3", T0 + 900 * S, T0 + 800 * S),
    ]
    held = [session("1", 0, 101), session("3", 900, None)]
    line = Timeline(boots, held, {"2": 60 * S})
    placed = line.place("2", 30 * S)
    assert placed is not None
    assert placed.at_ns - placed.error_ns <= T0 + 100 * S + 30 * S
    assert placed.at_ns + placed.error_ns >= T0 + 800 * S - 30 * S
    assert line.source_ns("2", T0) is None
    assert [boot.boot_id for boot in line.mute] == ["2"]


def test_without_a_boot_before_only_the_end_is_known() -> None:
    """The error says so: a day."""
    boots = [Boot("2", T0 + 900 * S, None), Boot("3", T0 + 900 * S, T0 + 800 * S)]
    placed = Timeline(boots, [session("3", 900, 950)], {"2": 60 * S}).place("2", 60 * S)
    assert placed is not None
    assert placed.at_ns == T0 + 800 * S
    assert placed.error_ns > 80_000 * S


def test_an_anchor_counts_within_the_bounds_only() -> None:
    """A boot that never spoke is placed by its NTP clock if that lies where the boot can be."""
    right, wrong = Anchor(30 * S, T0 + 500 * S, 2, 1000), Anchor(30 * S, T0 + 9999 * S, 2, 1000)
    for anchor, near in ((right, True), (wrong, False)):
        boots = [
            Boot("1", T0, T0 - 1000 * S),
            Boot("2", T0 + 900 * S, None, (anchor,)),
            Boot("3", T0 + 900 * S, T0 + 800 * S),
        ]
        held = [session("1", 0, 101, None), session("3", 900, None)]
        placed = Timeline(boots, held, {"2": 60 * S}).place("2", 30 * S)
        assert placed is not None
        assert (placed.at_ns == T0 + 500 * S) is near
        assert T0 < placed.at_ns < T0 + 900 * S


def test_what_nothing_bounds_has_no_place() -> None:
    """An unknown boot, and one that nobody told of and that has no clock."""
    line = Timeline([Boot("x", T0, None, (Anchor(1, T0, 1, -1),))], [session("x", 1, 2)], {})
    assert line.place("y", 0) is None
    assert line.place("x", 0) is None


def test_duplicates_are_merged() -> None:
    """The least offset, the earliest word, every anchor once; in any order."""
    one = Boot("x", 5, 100, (Anchor(1, 2, 2, 0),))
    two = Boot("x", 3, 90, (Anchor(1, 2, 2, 0), Anchor(0, 2, 2, 0)))
    dumb = Boot("x", 9, None)
    expected = {"x": Boot("x", 3, 90, (Anchor(0, 2, 2, 0), Anchor(1, 2, 2, 0)))}
    assert merged([one, dumb, two]) == merged([two, one, dumb]) == expected
    assert merged([dumb, dumb]) == {"x": dumb}
