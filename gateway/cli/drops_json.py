"""A drop report as JSON, for scripts and other systems.

Owns the keys, which `docs/drops.md` lists: instants twice, as ns and in RFC 3339; words from the
closed sets of `correlation.verdict`; ``null`` where something is not known.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gateway.cli.drops_meanings import Meaning
from gateway.cli.drops_source import Looked
from gateway.correlation.evidence import Pairs
from gateway.correlation.story import Line, Story
from gateway.correlation.verdict import Drop, Group, Incident, Loss, Proof

Json = dict[str, object]


def text(value: Json) -> str:
    """Return JSON that any reader takes: what is no character of Unicode is escaped."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)


def report(looked: Looked) -> Iterator[str]:
    """Yield the list's answer: incidents with their losses, without the proofs.

    Line by line, an incident on each: that of a large fleet's day would fill the memory.
    """
    drops = [_drop(drop) for drop in looked.report.drops]
    head = text({**scope(looked), "drops": drops, "incidents": []})
    yield head.removesuffix("]\n}")
    last = len(looked.report.incidents) - 1
    for place, one in enumerate(looked.report.incidents):
        line = json.dumps(_incident(one, proofs=False), ensure_ascii=True, allow_nan=False)
        yield f"    {line}{',' if place < last else ''}"
    yield "  ]\n}"


def incident(looked: Looked, one: Incident, story: Story, meanings: Sequence[Meaning]) -> Json:
    """Return the answer of `show`: one incident with everything known of it."""
    return {
        **scope(looked),
        "incident": _incident(one, proofs=True),
        "headline": story.headline,
        "timeline": [_line(line) for line in story.timeline],
        "checks": list(story.checks),
        "meanings": [
            {
                "error": meaning.signature.name,
                "gateways": meaning.gateways,
                "seen": meaning.signature.seen,
                "probable_cause": meaning.signature.cause,
                "check": meaning.signature.check,
            }
            for meaning in meanings
        ],
    }


def scope(looked: Looked) -> Json:
    """Return what was looked at."""
    asked, series = looked.asked, looked.series
    return {
        **_at("from", asked.from_ns),
        **_at("to", asked.to_ns),
        **_at("now", asked.now_ns),
        "looked_at": {
            "gateways": looked.report.gateways,
            "sessions": looked.report.sessions,
            "stores": [str(path) for path in asked.stores],
            "series": series.source,
            "samples": len(series.samples),
            **_at("series_since", series.since_ns),
            "notes": list(series.notes),
        },
    }


def _incident(one: Incident, *, proofs: bool) -> Json:
    held = Counter(loss.held_by.value for loss in one.losses)
    return {
        "id": one.identity,
        **_at("started", one.started_ns),
        **_at("ended", one.ended_ns),
        "cause": one.cause.value,
        "confidence": one.confidence.value,
        "quiet": one.quiet,
        "lost": len(one.losses),
        "not_back": sum(loss.returned_ns is None for loss in one.losses),
        "pending": sum(loss.pending for loss in one.losses),
        "held_by": dict(held.most_common()),
        "groups": [_group(group) for group in one.groups],
        "drop": None if one.drop is None else _drop(one.drop),
        "losses": [_loss(loss, proofs=proofs) for loss in one.losses],
    }


def _loss(loss: Loss, *, proofs: bool) -> Json:
    told: Json = {
        "gateway": loss.gateway,
        "session": loss.session,
        "node": loss.node,
        "proxy": loss.proxy,
        "software": loss.software,
        "labels": _pairs(loss.labels),
        **_at("opened", loss.opened_ns),
        **_at("lost", loss.lost_ns),
        **_at("returned", loss.returned_ns),
        "age_s": loss.age_s,
        "cause": loss.cause.value,
        "confidence": loss.confidence.value,
        "held_by": loss.held_by.value,
        "pending": loss.pending,
    }
    if proofs:
        told["proofs"] = [_proof(proof) for proof in loss.proofs]
    return told


def _proof(proof: Proof) -> Json:
    return {
        **_at("at", proof.at_ns),
        "error_ns": proof.error_ns,
        "observer": proof.observer,
        "text": proof.text,
        "supports": proof.supports,
    }


def _line(line: Line) -> Json:
    return {
        **_at("at", line.at_ns),
        "error_ns": line.error_ns,
        "gateway": line.gateway or None,
        "text": line.text,
    }


def _drop(drop: Drop) -> Json:
    return {
        **_at("started", drop.started_ns),
        **_at("bottom", drop.bottom_ns),
        **_at("recovered", drop.recovered_ns),
        "connections_before": drop.before,
        "connections_bottom": drop.bottom,
        "hidden": drop.hidden,
    }


def _group(group: Group) -> Json:
    return {"kind": group.kind.value, "value": group.value, "lost": group.lost, "of": group.of}


def _pairs(pairs: Pairs) -> Json:
    """Return labels; JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in pairs
    }


def _at(name: str, at_ns: int | None) -> Json:
    """Return an instant twice: ``name`` in RFC 3339, ``name_ns`` exactly."""
    if at_ns is None:
        return {name: None, f"{name}_ns": None}
    whole, rest = divmod(at_ns, 1_000_000_000)
    day = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {name: f"{day}.{rest // 1_000_000:03}Z", f"{name}_ns": at_ns}
