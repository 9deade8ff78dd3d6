"""Incidents, losses and groups as the page shows them: pills, marks and sentences.

Owns their look only; the words of a story are `correlation.story`'s.
"""

from collections.abc import Iterable, Sequence

from gateway.centre.web import words
from gateway.centre.web.markup import NOTHING, Child, Markup, address, el, join
from gateway.correlation.verdict import Cause, Group, GroupKind, HeldBy, Loss
from gateway.host.reboot import Confidence

_CALM = frozenset(
    {
        Cause.CENTRE_DRAINED,
        Cause.REPLACED,
        Cause.AGENT_STOPPED,
        Cause.CONFIG_CHANGED,
        Cause.ORDERLY_REBOOT,
        Cause.PROXY_RELOADED,
    }
)
_SURE = {
    Confidence.CERTAIN: "certain",
    Confidence.PROBABLE: "probable",
    Confidence.POSSIBLE: "possible",
    Confidence.NONE: "not known",
}


def cause_pill(cause: str, *, quiet: bool = False) -> Markup:
    """Return a cause: grey when nobody needs to act, amber when it is not known."""
    kind = "" if quiet or cause in _CALM else "warn" if cause == Cause.UNKNOWN else "bad"
    return el("span", words.plain(cause), class_=f"pill {kind}".strip())


def confidence(value: str) -> str:
    """Return how sure a verdict is."""
    return _SURE.get(Confidence(value), value) if value in set(Confidence) else value


def incident_link(identity: str, text: Child) -> Markup:
    """Return a link to an incident's page."""
    return el("a", text, href=address("incidents", identity), class_="strong")


def gateway_link(name: str) -> Markup:
    """Return a link to a gateway's page."""
    return el("a", name, href=address("gateways", name), class_="strong")


def group_text(group: Group) -> str:
    """Return a group as a sentence's part: ``5 of 6 on feeder F7``."""
    share = f"{group.lost} of {group.of}"
    if group.kind is GroupKind.FLEET:
        return f"{share} of the whole fleet"
    if group.kind is GroupKind.AGE:
        return f"{share} with a connection {group.value} s old"
    if group.kind is GroupKind.LABEL:
        return f"{share} with {group.value.replace('=', ' ', 1)}"
    preposition = "of" if group.kind in (GroupKind.OPERATOR, GroupKind.SOFTWARE) else "on"
    preposition = "at" if group.kind is GroupKind.SITE else preposition
    return f"{share} {preposition} {words.plain(group.kind)} {group.value}"


def group_tags(groups: Sequence[Group], most: int = 4) -> Markup:
    """Return groups as tags."""
    tags: Iterable[Child] = (el("span", group_text(group), class_="tag") for group in groups[:most])
    return join(tags)


def held_by(loss: Loss) -> str:
    """Return why a gateway was not back sooner; empty when it was back at once."""
    return "" if loss.held_by is HeldBy.NOTHING else words.plain(loss.held_by)


def gap(loss: Loss, now_ns: int) -> Markup:
    """Return how long a gateway was away, or that it still is."""
    if loss.returned_ns is not None:
        return el("span", words.age((loss.returned_ns - loss.lost_ns) / words.SECOND_NS))
    since = words.since(loss.lost_ns, now_ns)
    return el("span", "away for ", since, class_="bad-text")


def pending_note(count: int) -> Markup:
    """Return what a report says of gateways whose own evidence is still on its way."""
    if not count:
        return NOTHING
    who = "one gateway is" if count == 1 else f"{count} gateways are"
    return el(
        "p",
        f"Provisional: {who} not back yet. Their own records will say more.",
        class_="lead",
    )
