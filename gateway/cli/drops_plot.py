"""The plots of a drop report: connections over time, and the gap until each gateway came back.

Owns what is drawn of a series and of losses: a bounded number of marks whatever it is given, and
no dip that falls between two columns. Numbers in, SVG out.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from datetime import tzinfo
from html import escape

from gateway.cli.drops_axes import Frame, round_steps, svg, time_axis, x_axis, y_axis
from gateway.cli.drops_words import count, shown, when
from gateway.cli.paint import span
from gateway.correlation.evidence import Sample
from gateway.correlation.verdict import Drop, Incident, Loss

_S = 1_000_000_000
MAX_MARKS = 200
"""Drops and incidents marked in the plot of connections, the largest first."""
MAX_BARS = 30
"""Gateways that get a bar of their own; of more, only the curve is drawn."""
COLUMNS = 640
"""Units across, a line's course has a point or a few in each."""
WIDTH = 720
LETTER = 6.8
"""Units that a letter of a flag's words takes at most, on average."""


# --- connections over time ----------------------------------------------------------------------


def connections(
    samples: Sequence[Sample],
    drops: Sequence[Drop],
    incidents: Sequence[Incident],
    times: tuple[int, int],
    hole_ns: int,
    zone: tzinfo | None = None,
    told: Collection[str] = (),
) -> str:
    """Plot `ws_active_connections` with drops shaded and incidents marked.

    `hole_ns`: without a sample for longer, nothing is known and nothing is drawn. `told`: the
    incidents whose story stands on the page, for links to it.
    """
    from_ns, to_ns = times
    top = max((sample.active for sample in samples), default=0)
    ticks = round_steps(0, max(1, top), min(5, max(1, top)))
    frame = Frame(48, 26, COLUMNS, 190, 0.0, (to_ns - from_ns) / _S, 0, max(1, top, ticks[-1]))
    marks = [*y_axis(frame, [(tick, f"{tick:,g}") for tick in ticks])]
    marks += time_axis(frame, from_ns, zone)
    largest = sorted(drops, key=lambda one: one.bottom - one.before)[:MAX_MARKS]
    marks += [_shade(frame, drop, times, zone) for drop in largest]
    marks.append(f'<path class="line" d="{_course(frame, samples, from_ns, hole_ns)}"/>')
    marks += _flags(frame, incidents, times, told)
    lowest = min((sample.active for sample in samples), default=0)
    described = (
        f"From {when(from_ns, zone)} to {when(to_ns, zone)}: between {lowest:,} and {top:,} "
        f"connections; {count(len(drops), 'drop')}, {count(len(incidents), 'incident')}. "
        "The table below has each of them."
    )
    title = "Connections (ws_active_connections) over time"
    return svg("connections", title, described, (WIDTH, 250), marks, "wide")


def _course(frame: Frame, samples: Sequence[Sample], from_ns: int, hole_ns: int) -> str:
    """Return the line: at most four points for each column, so that no dip falls between two."""
    path: list[str] = []
    before: Sample | None = None
    for column in _columns(frame, samples, from_ns):
        first, last = column[0], column[-1]
        low = min(column, key=lambda one: one.active)
        high = max(column, key=lambda one: one.active)
        new = before is None or first.at_ns - before.at_ns > hole_ns
        x = frame.x((first.at_ns - from_ns) / _S)
        if new or before is None:
            path.append(f"M{x} {frame.y(first.active)}")
        else:
            path.append(f"H{x}")  # it stays what it was until a sample says otherwise
        turns = [frame.y(one.active) for one in (first, low, high, last)]
        here = frame.y(first.active if new or before is None else before.active)
        for y in turns:
            if y != here:
                path.append(f"V{y}")
                here = y
        before = last
    if before is not None:
        rest = min(frame.x_to, (before.at_ns - from_ns + hole_ns) / _S)
        path.append(f"H{frame.x(rest)}")
    return "".join(path)


def _columns(frame: Frame, samples: Sequence[Sample], from_ns: int) -> Iterator[list[Sample]]:
    """Yield the samples that share a column of the plot."""
    column: list[Sample] = []
    place = -1
    for sample in samples:
        here = int(frame.x((sample.at_ns - from_ns) / _S))
        if here != place and column:
            yield column
            column = []
        place = here
        column.append(sample)
    if column:
        yield column


def _shade(frame: Frame, drop: Drop, times: tuple[int, int], zone: tzinfo | None) -> str:
    from_ns, to_ns = times
    end_ns = drop.recovered_ns if drop.recovered_ns is not None else to_ns
    x = frame.x((drop.started_ns - from_ns) / _S)
    width = max(3.0, round(frame.x((end_ns - from_ns) / _S) - x, 1))
    fell = f"{drop.before} to {drop.bottom}"
    if drop.hidden:
        fell = f"{fell}, between two samples"
    return (
        f'<rect class="shade{" hidden" if drop.hidden else ""}" x="{x}" y="{frame.top}" '
        f'width="{width}" height="{frame.height}">'
        f"<title>{escape(f'{when(drop.started_ns, zone)}: {fell}')}</title></rect>"
    )


def _flags(
    frame: Frame,
    incidents: Sequence[Incident],
    times: tuple[int, int],
    told: Collection[str],
) -> Iterator[str]:
    """Yield a mark above the plot for each incident, linked to its story."""
    from_ns, to_ns = times
    seen = [one for one in incidents if from_ns <= one.started_ns <= to_ns]
    largest = sorted(seen, key=lambda one: (one.quiet, -len(one.losses)))[:MAX_MARKS]
    taken: list[float] = []
    for one in largest:
        x = frame.x((one.started_ns - from_ns) / _S)
        kind = "flag quiet" if one.quiet else "flag"
        said = f"{one.cause.value}: {count(len(one.losses), 'gateway')} lost"
        words = ""
        if all(abs(x - other) > 60 for other in taken):
            taken.append(x)
            half = LETTER * len(one.cause.value) / 2
            middle = round(min(max(x, half), WIDTH - half), 1)
            said_above = escape(one.cause.value)
            words = f'<text x="{middle}" y="11" text-anchor="middle">{said_above}</text>'
        flag = (
            f'<g class="{kind}"><title>{escape(said)}</title>'
            f'<path d="M{round(x - 4, 1)} 15h8l-4 9z"/>{words}</g>'
        )
        linked = one.identity in told
        yield f'<a href="#{escape(one.identity)}">{flag}</a>' if linked else flag


# --- the gap until each came back ---------------------------------------------------------------


def gaps(key: str, losses: Sequence[Loss], now_ns: int) -> str:
    """Plot how long each gateway was away: a bar each, or of many how many were back by when."""
    return (_bars if len(losses) <= MAX_BARS else _curve)(key, losses, now_ns)


def _bars(key: str, losses: Sequence[Loss], now_ns: int) -> str:
    ordered = sorted(losses, key=lambda loss: (_away_s(loss, now_ns), loss.gateway))
    longest = max((_away_s(loss, now_ns) for loss in ordered), default=1.0) or 1.0
    height = 16 * len(ordered)
    frame = Frame(180, 8, 460, height, 0.0, longest, 0, 1)
    marks = list(
        x_axis(frame, [(tick, span(tick) if tick else "0") for tick in round_steps(0, longest, 4)])
    )
    for place, loss in enumerate(ordered):
        y, seconds = 8 + 16 * place, _away_s(loss, now_ns)
        back = loss.returned_ns is not None
        width = max(2.0, round(frame.x(seconds) - frame.left, 1))
        words = span(seconds) if back else f"{span(seconds)}, not back"
        marks.append(
            f'<text class="name" x="174" y="{y + 11}" text-anchor="end">'
            f"{escape(shown(loss.gateway, 24))}</text>"
            f'<rect class="bar{"" if back else " open"}" x="{frame.left}" y="{y + 2}" '
            f'width="{width}" height="11"/>'
            f'<text x="{frame.left + width + 4}" y="{y + 11}">{escape(words)}</text>'
        )
    gone = sum(loss.returned_ns is None for loss in losses)
    said = "; ".join(
        f"{shown(loss.gateway, 64)} {span(_away_s(loss, now_ns))}"
        f"{'' if loss.returned_ns is not None else ', not back yet'}"
        for loss in ordered
    )
    return svg(
        f"gap-{key}",
        f"The gap until each came back ({gone} not back)",
        said,
        (720, height + 34),
        marks,
        "wide",
    )


def _curve(key: str, losses: Sequence[Loss], now_ns: int) -> str:
    back = sorted(_away_s(loss, now_ns) for loss in losses if loss.returned_ns is not None)
    still = len(losses) - len(back)
    longest = max((_away_s(loss, now_ns) for loss in losses), default=1.0) or 1.0
    # Seconds to hours in one plot: equal ratios take equal room.
    frame = Frame(48, 8, COLUMNS, 160, 0.0, math.log10(1 + longest), 0, len(losses))
    marks = list(y_axis(frame, [(n, f"{n:,g}") for n in round_steps(0, len(losses), 4)]))
    usual = [n for n in (1, 3, 10, 30, 60, 300, 1800, 7200, 43200, 259200) if n <= longest]
    marks += x_axis(frame, [(math.log10(1 + n), span(float(n))) for n in usual])
    path = [f"M{frame.left} {frame.y(0)}"]
    steps = _thin(back, 400)
    for number, seconds in steps:
        path.append(f"H{frame.x(math.log10(1 + seconds))}V{frame.y(number)}")
    if still:
        path.append(f"H{frame.x(frame.x_to)}")
    marks.append(f'<path class="line" d="{"".join(path)}"/>')
    middle = span(back[len(back) // 2]) if back else "–"
    tail = span(back[-1]) if back else "–"
    return svg(
        f"gap-{key}",
        "How many gateways were back after how long",
        f"{len(back)} of {len(losses)} came back: half of them within {middle}, the last after "
        f"{tail}; {still} not back yet.",
        (720, 204),
        marks,
        "wide",
    )


def _thin(values: Sequence[float], most: int) -> list[tuple[int, float]]:
    """Return (how many up to here, value), at most about `most` of them, the last for sure."""
    stride = max(1, len(values) // most)
    chosen = range(0, len(values), stride)
    steps = [(place + 1, values[place]) for place in chosen]
    if values and steps[-1][0] != len(values):
        steps.append((len(values), values[-1]))
    return steps


def _away_s(loss: Loss, now_ns: int) -> float:
    until = loss.returned_ns if loss.returned_ns is not None else now_ns
    return max(0.0, (until - loss.lost_ns) / _S)
