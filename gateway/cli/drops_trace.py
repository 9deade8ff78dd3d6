"""The plot of one gateway's supply and radio level in the two minutes before it was lost.

Owns its layout: supply above, level below, where the alarm said under-voltage, the loss. What is
not known says so. Numbers in, SVG out.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeGuard

from gateway.cli.drops_axes import Frame, svg, x_axis, y_axis
from gateway.cli.drops_words import shown
from gateway.correlation.evidence import GatewayEvidence
from gateway.correlation.verdict import Loss

BEFORE_S, AFTER_S = 180.0, 10.0
"""What is shown around the loss as the centre saw it: two minutes before, and up to one that it
may be late."""
STALE_S = 15.0
"""What a look says is not taken to hold longer."""
MAX_VALUE = 10_000.0
"""Beyond it nothing is a voltage or a level."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The host at one instant, `seconds` after the loss (before it: negative)."""

    seconds: float
    volts: float | None = None
    undervoltage: bool | None = None
    dbm: float | None = None
    carrier: bool | None = None


def traces(
    losses: Iterable[Loss], evidence: Mapping[str, GatewayEvidence]
) -> dict[str, list[Trace]]:
    """Return what is known of the hosts around their losses, oldest first."""
    found: dict[str, list[Trace]] = {}
    for loss in losses:
        known = evidence.get(loss.gateway)
        if known is not None and loss.gateway not in found:
            points = sorted(_around(loss, known), key=lambda one: one.seconds)
            if any(one.volts is not None or one.dbm is not None for one in points):
                found[loss.gateway] = points
    return found


def _around(loss: Loss, evidence: GatewayEvidence) -> Iterator[Trace]:
    """Yield the looks around a loss, on the centre's clock: that is what the loss is dated by."""
    offsets = {boot.boot_id: boot.offset_ns for boot in evidence.boots}
    for look in evidence.looks:
        offset_ns = offsets.get(look.boot_id)
        if offset_ns is None:
            continue
        seconds = (look.source_time_ns + offset_ns - loss.lost_ns) / 1e9
        if -BEFORE_S <= seconds <= AFTER_S:
            yield Trace(seconds, look.volts, look.undervoltage, look.dbm, look.carrier)


def trace(key: str, gateway: str, points: Sequence[Trace]) -> str:
    """Plot a gateway's supply and radio level in the two minutes before it was lost."""
    volts = [(p.seconds, p.volts) for p in points if _plausible(p.volts)]
    levels = [(p.seconds, p.dbm) for p in points if _plausible(p.dbm)]
    low = [p.seconds for p in points if p.undervoltage]
    upper = _small(volts, 36, (4.5, 5.2) if all(value < 6 for _, value in volts) else None)
    lower = _small(levels, 126, (-95.0, -40.0))
    marks = list(_low(upper, points))
    for frame, values, unit in ((upper, volts, "V"), (lower, levels, "dBm")):
        marks += y_axis(frame, [(n, f"{n:g}") for n in (frame.y_from, frame.y_to)])
        marks.append(f'<text x="38" y="{frame.top - 4}">{unit}</text>')
        if values:
            path = "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in _spread(values))
            marks.append(f'<path class="line" d="M{path}"/>')
        else:
            marks.append(f'<text x="120" y="{frame.top + 40}">not known</text>')
        x = frame.x(0.0)
        marks.append(f'<path class="lost" d="M{x} {frame.top}v{frame.height}"/>')
    ticks = [(float(s), f"{s} s") for s in (-180, -120, -60, 0)]
    marks += x_axis(lower, ticks)
    marks.append('<text class="name" x="6" y="11">' + escape(shown(gateway, 34)) + "</text>")
    return svg(
        f"trace-{key}",
        f"Supply and radio of {shown(gateway, 64)} before it was lost",
        _trace_words(volts, levels, low),
        (260, 222),
        marks,
        "small",
    )


def _plausible(value: float | None) -> TypeGuard[float]:
    """Say whether a gateway's number can be drawn: it may send any."""
    return value is not None and math.isfinite(value) and abs(value) < MAX_VALUE


def _low(frame: Frame, points: Sequence[Trace]) -> Iterator[str]:
    """Yield the stretches in which the alarm said under-voltage, each until the next look."""
    later = [*(point.seconds for point in points[1:]), AFTER_S]
    for point, until in zip(points, later, strict=False):
        if point.undervoltage:
            x = frame.x(point.seconds)
            end = frame.x(min(until, point.seconds + STALE_S, max(point.seconds, 0.0)))
            width = round(max(2.0, end - x), 1)
            yield (
                f'<rect class="shade" x="{x}" y="{frame.top}" width="{width}" '
                f'height="{frame.height}"/>'
            )


def _trace_words(
    volts: Sequence[tuple[float, float]],
    levels: Sequence[tuple[float, float]],
    low: Sequence[float],
) -> str:
    said = []
    if volts:
        least = min(value for _, value in volts)
        said.append(
            f"supply from {volts[0][1]:.2f} V to {volts[-1][1]:.2f} V, at least {least:.2f} V"
        )
    else:
        said.append("supply not known")
    if low:
        said.append(f"under-voltage first seen {-low[0]:.0f} s before the loss")
    if levels:
        worst = min(value for _, value in levels)
        said.append(
            f"radio from {levels[0][1]:.0f} to {levels[-1][1]:.0f} dBm, at worst {worst:.0f} dBm"
        )
    else:
        said.append("radio not known")
    return "; ".join(said) + "."


def _small(
    values: Sequence[tuple[float, float]], top: float, usual: tuple[float, float] | None
) -> Frame:
    """Return an area that holds all values, and the usual range so that a still one looks still."""
    numbers = [value for _, value in values] + list(usual or ())
    least, most = min(numbers, default=0.0), max(numbers, default=1.0)
    if usual is None and most - least < 0.1 * abs(most):
        least, most = least - 0.05 * abs(most), most + 0.05 * abs(most)
    return Frame(38, top, 210, 70, -BEFORE_S, AFTER_S, round(least, 1), round(most, 1))


def _spread(values: Sequence[tuple[float, float]], most: int = 240) -> list[tuple[float, float]]:
    """Return at most about `most` points, lowest and highest of every stretch among them."""
    if len(values) <= most:
        return list(values)
    stride = math.ceil(len(values) / (most // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(values), stride):
        piece = values[start : start + stride]
        ends = {min(piece, key=lambda one: one[1]), max(piece, key=lambda one: one[1])}
        kept += sorted(ends)
    return kept
