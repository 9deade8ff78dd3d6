"""How the page says instants, ages, sizes and readings.

Owns wording only. Instants are UTC, and say so; the script shows the reader's own time beside them.
"""

from datetime import UTC, datetime

from gateway.centre.api import iso
from gateway.centre.web.markup import Markup, el

SECOND_NS = 1_000_000_000
_STEPS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def age(seconds: float) -> str:
    """Return a duration in its two greatest units: ``3 d 4 h``, ``12 min``, ``0.4 s``."""
    if seconds < 0:
        return f"-{age(-seconds)}"
    if seconds < 1:
        return f"{seconds:.1f} s"
    rest = int(seconds)
    for at, (unit, size) in enumerate(_STEPS):
        if rest < size:
            continue
        first, rest = divmod(rest, size)
        if first >= 10 or at + 1 == len(_STEPS):
            return f"{first} {unit}"
        second = rest // _STEPS[at + 1][1]
        return f"{first} {unit} {second} {_STEPS[at + 1][0]}" if second else f"{first} {unit}"
    return "0 s"


def clock(at_ns: int) -> str:
    """Return the time of day, ``03:12:07``."""
    return _moment(at_ns, "%H:%M:%S")


def day_and_clock(at_ns: int) -> str:
    """Return day and time of day, ``23 Nov 03:12:07``."""
    return _moment(at_ns, "%d %b %H:%M:%S")


def full(at_ns: int) -> str:
    """Return the whole instant, ``2026-11-23 03:12:07 UTC``."""
    return _moment(at_ns, "%Y-%m-%d %H:%M:%S UTC")


def _moment(at_ns: int, form: str) -> str:
    try:
        return datetime.fromtimestamp(at_ns / SECOND_NS, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return "?"


def instant(at_ns: int | None, now_ns: int) -> Markup:
    """Return an instant as the page shows it: time of day if it is of the last day."""
    if at_ns is None:
        return el("span", "unknown", class_="dim")
    near = abs(now_ns - at_ns) < 86_400 * SECOND_NS
    return el(
        "time",
        clock(at_ns) if near else day_and_clock(at_ns),
        datetime=iso(at_ns),
        title=full(at_ns),
    )


def since(at_ns: int | None, now_ns: int) -> Markup:
    """Return how long ago something was; the script keeps it up to date."""
    if at_ns is None:
        return el("span", "–", class_="dim")
    return el(
        "time",
        age(max(0.0, (now_ns - at_ns) / SECOND_NS)),
        datetime=iso(at_ns),
        title=full(at_ns),
        data_age=True,
    )


def number(value: int) -> str:
    """Return a count with thin groups of three, ``12 345``."""
    return f"{value:,}".replace(",", "\u202f")


def size(count: int) -> str:
    """Return bytes in the unit that fits."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def shown(value: object) -> str:
    """Return a reading's value: floats with up to six significant digits."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "\u2212")
    return str(value)


def plain(word: str) -> str:
    """Return a word of a closed set as people read it: ``power_cut`` is ``power cut``."""
    return word.replace("_", " ")
