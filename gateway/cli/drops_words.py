"""How `gateway drops` words an instant, a group, a count: alike in the terminal and the page.

Owns the form of single facts. Texts of gateways (ids, labels, reasons) are foreign: every one of
them goes through `shown` before it reaches a terminal, which must not obey it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from gateway.cli.paint import span
from gateway.correlation.evidence import Pairs
from gateway.correlation.verdict import Group, GroupKind, HeldBy, Incident, Loss
from gateway.errors import RefusedError
from gateway.process.prometheus import plain

MAX_SHOWN = 300
"""Characters of one text of a gateway."""
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_S = 1_000_000_000


def shown(text: object, most: int = MAX_SHOWN) -> str:
    """Return a foreign text as it may be printed: one line, no control characters, bounded."""
    return plain(text, most)


def local(at_ns: int, zone: tzinfo | None = None) -> datetime:
    """Return an instant in local time (or in `zone`), which knows its offset."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone(zone)


def when(at_ns: int, zone: tzinfo | None = None) -> str:
    """Return date, time and UTC offset; it can be pasted behind --since."""
    return local(at_ns, zone).isoformat(sep=" ", timespec="seconds")


def clock(at_ns: int, zone: tzinfo | None = None) -> str:
    """Return the time of day to a tenth of a second."""
    return local(at_ns, zone).strftime("%H:%M:%S.%f")[:-5]


def instant(text: str, now_ns: int, zone: tzinfo | None = None) -> int:
    """Return what --since and --until mean: ``90m``, ``24h``, ``7d`` ago, ``now``, or a date with
    or without time and offset (then local). Raises: RefusedError."""
    words = text.strip()
    if words == "now":
        return now_ns
    ago = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?(s|m|min|h|d|w)", words)
    if ago:
        return now_ns - round(float(ago[1]) * _UNITS[ago[2]] * _S)
    try:
        found = datetime.fromisoformat(words)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone) if zone is not None else found.astimezone()
        whole = int(found.replace(microsecond=0).timestamp())
        at_ns = whole * _S + found.microsecond * 1000
    except (ValueError, OverflowError, OSError):
        raise RefusedError(
            f"{shown(text)!r} is no time; give a duration (90m, 24h, 7d) or a date "
            "(2026-11-23, 2026-11-23T04:00, 2026-11-23T03:00Z)"
        ) from None
    return at_ns


def lasted(incident: Incident) -> str:
    """Return how long an incident took until everybody was back."""
    if incident.ended_ns is None:
        return "goes on"
    return span((incident.ended_ns - incident.started_ns) / 1e9)


def group(one: Group) -> str:
    """Return what the gateways have in common: ``feeder=north 12 of 12``."""
    return f"{group_name(one)} {one.lost} of {one.of}"


def group_name(one: Group) -> str:
    """Return the same without the numbers."""
    value = shown(one.value)
    if one.kind is GroupKind.FLEET:
        return "fleet"
    if one.kind is GroupKind.LABEL:
        return value
    if one.kind is GroupKind.AGE:
        return f"age={value.removesuffix('s').strip()} s"
    return f"{one.kind.value}={value}"


def held(losses: Sequence[Loss]) -> str:
    """Return what kept the gateways away, the commonest first; empty: nothing did."""
    counts = Counter(loss.held_by for loss in losses)
    free = counts.pop(HeldBy.NOTHING, 0)
    if len(counts) == 1 and not free:
        return next(iter(counts)).value
    return ", ".join(f"{name.value} {number}" for name, number in counts.most_common())


def away(incident: Incident) -> int:
    """Return how many gateways are not back yet."""
    return sum(loss.returned_ns is None for loss in incident.losses)


def pending(incident: Incident) -> int:
    """Return how many are judged without what they themselves saw."""
    return sum(loss.pending for loss in incident.losses)


def labels(pairs: Pairs) -> str:
    """Return grouping keys: ``feeder=north site=7``."""
    return " ".join(f"{shown(name)}={shown(value)}" for name, value in pairs)


def count(number: int, word: str) -> str:
    """Return ``1 gateway``, ``2 gateways``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
