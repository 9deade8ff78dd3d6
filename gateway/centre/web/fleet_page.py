"""The first page: counts, connections over the last hours, incidents, the table of gateways.

Owns the page's form, its filters and its addresses; the data come from `store.fleet`.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiohttp import web

from gateway.centre.store import fleet
from gateway.centre.store.fleet import STRONG_DBM, WEAK_DBM, Filters, FleetPage, FleetRow, Page
from gateway.centre.store.queries import Span
from gateway.centre.web import curves, incidents_page, words
from gateway.centre.web.markup import NOTHING, Attribute, Child, Markup, address, el, join
from gateway.centre.web.news import counts, totals
from gateway.centre.web.shelf import Shelf
from gateway.centre.web.shell import Viewer, page
from gateway.centre.web.verdict_words import gateway_link

ROWS = 100
OFFERED = 4
"""Labels with a list to choose from; any other is reached by its tags."""
FIRST_LABELS = ("site", "feeder", "operator")
LABEL = "label."
ORDERS = {
    "name": "by name",
    "since": "newest change first",
    "dbm": "weakest radio first",
    "volts": "lowest supply first",
    "backlog": "most backlog first",
}
LABELS_S = 30.0
"""Labels change when a gateway's config does; looking through all of them takes a while."""
_HOUR_NS = 3_600_000_000_000
Labels = Mapping[str, Sequence[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the address asks for."""

    filters: Filters = field(default_factory=Filters)
    page: int = 1
    order: str = "name"
    hours: int = incidents_page.DEFAULT_HOURS

    def address(self, changes: Mapping[str, str] | None = None, page: int = 1) -> str:
        """Return the address of this list with some of it changed."""
        query: dict[str, str | int | None] = {
            "q": self.filters.text,
            "state": self.filters.state,
            "trouble": self.filters.trouble,
            "order": "" if self.order == "name" else self.order,
            "hours": "" if self.hours == incidents_page.DEFAULT_HOURS else self.hours,
            **{LABEL + name: value for name, value in self.filters.labels},
            **(changes or {}),
            "page": page if page > 1 else None,
        }
        return address("", **query)

    @property
    def narrowed(self) -> bool:
        """Tell whether anything is left out."""
        return self.filters != Filters()


def wish(query: Mapping[str, str]) -> Wish:
    """Read an address; what makes no sense is as if it was not there."""
    number = query.get("page", "1")
    labels = tuple(
        (name.removeprefix(LABEL), value)
        for name, value in query.items()
        if name.startswith(LABEL) and value
    )
    state, trouble = query.get("state", ""), query.get("trouble", "")
    order = query.get("order", "name")
    return Wish(
        Filters(
            query.get("q", "").strip()[:128],
            state if state in ("connected", "lost") else "",
            trouble if trouble in ("undervoltage", "radio", "backlog") else "",
            labels[:16],
        ),
        int(number) if number.isascii() and number.isdecimal() and len(number) < 6 else 1,
        order if order in ORDERS else "name",
        incidents_page.hours(query),
    )


async def show(shelf: Shelf, request: web.Request, viewer: Viewer) -> web.Response:
    """Answer with the fleet."""
    wanted = wish(request.query)
    now_ns = viewer.now_ns
    at = Page(max(0, wanted.page - 1) * ROWS, ROWS, wanted.order)
    whole = await shelf.share("totals", totals)
    part = await shelf.share(("fleet", wanted), lambda db: fleet.fleet(db, wanted.filters, at))
    labels = await shelf.share("labels", fleet.labels, LABELS_S)
    span = Span(now_ns - wanted.hours * _HOUR_NS, now_ns)
    points, listed = await shelf.share(("plot", wanted.hours), lambda db: _lately(db, span))
    places = {number: wanted.address({"hours": str(number)}) for number in incidents_page.HOURS}
    body = join(
        (
            _counts(whole, wanted),
            incidents_page.plotted(points, listed, span, wanted.hours, places),
            incidents_page.latest(listed, now_ns),
            _list(part, labels, wanted, now_ns),
        )
    )
    return page("Fleet", body, viewer, tab="fleet")


def _lately(
    db: sqlite3.Connection, span: Span
) -> tuple[curves.Points, tuple[fleet.IncidentRow, ...]]:
    return curves.connections(db, span.from_ns, span.to_ns), fleet.incidents(db, span, 500)


_TILES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("gateways", "gateways", "", {}),
    ("connected", "connected", "good", {"state": "connected"}),
    ("lost", "not connected", "bad", {"state": "lost"}),
    ("undervoltage", "under-voltage", "warn", {"trouble": "undervoltage"}),
    ("radio", "radio out of range", "warn", {"trouble": "radio"}),
    ("backlog", "with a backlog", "warn", {"trouble": "backlog"}),
)


def _counts(whole: FleetPage, wanted: Wish) -> Markup:
    """Return the counts of the whole fleet; each is a filter."""
    values = dict(counts(whole))
    base = replace(wanted, filters=replace(wanted.filters, state="", trouble=""))

    def tile(name: str, title: str, kind: str, query: Mapping[str, str]) -> Markup:
        chosen = wanted.narrowed and query == {
            key: value
            for key, value in (("state", wanted.filters.state), ("trouble", wanted.filters.trouble))
            if value
        }
        return el(
            "a",
            el("b", words.number(values[name]), data_count=name),
            el("span", title),
            href=base.address(query) if query else "/",
            class_=f"count {kind if values[name] else ''}".strip(),
            aria_current="true" if chosen and query else None,
        )

    tiles = (tile(*one) for one in _TILES)
    return el("div", tiles, class_="counts", id="counts", data_live="sessions")


def _list(part: FleetPage, labels: Labels, wanted: Wish, now_ns: int) -> Markup:
    first = (wanted.page - 1) * ROWS
    title = join(
        (
            "Gateways ",
            el("span", words.number(part.matching), class_="dim"),
            " ",
            el("a", "show all", href="/", class_="tag") if wanted.narrowed else NOTHING,
        )
    )
    everything = part.matching <= ROWS or wanted.filters.state or wanted.order != "name"
    return el(
        "section",
        el("h2", title),
        _form(labels, wanted),
        el(
            "div",
            _rows(part.rows, wanted, now_ns),
            _pager(part.matching, first, wanted),
            id="rows",
            data_live="sessions" if everything else "rows",
        ),
        class_="card",
        id="fleet",
    )


def _form(labels: Labels, wanted: Wish) -> Markup:
    """Return the filters: a plain form that works without the script."""
    chosen = dict(wanted.filters.labels)
    offered = [name for name in FIRST_LABELS if name in labels]
    offered += [name for name in labels if name not in offered and len(labels[name]) > 1]
    lists = (
        _select(
            LABEL + name,
            [("", f"any {name}"), *((v, f"{v} ({n})") for v, n in labels[name])],
            chosen.get(name, ""),
            name,
        )
        for name in offered[:OFFERED]
    )
    states = [("", "any state"), ("connected", "connected"), ("lost", "not connected")]
    kept = [("trouble", wanted.filters.trouble)]
    kept += [(LABEL + name, chosen[name]) for name in chosen if name not in offered[:OFFERED]]
    return el(
        "form",
        el(
            "input",
            type="search",
            name="q",
            value=wanted.filters.text,
            placeholder="Find a gateway",
            aria_label="Part of the gateway's name",
            maxlength=128,
        ),
        _select("state", states, wanted.filters.state, "state"),
        lists,
        _select("order", list(ORDERS.items()), wanted.order, "order"),
        (el("input", type="hidden", name=name, value=value) for name, value in kept if value),
        el("button", "Show"),
        class_="filter",
        method="get",
        action="/",
        data_auto=True,
    )


def _select(name: str, options: Sequence[tuple[str, str]], chosen: str, label: str) -> Markup:
    known = {value for value, _ in options}
    extra = [] if chosen in known else [(chosen, chosen)]
    return el(
        "select",
        (
            el("option", text, value=value, selected=value == chosen)
            for value, text in [*options, *extra]
        ),
        name=name,
        aria_label=label,
    )


_HEAD = (
    "Gateway",
    "State",
    "Since",
    "Radio",
    "Supply",
    "Backlog",
    "Last reading",
    "Agent",
    "Labels",
)


def _rows(rows: Iterable[FleetRow], wanted: Wish, now_ns: int) -> Markup:
    body = [_row(row, wanted, now_ns) for row in rows]
    if not body:
        text = "No gateway fits." if wanted.narrowed else "No gateway ever came in."
        return el("p", text, class_="dim")
    head = (el("th", name, scope="col") for name in _HEAD)
    return el("table", el("thead", el("tr", head)), el("tbody", body), class_="rows fleet")


def _row(row: FleetRow, wanted: Wish, now_ns: int) -> Markup:
    cells: tuple[tuple[Child, str], ...] = (
        (gateway_link(row.gateway), "bare wide"),
        (state_pill(row), "bare"),
        (words.since(row.since_ns, now_ns), ""),
        (radio(row.dbm, row.connected), ""),
        (supply(row.volts, row.undervoltage, row.connected), ""),
        (backlog(row), ""),
        (words.since(row.reading_ns, now_ns), ""),
        (el("span", row.software or "–", class_="dim"), ""),
        (label_tags(row, wanted), "bare whole tags"),
    )
    tds: list[Child] = []
    for name, (cell, kind) in zip(_HEAD, cells, strict=True):
        extra: dict[str, Attribute] = {"data_name": name, "class_": kind or None}
        tds.append(el("td", cell, **extra))
    return el(
        "tr",
        tds,
        data_gateway=row.gateway,
        data_key=f"{row.gateway} {row.session} {row.connected}",
    )


def state_pill(row: FleetRow) -> Markup:
    """Return whether a gateway is connected, and how its last session ended if not."""
    if row.connected:
        return el("span", "connected", class_="pill good")
    title = words.plain(row.cause) if row.cause else "never welcomed"
    return el("span", "not connected", class_="pill bad", title=title)


def radio(dbm: float | None, fresh: bool) -> Markup:
    """Return a level; red outside of what a radio works with."""
    if dbm is None:
        return el("span", "–", class_="dim")
    odd = not WEAK_DBM <= dbm <= STRONG_DBM
    kind = ("warn-text" if odd else "nowrap") if fresh else "dim"
    return el("span", f"{dbm:.0f} dBm".replace("-", "\u2212"), class_=kind)


def supply(volts: float | None, low: bool | None, fresh: bool) -> Markup:
    """Return the supply; said to be low only when its alarm says so."""
    text = "" if volts is None else f"{volts:.2f} V"
    if low:
        return el("span", f"{text} low".strip(), class_="warn-text" if fresh else "dim")
    return el("span", text or "–", class_="nowrap" if text and fresh else "dim")


def backlog(row: FleetRow) -> Markup:
    """Return what waits on the gateway."""
    if row.backlog_records is None:
        return el("span", "–", class_="dim")
    kind = "warn-text" if row.backlog_records > fleet.MUCH_BACKLOG else "nowrap"
    title = None if row.backlog_bytes is None else words.size(row.backlog_bytes)
    return el("span", words.number(row.backlog_records), class_=kind, title=title)


def label_tags(row: FleetRow, wanted: Wish | None = None) -> Markup:
    """Return a gateway's labels; each leads to all gateways that have it."""
    base = wanted or Wish()
    tags = (
        el("a", f"{name} {value}", href=base.address({LABEL + name: str(value)}), class_="tag")
        for name, value in row.labels
    )
    return join(tags)


def _pager(matching: int, first: int, wanted: Wish) -> Markup:
    if matching <= ROWS and not first:
        return NOTHING
    last = min(first + ROWS, matching)
    before = wanted.address(page=wanted.page - 1) if wanted.page > 1 else None
    behind = wanted.address(page=wanted.page + 1) if last < matching else None
    return el(
        "nav",
        el("a", "← Previous", href=before, rel="prev") if before else NOTHING,
        el("span", f"{words.number(first + 1)}–{words.number(last)} of {words.number(matching)}")
        if first < matching
        else el("span", "nothing here"),
        el("a", "Next →", href=behind, rel="next") if behind else NOTHING,
        class_="pager",
        aria_label="Pages of the list",
    )
