"""Pins the wait before connecting again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.backoff import backoff


@given(attempt=st.integers(1, 10_000), u=st.floats(0, 1, exclude_max=True))
def test_full_jitter_below_the_cap(attempt: int, u: float) -> None:
    """Without a word of the centre the wait is u of the capped exponential."""
    cap = min(60.0, 2.0 ** min(attempt - 1, 62))
    assert backoff(attempt, u, 0.0, 1.0, 60.0) == u * cap


@given(attempt=st.integers(1, 100), u=st.floats(0, 1, exclude_max=True), wish=st.floats(0.1, 86400))
def test_never_before_retry_after(attempt: int, u: float, wish: float) -> None:
    """The centre's word is a floor, and the wait spreads over a quarter of it (at least 1 s)."""
    wait = backoff(attempt, u, wish, 1.0, 60.0)
    assert wish <= wait <= wish + max(wish / 4, 1.0)


def test_attempts_count_from_one() -> None:
    """Attempt 0 is a bug of the caller."""
    with pytest.raises(ValueError, match="counts from 1"):
        backoff(0, 0.5, 0.0, 1.0, 60.0)
