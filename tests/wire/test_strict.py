"""Pins every check of values from a stranger: what passes, what does not, with which code."""

from collections.abc import Callable

import msgpack
import pytest

from gateway.errors import RemoteProtocolError
from gateway.wire import strict
from gateway.wire.limits import MAX_INTERVALS, MAX_PAIRS

GOOD: list[tuple[Callable[[], object], object]] = [
    (lambda: strict.unpack(b"\x91\x01", "x"), [1]),
    (lambda: strict.integer(5, "x"), 5),
    (lambda: strict.number(5, "x", 9.0), 5.0),
    (lambda: strict.number(0.5, "x", 9.0), 0.5),
    (lambda: strict.text("aé", "x", 3), "aé"),
    (lambda: strict.binary(b"ab", "x", 2, 2), b"ab"),
    (lambda: strict.boolean(True, "x"), True),
    (lambda: strict.array([1], "x", 1, 1), [1]),
    (lambda: strict.pairs((("a", 1), ("b", None), ("c", "t"), ("d", True), ("e", 0.5)), "x"),
     (("a", 1), ("b", None), ("c", "t"), ("d", True), ("e", 0.5))),
    (lambda: strict.pairs((), "x"), ()),
    (lambda: strict.intervals([[1, 2], [3, 3, "more"]], "x"), ((1, 2), (3, 3))),
]  # fmt: skip
BAD: list[tuple[Callable[[], object], int]] = [
    (lambda: strict.unpack(b"\x01", "x"), 1007),
    (lambda: strict.unpack(b"\x91", "x"), 1007),
    (lambda: strict.unpack(b"\xc1", "x"), 1007),
    (lambda: strict.unpack(b"\x91" * 3000, "x"), 1007),
    (lambda: strict.unpack(b"\x90\x90", "x"), 1007),
    (lambda: strict.unpack(msgpack.packb([{str(i): i for i in range(MAX_PAIRS + 1)}]), "x"), 1007),
    (lambda: strict.integer(True, "x"), 1007),
    (lambda: strict.integer(-1, "x"), 1007),
    (lambda: strict.integer(1 << 63, "x"), 1007),
    (lambda: strict.number("1", "x", 9.0), 1007),
    (lambda: strict.number(float("nan"), "x", 9.0), 1007),
    (lambda: strict.number(9.5, "x", 9.0), 1007),
    (lambda: strict.text(b"a", "x"), 1007),
    (lambda: strict.text("aaaa", "x", 3), 1009),
    (lambda: strict.text("éé", "x", 3), 1009),
    (lambda: strict.binary("a", "x", 0, 9), 1007),
    (lambda: strict.binary(b"a", "x", 2, 9), 1009),
    (lambda: strict.boolean(1, "x"), 1007),
    (lambda: strict.array((), "x", 0, 1), 1007),
    (lambda: strict.array([], "x", 1, 1), 1007),
    (lambda: strict.array([1, 2], "x", 1, 1), 1009),
    (lambda: strict.pairs([["a", 1]], "x"), 1007),
    (lambda: strict.pairs((("a", 1), ("a", 2)), "x"), 1007),
    (lambda: strict.pairs((("a", [1]),), "x"), 1007),
    (lambda: strict.pairs(((b"a", 1),), "x"), 1007),
    (lambda: strict.intervals([[1, 2], [2, 3]], "x"), 1007),
    (lambda: strict.intervals([[2, 1]], "x"), 1007),
    (lambda: strict.intervals([[0, 1]], "x"), 1007),
    (lambda: strict.intervals([], "x", 1), 1007),
    (lambda: strict.intervals([[i, i] for i in range(1, MAX_INTERVALS + 2)], "x"), 1009),
]


@pytest.mark.parametrize("case", range(len(GOOD)))
def test_what_passes(case: int) -> None:
    """A value within its limits comes back."""
    call, expected = GOOD[case]
    assert call() == expected


@pytest.mark.parametrize("case", range(len(BAD)))
def test_what_does_not(case: int) -> None:
    """Anything else is refused with the documented code."""
    call, code = BAD[case]
    with pytest.raises(RemoteProtocolError) as caught:
        call()
    assert caught.value.close_code == code
