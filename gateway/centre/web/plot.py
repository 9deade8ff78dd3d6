"""Plots as inline SVG that stretch with the page while their words stay readable.

Owns scales, paths and marks. Pure. A plot is a column of values beside a picture: in the picture
places are percentages, so that texts keep their size on a phone; the curve alone is stretched
(`preserveAspectRatio="none"` and strokes that do not scale). Colours are the style sheet's.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.centre.web.markup import NOTHING, Child, Markup, el, join

HEIGHT, FOOT = 168, 22
"""Pixels of a picture, and of the instants below it."""
WIDE, TALL = 1000, 100
"""The curve's own coordinates."""
TIME_STEPS_S = (
    1,
    5,
    15,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
)
MAX_TICKS = 6
DRAWN = 1e12
"""Values beyond are no measurement and left out like holes."""
_S = 1_000_000_000
Points = Sequence[tuple[int, float | None]]
"""(instant, value); ``None`` is a hole."""
Scale = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a band from `from_ns` to `to_ns`. `kind` is its class."""

    from_ns: int
    to_ns: int
    kind: str
    title: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One line. `step`: the value holds until the next one, else points are joined; a hole is
    also where two points are further apart than `hole_ns` (0: never)."""

    points: Points
    kind: str = "one"
    title: str = ""
    step: bool = False
    hole_ns: int = 0


def plot(
    curves: Sequence[Curve],
    from_ns: int,
    to_ns: int,
    *,
    label: str,
    unit: str = "",
    marks: Iterable[Mark] = (),
    limits: Sequence[tuple[float, str]] = (),
    whole: bool = False,
    around: tuple[float, float] | None = None,
) -> Markup:
    """Return a figure. `label` says it to who cannot see it. `limits`: lines at (value, title).
    `whole`: values are counts. `around`: a range that is always shown."""
    values = [v for curve in curves for _, v in curve.points if v is not None and abs(v) < DRAWN]
    if not values:
        return el("p", "Nothing recorded in this time.", class_="dim")
    low, high, ticks = scale([*values, *(around or ())], whole)
    span = max(1, to_ns - from_ns)

    def x(at_ns: int) -> float:
        return (at_ns - from_ns) * 100 / span

    def y(value: float) -> float:
        return (high - value) * 100 / (high - low)

    body_height = HEIGHT - FOOT
    scale_texts = (
        el("text", _tick(v, ticks), x="100%", y=_px(y(v) * body_height / 100 + 4), class_="value")
        for v in ticks
    )
    picture = el(
        "svg",
        el("title", label),
        (_level(y(v) * body_height / 100, "grid") for v in ticks),
        (_band(mark, x, from_ns, to_ns, body_height) for mark in marks),
        _instants(from_ns, to_ns, x, body_height),
        (
            _level(y(v) * body_height / 100, "limit", title)
            for v, title in limits
            if low <= v <= high
        ),
        el(
            "svg",
            (
                el("path", d=path(curve, from_ns, to_ns, low, high), class_=f"curve {curve.kind}")
                for curve in curves
            ),
            viewBox=f"0 0 {WIDE} {TALL}",
            preserveAspectRatio="none",
            width="100%",
            height=body_height,
            overflow="visible",
        ),
        width="100%",
        height=HEIGHT,
        role="img",
        class_="picture",
    )
    side = el("svg", scale_texts, width=52, height=HEIGHT, class_="side", aria_hidden="true")
    return el(
        "figure", el("div", side, picture, class_="plot"), _legend(curves, unit), class_="figure"
    )


def _legend(curves: Sequence[Curve], unit: str) -> Markup:
    named = [curve for curve in curves if curve.title]
    if not named and not unit:
        return NOTHING
    items: list[Child] = [
        el("span", el("i", class_=f"key {curve.kind}"), curve.title) for curve in named
    ]
    return el("figcaption", items, el("span", unit, class_="unit") if unit else None)


def scale(values: Sequence[float], whole: bool) -> tuple[float, float, list[float]]:
    """Return lowest, highest and the round values between them that are labelled.

    Zero is in when the values are not far from it, so that small ripples do not look like cliffs.
    """
    low, high = min(values), max(values)
    if 0 < low < high * 0.5:
        low = 0.0
    spread = high - low or max(abs(high) * 0.02, 2.0 if whole else 0.1)
    step = _round_step(spread / 3, whole)
    bottom = math.floor(low / step) * step
    top = math.ceil(high / step) * step
    if high == low:
        bottom, top = bottom - step * (bottom > 0), top + step
    elif top - high < spread * 0.05:
        top += step
    if bottom > 0 and low - bottom < spread * 0.05:
        bottom -= step
    count = round((top - bottom) / step)
    ticks = [bottom + step * n for n in range(count + 1)]
    return bottom, top, ticks


def _round_step(least: float, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= least * 0.999)
    return max(1.0, step) if whole else step


def _tick(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")


def path(curve: Curve, from_ns: int, to_ns: int, low: float, high: float) -> str:
    """Return the curve as an SVG path; it begins anew behind every hole."""
    span = max(1, to_ns - from_ns)
    parts: list[str] = []
    before: tuple[int, float] | None = None
    for at_ns, value in curve.points:
        if value is None or not abs(value) < DRAWN:
            before = None
            continue
        x = (max(from_ns, min(at_ns, to_ns)) - from_ns) * WIDE / span
        y = (high - value) * TALL / (high - low)
        if before is None or (curve.hole_ns and at_ns - before[0] > curve.hole_ns):
            parts.append(f"M{x:.1f} {y:.2f}h0.1")  # a lone point is seen too
        elif curve.step:
            parts.append(f"H{x:.1f}V{y:.2f}")
        else:
            parts.append(f"L{x:.1f} {y:.2f}")
        before = at_ns, value
    return "".join(parts)


def _band(mark: Mark, x: Scale, from_ns: int, to_ns: int, height: int) -> Markup:
    left, right = x(max(mark.from_ns, from_ns)), x(min(mark.to_ns, to_ns))
    if right < 0 or left > 100:
        return NOTHING
    left = max(0.0, left)
    shapes = [
        el("title", mark.title),
        el("rect", x=_pc(left), y=0, width=_pc(max(0.0, right - left)), height=height),
    ]
    if mark.href is None:
        return el("g", shapes, class_=f"band {mark.kind}")
    shapes += [
        el("line", x1=_pc(left), x2=_pc(left), y1=0, y2=height),
        el("circle", cx=_pc(left), cy=6, r=4.5),
        # Broad enough for a finger.
        el("rect", x=_pc(max(0.0, left - 1)), y=0, width="2.5%", height=height, class_="touch"),
    ]
    body = el("g", shapes, class_=f"band {mark.kind}")
    return el("a", body, href=mark.href, aria_label=mark.title)


def _level(y: float, kind: str, title: str = "") -> Markup:
    line = el("line", x1=0, x2="100%", y1=_px(y), y2=_px(y), class_=kind)
    if not title:
        return line
    return join((line, el("text", title, x="100%", y=_px(y - 4), class_=f"{kind}-name")))


def _instants(from_ns: int, to_ns: int, x: Scale, height: int) -> Markup:
    """Return the labelled instants: round ones, six at most, every second one alone on a phone."""
    span_s = max(1, (to_ns - from_ns) // _S)
    step = next((s for s in TIME_STEPS_S if span_s / s <= MAX_TICKS), TIME_STEPS_S[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%d %b"
    first = -(-from_ns // (step * _S))
    parts: list[Child] = []
    for n in range(first, to_ns // (step * _S) + 1):
        at = x(n * step * _S)
        anchor = "start" if at < 4 else "end" if at > 96 else "middle"
        text = datetime.fromtimestamp(n * step, UTC).strftime(form)
        minor = " minor" if (n - first) % 2 else ""
        parts.append(el("line", x1=_pc(at), x2=_pc(at), y1=height, y2=height + 4, class_="grid"))
        parts.append(
            el("text", text, x=_pc(at), y=height + 17, text_anchor=anchor, class_=f"instant{minor}")
        )
    return join(parts)


def _pc(value: float) -> str:
    return f"{value:.2f}%"


def _px(value: float) -> str:
    return f"{value:.1f}"
