"""Plots: round scales, holes, and only finite numbers in the markup."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.centre.web.plot import Curve, Mark, path, plot, scale

S = 1_000_000_000
VALUES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 3))


@given(st.lists(VALUES, min_size=1, max_size=20), st.booleans())
def test_a_scale_holds_its_values_between_a_few_round_lines(
    values: list[float], whole: bool
) -> None:
    """Every value is on the picture, and three to eight lines can be labelled."""
    low, high, ticks = scale(values, whole)
    slack = (high - low) * 1e-6
    assert low - slack <= min(values) and max(values) <= high + slack
    assert 2 <= len(ticks) <= 9 and low < high
    assert not whole or all(float(t).is_integer() for t in ticks)


def test_a_small_fleet_is_seen_from_nought_a_great_one_close_up() -> None:
    """31 connections of which 8 fell begin at 20; 3 of 31 at nought; 40 of 10,000 near the top."""
    assert scale([3, 31], True)[0] == 0
    assert scale([9960, 10_000], True)[0] > 9900


def test_a_hole_is_left_open() -> None:
    """The curve ends before a missing value or a long silence and begins again behind it."""
    points = [(0, 1.0), (S, 2.0), (2 * S, None), (3 * S, 1.0), (50 * S, 2.0)]
    drawn = path(Curve(points, hole_ns=10 * S), 0, 100 * S, 0.0, 2.0)
    assert drawn.count("M") == 3 and drawn.count("L") == 1
    steps = path(Curve(points[:2], step=True), 0, 100 * S, 0.0, 2.0)
    assert "H10.0V0.00" in steps and "L" not in steps


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**19), st.none() | st.floats(allow_nan=True, allow_infinity=True)
        ),
        max_size=20,
    ),
    st.integers(0, 10**18),
    st.integers(1, 10**15),
)
@example([(0, 1.76e308)], 0, 1)
def test_whatever_was_measured_can_be_drawn(
    points: list[tuple[int, float | None]], start: int, span: int
) -> None:
    """No number in the markup is without end, whatever the gateway sent."""
    figure = plot([Curve(sorted(points, key=lambda p: p[0]))], start, start + span, label="x").text
    assert not re.search(r"\b(nan|inf)\b", figure)


def test_marks_lead_to_what_they_mark() -> None:
    """A mark is a link with a title; one outside the picture is not drawn."""
    marks = [
        Mark(10 * S, 20 * S, "loud", "power <cut>", "/incidents/x"),
        Mark(900 * S, 901 * S, "loud", "later"),
    ]
    figure = plot([Curve([(0, 1.0)])], 0, 100 * S, label="c", marks=marks).text
    assert 'href="/incidents/x"' in figure and "power &lt;cut&gt;" in figure
    assert "later" not in figure


def test_nothing_recorded_is_said() -> None:
    """An empty plot is a sentence."""
    assert "Nothing recorded" in plot([Curve([(1, None)])], 0, S, label="c").text
