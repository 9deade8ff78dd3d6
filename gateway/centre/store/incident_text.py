"""Incidents and losses as the store keeps them: JSON beside the columns that are asked for.

Owns the two directions. A word that a later version wrote and this one does not know becomes
*unknown*, so that an older centre can read a newer one's incidents.
"""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from gateway.correlation.evidence import Pairs
from gateway.correlation.verdict import (
    Cause,
    Drop,
    Group,
    GroupKind,
    HeldBy,
    Incident,
    Loss,
    Proof,
)
from gateway.host.reboot import Confidence

_Word = TypeVar("_Word", bound=StrEnum)


def incident_text(incident: Incident) -> str:
    """Return an incident without its losses."""
    drop = incident.drop
    return json.dumps(
        {
            "groups": [[g.kind.value, g.value, g.lost, g.of] for g in incident.groups],
            "drop": None
            if drop is None
            else [
                drop.started_ns,
                drop.bottom_ns,
                drop.recovered_ns,
                drop.before,
                drop.bottom,
                drop.hidden,
            ],
        }
    )


def loss_text(loss: Loss) -> str:
    """Return a loss."""
    return json.dumps(
        {
            "node": loss.node,
            "proxy": loss.proxy,
            "software": loss.software,
            "labels": [list(pair) for pair in loss.labels],
            "opened_ns": loss.opened_ns,
            "confidence": loss.confidence.value,
            "held_by": loss.held_by.value,
            "proofs": [[p.at_ns, p.error_ns, p.observer, p.text, p.supports] for p in loss.proofs],
        }
    )


def groups_of(text: str) -> tuple[Group, ...]:
    """Read the groups of an incident."""
    return tuple(
        Group(_word(GroupKind, kind, GroupKind.LABEL), value, lost, of)
        for kind, value, lost, of in json.loads(text)["groups"]
    )


def drop_of(text: str) -> Drop | None:
    """Read the drop of an incident."""
    found = json.loads(text)["drop"]
    return None if found is None else Drop(*found)


def loss_from(row: Sequence[object]) -> Loss:
    """Read a loss: (gateway, session, lost_ns, returned_ns, cause, pending, body)."""
    gateway, session, lost_ns, returned_ns, cause, pending, body = row
    assert isinstance(gateway, str) and isinstance(session, int) and isinstance(lost_ns, int)
    assert isinstance(body, str) and (returned_ns is None or isinstance(returned_ns, int))
    found = json.loads(body)
    return Loss(
        gateway=gateway,
        session=session,
        node=found["node"],
        proxy=found["proxy"],
        software=found["software"],
        labels=_pairs(found["labels"]),
        opened_ns=found["opened_ns"],
        lost_ns=lost_ns,
        returned_ns=returned_ns,
        cause=cause_of(cause),
        confidence=confidence_of(found["confidence"]),
        held_by=_word(HeldBy, found["held_by"], HeldBy.UNKNOWN),
        pending=bool(pending),
        proofs=tuple(Proof(*proof) for proof in found["proofs"]),
    )


def cause_of(word: object) -> Cause:
    """Read a cause."""
    return _word(Cause, word, Cause.UNKNOWN)


def confidence_of(word: object) -> Confidence:
    """Read a confidence."""
    return _word(Confidence, word, Confidence.NONE)


def _pairs(found: Sequence[Sequence[object]]) -> Pairs:
    return tuple((name, value) for name, value in found)  # type: ignore[misc]


def _word(kind: type[_Word], word: object, otherwise: _Word) -> _Word:
    try:
        return kind(str(word))
    except ValueError:
        return otherwise
