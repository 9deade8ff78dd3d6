"""What is wrong with a file, said so that a technician can put it right.

Owns `Problem` and the collecting of every problem at once, so that one run of `gateway check` shows
all of them. Never reads files: the text and its name come in. The form is the one editors and
compilers share: ``file:line:column: key: what was found; what would be right``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_PROBLEMS = 200
"""Problems kept of one file; a fuzzed file must not fill the memory."""
MAX_SHOWN = 60
"""Characters shown of a value that was found."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or doubtful: a warning) and its cure.

    `line` and `column` count from 1; 0 means the file as a whole. `key` is the dotted key, tables
    in a list by their name: ``bus[rs485-1].device[main-meter].unit_id``.
    """

    file: str
    line: int
    column: int
    key: str
    found: str
    cure: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        return f"{where}:{key} {self.found}; {self.cure}"


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """What a file says. `settings` is ``None`` exactly when there are problems."""

    settings: T | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Problems:
    """Collects problems and warnings; at most `MAX_PROBLEMS` of each are kept."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Note a problem: the file cannot be used."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def warn(self, warning: Problem) -> None:
        """Note a warning: the file can be used, but somebody should look."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(warning)

    def parsed(self, settings: T) -> Parsed[T]:
        """Close the collection: the settings stand only without a problem. Sorted by line."""
        return Parsed(
            settings=None if self.problems else settings,
            problems=tuple(sorted(self.problems, key=_place)),
            warnings=tuple(sorted(self.warnings, key=_place)),
        )


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, or ``None`` if none is like it."""
    from difflib import get_close_matches  # 0.2 MiB that a right file never needs

    choices = sorted(set(known))
    lowered = {choice.lower(): choice for choice in reversed(choices)}
    plain = word.lower()
    found = get_close_matches(plain, lowered, n=1, cutoff=0.6)
    if not found and plain:  # "E" for even, "holding_registers" for holding
        found = [one for one in lowered if one.startswith(plain) or plain.startswith(one)]
    return lowered[found[0]] if len(found) == 1 else None


def did_you_mean(word: str, known: Iterable[str], what: str) -> str:
    """Say the cure for a word nobody knows: the nearest known one, and what there is."""
    choices = sorted(set(known))
    close = nearest(word, choices)
    listed = ", ".join(choices[:20]) + (", …" if len(choices) > 20 else "")
    if close is not None:
        return f'did you mean "{close}"? ({what}: {listed})' if listed else f'use "{close}"'
    return f"{what}: {listed}" if listed else f"there is no {what}"


def shown(value: object) -> str:
    """Return a value as a message shows it: in TOML's spelling, cut."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = '"' + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
        text = text[: MAX_SHOWN + 1] + '"'
    elif isinstance(value, dict):
        text = "a table"
    elif isinstance(value, list):
        text = "a list"
    elif isinstance(value, int) and abs(value) >= 10**30:
        text = "a very large number"
    else:
        text = str(value)
    return text if len(text) <= MAX_SHOWN + 2 else text[:MAX_SHOWN] + "…"
