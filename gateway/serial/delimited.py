"""Lines of fields in a fixed order: ``Q,229,002.74,M,00``.

Owns the splitting. A line with another number of fields is no such line: where a source has no
check sum, this count is what tells a whole line from a damaged one.
"""

from typing import ClassVar

from gateway.serial.format import Option, OptionError, Options, TextFormat
from gateway.serial.framing import Fields

MAX_FIELDS = 64


class Delimited(TextFormat):
    """Fields between delimiters."""

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option(
            "fields",
            (),
            'a name for each field in order, "" for one that is not wanted',
            required=True,
            low=1,
            high=MAX_FIELDS,
        ),
        Option("delimiter", ",", "what stands between two fields", control=True),
        Option("merge", False, "several delimiters in a row count as one (columns of blanks)"),
        *TextFormat.OPTIONS,
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._names = options.texts("fields")
        self._delimiter = options.raw("delimiter").decode("latin-1")
        self._merge = options.flag("merge")
        named = [name for name in self._names if name]
        if not self._delimiter:
            raise OptionError("delimiter", 'found ""', 'give what stands between two fields, ","')
        if len(set(named)) != len(named):
            raise OptionError("fields", "a name stands twice", "give each field its own name")

    def group(self, field: str) -> str | None:
        return "" if field and field in self._names else None

    def fields(self, text: str) -> Fields | None:
        parts = text.split(self._delimiter)
        if self._merge:
            parts = [part for part in parts if part]
        if len(parts) != len(self._names):
            return None
        pairs = zip(self._names, parts, strict=True)
        return tuple((name, part.strip(" ")) for name, part in pairs if name)
