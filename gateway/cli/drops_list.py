"""The table of incidents in the terminal.

Owns its layout: a line for each incident, what is not settled below it, then what the series shows
beside them and how much was looked at. Quiet incidents are named and dimmed.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import tzinfo

from gateway.cli.drops_causes import by_cause, chosen
from gateway.cli.drops_source import Looked, Series
from gateway.cli.drops_words import away, count, group, held, lasted, pending, shown, when
from gateway.cli.paint import BOLD, DIM, RED, YELLOW, columns, paint, span
from gateway.correlation.verdict import Cause, Drop, Incident

MAX_ROWS = 100
"""Incidents listed without --all: the largest of them."""
MAX_GROUPS = 2
MAX_DROPS = 20
HEAD = ("id", "when", "lost", "lasted", "cause", "groups", "held by")


def lines(
    looked: Looked, colour: bool, zone: tzinfo | None = None, *, whole: bool = False
) -> Iterator[str]:
    """Yield the whole answer; `whole`: a line for every incident, however many there are."""
    incidents = looked.report.incidents
    if incidents:
        listed = incidents if whole else chosen(incidents, MAX_ROWS)
        yield from _table(listed, colour, zone)
        more = len(incidents) - len(listed)
        if more:
            yield paint(DIM, f"… and {count(more, 'smaller incident')} more (--all)", colour)
        yield ""
        if more:
            yield from _causes(incidents, colour)
            yield ""
    yield _summary(looked, colour)
    if incidents:
        yield "gateway drops show ID tells an incident's story: the evidence, what to check on site"
    yield from _bare_drops(looked, colour, zone)
    yield from scope(looked, zone)


def _table(incidents: Sequence[Incident], colour: bool, zone: tzinfo | None) -> Iterator[str]:
    rows = [HEAD, *(_row(incident, zone) for incident in incidents)]
    head, *body = columns(rows, right=(2, 3))
    yield paint(BOLD, head, colour)
    for incident, line in zip(incidents, body, strict=True):
        yield paint(_tone(incident), line, colour and bool(_tone(incident)))
        for note in unsettled(incident):
            yield paint(DIM, f"    {note}", colour)


def _causes(incidents: Sequence[Incident], colour: bool) -> Iterator[str]:
    rows = [("cause", "incidents", "lost", "not back")]
    rows += [
        (one.cause.value, f"{one.incidents:,}", f"{one.lost:,}", f"{one.away:,}")
        for one in by_cause(incidents)
    ]
    head, *body = columns(rows, right=(1, 2, 3))
    yield paint(BOLD, head, colour)
    yield from body


def _row(incident: Incident, zone: tzinfo | None) -> tuple[str, ...]:
    groups = [group(one) for one in incident.groups[:MAX_GROUPS]]
    more = len(incident.groups) - MAX_GROUPS
    return (
        incident.identity,
        when(incident.started_ns, zone),
        f"{len(incident.losses):,}",
        lasted(incident),
        verdict(incident),
        "; ".join(groups) + (f"; {more} more" if more > 0 else "") or "–",
        held(incident.losses) or "–",
    )


def verdict(incident: Incident) -> str:
    """Return the cause with its confidence; of what needs no alarm, that it is quiet."""
    if incident.cause is Cause.UNKNOWN:
        return "unknown"
    sure = f"{incident.cause.value} ({incident.confidence.value})"
    return f"{sure}, quiet" if incident.quiet else sure


def unsettled(incident: Incident) -> Iterator[str]:
    """Yield what is not known yet or not at all."""
    lost = len(incident.losses)
    missing, waiting = away(incident), pending(incident)
    if missing:
        yield f"{missing} of {lost} not back yet"
    if waiting:
        yield (
            f"pending: {waiting} of {lost} judged without their own records; the verdict may "
            "improve when they arrive"
        )


def _tone(incident: Incident) -> str:
    if incident.quiet:
        return DIM
    if incident.ended_ns is None:
        return RED
    return YELLOW if incident.cause is Cause.UNKNOWN else ""


def _summary(looked: Looked, colour: bool) -> str:
    report = looked.report
    if not report.incidents:
        return "no incidents: no gateway lost its session in this time"
    quiet = len(report.incidents) - looked.alarming
    parts = [count(len(report.incidents), "incident")]
    if quiet:
        parts[0] += f", {quiet} of them quiet (drain, deploy, reload)"
    parts.append(f"{count(report.losses, 'session')} lost")
    unknown = sum(loss.cause is Cause.UNKNOWN for one in report.incidents for loss in one.losses)
    missing = sum(away(incident) for incident in report.incidents)
    if missing:
        parts.append(paint(RED, f"{missing} not back", colour))
    if unknown:
        parts.append(paint(YELLOW, f"{unknown} for an unknown cause", colour))
    return "; ".join(parts)


def bare_drops(looked: Looked) -> list[Drop]:
    """Return falls of the series during which no session of these stores ended."""
    report, slack_ns = looked.report, looked.series.slack_ns
    explained = {incident.drop for incident in report.incidents}
    lost = sorted(loss.lost_ns for incident in report.incidents for loss in incident.losses)
    found = []
    for drop in report.drops:
        place = bisect_left(lost, drop.started_ns - slack_ns)
        ended = place < len(lost) and lost[place] <= drop.bottom_ns + slack_ns
        if drop not in explained and not ended:
            found.append(drop)
    return found


def _bare_drops(looked: Looked, colour: bool, zone: tzinfo | None) -> Iterator[str]:
    bare = bare_drops(looked)
    for drop in bare[:MAX_DROPS]:
        yield paint(YELLOW, drop_words(drop, zone), colour)
    if len(bare) > MAX_DROPS:
        yield f"… and {len(bare) - MAX_DROPS} more such falls (--json has all)"
    if bare:
        yield (
            "    no session in these stores ended then: is a node's store missing (--store), or "
            "was a scrape missed?"
        )


def drop_words(drop: Drop, zone: tzinfo | None) -> str:
    """Return what a fall of the series looked like."""
    back = "not recovered yet"
    if drop.recovered_ns is not None:
        back = f"recovered after {span((drop.recovered_ns - drop.started_ns) / 1e9)}"
    how = ", seen in ws_connection_total only" if drop.hidden else ""
    return f"{when(drop.started_ns, zone)}  connections {drop.before} → {drop.bottom}, {back}{how}"


def scope(looked: Looked, zone: tzinfo | None = None) -> Iterator[str]:
    """Yield how much was looked at, and since when there is a series."""
    report, asked = looked.report, looked.asked
    yield (
        f"looked at {count(report.gateways, 'gateway')}, {count(report.sessions, 'session')} in "
        f"{count(len(asked.stores), 'store')}, from {when(asked.from_ns, zone)} to "
        f"{when(asked.to_ns, zone)}"
    )
    yield _series(looked.series, asked.from_ns, zone)
    yield from (f"note: {shown(note)}" for note in looked.series.notes)


def _series(series: Series, from_ns: int, zone: tzinfo | None) -> str:
    since_ns, source = series.since_ns, shown(series.source)
    if since_ns is None:
        return f"connections: {source}: none in this time"
    if since_ns - from_ns <= series.hole_ns:
        return f"connections: {source}, for the whole time"
    return f"connections: {source}, since {when(since_ns, zone)}; nothing is known before"
