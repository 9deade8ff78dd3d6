"""How long a regular expression can take at worst, told before it is used.

Owns reading a pattern's structure and an upper bound of the ways in which it can match a line.
Python's engine tries those ways one after the other when the last character does not fit: with
``(a+)+b`` and a line of 40 characters for years. A repetition or choice whose next character
decides (``[^,]*,``) has one way; others multiply. Lookaround, back-references and flags are
refused: lines need none.
"""

import re
import warnings
from dataclasses import dataclass
from math import prod

MAX_PATTERN = 512
MAX_STEPS = 1_000_000
"""Steps that one line may take at worst: about 20 ms."""
CEILING = 10**12
_SPECIAL = {"d", "D", "w", "W", "s", "S"}
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_OCTAL = re.compile(r"0[0-7]{0,2}")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One character out of `chars`."""

    chars: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`high` ``None``: without limit."""

    node: "Node"
    low: int
    high: int | None


Node = Atom | Sequence | Choice | Repeat
_NOTHING = Sequence(())


def steps(pattern: str, length: int) -> int:
    """Return an upper bound of the steps that matching a line of `length` characters takes.

    Raises: PatternError for a pattern that is wrong or uses what lines do not need.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"{len(pattern)} characters; give at most {MAX_PATTERN}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern, re.ASCII)
    except (re.error, FutureWarning, DeprecationWarning, OverflowError, RecursionError) as error:
        raise PatternError(f"no regular expression: {error}") from error
    node = _Parser(pattern).whole()
    return min(CEILING, _ways(node, frozenset(), length) * (length + 1))


# --- reading a pattern ---------------------------------------------------------------------------


class _Parser:
    """Reads a pattern that `re` accepts."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def whole(self) -> Node:
        return self._choice()

    def _choice(self) -> Node:
        branches = [self._sequence()]
        while self._next("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            items.append(self._repeated(self._item()))
        return Sequence(tuple(items))

    def _repeated(self, node: Node) -> Node:
        if self._next("*"):
            node = Repeat(node, 0, None)
        elif self._next("+"):
            node = Repeat(node, 1, None)
        elif self._next("?"):
            node = Repeat(node, 0, 1)
        else:
            match = _COUNT.match(self._text, self._at)
            if match is None or match.group() in ("{}", "{,}"):
                return node
            self._at = match.end()
            low, comma, high = match.groups()
            least = int(low or 0)
            node = Repeat(node, least, (int(high) if high else None) if comma else least)
        if not self._next("?"):
            self._next("+")
        return node

    def _item(self) -> Node:
        char = self._text[self._at]
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        self._at += 1
        return _NOTHING if char in "^$" else _atom(char if char != "{" else "\\{")

    def _group(self) -> Node:
        match = _GROUP.match(self._text, self._at)
        if match is None:
            raise PatternError(
                f"{self._text[self._at : self._at + 4]!r}: lookaround, flags, back-references and "
                "comments are not taken; write (?P<name>…), (…) or (?:…)"
            )
        self._at = match.end()
        node = self._choice()
        self._at += 1  # the closing bracket, which `re` has found
        return node

    def _class(self) -> Node:
        start, text = self._at, self._text
        self._at += 2 if text.startswith("[^", self._at) else 1
        while True:
            self._at += 2 if text[self._at] == "\\" else 1
            if text[self._at] == "]":
                break
        self._at += 1
        return _atom(text[start : self._at])

    def _escape(self) -> Node:
        char = self._text[self._at + 1]
        if char in "bBAZ":
            self._at += 2
            return _NOTHING
        if char in "123456789":
            raise PatternError(f"\\{char}: back-references are not taken")
        width = {"x": 4, "u": 6, "U": 10}.get(char, 2)
        if char == "N" or (char.isalpha() and char not in _SPECIAL | set("xuUtrnfva")):
            raise PatternError(f"\\{char}: not taken; write the character itself")
        if char == "0":
            width = 1 + len(_OCTAL.findall(self._text, self._at + 1)[0])
        self._at += width
        return _atom(self._text[self._at - width : self._at])

    def _next(self, char: str) -> bool:
        if self._text.startswith(char, self._at):
            self._at += 1
            return True
        return False


def _atom(text: str) -> Atom:
    matches = re.compile(text, re.ASCII).fullmatch
    return Atom(frozenset(char for char in map(chr, range(256)) if matches(char)))


# --- counting ways ---------------------------------------------------------------------------


def _nullable(node: Node) -> bool:
    match node:
        case Atom():
            return False
        case Sequence(items):
            return all(map(_nullable, items))
        case Choice(branches):
            return any(map(_nullable, branches))
        case Repeat(inner, low):
            return low == 0 or _nullable(inner)


def _first(node: Node) -> frozenset[str]:
    match node:
        case Atom(chars):
            return chars
        case Sequence(items):
            found: frozenset[str] = frozenset()
            for item in items:
                found |= _first(item)
                if not _nullable(item):
                    break
            return found
        case Choice(branches):
            return frozenset().union(*map(_first, branches))
        case Repeat(inner, _, high):
            return _first(inner) if high != 0 else frozenset()


def _ways(node: Node, follow: frozenset[str], length: int) -> int:
    """Return in how many ways `node` can match from one place, where `follow` may come next."""
    match node:
        case Atom():
            return 1
        case Sequence(items):
            total = 1
            for item in reversed(items):
                total = min(CEILING, total * _ways(item, follow, length))
                follow = _first(item) | follow if _nullable(item) else _first(item)
            return total
        case Choice(branches):
            each = [_ways(branch, follow, length) for branch in branches]
            firsts = [_first(one) | (follow if _nullable(one) else frozenset()) for one in branches]
            decided = sum(map(len, firsts)) == len(frozenset().union(*firsts))
            return max(each) if decided and not any(map(_nullable, branches)) else sum(each)
        case Repeat(inner, low, high):
            return _repeat_ways(inner, low, high, follow, length)


def _repeat_ways(
    inner: Node, low: int, high: int | None, follow: frozenset[str], length: int
) -> int:
    most = length if high is None else min(high, length)
    if most == 0:
        return 1
    after = _first(inner) | follow if most > 1 else follow
    each = _ways(inner, after, length) + _nullable(inner)
    decided = low == high or not _first(inner) & follow
    if each == 1:
        return 1 if decided else most - min(low, most) + 1
    bits = each.bit_length() * most
    return CEILING if bits > 64 else min(CEILING, prod([each] * most) * (1 if decided else 2))
