"""The page of one incident: what happened, to whom, on what evidence, what to check.

Owns the page's form; the words come from `correlation.story`.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from gateway.centre.api import iso
from gateway.centre.store import fleet
from gateway.centre.web import words
from gateway.centre.web.markup import NOTHING, Child, Markup, el, join
from gateway.centre.web.plot import Curve, Mark, plot
from gateway.centre.web.shelf import Shelf
from gateway.centre.web.shell import Viewer, card, facts, page
from gateway.centre.web.verdict_words import (
    cause_pill,
    confidence,
    gap,
    gateway_link,
    group_text,
    held_by,
    pending_note,
)
from gateway.correlation.checks import MEANING
from gateway.correlation.evidence import Sample
from gateway.correlation.story import GatewayStory, Line, Story, group_words, tell
from gateway.correlation.verdict import Incident, Proof

AROUND_NS = 900_000_000_000
"""What the plot shows before and behind an incident, at least."""
MAX_LINES = 200
MAX_GATEWAYS = 300
"""Gateways with all their evidence; of more, those that were lost first stand for the rest."""


async def show(shelf: Shelf, request: web.Request, viewer: Viewer) -> web.Response:
    """Answer with an incident's page."""
    identity = request.match_info["id"]

    found = await shelf.share(("incident", identity), lambda db: _read(db, identity, viewer.now_ns))
    if found is None:
        raise web.HTTPNotFound
    return page(f"Incident {identity}", body(found, viewer.now_ns), viewer, tab="incidents")


@dataclass(frozen=True, slots=True)
class _Known:
    """All that the page shows. `lost`, `back`, `pending` count every gateway, also those whose
    losses were not read."""

    incident: Incident
    series: Sequence[Sample]
    lost: int
    back: int
    pending: int


def _read(db: sqlite3.Connection, identity: str, now_ns: int) -> _Known | None:
    incident = fleet.incident(db, identity, MAX_GATEWAYS)
    if incident is None or not incident.losses:
        return None
    low, high = _span(incident, now_ns)
    counts = db.execute(
        "SELECT count(*), count(returned_ns), sum(pending) FROM loss WHERE incident = ?",
        (identity,),
    ).fetchone()
    return _Known(incident, fleet.connections(db, low, high), *counts)


def _span(incident: Incident, now_ns: int) -> tuple[int, int]:
    end = incident.ended_ns or max(loss.lost_ns for loss in incident.losses)
    around = max(AROUND_NS, (end - incident.started_ns) // 2)
    return incident.started_ns - around, min(now_ns, end + around)


def body(known: _Known, now_ns: int) -> Markup:
    """Return the page's content."""
    incident = known.incident
    story = tell(incident)
    topic = f"incident:{incident.identity}"
    return join(
        (
            el(
                "div",
                _summary(known, story, now_ns),
                _series(incident, known.series, now_ns),
                el("div", _checks(story), _groups(incident), class_="two"),
                _timeline(story),
                _gateways(story, known.lost, now_ns),
                id="incident",
                data_live=topic,
                class_="stack",
            ),
        )
    )


def _headline(known: _Known, story: Story) -> str:
    """Return the story's own line, or one that counts the gateways it was not told of."""
    incident = known.incident
    if known.lost <= len(incident.losses):
        return story.headline
    where = f" of {group_words(incident.groups[0])}" if incident.groups else ""
    meaning = MEANING[incident.cause]
    return f"{known.lost} gateways{where} lost: {meaning} ({confidence(incident.confidence)})"


def _summary(known: _Known, story: Story, now_ns: int) -> Markup:
    incident = known.incident
    drop = incident.drop
    pairs: dict[str, Child] = {
        "Began": words.instant(incident.started_ns, now_ns),
        "Ended": words.instant(incident.ended_ns, now_ns)
        if incident.ended_ns is not None
        else el("span", "not yet", class_="bad-text"),
        "Gateways lost": words.number(known.lost),
        "Back again": words.number(known.back),
        "Confidence": confidence(incident.confidence),
        "Connections": None if drop is None else f"{drop.before} → {drop.bottom}",
    }
    return el(
        "section",
        el("p", el("a", "Incidents", href="/incidents"), " / ", incident.identity, class_="crumb"),
        el(
            "div",
            el("h1", _headline(known, story)),
            cause_pill(incident.cause, quiet=incident.quiet),
            el("span", "nothing to do", class_="tag") if incident.quiet else NOTHING,
            class_="head",
        ),
        pending_note(known.pending),
        facts(pairs),
        class_="card",
    )


def _series(incident: Incident, series: Sequence[Sample], now_ns: int) -> Markup:
    low, high = _span(incident, now_ns)
    end = incident.ended_ns or high
    mark = Mark(
        incident.started_ns, end, "calm" if incident.quiet else "loud", words.plain(incident.cause)
    )
    points = [(sample.at_ns, float(sample.active)) for sample in series]
    if points:
        points.append((high, points[-1][1]))
    return card(
        "Connections",
        plot(
            [Curve(points, step=True)],
            low,
            high,
            label="Connections around the incident",
            marks=[mark],
            whole=True,
        ),
    )


def _checks(story: Story) -> Markup:
    if not story.checks:
        return card("What to check", el("p", "Nothing to check.", class_="dim"))
    steps = (el("li", check) for check in story.checks)
    return card("What to check", el("ol", steps, class_="steps"))


def _groups(incident: Incident) -> Markup:
    if not incident.groups:
        return card("In common", el("p", "Nothing but the time.", class_="dim"))
    return card(
        "In common", el("ul", (el("li", group_text(g)) for g in incident.groups), class_="steps")
    )


def _timeline(story: Story) -> Markup:
    lines = story.timeline[:MAX_LINES]
    left = len(story.timeline) - len(lines)
    return card(
        "Timeline",
        el("ol", (_line(line) for line in lines), class_="timeline"),
        el("p", f"{left} more lines are left out.", class_="dim") if left else NOTHING,
    )


def _line(line: Line) -> Markup:
    when: Child = el("span", "undated", class_="when")
    if line.at_ns is not None:
        when = _clock(line.at_ns)
    doubt = f" ± {words.age(line.error_ns / 1e9)}" if line.error_ns >= words.SECOND_NS else ""
    who = join((gateway_link(line.gateway), " ")) if line.gateway else NOTHING
    what = el(
        "span", who, line.text, el("span", doubt, class_="dim") if doubt else None, class_="what"
    )
    return el("li", when, what)


def _clock(at_ns: int) -> Markup:
    title = words.full(at_ns)
    return el("time", words.clock(at_ns), datetime=iso(at_ns), title=title)


def _gateways(story: Story, lost: int, now_ns: int) -> Markup:
    some = story.gateways
    left = lost - len(some)
    return card(
        f"Gateways ({words.number(lost)})",
        (_gateway(one, now_ns, opened=not at or len(some) <= 3) for at, one in enumerate(some)),
        el("p", f"{left} more: `gateway drops show` has them all.", class_="dim")
        if left
        else NOTHING,
    )


def _gateway(one: GatewayStory, now_ns: int, *, opened: bool) -> Markup:
    loss = one.loss
    reason = held_by(loss)
    labels = (el("span", f"{k} {v}", class_="tag") for k, v in loss.labels)
    lines: list[Child] = [
        el("p", labels) if loss.labels else None,
        el("p", "Not back sooner: ", reason) if reason else None,
        el("ul", (_proof(proof) for proof in one.proofs), class_="proofs")
        if one.proofs
        else el("p", "No evidence.", class_="dim"),
    ]
    return el(
        "details",
        el(
            "summary",
            gateway_link(loss.gateway),
            cause_pill(loss.cause),
            el("span", confidence(loss.confidence), class_="dim"),
            el("span", "away ", gap(loss, now_ns)) if loss.returned_ns else gap(loss, now_ns),
            el("span", "provisional", class_="tag") if loss.pending else NOTHING,
        ),
        lines,
        open=opened,
        id=f"gateway-{loss.gateway}-{loss.session}",
    )


def _proof(proof: Proof) -> Markup:
    when: Child = None
    if proof.at_ns is not None:
        when = el("span", _clock(proof.at_ns), class_="dim")
    return el(
        "li",
        when,
        " " if when else None,
        proof.text,
        " ",
        el("span", proof.observer, class_="observer"),
        class_="supports" if proof.supports else None,
    )
