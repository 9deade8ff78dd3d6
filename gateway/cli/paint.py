"""Words, numbers and colours as the live commands show them.

Owns formatting only: a value with the decimals that mean something, an age, a share, a table whose
columns line up. Colour is for a terminal and never carries a meaning alone.
"""

from collections.abc import Sequence

from gateway.reading import Value

BOLD, DIM, GREEN, YELLOW, RED, RESET = (
    "\x1b[1m",
    "\x1b[2m",
    "\x1b[32m",
    "\x1b[33m",
    "\x1b[31m",
    "\x1b[0m",
)


def paint(code: str, text: str, colour: bool) -> str:
    """Return `text` in a colour, or as it is."""
    return f"{code}{text}{RESET}" if colour else text


def value_text(value: Value, packed: str = "") -> str:
    """Return a value; `packed` is the schema's type: ``d1`` has one decimal."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        if packed.startswith("d"):
            return f"{value:.{packed[1:]}f}"
        return f"{value:.6g}"
    return str(value)


def span(seconds: float | None) -> str:
    """Return a duration as short as it can be read."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, left = divmod(int(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {left:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def size(count: int) -> str:
    """Return bytes in the unit that fits."""
    amount, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units[:-1]:
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {units[-1]}"


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows with their columns lined up; those in `right` to the right."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
