"""Connections over the last hours with incidents marked, and the list of incidents.

Owns both and their page; the first page shows them too. Quiet incidents (drain, deploy, reload) are
dimmed, never hidden.
"""

from collections.abc import Mapping, Sequence

from aiohttp import web

from gateway.centre.store import fleet
from gateway.centre.store.fleet import IncidentRow
from gateway.centre.store.queries import Span
from gateway.centre.web import curves, words
from gateway.centre.web.markup import NOTHING, Child, Markup, address, el, join
from gateway.centre.web.plot import Curve, Mark, plot
from gateway.centre.web.shelf import Shelf
from gateway.centre.web.shell import Viewer, card, page
from gateway.centre.web.verdict_words import cause_pill, confidence, group_tags, incident_link

HOURS = {1: "1 h", 6: "6 h", 24: "24 h", 168: "7 d"}
DEFAULT_HOURS = 6
MAX_LISTED = 500
MAX_MARKS = 60
"""More marks than that are only a smear: the quiet and the small ones go first."""
LATEST = 5
_HOUR_NS = 3_600_000_000_000


def hours(query: Mapping[str, str], default: int = DEFAULT_HOURS) -> int:
    """Read which span is asked for."""
    text = query.get("hours", "")
    return int(text) if text in {str(known) for known in HOURS} else default


async def show(shelf: Shelf, request: web.Request, viewer: Viewer) -> web.Response:
    """Answer with the incidents of a span."""
    chosen = hours(request.query, 24)
    span = Span(viewer.now_ns - chosen * _HOUR_NS, viewer.now_ns)
    points, found = await shelf.share(
        ("incidents", chosen),
        lambda db: (
            curves.connections(db, span.from_ns, span.to_ns),
            fleet.incidents(db, span, MAX_LISTED),
        ),
    )
    places = {number: address("incidents", hours=number) for number in HOURS}
    body = join(
        (
            plotted(points, found, span, chosen, places),
            card(
                f"Incidents of the last {HOURS[chosen]}",
                listing(found, viewer.now_ns, "Nothing was lost."),
                el("p", f"Only the newest {MAX_LISTED} are shown.", class_="dim")
                if len(found) >= MAX_LISTED
                else NOTHING,
                id_="incidents",
                live="incidents",
            ),
        )
    )
    return page("Incidents", body, viewer, tab="incidents")


def plotted(
    points: curves.Points,
    found: Sequence[IncidentRow],
    span: Span,
    chosen: int,
    places: Mapping[int, str],
) -> Markup:
    """Return the connections with incidents marked. `places`: where the other spans are."""
    weighty = sorted(found, key=lambda row: (row.quiet, -row.lost))[:MAX_MARKS]
    marks = [
        Mark(
            row.started_ns,
            row.ended_ns or span.to_ns,
            "calm" if row.quiet else "loud",
            f"{words.plain(row.cause)}: {row.lost} lost, {words.day_and_clock(row.started_ns)}",
            address("incidents", row.identity),
        )
        for row in weighty
    ]
    choices = (
        el(
            "a",
            text,
            href=places[number],
            class_="tag",
            aria_current="true" if number == chosen else None,
        )
        for number, text in HOURS.items()
    )
    head = join(("Connections ", el("span", choices, class_="choices")))
    picture = plot(
        [Curve(points, step=True)],
        span.from_ns,
        span.to_ns,
        label=f"Connected gateways over the last {HOURS[chosen]}",
        marks=marks,
        whole=True,
    )
    return card(head, picture, id_="connections", live="sessions incidents")


def latest(found: Sequence[IncidentRow], now_ns: int) -> Markup:
    """Return the newest incidents that somebody should look at."""
    loud = [row for row in found if not row.quiet][:LATEST]
    more = el("p", el("a", "All incidents", href="/incidents"), class_="more")
    return card(
        "Latest incidents",
        listing(loud, now_ns, "Nothing was lost in this time, deploys and restarts aside."),
        more,
        id_="latest",
        live="incidents",
    )


_HEAD = ("Began", "Cause", "Lost", "Lasted", "In common", "Confidence")


def listing(found: Sequence[IncidentRow], now_ns: int, empty: str) -> Markup:
    """Return incidents as a table."""
    if not found:
        return el("p", empty, class_="dim")
    return el(
        "table",
        el("thead", el("tr", (el("th", name, scope="col") for name in _HEAD))),
        el("tbody", (_row(row, now_ns) for row in found)),
        class_="rows incidents",
    )


def _row(row: IncidentRow, now_ns: int) -> Markup:
    lasted: Child = el("span", "not over", class_="bad-text")
    if row.ended_ns is not None:
        lasted = words.age((row.ended_ns - row.started_ns) / words.SECOND_NS)
    lost = words.number(row.lost)
    cells: tuple[tuple[str, Child], ...] = (
        ("bare", incident_link(row.identity, words.instant(row.started_ns, now_ns))),
        ("bare", cause_pill(row.cause, quiet=row.quiet)),
        ("", f"{lost} ({row.pending} still away)" if row.pending else lost),
        ("", lasted),
        ("whole" if row.groups else "none", group_tags(row.groups) if row.groups else "–"),
        ("", confidence(row.confidence)),
    )
    return el(
        "tr",
        (
            el("td", cell, class_=kind or None, data_name=name)
            for name, (kind, cell) in zip(_HEAD, cells, strict=True)
        ),
        class_="quiet" if row.quiet else None,
        data_key=row.identity,
    )
