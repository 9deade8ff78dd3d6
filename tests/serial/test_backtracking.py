"""The bound on what a regular expression may take, against an engine that counts its steps."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serial.backtracking import (
    CEILING,
    MAX_PATTERN,
    MAX_STEPS,
    Atom,
    Choice,
    Node,
    PatternError,
    Repeat,
    Sequence,
    _Parser,
    steps,
)

LENGTH = 256


class TooManyStepsError(Exception):
    """The counting engine gave up."""


class CountingEngine:
    """A backtracking matcher over the structure: slow, and counts each character it looks at."""

    def __init__(self, text: str, limit: int) -> None:
        self._text = text
        self._limit = limit
        self.steps = 0

    def matches(self, node: Node) -> bool:
        return self._match(node, 0, lambda at: at == len(self._text))

    def _match(self, node: Node, at: int, then: Callable[[int], bool]) -> bool:
        match node:
            case Atom(chars):
                self.steps += 1
                if self.steps > self._limit:
                    raise TooManyStepsError
                return at < len(self._text) and self._text[at] in chars and then(at + 1)
            case Sequence(items):
                if not items:
                    return then(at)
                rest = Sequence(items[1:])
                return self._match(items[0], at, lambda end: self._match(rest, end, then))
            case Choice(branches):
                return any(self._match(branch, at, then) for branch in branches)
            case Repeat(inner, low, high):
                return self._repeat(inner, low, high, at, then)

    def _repeat(
        self, inner: Node, low: int, high: int | None, at: int, then: Callable[[int], bool]
    ) -> bool:
        def again(end: int) -> bool:
            if end == at:
                return low > 0 and then(at)  # an empty turn stands for all that are still owed
            left = None if high is None else high - 1
            return self._repeat(inner, max(0, low - 1), left, end, then)

        if high != 0 and self._match(inner, at, again):
            return True
        return low == 0 and then(at)


@pytest.mark.parametrize(
    "pattern",
    [
        r"ST,(?:GS|NT),(?P<weight>[+-]?\d+\.\d)kg",
        r"(?P<a>[^,]*),(?P<b>[^,]*),(?P<c>[^,]*),(?P<d>\d+)",
        r"\+CSQ: (?P<rssi>\d{1,2}),(?P<ber>\d{1,2})",
        r"(?P<a>.*),(?P<b>.*)",
        r"(?:[a-z]+=\d+;)*end",
        r"^\s*(?P<t>-?[0-9.]+) ?C$",
        r"(?P<word>[a-z]+)\b:\Z|a{0}b{}",
        r"[]a^]+\]\x41\t\{\0{2}",
    ],
)
def test_usual_patterns_are_taken(pattern: str) -> None:
    """What sensors need stays below the limit."""
    assert steps(pattern, LENGTH) <= MAX_STEPS


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|a)*b",
        r"(a*)*b",
        r"(x|xy)+z",
        r"(?:.*,)*x",
        r"a*a*a*a*b",
        r"(a?){30}a{30}",
        r".*.*.*=.*",
        r"(?:(?:a{0,9}){0,9}){0,9}b",
    ],
)
def test_catastrophes_are_refused(pattern: str) -> None:
    """The patterns every article on the subject warns of, and some of their kin."""
    assert steps(pattern, LENGTH) > MAX_STEPS


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "no regular expression"),
        ("a{2,1}", "no regular expression"),
        ("[[a]", "no regular expression"),
        (r"(?P<a>x)\1", "back-references"),
        ("(?=a)a", "lookaround"),
        ("(?i)a", "lookaround, flags"),
        (r"\N{DIGIT ONE}", "not taken"),
        ("a" * (MAX_PATTERN + 1), f"at most {MAX_PATTERN}"),
    ],
)
def test_what_is_not_taken(pattern: str, message: str) -> None:
    """Said in words, with what to do."""
    with pytest.raises(PatternError, match=re.escape(message)):
        steps(pattern, LENGTH)


ATOMS = st.sampled_from(["a", "b", ",", r"\d", "[ab]", "[^,]", ".", "1"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    counts = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "*?", "+?"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(inner, counts).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.tuples(ATOMS, counts).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
    )


PATTERNS = st.recursive(ATOMS, _grown, max_leaves=10)
TEXTS = st.one_of(
    st.text("ab,1", max_size=24),
    st.tuples(st.sampled_from(["a", "ab", "1", "a,"]), st.integers(1, 20)).map(
        lambda pair: pair[0] * pair[1] + "!"
    ),
)


@given(PATTERNS, TEXTS)
def test_the_bound_holds(pattern: str, text: str) -> None:
    """A counting engine takes no more than the bound times the pattern's size, and agrees with
    `re` on what matches."""
    bound = steps(pattern, len(text))
    if bound >= CEILING:
        return
    engine = CountingEngine(text, min(bound * (len(pattern) + 1), 200_000))
    try:
        found = engine.matches(_Parser(pattern).whole())
    except TooManyStepsError:
        assert bound * (len(pattern) + 1) > 200_000, (pattern, text, bound)
        return
    assert found == bool(re.compile(pattern, re.ASCII).fullmatch(text))
