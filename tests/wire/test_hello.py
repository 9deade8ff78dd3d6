"""Pins what is left out of a `Hello` that does not fit."""

from dataclasses import replace

import pytest

from gateway.errors import LocalProtocolError
from gateway.wire import codec
from gateway.wire.hello import fit
from gateway.wire.limits import DEFAULT_MESSAGE, MAX_EPOCHS, MAX_INTERVALS
from gateway.wire.message import EpochState
from tests.wire.peers import hello


def _epochs(count: int) -> tuple[EpochState, ...]:
    return tuple(EpochState(2**63 + n, bytes(16), 100, ((1, 99),)) for n in range(count))


def test_what_fits_is_left_alone() -> None:
    """An ordinary `Hello` is sent as it is."""
    said = hello(*_epochs(3))
    assert fit(said) == (said, codec.encode(said))


def test_too_many_intervals_are_merged_at_the_end() -> None:
    """Claiming more than there is, is safe: GAP records tell what is gone."""
    many = tuple((2 * n, 2 * n) for n in range(1, MAX_INTERVALS + 50))
    (state,) = fit(hello(EpochState(7, bytes(16), 5000, many)))[0].epochs
    assert len(state.available) == MAX_INTERVALS
    assert state.available[0] == many[0]
    assert state.available[-1] == (many[MAX_INTERVALS - 1][0], many[-1][1])


def test_too_many_epochs() -> None:
    """The oldest and the current one are listed, and the rest is announced as missing."""
    epochs = _epochs(MAX_EPOCHS + 10)
    said, data = fit(hello(*epochs))
    assert len(data) <= DEFAULT_MESSAGE
    assert not said.complete
    assert said.epochs[:-1] == epochs[: len(said.epochs) - 1]
    assert said.epochs[-1] == epochs[-1]


def test_epochs_with_many_intervals() -> None:
    """It is the bytes that count."""
    holes = tuple((4 * n + 2**40, 4 * n + 2**40) for n in range(MAX_INTERVALS))
    epochs = tuple(EpochState(n, bytes(16), 2**50, holes) for n in range(20))
    said, data = fit(hello(*epochs))
    assert len(data) <= DEFAULT_MESSAGE
    assert not said.complete
    assert said.epochs[-1] == epochs[-1]


def test_a_hello_that_cannot_be_made_to_fit() -> None:
    """When not the epochs but the facts are too long, that is a bug of the caller."""
    said = replace(hello(*_epochs(5)), facts=tuple((f"key{i}", "x" * 30_000) for i in range(3)))
    with pytest.raises(LocalProtocolError, match="Hello cannot be sent"):
        fit(said)
