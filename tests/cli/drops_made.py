"""A drop report made by hand: what the analysis may say, without the analysis.

Owns one report with each kind of incident, and one that hostile gateways had a hand in.
"""

from datetime import timedelta, timezone
from pathlib import Path

from gateway.cli.drops_source import Asked, Looked, Series
from gateway.correlation.evidence import Pairs, Sample
from gateway.correlation.report import Report
from gateway.correlation.story import GatewayStory, Line, Story
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

S = 1_000_000_000
NOON_NS = 1_795_392_000 * S
"""2026-11-23T00:00:00Z."""
ZONE = timezone(timedelta(hours=1))


def at(seconds: float) -> int:
    """Return an instant of the day."""
    return NOON_NS + round(seconds * S)


def loss(
    number: int,
    lost_s: float,
    back_s: float | None,
    cause: Cause,
    *,
    gateway: str = "",
    confidence: Confidence = Confidence.PROBABLE,
    held_by: HeldBy = HeldBy.NOTHING,
    pending: bool = False,
    labels: Pairs = (("feeder", "north"),),
    proofs: tuple[Proof, ...] = (),
) -> Loss:
    """Make a loss."""
    return Loss(
        gateway or f"site-{number:03}", 1000 + number, "a", "10.0.0.5", "gateway 0.4", labels,
        at(lost_s - 3600), at(lost_s), None if back_s is None else at(back_s), cause, confidence,
        held_by, pending, proofs,
    )  # fmt: skip


def incident(
    identity: str, losses: tuple[Loss, ...], *, quiet: bool = False, drop: Drop | None = None,
    groups: tuple[Group, ...] = (),
) -> Incident:  # fmt: skip
    """Make an incident of losses."""
    back = [one.returned_ns for one in losses]
    known = [one for one in back if one is not None]
    return Incident(
        identity, losses[0].lost_ns, max(known) if len(known) == len(back) else None,
        losses[0].cause, losses[0].confidence, quiet, losses, groups, drop,
    )  # fmt: skip


FEEDER_DROP = Drop(at(11_527), at(11_529), at(11_820), 240, 228)
BARE = Drop(at(40_000), at(40_001), at(40_002), 240, 120)
HIDDEN = Drop(at(50_000), at(50_015), at(50_015), 240, 231, True)


def looked(deployed: int = 120) -> Looked:
    """Return a day with a power cut, a deploy, a proxy, something unknown and one that is away."""
    supply = (
        Proof(at(11_520), 40_000_000, "host", "supply 4.61 V, under-voltage"),
        Proof(at(11_700), 2 * S, "agent", "boot: power_cut (probable), power-on reset"),
        Proof(at(11_527), 0, "centre", "ETIMEDOUT, last message 9 s before", False),
    )
    feeder = tuple(
        loss(
            number,
            11_527 + number / 10,
            11_760 + 5 * number,
            Cause.POWER_CUT,
            held_by=HeldBy.DOWN,
            proofs=supply if number == 0 else supply[1:],
        )
        for number in range(12)
    )
    deploy = tuple(
        loss(number, 20_000 + number / 50, 20_020 + number / 9, Cause.CENTRE_DRAINED,
             confidence=Confidence.CERTAIN)
        for number in range(deployed)
    )  # fmt: skip
    proxy = (
        loss(20, 30_000, 30_004, Cause.PROXY_FAILED),
        loss(21, 30_000.2, 30_090, Cause.PROXY_FAILED, held_by=HeldBy.UPGRADE),
        loss(22, 30_000.3, 30_005, Cause.PROXY_FAILED, held_by=HeldBy.DNS),
    )
    silent = loss(30, 60_000, 60_002, Cause.UNKNOWN, confidence=Confidence.NONE)
    away = loss(
        31, 80_000, None, Cause.PATH_DEAD, confidence=Confidence.POSSIBLE, held_by=HeldBy.UNKNOWN,
        pending=True,
    )  # fmt: skip
    incidents = (
        incident(
            "20261123T031207-4f2a", feeder, drop=FEEDER_DROP,
            groups=(Group(GroupKind.FEEDER, "north", 12, 12),),
        ),
        incident(
            "20261123T053320-9c01", deploy, quiet=True,
            groups=(Group(GroupKind.NODE, "b", deployed, deployed),),
        ),
        incident(
            "20261123T082000-77d0", proxy,
            groups=(
                Group(GroupKind.PROXY, "10.0.0.5", 3, 3),
                Group(GroupKind.LABEL, "rack=4", 3, 4),
                Group(GroupKind.AGE, "3600", 3, 9),
            ),
        ),
        incident("20261123T164000-01ab", (silent,)),
        incident("20261123T221320-ee10", (away,)),
    )  # fmt: skip
    asked = Asked((Path("/var/a.sqlite"), Path("/var/b.sqlite")), at(0), at(86_400), at(86_400))
    report = Report(at(0), at(86_400), (FEEDER_DROP, BARE, HIDDEN), incidents, 240, 731)
    samples = tuple(
        Sample(at(second), 228 if 11_527 <= second < 11_820 else 240, second)
        for second in range(3600, 86_400, 15)
    )
    series = Series(samples, "the samples of 2 stores, summed", 100 * S, ("a note",))
    return Looked(asked, report, series)


def story(one: Incident) -> Story:
    """Return a story of an incident, as plain as it gets."""
    lines = [Line(loss.lost_ns, 0, loss.gateway, "lost") for loss in one.losses]
    lines += [
        Line(loss.returned_ns, 3 * S, loss.gateway, "back")
        for loss in one.losses
        if loss.returned_ns is not None
    ]
    lines.insert(0, Line(None, 0, "", "the supply of the feeder sagged"))
    return Story(
        f"{len(one.losses)} gateways lost: {one.cause.value}",
        tuple(lines),
        tuple(
            GatewayStory(loss, f"{loss.cause.value} ({loss.confidence.value})", loss.proofs)
            for loss in one.losses
        ),
        ("measure the supply of feeder north under load", "ask the grid operator"),
    )


def hostile(text: str, number: int = 40) -> Looked:
    """Return a report in which everything that a gateway can choose is `text`."""
    bad = tuple(
        loss(
            place,
            100 + place,
            None if place % 3 == 0 else 160 + place,
            Cause.RADIO,
            gateway=f"{text}{place}",
            labels=((text, text), ("n", float("nan"))),
            proofs=(Proof(at(90), 5 * S, text, text), Proof(None, 0, "agent", text, False)) * 9,
        )
        for place in range(number)
    )
    groups = (Group(GroupKind.LABEL, text, 3, 4), Group(GroupKind.SOFTWARE, text, 1, 2))
    bare = Drop(at(5), at(6), None, 9, 3, True)
    asked = Asked((Path(f"/{text!r}"),), at(0), at(400), at(400))
    one = incident("20261123T000140-dead", bad, groups=groups)
    samples = (Sample(at(0), 40, 1), Sample(at(100), 0, 1), Sample(at(390), 30, 9))
    series = Series(samples, text, 100 * S, (text,))
    return Looked(asked, Report(at(0), at(400), (bare,), (one,), number, number), series)


NASTY = (
    '"><script>alert(1)</script>',
    "'--></style></svg><img src=http://evil.example/x onerror=alert(1)>",
    "\x1b]0;owned\x07\x1b[2J\x1b[31m",
    "a\x00b\ud800c\u202ed\u2028e",
    "]]>&lt;&#60;javascript:alert(1)",
    "x" * 5000,
    "",
    "\n\n- [ ] | a | b |\n",
)
