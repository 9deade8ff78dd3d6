"""Lines that a regular expression with named groups describes: ``ST,GS,(?P<weight>[+-][0-9.]+)kg``.

Owns the format; the expression must match the whole line. What it may cost is bounded twice: by the
longest line, and by `backtracking`, which refuses an expression that could take longer.
"""

import re
from typing import ClassVar

from gateway.serial.backtracking import MAX_STEPS, PatternError, steps
from gateway.serial.format import Option, OptionError, Options, TextFormat
from gateway.serial.framing import Fields


class Pattern(TextFormat):
    """A regular expression's named groups as fields."""

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("pattern", "", "what a whole line is, with (?P<field>…)", required=True),
        *TextFormat.OPTIONS,
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        pattern, length = options.text("pattern"), options.whole("max_length")
        try:
            most = steps(pattern, length)
        except PatternError as error:
            raise OptionError("pattern", str(error), "see docs/serial.md") from error
        if most > MAX_STEPS:
            raise OptionError(
                "pattern",
                f"can take {most:.0e} steps on a line of max_length = {length}",
                "let the next character decide each repetition ([^,]+ instead of .+), or lower "
                f"max_length; at most {MAX_STEPS:.0e}",
            )
        self._match = re.compile(pattern, re.ASCII).fullmatch
        self._names = tuple(re.compile(pattern).groupindex)
        if not self._names:
            raise OptionError("pattern", "it names no field", "write (?P<weight>[0-9.]+)")

    def group(self, field: str) -> str | None:
        return "" if field in self._names else None

    def fields(self, text: str) -> Fields | None:
        match = self._match(text)
        return None if match is None else tuple(match.groupdict().items())
