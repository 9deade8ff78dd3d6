"""A fault as an incident: its name, its cause, what its gateways have in common.

Owns what is said of losses that `clusters` put together, and the incident's identity, which stays
while more evidence arrives: the start of its earliest loss and a sign of that loss, nothing else.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from zlib import crc32

from gateway.correlation.causes import Judged
from gateway.correlation.census import FLEET, Census, Key
from gateway.correlation.clusters import LONG_NS, NEAR_NS, Cluster, clusters, keys_of
from gateway.correlation.endings import End
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import QUIET, Cause, Drop, Group, GroupKind, Incident, Loss
from gateway.host.reboot import Confidence

SHOWN = 0.8
"""Of an incident's gateways: so many must have a thing in common for it to be named."""
_CONFIDENT = tuple(Confidence)


def incidents(
    judged: Sequence[Judged], census: Census, drops: Sequence[Drop]
) -> tuple[Incident, ...]:
    """Return the incidents in order of their start. The order of the losses means nothing."""
    made = [_incident(cluster, census, drops) for cluster in clusters(judged, census)]
    made.sort(key=lambda one: (one.started_ns, one.identity))
    return tuple(_distinct(made))


def _incident(cluster: Cluster, census: Census, drops: Sequence[Drop]) -> Incident:
    losses = sorted(
        (one.loss for one in cluster.members),
        key=lambda loss: (loss.lost_ns, loss.gateway, loss.session),
    )
    first = losses[0]
    causes: Counter[Cause] = Counter(loss.cause for loss in losses)
    del causes[Cause.UNKNOWN]
    cause = max(causes, key=lambda one: (causes[one], one.value)) if causes else Cause.UNKNOWN
    sure = Counter(loss.confidence for loss in losses if loss.cause is cause)
    back = [loss.returned_ns for loss in losses if loss.returned_ns is not None]
    return Incident(
        identity=f"{stamp(first.lost_ns)}-{_sign(first) & 0xFFFF:04x}",
        started_ns=first.lost_ns,
        ended_ns=max(back) if len(back) == len(losses) else None,
        cause=cause,
        confidence=max(sure, key=lambda one: (sure[one], _CONFIDENT.index(one))),
        quiet=cause in QUIET or _all_left(cluster.members),
        losses=tuple(losses),
        groups=_groups(cluster, losses, census, cause),
        drop=_drop(losses, drops),
    )


def _all_left(members: Sequence[Judged]) -> bool:
    """Say whether everybody took its leave, whatever for."""
    return all(one.loss.cause is Cause.UNKNOWN and one.end is End.GOODBYE for one in members)


def _groups(
    cluster: Cluster, losses: Sequence[Loss], census: Census, cause: Cause
) -> tuple[Group, ...]:
    """Return what the gateways have in common, the closest first."""
    gateways = {loss.gateway for loss in losses}
    if len(gateways) == 1 and cause is not Cause.PROXY_IDLE:
        return ()
    found: dict[Key, set[str]] = defaultdict(set)
    for one in cluster.members:
        for key in (
            *keys_of(one),
            (GroupKind.PROXY, one.loss.proxy),
            (GroupKind.NODE, one.loss.node),
        ):
            if key[1] or key is FLEET:
                found[key].add(one.loss.gateway)
    at_ns = losses[0].lost_ns
    groups = []
    for key, fallen in found.items():
        connected = max(len(fallen), census.at(key, at_ns))
        if len(fallen) < 2 or len(fallen) < SHOWN * len(gateways):
            continue
        if key == cluster.key or len(fallen) >= SHOWN * connected:
            groups.append(Group(key[0], key[1], len(fallen), connected))
    if cause is Cause.PROXY_IDLE:
        ages = sorted(one.silence_s for one in cluster.members if one.silence_s is not None)
        if ages:
            value = f"{ages[len(ages) // 2]:.0f}"
            groups.append(Group(GroupKind.AGE, value, len(gateways), len(gateways)))
    groups.sort(key=lambda one: (-one.lost / one.of, one.of, one.kind.value, one.value))
    return tuple(groups)


def _drop(losses: Sequence[Loss], drops: Sequence[Drop]) -> Drop | None:
    """Return the fall of the series in which most of the losses lie; of two, the nearer."""
    low, high = losses[0].lost_ns, losses[-1].lost_ns
    best: tuple[tuple[int, int], Drop] | None = None
    end = bisect_right(drops, high + NEAR_NS, key=_started)
    begin = bisect_left(drops, low - LONG_NS, key=_started)
    for drop in drops[begin:end]:
        away = [_away_ns(loss, drop) for loss in losses]
        near = [distance for distance in away if distance <= NEAR_NS]
        rank = len(near), -sum(near)
        if near and (best is None or rank > best[0]):
            best = rank, drop
    return None if best is None else best[1]


def _away_ns(loss: Loss, drop: Drop) -> int:
    """Return how far a loss lies outside of a fall."""
    return max(0, drop.started_ns - loss.lost_ns, loss.lost_ns - drop.bottom_ns)


def _started(drop: Drop) -> int:
    return drop.started_ns


def _sign(loss: Loss) -> int:
    return crc32(f"{loss.gateway}/{loss.session}".encode())


def _distinct(made: Sequence[Incident]) -> Iterator[Incident]:
    """Yield incidents with identities that differ: of two alike, both get a longer one."""
    counts = Counter(one.identity for one in made)
    for one in made:
        if counts[one.identity] == 1:
            yield one
        else:
            first = one.losses[0]
            yield replace(one, identity=f"{stamp(first.lost_ns)}-{_sign(first):08x}")


def stamp(at_ns: int) -> str:
    """Return an instant as ``20261123T031207`` (UTC); days to dates as in the proleptic Gregorian
    calendar (Hinnant, chrono-compatible low-level date algorithms)."""
    seconds = at_ns // SECOND_NS
    days, rest = divmod(seconds, 86_400)
    days += 719_468
    era, day = divmod(days, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    of_year = day - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    date = of_year - (153 * month + 2) // 5 + 1
    number = month + 3 if month < 10 else month - 9
    full = year + era * 400 + (number <= 2)
    return (
        f"{full:04d}{number:02d}{date:02d}T{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}"
    )
