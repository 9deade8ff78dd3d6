"""The page of one gateway: state, supply and radio, sessions, reboots, losses, readings, events.

Owns the page's form. Sessions and events are the store's rows as `store.queries` returns them.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from gateway.centre.store import queries
from gateway.centre.store.fleet import STRONG_DBM, WEAK_DBM
from gateway.centre.store.portrait import BootRow, GatewayPage, SessionRow, gateway_page
from gateway.centre.store.queries import Span
from gateway.centre.web import curves, fleet_page, readout, words
from gateway.centre.web.markup import NOTHING, Child, Markup, address, el, join
from gateway.centre.web.plot import Curve, Mark, plot
from gateway.centre.web.shelf import Shelf
from gateway.centre.web.shell import Viewer, card, facts, page, table
from gateway.centre.web.verdict_words import cause_pill, confidence, gap, held_by, incident_link
from gateway.correlation.verdict import Loss
from gateway.event import TROUBLE
from gateway.host.reboot import RebootClass
from gateway.host.sample import SOURCE

HOURS = {1: "1 h", 6: "6 h", 24: "24 h"}
DEFAULT_HOURS = 6
KEPT_NS = 30 * 86_400_000_000_000
"""How far back events are looked for."""
EVENTS = 50
MAX_READINGS = 400
_HOUR_NS = 3_600_000_000_000
_ORDERLY = frozenset(
    {
        RebootClass.FIRST_START,
        RebootClass.DAEMON_RESTART,
        RebootClass.ORDERLY_REBOOT,
        RebootClass.ORDERLY_POWEROFF,
        RebootClass.ORDERLY_KEXEC,
    }
)
_TROUBLE = frozenset(kind.value for kind in TROUBLE)


@dataclass(frozen=True, slots=True)
class _Known:
    """All that one page shows."""

    portrait: GatewayPage
    vitals: curves.Vitals
    events: Sequence[queries.Row]
    readings: Sequence[readout.Latest]


async def show(shelf: Shelf, request: web.Request, viewer: Viewer) -> web.Response:
    """Answer with a gateway's page."""
    name, now_ns = request.match_info["id"], viewer.now_ns
    text = request.query.get("hours", "")
    hours = int(text) if text in {str(known) for known in HOURS} else DEFAULT_HOURS
    span = Span(now_ns - hours * _HOUR_NS, now_ns)
    known = await shelf.share(("gateway", name, hours), lambda db: _read(db, name, span))
    return page(name, body(known, hours, span, now_ns), viewer, tab="fleet")


def _read(db: sqlite3.Connection, name: str, span: Span) -> _Known:
    lately = Span(span.to_ns - KEPT_NS, span.to_ns)
    return _Known(
        gateway_page(db, name, None),
        curves.vitals(db, name, span.from_ns, span.to_ns),
        queries.events(db, name, lately, EVENTS),
        readout.latest(db, name),
    )


def body(known: _Known, hours: int, span: Span, now_ns: int) -> Markup:
    """Return the page's content."""
    picture = known.portrait
    name = picture.row.gateway
    return el(
        "div",
        _summary(picture, now_ns),
        _spans(name, hours),
        el("div", _supply(known, span), _radio(known, span), class_="two"),
        _losses(picture.losses, now_ns),
        _sessions(picture.sessions, now_ns),
        _reboots(picture.boots, now_ns),
        _readings(known.readings, now_ns),
        _events(known.events, now_ns),
        id="gateway",
        data_live=f"gateway:{name}",
        class_="stack",
    )


def _summary(known: GatewayPage, now_ns: int) -> Markup:
    row = known.row
    pairs: dict[str, Child] = {
        "Connected for" if row.connected else "Away for": words.since(row.since_ns, now_ns),
        "Last session ended": None if row.connected else words.plain(row.cause),
        "Radio": fleet_page.radio(row.dbm, row.connected),
        "Supply": fleet_page.supply(row.volts, row.undervoltage, row.connected),
        "Default route": row.route,
        "Backlog": fleet_page.backlog(row),
        "Last reading": words.since(row.reading_ns, now_ns),
        "Agent": row.software,
        "Comes from": row.remote + (f" through {row.proxy}" if row.proxy else ""),
        "Centre": row.node,
        "First seen": words.instant(known.first_seen_ns, now_ns),
    }
    return el(
        "section",
        el("p", el("a", "Fleet", href="/"), " / ", row.gateway, class_="crumb"),
        el("div", el("h1", row.gateway), fleet_page.state_pill(row), class_="head"),
        el("p", fleet_page.label_tags(row), class_="tags") if row.labels else NOTHING,
        facts(pairs),
        class_="card",
    )


def _spans(name: str, chosen: int) -> Markup:
    choices = (
        el(
            "a",
            text,
            href=address("gateways", name, hours=number),
            class_="tag",
            aria_current="true" if number == chosen else None,
        )
        for number, text in HOURS.items()
    )
    return el("p", "Plots of the last ", choices, class_="dim choices")


def _away(sessions: Sequence[SessionRow], span: Span) -> list[Mark]:
    """Return the times without a session, as bands."""
    marks = []
    later = span.to_ns
    for row in sessions:
        if row.closed_ns is not None and row.closed_ns < later and later > span.from_ns:
            marks.append(Mark(row.closed_ns, later, "away", "no session"))
        later = row.opened_ns
    return marks


def _hole(span: Span) -> int:
    return max(curves.HOLE_NS, 3 * (span.to_ns - span.from_ns) // curves.STEPS)


def _supply(known: _Known, span: Span) -> Markup:
    low = (Mark(a, b, "low", "under-voltage") for a, b in known.vitals.low)
    return card(
        "Supply",
        plot(
            [Curve(known.vitals.volts, hole_ns=_hole(span))],
            span.from_ns,
            span.to_ns,
            label="Supply voltage",
            unit="volts, the lowest of each step",
            marks=[*_away(known.portrait.sessions, span), *low],
        ),
    )


def _radio(known: _Known, span: Span) -> Markup:
    curves_ = [
        Curve(points, kind, name, hole_ns=_hole(span))
        for (name, points), kind in zip(known.vitals.levels, ("one", "two"), strict=False)
    ]
    return card(
        "Radio",
        plot(
            curves_,
            span.from_ns,
            span.to_ns,
            label="Radio level",
            unit="dBm, the weakest of each step",
            marks=_away(known.portrait.sessions, span),
            limits=((WEAK_DBM, "too weak"), (STRONG_DBM, "too strong")),
        ),
    )


def _losses(losses: Sequence[tuple[str, Loss]], now_ns: int) -> Markup:
    rows: list[tuple[Child, ...]] = [
        (
            incident_link(identity, words.instant(loss.lost_ns, now_ns)),
            cause_pill(loss.cause),
            confidence(loss.confidence),
            gap(loss, now_ns),
            held_by(loss) or "–",
            next((proof.text for proof in loss.proofs if proof.supports), "–"),
        )
        for identity, loss in losses
    ]
    head = ("Lost", "Cause", "Confidence", "Away", "Not back sooner", "Because")
    return card("Losses", table(head, rows, empty="This gateway was never lost."))


def _sessions(sessions: Sequence[SessionRow], now_ns: int) -> Markup:
    rows: list[tuple[Child, ...]] = []
    for row in sessions:
        ended: Child = el("span", "open", class_="pill good")
        lasted: Child = words.since(row.opened_ns, now_ns)
        if row.closed_ns is not None:
            code = f", {row.code}" if row.code else ""
            ended = f"{words.plain(row.cause)} by {row.side}{code}"
            lasted = words.age((row.closed_ns - row.opened_ns) / words.SECOND_NS)
        rows.append(
            (
                words.instant(row.opened_ns, now_ns),
                lasted,
                ended,
                "–" if row.silent_s is None else words.age(row.silent_s),
                "–" if row.round_trip_s is None else f"{row.round_trip_s * 1000:.1f} ms",
                row.proxy or row.remote,
            )
        )
    head = ("Opened", "Lasted", "Ended", "Silent before", "Round trip", "From")
    return card("Sessions", table(head, rows, empty="None is kept."))


def _reboots(boots: Sequence[BootRow], now_ns: int) -> Markup:
    rows: list[tuple[Child, ...]] = []
    for boot in boots:
        pill = "pill" if boot.reboot in _ORDERLY else "pill bad"
        note = el("span", " revised", class_="dim") if boot.revised else NOTHING
        rows.append(
            (
                words.instant(boot.at_ns, now_ns),
                join((el("span", words.plain(boot.reboot), class_=pill), note)),
                confidence(boot.confidence),
                boot.evidence or "–",
            )
        )
    head = ("Started", "Because of", "Confidence", "Evidence")
    return card("Reboots and restarts", table(head, rows, empty="None was told."))


def _readings(readings: Sequence[readout.Latest], now_ns: int) -> Markup:
    """Return the newest readings, a table a device, the gateway's own host last."""
    devices: dict[str, list[readout.Latest]] = {}
    for one in sorted(readings, key=lambda one: one.device == SOURCE)[:MAX_READINGS]:
        devices.setdefault(one.device, []).append(one)
    left = max(0, len(readings) - MAX_READINGS)
    return card(
        f"Readings ({words.number(len(readings))})",
        el("div", (_device(name, devices[name], now_ns) for name in devices), class_="devices")
        if devices
        else el("p", "No reading was ever stored.", class_="dim"),
        el("p", f"{left} more are in the API.", class_="dim") if left else NOTHING,
    )


def _device(name: str, readings: Sequence[readout.Latest], now_ns: int) -> Markup:
    rows = [
        el(
            "tr",
            el("th", one.point, scope="row"),
            el("td", _value(one)),
            el("td", words.since(one.time_ns, now_ns), class_="dim"),
        )
        for one in readings
    ]
    return el("div", el("h3", name), el("table", el("tbody", rows), class_="points"))


def _value(one: readout.Latest) -> Child:
    value = f"{words.shown(one.value)} {one.unit}".strip()
    if one.quality == "good":
        return el("b", value)
    # That a device has nothing to tell is no trouble.
    kind = "dim" if one.cause == "null_pattern" else "warn-text"
    why = "not available" if one.cause == "null_pattern" else words.plain(one.cause)
    said = why if one.value is None else f"{value} {one.quality}: {why}"
    return el("span", said, class_=kind, title=f"{one.quality}: {one.cause}")


def _events(events: Sequence[queries.Row], now_ns: int) -> Markup:
    rows: list[tuple[Child, ...]] = []
    for event in events:
        fields, at_ns = event["fields"], event["time_ns"]
        assert isinstance(fields, Mapping) and isinstance(at_ns, int)
        told = ", ".join(f"{key} {words.shown(value)}" for key, value in fields.items())
        kind = str(event["kind"])
        rows.append(
            (
                words.instant(at_ns, now_ns),
                el("span", words.plain(kind), class_="strong" if kind in _TROUBLE else None),
                told or "–",
            )
        )
    return card(
        "Events", table(("When", "What", "Details"), rows, empty="None in the last 30 days.")
    )
