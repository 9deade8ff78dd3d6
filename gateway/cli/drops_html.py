"""A drop report as one HTML file: nothing in it is loaded from anywhere, nothing in it runs.

Owns the page. Every text of a gateway passes `_e`; a Content-Security-Policy forbids what should
ever get past it. Lists are bounded and say how many more there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from html import escape

from gateway.cli import drops_plot, drops_trace
from gateway.cli.drops_causes import by_cause, chosen
from gateway.cli.drops_list import bare_drops, drop_words, scope, unsettled, verdict
from gateway.cli.drops_meanings import Meaning
from gateway.cli.drops_show import facts, instant
from gateway.cli.drops_source import Looked
from gateway.cli.drops_style import STYLE
from gateway.cli.drops_trace import Trace
from gateway.cli.drops_words import away, count, group, held, lasted, shown, when
from gateway.correlation.story import GatewayStory, Story
from gateway.correlation.verdict import Incident

MAX_STORIES = 60
"""Incidents told in full: those that alarm first, then the largest."""
MAX_ROWS = 300
MAX_GATEWAYS = 50
MAX_TRACES = 12
MAX_LINES = 60
MAX_PROOFS = 12
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One incident with everything to tell of it. `traces` by gateway, as they could be had."""

    incident: Incident
    story: Story
    meanings: tuple[Meaning, ...] = ()
    traces: Mapping[str, Sequence[Trace]] | None = None


def told_in_full(incidents: Sequence[Incident]) -> list[Incident]:
    """Return the incidents that are told in full, in their order."""
    return chosen(incidents, MAX_STORIES, loud=True)


def page(looked: Looked, chapters: Sequence[Chapter], zone: tzinfo | None = None) -> str:
    """Return the whole file."""
    title = "Connection drops" if len(chapters) != 1 else f"Drop {chapters[0].incident.identity}"
    asked = looked.asked
    told = {one.incident.identity for one in chapters}
    body = [
        f"<h1>{_e(title)}</h1>",
        f'<p class="soft">{_e(when(asked.from_ns, zone))} to {_e(when(asked.to_ns, zone))}, '
        f"written {_e(when(asked.now_ns, zone))}</p>",
        *_overview(looked, told, zone),
        *_table(looked, told, zone),
    ]
    for place, chapter in enumerate(chapters):
        body += _chapter(f"i{place}", chapter, looked, zone)
    body += ['<footer class="soft"><h2>What was looked at</h2><ul>']
    body += [f"<li>{_e(line)}</li>" for line in scope(looked, zone)]
    body.append("</ul></footer>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{_e(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _e(text: object) -> str:
    """Return a text, foreign or not, as it may stand in the page."""
    return escape(shown(text))


def _overview(looked: Looked, told: set[str], zone: tzinfo | None) -> Iterator[str]:
    series, asked, report = looked.series, looked.asked, looked.report
    if series.samples:
        yield _scrolling(
            "connections over time",
            drops_plot.connections(
                series.samples,
                report.drops,
                report.incidents,
                (asked.from_ns, asked.to_ns),
                series.hole_ns,
                zone,
                told,
            ),
        )
    bare = bare_drops(looked)
    if bare:
        yield "<h2>Falls of the series without a lost session</h2><ul>"
        yield from (f"<li>{_e(drop_words(drop, zone))}</li>" for drop in bare[:MAX_LINES])
        if len(bare) > MAX_LINES:
            yield f"<li>and {len(bare) - MAX_LINES} more</li>"
        yield (
            "</ul><p>No session in these stores ended then: is a node's store missing, or was a "
            "scrape missed?</p>"
        )


def _table(looked: Looked, told: set[str], zone: tzinfo | None) -> Iterator[str]:
    incidents = looked.report.incidents
    yield "<h2>Incidents</h2>"
    if not incidents:
        yield "<p>No gateway lost its session in this time.</p>"
        return
    head = "".join(
        f'<th scope="col"{extra}>{word}</th>'
        for word, extra in (
            ("when", ""),
            ("lost", ' class="n"'),
            ("lasted", ' class="n"'),
            ("cause", ""),
            ("groups", ""),
            ("held by", ""),
        )
    )
    listed = chosen(incidents, MAX_ROWS)
    rows = [_row(one, one.identity in told, zone) for one in listed]
    caption = f"{count(len(incidents), 'incident')}, {looked.alarming} to look at"
    if len(incidents) > MAX_ROWS:
        caption += f"; the {MAX_ROWS} largest are listed"
    table = (
        f'<table class="list"><caption>{_e(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    yield _scrolling("incidents", table)
    if len(by_cause(incidents)) > 1:
        yield from _causes(incidents)


def _causes(incidents: Sequence[Incident]) -> Iterator[str]:
    yield "<h2>By cause</h2>"
    rows = "".join(
        f'<tr><td>{_e(one.cause.value)}</td><td class="n">{one.incidents:,}</td>'
        f'<td class="n">{one.lost:,}</td><td class="n">{one.away:,}</td></tr>'
        for one in by_cause(incidents)
    )
    head = "".join(
        f'<th scope="col"{extra}>{word}</th>'
        for word, extra in (
            ("cause", ""),
            ("incidents", ' class="n"'),
            ("lost", ' class="n"'),
            ("not back", ' class="n"'),
        )
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    yield _scrolling("by cause", table)


def _row(incident: Incident, told: bool, zone: tzinfo | None) -> str:
    start = _e(when(incident.started_ns, zone))
    link = f'<a href="#{_e(incident.identity)}">{start}</a>' if told else start
    missing = away(incident)
    back = f' <span class="alarm">{missing} not back</span>' if missing else ""
    groups = "; ".join(_e(group(one)) for one in incident.groups) or "–"
    style = ' class="soft"' if incident.quiet else ""
    cells = (
        ("when", "t", link),
        ("lost", "n", f"{len(incident.losses):,}"),
        ("lasted", "n", _e(lasted(incident))),
        ("cause", "", _e(verdict(incident)) + back),
        ("groups", "", groups),
        ("held by", "", _e(held(incident.losses) or "–")),
    )
    # On a phone a row is a block of its own, where the column's name stands before each value.
    inner = "".join(
        f'<td class="{kind}" data-name="{name}">{value}</td>' for name, kind, value in cells
    )
    return f"<tr{style}>{inner}</tr>"


def _chapter(key: str, chapter: Chapter, looked: Looked, zone: tzinfo | None) -> Iterator[str]:
    incident, story = chapter.incident, chapter.story
    style = ' class="quiet"' if incident.quiet else ""
    yield f'<article id="{_e(incident.identity)}"{style}>'
    yield f"<h2>{_e(story.headline)}</h2>"
    yield from _facts(incident, zone)
    yield f"<h3>Check on site</h3>{_list(story.checks, 'ol')}" if story.checks else ""
    yield "<h3>The gap until each came back</h3>"
    plot = drops_plot.gaps(key, incident.losses, looked.asked.now_ns)
    yield _scrolling("the gap until each came back", plot)
    yield from _traces(key, chapter)
    if chapter.meanings:
        yield "<h3>What the errors mean</h3><dl>"
        for meaning in chapter.meanings:
            row = meaning.signature
            yield f"<dt>{_e(row.name)} ({count(meaning.gateways, 'gateway')})</dt>"
            yield f"<dd>{_e(row.seen)}. Probably {_e(row.cause)}. Check: {_e(row.check)}</dd>"
        yield "</dl>"
    yield from _timeline(story, incident.started_ns, zone)
    yield from _gateways(story, zone)
    yield "</article>"


def _facts(incident: Incident, zone: tzinfo | None) -> Iterator[str]:
    ended = "goes on" if incident.ended_ns is None else f"lasted {lasted(incident)}"
    rows = [
        ("id", incident.identity),
        ("began", f"{when(incident.started_ns, zone)}, {ended}"),
        ("cause", verdict(incident)),
        ("groups", "; ".join(group(one) for one in incident.groups) or "nothing in common"),
        ("held by", held(incident.losses) or "nothing: back within the backoff"),
    ]
    if incident.drop is not None:
        rows.append(("series", drop_words(incident.drop, zone)))
    rows += [("not settled", note) for note in unsettled(incident)]
    items = "".join(f"<dt>{word}</dt><dd>{_e(value)}</dd>" for word, value in rows)
    yield f"<dl>{items}</dl>"


def _traces(key: str, chapter: Chapter) -> Iterator[str]:
    traces = chapter.traces or {}
    names = sorted({loss.gateway for loss in chapter.incident.losses if traces.get(loss.gateway)})
    if not names:
        return
    yield "<h3>Supply and radio of the gateways that fell</h3>"
    if len(names) > MAX_TRACES:
        yield f'<p class="soft">{MAX_TRACES} of {len(names)} gateways with such records.</p>'
    plots = [
        drops_trace.trace(f"{key}-{place}", name, traces[name])
        for place, name in enumerate(names[:MAX_TRACES])
    ]
    yield f'<div class="traces">{"".join(plots)}</div>'


def _timeline(story: Story, near_ns: int, zone: tzinfo | None) -> Iterator[str]:
    rows = [
        f'<tr><td class="t">{_e(instant(line.at_ns, line.error_ns, near_ns, zone))}</td>'
        f"<td>{_e(line.gateway or 'all')}</td><td>{_e(line.text)}</td></tr>"
        for line in story.timeline[:MAX_LINES]
    ]
    more = len(story.timeline) - MAX_LINES
    yield f"<details><summary>Timeline ({count(len(story.timeline), 'line')})</summary>"
    yield _scrolling("timeline", f"<table><tbody>{''.join(rows)}</tbody></table>")
    yield f'<p class="soft">and {more} more</p></details>' if more > 0 else "</details>"


def _gateways(story: Story, zone: tzinfo | None) -> Iterator[str]:
    yield f"<details><summary>Evidence of {count(len(story.gateways), 'gateway')}</summary>"
    for one in story.gateways[:MAX_GATEWAYS]:
        yield _gateway(one, zone)
    more = len(story.gateways) - MAX_GATEWAYS
    if more > 0:
        yield f'<p class="soft">and {count(more, "gateway")} more: gateway drops show --all</p>'
    yield "</details>"


def _gateway(one: GatewayStory, zone: tzinfo | None) -> str:
    proofs = []
    for proof in one.proofs[:MAX_PROOFS]:
        beside = "" if proof.supports else "(beside it) "
        dated = instant(proof.at_ns, proof.error_ns, one.loss.lost_ns, zone)
        proofs.append(f"{beside}{dated}, {proof.observer}: {proof.text}")
    more = len(one.proofs) - MAX_PROOFS
    proofs += [f"and {more} more"] if more > 0 else []
    return (
        f"<h3>{_e(one.loss.gateway)}</h3><p>{_e(one.verdict)}<br>"
        f'<span class="soft">{_e(facts(one.loss, zone))}</span></p>{_list(proofs, "ul")}'
    )


def _list(values: Sequence[str], kind: str) -> str:
    return f"<{kind}>{''.join(f'<li>{_e(value)}</li>' for value in values)}</{kind}>"


def _scrolling(name: str, inner: str) -> str:
    """Return something wide that a phone can move sideways, and a keyboard too."""
    return (
        f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">{inner}</div>'
    )
