"""Which losses are one fault.

Owns that choice: the same kind of cause, near in time, and something in common. Two faults at the
same time on gateways that share nothing stay two. A loss that nothing explains joins the fault
whose gateways it shares a proxy, node or label with, and stays "unknown" in it.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.correlation.causes import Judged
from gateway.correlation.census import FLEET, Census, Key, label_keys
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import QUIET, Cause, GroupKind, HeldBy, Loss

NEAR_NS = 15 * SECOND_NS
"""Losses of one fault follow each other within this."""
LONG_NS = 120 * SECOND_NS
"""One fault strikes no longer than this, unless it is one that goes on."""
QUIET_NEAR_NS = 60 * SECOND_NS
IDLE_NEAR_NS = 900 * SECOND_NS
TIGHT_NS = 5 * SECOND_NS
"""What shares nothing but a path falls together within this."""
USUAL_NS = 300 * SECOND_NS
BEYOND = 4.0
"""So many times what chance would bring together is no chance."""
SHARE = 0.5
"""Of those connected: so many of a group must fall for it to be the group's incident."""
WHOLE = 0.8
"""A group of which so many fell is a fault of its own, whoever else fell at the same instant."""
_POWER = frozenset({Cause.BROWN_OUT, Cause.POWER_CUT})
_PATH = frozenset({Cause.RESET_IN_PATH, Cause.PATH_DEAD, Cause.UNKNOWN})
_PROXY = frozenset({Cause.PROXY_IDLE, Cause.PROXY_RELOADED, Cause.PROXY_FAILED})
_NODE = frozenset(
    {Cause.CENTRE_DRAINED, Cause.CENTRE_KILLED, Cause.CENTRE_ERROR, Cause.CENTRE_REFUSED}
)
_SECOND_FAULT = frozenset({HeldBy.DNS, HeldBy.CERTIFICATE, HeldBy.CLOCK, HeldBy.TLS})
"""What holds a gateway by a fault of its own: another incident than one without it. A dead path
swallows the name server's answers too: there DNS is no fault of its own."""


@dataclass(slots=True)
class Cluster:
    """Losses that are one fault. `key`: what they share, if it is known."""

    members: list[Judged]
    key: Key | None


def clusters(judged: Sequence[Judged], census: Census) -> list[Cluster]:
    """Return the losses, each in one cluster. The order they come in means nothing."""
    families: dict[tuple[str, ...], list[Judged]] = defaultdict(list)
    for one in sorted(judged, key=_order):
        families[_family(one)].append(one)
    found: list[Cluster] = []
    for name in sorted(families):
        losses = families[name]
        times = [one.felt_ns for one in losses]
        for run in _runs(losses):
            found += _split(run, times, census)
    return _adopt(found)


def _order(one: Judged) -> tuple[int, str, int]:
    return one.felt_ns, one.loss.gateway, one.loss.session


def _family(one: Judged) -> tuple[str, ...]:
    """Return what losses must have alike to be one incident at all."""
    loss = one.loss
    if loss.cause in _POWER:
        return ("power",)
    if loss.cause in _PROXY:
        return (loss.cause.value, loss.proxy)
    if loss.cause in _NODE:
        return (loss.cause.value, loss.node)
    if loss.cause is Cause.UNKNOWN:
        return (loss.cause.value, one.end.value)
    if loss.cause in _PATH:
        return (loss.cause.value, _second_fault(loss))
    return (loss.cause.value,)


def _second_fault(loss: Loss) -> str:
    """Return what besides its cause keeps a gateway away, ``""`` for nothing of the kind."""
    same = loss.cause is Cause.PATH_DEAD and loss.held_by is HeldBy.DNS
    return loss.held_by.value if loss.held_by in _SECOND_FAULT and not same else ""


def _runs(losses: Sequence[Judged]) -> Iterator[list[Judged]]:
    """Yield losses that follow each other closely."""
    cause = losses[0].loss.cause
    near_ns, long_ns = NEAR_NS, LONG_NS
    if cause is Cause.PROXY_IDLE:
        near_ns = long_ns = IDLE_NEAR_NS
    elif cause in QUIET:
        near_ns = long_ns = QUIET_NEAR_NS
    goes_on = cause is Cause.PROXY_IDLE or cause in QUIET
    run: list[Judged] = []
    for one in losses:
        late = bool(run) and one.felt_ns - run[-1].felt_ns > near_ns
        if late or (run and not goes_on and one.felt_ns - run[0].felt_ns > long_ns):
            yield run
            run = []
        run.append(one)
    yield run


def _split(run: list[Judged], times: Sequence[int], census: Census) -> Iterator[Cluster]:
    """Yield the groups in a run. What shares nothing is an incident each; of faults of a path, what
    fell at the same instant is one, if no more than chance is needed to explain it."""
    cause = run[0].loss.cause
    if cause in _PROXY:
        yield Cluster(run, (GroupKind.PROXY, run[0].loss.proxy))
        return
    if cause in _NODE and cause is not Cause.CENTRE_REFUSED:
        yield Cluster(run, (GroupKind.NODE, run[0].loss.node))
        return
    left = run
    if cause in _PATH and cause is not Cause.UNKNOWN:
        # The same instant, and the same second fault, say more than a site of which half fell.
        second = bool(_second_fault(run[0].loss))
        for tight in _tight(run):
            if _together(tight, times) and (second or _beyond_groups(tight, census)):
                yield Cluster(tight, None)
                left = _without(left, tight)
    if len(left) > 1:
        for cluster in list(_grouped(left, census)):
            yield cluster
            left = _without(left, cluster.members)
    for tight in _tight(left) if cause in _PATH else ():
        if _together(tight, times):
            yield Cluster(tight, None)
            left = _without(left, tight)
    for members in _by_gateway(left):
        yield Cluster(members, None)


def _without(losses: Sequence[Judged], gone: Sequence[Judged]) -> list[Judged]:
    taken = {id(one) for one in gone}
    return [one for one in losses if id(one) not in taken]


def _tight(losses: Sequence[Judged]) -> Iterator[list[Judged]]:
    """Yield losses that fell at one instant, two or more."""
    run: list[Judged] = []
    for one in losses:
        if run and one.felt_ns - run[-1].felt_ns > TIGHT_NS:
            if len(run) > 1:
                yield run
            run = []
        run.append(one)
    if len(run) > 1:
        yield run


def _together(tight: Sequence[Judged], times: Sequence[int]) -> bool:
    """Say whether so many at one instant are more than the usual churn. `times`: of all losses of
    the kind, sorted."""
    first, last = tight[0].felt_ns, tight[-1].felt_ns
    around = bisect_right(times, last + USUAL_NS) - bisect_left(times, first - USUAL_NS)
    rate = (around - len(tight)) / (2 * USUAL_NS)
    return len(tight) > BEYOND * rate * (last - first + TIGHT_NS)


def _beyond_groups(tight: Sequence[Judged], census: Census) -> bool:
    """Say whether no group explains losses of one instant: none that all of them share, and none
    that fell as a whole."""
    if any(len(one.members) == len(tight) for one in _grouped(tight, census)):
        return False
    return not any(_grouped(tight, census, WHOLE))


def _by_gateway(losses: Sequence[Judged]) -> Iterator[list[Judged]]:
    found: dict[str, list[Judged]] = {}
    for one in losses:
        found.setdefault(one.loss.gateway, []).append(one)
    yield from found.values()


def keys_of(one: Judged) -> set[Key]:
    """Return what a gateway may have in common with others; of a path also its proxy and node."""
    loss = one.loss
    keys: set[Key] = {FLEET, *label_keys(loss.labels), (GroupKind.SOFTWARE, loss.software)}
    if loss.cause in _PATH:
        keys |= {(GroupKind.PROXY, loss.proxy), (GroupKind.NODE, loss.node)}
    return keys


def _grouped(run: Sequence[Judged], census: Census, share: float = SHARE) -> Iterator[Cluster]:
    """Yield the groups of which half (`share`) fell, the largest first; each loss in one."""
    at_ns = min(one.loss.lost_ns for one in run)
    members: dict[Key, list[int]] = defaultdict(list)
    for place, one in enumerate(run):
        for key in keys_of(one):
            if key[1] or key is FLEET:
                members[key].append(place)
    ranked = []
    for key, places in members.items():
        count = len({run[place].loss.gateway for place in places})
        connected = max(count, census.at(key, at_ns))
        if count > 1 and count >= share * connected:
            ranked.append((count, count / connected, key[0].value, key[1], connected, key))
    taken: set[int] = set()
    for *_, connected, key in sorted(ranked, reverse=True, key=lambda one: one[:4]):
        left = [place for place in members[key] if place not in taken]
        count = len({run[place].loss.gateway for place in left})
        if count > 1 and count >= share * connected:
            taken.update(left)
            yield Cluster([run[place] for place in left], key)


# --- what nothing explains ------------------------------------------------------------------------


def _adopt(clusters: list[Cluster]) -> list[Cluster]:
    """Let losses without a cause join the incident they were part of."""
    known = [cluster for cluster in clusters if cluster.members[0].loss.cause is not Cause.UNKNOWN]
    places = sorted(
        (one.felt_ns, index)
        for index, cluster in enumerate(known)
        if cluster.key is not None or len(cluster.members) > 1
        for one in cluster.members
    )
    times = [felt_ns for felt_ns, _ in places]
    rest: list[Cluster] = []
    joined: list[tuple[int, Judged]] = []
    for cluster in clusters:
        if cluster.members[0].loss.cause is not Cause.UNKNOWN:
            continue
        left = []
        for one in cluster.members:
            low = bisect_left(times, one.felt_ns - TIGHT_NS)
            high = bisect_right(times, one.felt_ns + TIGHT_NS)
            near = sorted({index for _, index in places[low:high]})
            home = next((index for index in near if _belongs(one, known[index])), None)
            if home is None:
                left.append(one)
            else:
                joined.append((home, one))
        if left:
            rest.append(Cluster(left, cluster.key))
    for index, one in joined:
        known[index].members.append(one)
    return known + rest


def _belongs(one: Judged, cluster: Cluster) -> bool:
    """Say whether a loss without a cause is part of an incident near in time."""
    key, first = cluster.key, cluster.members[0]
    if key is None or key is FLEET:
        same_word = one.told is not None and one.told is first.told
        return same_word and one.loss.proxy == first.loss.proxy
    if key[0] is GroupKind.PROXY:
        return one.loss.proxy == key[1] and one.end is first.end
    if key[0] is GroupKind.NODE:
        return one.loss.node == key[1] and one.end is first.end
    return key in keys_of(one) and one.end is first.end
