"""A TOML text as sections whose getters note every problem and go on.

Owns the way from text to typed values: `Document.read` parses, a `Section` gives one table's values
by key, checks type and range, and `close` names every key nobody asked for. A getter that meets a
problem notes it and returns its default, so that one run finds everything. Never reads files and
never raises for what a file holds.
"""

import math
import re
import tomllib
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from gateway.config.positions import Path, key_positions
from gateway.config.problems import Problem, Problems, did_you_mean, shown
from gateway.config.repair import AT, quote_bare_words
from gateway.config.slips import explain

S = TypeVar("S", str, str | None)
N = TypeVar("N", int, int | None)
F = TypeVar("F", float, float | None)

MAX_DIGITS = 4300
"""Digits of the longest number Python reads (sys.int_info)."""
MAX_BYTES = 1024 * 1024
"""Largest file read; a hundred devices take 20 kB."""


class Document:
    """One TOML text: its name, the places of its keys, and the problems found in it.

    `make` makes its sections; `schema` listens to what their getters are asked.
    """

    def __init__(self, name: str, problems: Problems, make: "SectionMaker | None" = None) -> None:
        self.name = name
        self.problems = problems
        self.make: SectionMaker = Section if make is None else make
        self.positions: dict[Path, tuple[int, int]] = {}
        self._repaired: dict[int, str] = {}

    @classmethod
    def read(
        cls, text: str, name: str, problems: Problems, make: "SectionMaker | None" = None
    ) -> "Section":
        """Parse `text` and return its root; text that is not TOML is one problem, an empty root."""
        document = cls(name, problems, make)
        values: dict[str, object] = {}
        if len(text) > MAX_BYTES:
            document.note(
                (1, 1), "", f"{len(text)} characters", f"a file of at most {MAX_BYTES} characters"
            )
            return document.make(document, values, (), "")
        try:
            text, document._repaired = quote_bare_words(text)
            values = tomllib.loads(text)
            document.positions = key_positions(text)
        except ValueError as error:
            document._not_toml(str(error), text)
        except RecursionError:
            document.note((1, 1), "", "lists or tables nested too deep", "nest at most 20 deep")
            values = {}
        return document.make(document, values, (), "")

    def close_repairs(self) -> None:
        """Note each word without quotes that no getter found wrong."""
        noted = {problem.line for problem in self.problems.problems}
        for path, (line, column) in self.positions.items():
            if line in self._repaired and line not in noted:
                word = self._repaired[line]
                key = ".".join(str(part) for part in path if isinstance(part, str))
                self.note((line, column), key, f"found {word}", f'write it in quotes, "{word}"')
                noted.add(line)

    def _not_toml(self, message: str, text: str) -> None:
        match = AT.search(message)
        lines = text.replace("\r\n", "\n").split("\n")
        if match is None:  # a number with more digits than Python reads has no place
            line = next((i for i, one in enumerate(lines, 1) if len(one) > MAX_DIGITS), 1)
            place = (line, 1)
        elif match.group(1):
            place = (int(match.group(1)), int(match.group(2)))
        else:
            place = (len(lines), len(lines[-1]) + 1)
        at = lines[place[0] - 1] if place[0] <= len(lines) else ""
        self.note(place, "", *explain(AT.sub("", message), at, place[1]))

    def note(self, place: tuple[int, int], key: str, found: str, cure: str) -> None:
        """Note a problem at a place of this document."""
        self.problems.add(Problem(self.name, place[0], place[1], key, found, cure))

    def place(self, path: Path) -> tuple[int, int]:
        """Return line and column of a key; of the nearest table above it if it is not there."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.positions:
                return self.positions[path[:length]]
        return 1, 1


class Section:
    """One table. Every getter takes the key and what it may be; `required` notes a missing key."""

    def __init__(
        self, document: Document, values: dict[str, object], path: Path, label: str
    ) -> None:
        self.document = document
        self.values = values
        self.path = path
        self.label = label
        self._asked: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def has_table(self, key: str) -> bool:
        """Say whether `key` is there and a table."""
        return isinstance(self.values.get(key), dict)

    def key(self, key: str) -> str:
        """Return the dotted name of a key of this table, as messages show it."""
        return f"{self.label}.{key}" if self.label and key else self.label or key

    def problem(self, key: str, found: str, cure: str) -> None:
        """Note a problem with a key of this table; ``""`` is the table itself."""
        path = (*self.path, key) if key else self.path
        self.document.note(self.document.place(path), self.key(key), found, cure)

    def warning(self, key: str, found: str, cure: str) -> None:
        """Note a warning about a key of this table; ``""`` is the table itself."""
        line, column = self.document.place((*self.path, key) if key else self.path)
        warning = Problem(self.document.name, line, column, self.key(key), found, cure)
        self.document.problems.warn(warning)

    def note_asked(self, key: str) -> None:
        """Count `key` as known, its value being judged by the caller."""
        self._asked[key] = None

    def _get(self, key: str, required: bool, expected: str) -> object:
        self._asked[key] = None
        value = self.values.get(key)
        if value is None and required:
            self.problem(key, "missing", f"add {key} = … ({expected})")
        return value

    def text(
        self,
        key: str,
        default: S,
        *,
        required: bool = False,
        choices: Collection[str] = (),
        pattern: str = "",
        expected: str = "a text in quotes",
        longest: int = 1024,
        secret: bool = False,
        known: Collection[str] = (),
    ) -> str | S:
        """Return a text. `pattern` must match whole; `secret`: the value is never shown; `known`:
        words the caller goes on to look for (said for the schema, not judged here)."""
        if choices:
            expected = "one of " + ", ".join(f'"{choice}"' for choice in choices)
        value = self._get(key, required, expected)
        if value is None:
            return default
        found = "a text that is not shown" if secret else f"found {shown(value)}"
        if not isinstance(value, str):
            self.problem(key, found, f"give {expected}")
        elif choices and value not in choices:
            self.problem(key, found, did_you_mean(value, choices, f"{key} is one of"))
        elif len(value) > longest or not value.isprintable():
            self.problem(key, found, f"give at most {longest} printable characters")
        elif (pattern and not re.fullmatch(pattern, value)) or (required and not value):
            self.problem(key, found, f"give {expected}")
        else:
            return value
        return default

    def integer(
        self,
        key: str,
        default: N,
        *,
        low: int,
        high: int,
        required: bool = False,
        choices: Sequence[int] = (),
        unit: str = "",
    ) -> int | N:
        """Return a whole number from `low` to `high` (or one of `choices`)."""
        expected = f"a whole number from {low} to {high}" + (f" {unit}" if unit else "")
        if choices:
            expected = "one of " + ", ".join(map(str, choices)) + (f" {unit}" if unit else "")
        value = self._get(key, required, expected)
        if value is None:
            return default
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not isinstance(value, int):
            self.problem(key, f"found {shown(value)}", f"give {expected}{_unquoted(value)}")
        elif (choices and value not in choices) or not low <= value <= high:
            self.problem(key, f"found {shown(value)}", f"give {expected}")
        else:
            return value
        return default

    def number(
        self,
        key: str,
        default: F,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        required: bool = False,
        unit: str = "",
    ) -> float | F:
        """Return a finite number from `low` to `high`."""
        expected = "a number" + (
            f" from {low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else ""
        )
        expected += f" {unit}" if unit else ""
        value = self._get(key, required, expected)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problem(key, f"found {shown(value)}", f"give {expected}{_unquoted(value)}")
        elif not low <= value <= high or not -1e300 <= value <= 1e300:
            self.problem(key, f"found {shown(value)}", f"give {expected}")
        else:
            return float(value)
        return default

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._get(key, False, "true or false")
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.problem(key, f"found {shown(value)}", "give true or false, without quotes")
        return default

    def items(
        self, key: str, expected: str, most: int, *, of: type = object
    ) -> list[object] | None:
        """Return a list as it is, at most `most` long; ``None`` if the key is absent or wrong.

        `of`: what the caller goes on to ask of each entry (said for the schema, not judged here).
        """
        value = self._get(key, False, expected)
        if value is None:
            return None
        if not isinstance(value, list):
            self.problem(key, f"found {shown(value)}", f"give {expected}")
            return None
        if len(value) > most:
            self.problem(key, f"found {len(value)} entries", f"give at most {most}")
            return None
        return value

    def texts(self, key: str, expected: str, most: int = 1000) -> tuple[str, ...] | None:
        """Return a list of texts; ``None`` if the key is absent or wrong."""
        found = self.items(key, expected, most, of=str)
        if found is None:
            return None
        for value in found:
            if not isinstance(value, str):
                self.problem(key, f"found {shown(value)} in the list", f"give {expected}")
                return None
        return tuple(str(value) for value in found)

    def free_keys(self, pattern: str, most: int | None = None) -> None:
        """Say that this table's keys are the writer's own (for the schema, not judged here)."""

    def section(self, key: str, *, required: bool = False) -> "Section":
        """Return a table; an empty one if it is absent or wrong."""
        value = self._get(key, False, "")
        if value is None and required:
            self.problem(key, "missing", f"add the table [{self.key(key)}]")
        if value is not None and not isinstance(value, dict):
            self.problem(key, f"found {shown(value)}", f"write it as a table, [{self.key(key)}]")
        table = value if isinstance(value, dict) else {}
        return self.document.make(self.document, table, (*self.path, key), self.key(key))

    def sections(self, key: str, most: int) -> "list[Section]":
        """Return a list of tables, each labelled by its ``name`` if it has one."""
        plain = re.sub(r"\[[^]]*\]", "", self.key(key))
        expected = f"tables [[{plain}]]"
        found = self.items(key, expected, most, of=dict)
        sections = []
        for number, value in enumerate(found or ()):
            if not isinstance(value, dict):
                self.problem(key, f"found {shown(value)}", f"write each as [[{plain}]]")
                continue
            name = value.get("name")
            word = shown(name)[1:-1] if isinstance(name, str) and name else f"#{number + 1}"
            label = f"{self.key(key)}[{word}]"
            path = (*self.path, key, number)
            sections.append(self.document.make(self.document, value, path, label))
        return sections

    def close(self) -> None:
        """Note every key that nobody asked for, with the nearest known one; the root comes last."""
        for key in self.values:
            if key not in self._asked:
                cure = did_you_mean(key, self._asked, "known here")
                self.problem(key, "unknown key", cure)
        if not self.path:
            self.document.close_repairs()


SectionMaker = Callable[[Document, dict[str, object], Path, str], Section]


def _unquoted(value: object) -> str:
    """Say the usual slip: a number in quotes."""
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ", in digits"
    return ", without quotes"
