"""One JSON object a line: ``{"t": 21.5, "wind": {"speed": 3}}``.

Owns the reading, strict where Python's is not (no NaN, no name twice in an object). A field is a
path of names and list positions with dots: ``wind.speed``, ``probes.0``.

Source: RFC 8259; https://jsonlines.org.
"""

import json
from typing import ClassVar

from gateway.serial.format import FRAMING, LineFormat, Option, Options, framing_of
from gateway.serial.framing import Fields, Framing
from gateway.serial.line import FaultKind, Field

MAX_JSON_LINE = 4096
MAX_FIELDS = 1024


class JsonLines(LineFormat):
    """JSON objects, each on a line of its own."""

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        *(one for one in FRAMING if one.name in ("end", "idle_gap_s")),
        Option("max_length", 1024, "longest line in bytes", low=4, high=MAX_JSON_LINE),
        Option(
            "mixed",
            False,
            "lines differ in what they hold: a field that is not in a line is not missing",
        ),
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._mixed = options.flag("mixed")

    def framing(self, options: Options) -> Framing:
        return framing_of(Options((*options.values, ("start", ""))))

    def group(self, field: str) -> str | None:
        return field if self._mixed else ""

    def read(self, frame: bytes) -> Fields | FaultKind:
        found: list[tuple[str, Field]] = []
        try:
            value = json.loads(
                frame.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_object
            )
            _flatten(value, "", found)
        except (ValueError, RecursionError):
            return FaultKind.FORMAT
        fits = isinstance(value, dict) and len(found) <= MAX_FIELDS
        return tuple(found) if fits else FaultKind.FORMAT


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _flatten(value: object, path: str, found: list[tuple[str, Field]]) -> None:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            _flatten(inner, f"{path}.{key}" if path else str(key), found)
    elif value is None or isinstance(value, str | int | float | bool):
        found.append((path, value))
