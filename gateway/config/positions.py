"""Where each key of a TOML document stands: line and column.

`tomllib` gives values without places. This scanner gives the places and nothing else: it is run on
text that `tomllib` has already accepted, so it only has to find its way through valid TOML 1.0
(<https://toml.io/en/v1.0.0>, section names in the comments). Property-tested against `tomllib`.
"""

import re
import tomllib
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Keys from the root; an ``int`` is an index into an array."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Strings: the closing quotes of a multi-line string may have two more quotes before them.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]*")


@dataclass(slots=True)
class _Scanner:
    text: str
    at: int = 0
    places: dict[Path, int] = field(default_factory=dict)
    lengths: dict[Path, int] = field(default_factory=dict)
    """Elements so far of each array of tables."""

    def scan(self) -> None:
        table: Path = ()
        while True:
            self.skip(_BLANK)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def header(self) -> Path:
        """Section "Table" and "Array of Tables"."""
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        keys = self.keys()
        self.at += 2 if is_array else 1
        table: Path = ()
        for number, (key, place) in enumerate(keys, 1):
            table = (*table, key)
            self.places.setdefault(table, place)
            if number == len(keys) and is_array:
                index = self.lengths.get(table, 0)
                self.lengths[table] = index + 1
                table = (*table, index)
                self.places[table] = place
            elif table in self.lengths:
                table = (*table, self.lengths[table] - 1)
        return table

    def keys(self) -> list[tuple[str, int]]:
        """Section "Keys": bare, quoted, dotted."""
        found: list[tuple[str, int]] = []
        while True:
            self.skip(_SPACE)
            start = self.at
            if self.text[start] in "\"'":
                self.skip(_STRING)
                quoted = self.text[start : self.at]
                found.append((next(iter(tomllib.loads(f"{quoted} = 0"))), start))
            else:
                self.skip(_BARE_KEY)
                found.append((self.text[start : self.at], start))
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return found
            self.at += 1

    def pair(self, table: Path) -> None:
        """Section "Key/Value Pair"; a dotted key makes tables on its way."""
        path = table
        for key, place in self.keys():
            path = (*path, key)
            self.places.setdefault(path, place)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        elif first in "\"'":
            self.skip(_STRING)
        else:
            self.skip(_PLAIN)

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(_BLANK)
            if self.text[self.at] == "]":
                self.at += 1
                return
            self.places[(*path, index)] = self.at
            self.value((*path, index))
            index += 1
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while True:
            self.skip(_BLANK)
            if self.text[self.at] == "}":
                self.at += 1
                return
            self.pair(path)
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1


def key_positions(text: str) -> dict[Path, tuple[int, int]]:
    """Return (line, column), from 1, of every key and array element of a valid TOML text.

    An array of tables stands where its first header is; its elements where theirs are.
    """
    text = text.replace("\r\n", "\n")
    scanner = _Scanner(text)
    scanner.scan()
    line, start = 1, 0
    positions: dict[Path, tuple[int, int]] = {}
    for path, place in sorted(scanner.places.items(), key=lambda item: item[1]):
        line += text.count("\n", start, place)
        start = place
        positions[path] = (line, place - text.rfind("\n", 0, place))
    return positions
