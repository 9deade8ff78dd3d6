"""What every plot of a drop report stands on: the `<svg>` itself, scales, ticks.

Owns the geometry. Every plot is one `<svg>` with a title and a description for whoever does not see
it, no script, no colour that carries a meaning alone. Colours are the page's (classes); sizes are
in units of the `viewBox`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from html import escape

from gateway.cli.drops_words import clock, local

_S = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 30, 90, 365)),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A plotting area in the `viewBox` and the ranges of values it shows."""

    left: float
    top: float
    width: float
    height: float
    x_from: float
    x_to: float
    y_from: float
    y_to: float

    def x(self, value: float) -> float:
        """Return where a value lies across; values outside lie on the edge."""
        share = (value - self.x_from) / ((self.x_to - self.x_from) or 1.0)
        return round(self.left + self.width * min(1.0, max(0.0, share)), 1)

    def y(self, value: float) -> float:
        """Return where a value lies down."""
        share = (value - self.y_from) / ((self.y_to - self.y_from) or 1.0)
        return round(self.top + self.height * (1.0 - min(1.0, max(0.0, share))), 1)


def svg(
    key: str, title: str, description: str, size: tuple[int, int], marks: Sequence[str], kind: str
) -> str:
    """Return a plot; `key` makes its ids unique on the page."""
    width, height = size
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(description)}</desc>{"".join(marks)}</svg>'
    )


def round_steps(least: float, most: float, wanted: int) -> list[float]:
    """Return round numbers from `least` to about `most`."""
    rough = max(1e-9, (most - least) / wanted)
    size = 10.0 ** math.floor(math.log10(rough))
    stride = next(size * n for n in (1, 2, 5, 10) if size * n >= rough)
    return [least + stride * n for n in range(math.ceil((most - least) / stride) + 1)]


def y_axis(frame: Frame, ticks: Sequence[tuple[float, str]]) -> Iterator[str]:
    """Yield a line and its number for each tick."""
    for value, words in ticks:
        y = frame.y(value)
        yield (
            f'<path class="grid" d="M{frame.left} {y}h{frame.width}"/>'
            f'<text x="{frame.left - 4}" y="{y + 4}" text-anchor="end">{escape(words)}</text>'
        )


def x_axis(frame: Frame, ticks: Sequence[tuple[float, str]]) -> Iterator[str]:
    """Yield a line and its words for each tick that lies in the area."""
    y = frame.top + frame.height
    for value, words in ticks:
        if frame.x_from <= value <= frame.x_to:
            x = frame.x(value)
            yield (
                f'<path class="grid" d="M{x} {frame.top}v{frame.height + 4}"/>'
                f'<text x="{x}" y="{y + 16}" text-anchor="middle">{escape(words)}</text>'
            )


def time_axis(frame: Frame, from_ns: int, zone: tzinfo | None) -> Iterator[str]:
    """Yield ticks at round local times, the date where a day begins."""
    stride = next((n for n in _TIME_STEPS if frame.x_to / n <= 8), _TIME_STEPS[-1])
    offset = local(from_ns, zone).utcoffset()
    shift = round(offset.total_seconds()) if offset is not None else 0
    start = from_ns // _S
    first = math.ceil((start + shift) / stride) * stride - shift
    ticks = []
    for second in range(first, start + math.ceil(frame.x_to) + 1, stride):
        at_ns = second * _S
        midnight = (second + shift) % _DAY == 0
        words = local(at_ns, zone).strftime("%m-%d") if midnight else clock(at_ns, zone)[:5]
        if stride < _MINUTE:
            words = clock(at_ns, zone)[:8]
        ticks.append(((at_ns - from_ns) / _S, words))
    yield from x_axis(frame, ticks)
