"""The story of one incident in the terminal.

Owns the layout: verdict, groups, timeline, each gateway's evidence, what the error strings mean,
what to check on site. Lists are bounded and say how many more there are. The words are
`correlation.story`'s.
"""

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import TypeVar

from gateway.cli.drops_list import drop_words, unsettled, verdict
from gateway.cli.drops_meanings import Meaning
from gateway.cli.drops_words import clock, count, group, held, labels, lasted, local, shown, when
from gateway.cli.paint import BOLD, DIM, YELLOW, columns, paint, span
from gateway.correlation.story import GatewayStory, Story
from gateway.correlation.verdict import Incident, Loss, Proof

MAX_LINES = 30
MAX_GATEWAYS = 10
MAX_PROOFS = 8
T = TypeVar("T")


def lines(
    incident: Incident,
    story: Story,
    meanings: Sequence[Meaning],
    whole: bool,
    colour: bool,
    zone: tzinfo | None = None,
) -> Iterator[str]:
    """Yield the story; `whole`: every line of it."""
    yield from _head(incident, story, colour, zone)
    yield from ("", paint(BOLD, "timeline", colour))
    shown_lines, more = _bounded(story.timeline, MAX_LINES, whole)
    rows = [
        (
            instant(line.at_ns, line.error_ns, incident.started_ns, zone),
            shown(line.gateway) or "all",
            shown(line.text),
        )
        for line in shown_lines
    ]
    yield from (f"  {line}" for line in columns(rows))
    yield from _rest(more, "line", colour)
    yield from ("", paint(BOLD, "gateways", colour))
    stories, more = _bounded(story.gateways, MAX_GATEWAYS, whole)
    for one in stories:
        yield from _gateway(one, whole, colour, zone)
    yield from _rest(more, "gateway", colour)
    if meanings:
        yield from ("", paint(BOLD, "what the errors mean", colour))
        for meaning in meanings:
            yield from _meaning(meaning)
    yield from ("", paint(BOLD, "to check on site", colour))
    yield from (f"  {place}. {shown(check)}" for place, check in enumerate(story.checks, 1))
    if not story.checks:
        yield "  nothing: this was on purpose" if incident.quiet else "  nothing in particular"


def _head(incident: Incident, story: Story, colour: bool, zone: tzinfo | None) -> Iterator[str]:
    yield f"{paint(BOLD, incident.identity, colour)}  {shown(story.headline)}"
    ended = "goes on" if incident.ended_ns is None else f"lasted {lasted(incident)}"
    rows = [
        ("began", f"{when(incident.started_ns, zone)}, {ended}"),
        ("cause", verdict(incident)),
        ("groups", "; ".join(group(one) for one in incident.groups) or "nothing in common"),
        ("held by", held(incident.losses) or "nothing: back within the backoff"),
    ]
    if incident.drop is not None:
        rows.append(("series", drop_words(incident.drop, zone)))
    yield from (f"  {line}" for line in columns(rows))
    for note in unsettled(incident):
        yield paint(YELLOW, f"  {note}", colour)


def instant(at_ns: int | None, error_ns: int, near_ns: int, zone: tzinfo | None) -> str:
    """Return a time of day, the date where it is another than that of `near_ns`, and how far it
    may be off where that is a second or more."""
    if at_ns is None:
        return "undated"
    words = clock(at_ns, zone)
    if local(at_ns, zone).date() != local(near_ns, zone).date():
        words = f"{local(at_ns, zone):%m-%d} {words}"
    return words + (f" ±{span(error_ns / 1e9)}" if error_ns >= 1_000_000_000 else "")


def _gateway(one: GatewayStory, whole: bool, colour: bool, zone: tzinfo | None) -> Iterator[str]:
    yield f"  {paint(BOLD, shown(one.loss.gateway), colour)}  {shown(one.verdict)}"
    yield paint(DIM, f"    {facts(one.loss, zone)}", colour)
    proofs, more = _bounded(one.proofs, MAX_PROOFS, whole)
    rows = [_proof(proof, one.loss.lost_ns, zone) for proof in proofs]
    yield from (f"    {line}" for line in columns(rows))
    yield from (f"  {line}" for line in _rest(more, "line", colour))


def _proof(proof: Proof, near_ns: int, zone: tzinfo | None) -> tuple[str, str, str, str]:
    return (
        "•" if proof.supports else " ",
        instant(proof.at_ns, proof.error_ns, near_ns, zone),
        shown(proof.observer),
        shown(proof.text),
    )


def facts(loss: Loss, zone: tzinfo | None) -> str:
    """Return who and when: the session, its age, the way it came, whether it is back."""
    said = [f"lost {clock(loss.lost_ns, zone)} after {span(loss.age_s)}"]
    if loss.returned_ns is None:
        said.append("not back yet")
    else:
        said.append(f"back after {span((loss.returned_ns - loss.lost_ns) / 1e9)}")
    if loss.pending:
        said.append("pending")
    said.append(f"session {loss.session} at {shown(loss.node)}")
    said += [f"proxy {shown(loss.proxy)}"] if loss.proxy else []
    said += [f"agent {shown(loss.software)}"] if loss.software else []
    said += [labels(loss.labels)] if loss.labels else []
    return ", ".join(said)


def _meaning(meaning: Meaning) -> Iterator[str]:
    row = meaning.signature
    yield f"  {row.name} ({count(meaning.gateways, 'gateway')}): {row.seen}"
    yield f"    probably {row.cause}"
    yield f"    → {row.check}"


def _bounded(values: Sequence[T], most: int, whole: bool) -> tuple[Sequence[T], int]:
    if whole or len(values) <= most:
        return values, 0
    return values[:most], len(values) - most


def _rest(more: int, word: str, colour: bool) -> Iterator[str]:
    if more:
        yield paint(DIM, f"  … and {count(more, word)} more (--all)", colour)
