"""What only several gateways show: a proxy that died, was reloaded, or times idle sessions out; a
box in the path that resets some while the others stay.

Owns these four judgements. They concern sessions that a packet ended and whose own gateway knows no
reason. Who was connected, through what and until when is the centre's own record and complete; what
gateways told is not, so each judgement needs something told that the others cannot have.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.correlation.account import SPOKEN, Told
from gateway.correlation.causes import Judged
from gateway.correlation.census import Census, Key, route_key
from gateway.correlation.endings import End
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import Cause, GroupKind, Proof
from gateway.host.reboot import Confidence

TOGETHER_NS = SECOND_NS
"""What a proxy cuts at once ends within this of the one before."""
AT_ONE_STROKE_NS = 500_000_000
"""What dies with one process ends within this."""
AT_ONCE_NS = 1_500_000_000
"""A proxy that took somebody in again so soon had not died."""
STAYED_NS = 3 * SECOND_NS
"""A session that was open from before until so long after was not touched."""
ALL = 0.8
"""Of those connected through a proxy: fewer are not all of them."""
LEAST_TOLD = 2
SURE_TOLD = 3
IDLE_LEAST_S = 1.0
IDLE_COUNT = 3
IDLE_CHANCE = 15
"""Of silences spread over a heartbeat, one in so many may lie at one value by chance: four times
half a second in thirty."""
SLOT_NS = 4 * SECOND_NS
_IDLE_SLACK_S = 0.25
_IDLE_SLACK = 0.005
"""A proxy's timer is exact; what we measure is late by a message's way."""


@dataclass(frozen=True, slots=True)
class _Ruling:
    cause: Cause
    confidence: Confidence
    proof: Proof


def compare(judged: Sequence[Judged], census: Census) -> list[Judged]:
    """Return the losses with what their peers add. In the order given."""
    rulings: dict[int, _Ruling] = {}
    cut: set[int] = set()
    places = [place for place, one in enumerate(judged) if one.end is End.SPOKEN]
    for members in _cuts(judged, places):
        cut.update(_mass(judged, members, census, rulings))
    loose = [place for place in places if place not in cut]
    _idle(judged, loose, census, rulings)
    for place, one in enumerate(judged):
        if place not in rulings and place not in cut:
            ruling = _reset(one, census)
            if ruling is not None:
                rulings[place] = ruling
    return [
        _with(one, rulings[place]) if place in rulings and one.loss.cause is Cause.UNKNOWN else one
        for place, one in enumerate(judged)
    ]


def _with(one: Judged, ruling: _Ruling) -> Judged:
    loss = replace(
        one.loss,
        cause=ruling.cause,
        confidence=ruling.confidence,
        proofs=(*one.loss.proofs, ruling.proof),
    )
    return replace(one, loss=loss)


# --- cut at once ----------------------------------------------------------------------------------


def _cuts(judged: Sequence[Judged], places: Iterable[int]) -> Iterator[list[int]]:
    """Yield the losses of one proxy that lie close together in time."""
    by_proxy: dict[str, list[int]] = defaultdict(list)
    for place in places:
        proxy = judged[place].loss.proxy
        if proxy:
            by_proxy[proxy].append(place)
    for proxy in sorted(by_proxy):
        run: list[int] = []
        for place in sorted(by_proxy[proxy], key=lambda place: judged[place].loss.lost_ns):
            lost_ns = judged[place].loss.lost_ns
            if run and lost_ns - judged[run[-1]].loss.lost_ns > TOGETHER_NS:
                yield run
                run = []
            run.append(place)
        yield run


def _mass(
    judged: Sequence[Judged], members: list[int], census: Census, rulings: dict[int, _Ruling]
) -> list[int]:
    """Judge losses that lie together; return those that are part of a cut of all."""
    first = judged[members[0]].loss
    proxy: Key = (GroupKind.PROXY, first.proxy)
    if _is_all(judged, members, census.at(proxy, first.lost_ns)):
        _rule(judged, members, census, rulings, whole=True)
        return members
    cut: list[int] = []
    by_node: dict[str, list[int]] = defaultdict(list)
    for place in members:
        by_node[judged[place].loss.node].append(place)
    for node in sorted(by_node):
        some = by_node[node]
        route = route_key(first.proxy, node)
        if len(some) > LEAST_TOLD and _is_all(
            judged, some, census.at(route, judged[some[0]].loss.lost_ns)
        ):
            _rule(judged, some, census, rulings, whole=False)
            cut += some
    return cut


def _is_all(judged: Sequence[Judged], members: Sequence[int], connected: int) -> bool:
    gateways = {judged[place].loss.gateway for place in members}
    return len(gateways) >= LEAST_TOLD and len(gateways) >= ALL * connected


def _rule(
    judged: Sequence[Judged],
    members: Sequence[int],
    census: Census,
    rulings: dict[int, _Ruling],
    *,
    whole: bool,
) -> None:
    """Tell a proxy that died from one that closed what it had. `whole`: nobody stayed."""
    first, last = judged[members[0]].loss, judged[members[-1]].loss
    key: Key = (GroupKind.PROXY, first.proxy)
    size = len({judged[place].loss.gateway for place in members})
    # Resets alone may as well be a firewall's, which meets each with its next packet.
    alike = whole and size > LEAST_TOLD and last.lost_ns - first.lost_ns <= AT_ONE_STROKE_NS
    wanted = SPOKEN if alike else {Told.CLOSED}
    if sum(judged[place].told in wanted for place in members) < LEAST_TOLD:
        return
    reopened_ns = census.next_opened(key, first.lost_ns)
    at_once = reopened_ns is not None and reopened_ns - last.lost_ns <= AT_ONCE_NS
    stayed = (
        0 if whole else census.through(key, first.lost_ns - SECOND_NS, last.lost_ns + STAYED_NS)
    )
    unreached = sum(judged[place].unreached for place in members)
    said = f"proxy {first.proxy} cut all {size} of its sessions at once"
    if not whole:
        said = f"proxy {first.proxy} cut all {size} of its sessions with {first.node} at once"
    if at_once or stayed:
        # A worker that ends says goodbye to somebody; resets alone may be a firewall's.
        if not any(judged[place].told is Told.CLOSED for place in members):
            return
        why = "and took gateways in again at once" if at_once else f"while {stayed} others stayed"
        cause, sure = Cause.PROXY_RELOADED, Confidence.PROBABLE
    elif unreached and whole:
        why = f"and {unreached} found nobody behind its address afterwards"
        cause = Cause.PROXY_FAILED
        sure = Confidence.CERTAIN if unreached >= SURE_TOLD else Confidence.PROBABLE
    else:
        return
    ruling = _Ruling(cause, sure, Proof(first.lost_ns, 0, "centre", f"{said}, {why}"))
    rulings.update(dict.fromkeys(members, ruling))


# --- a constant age -------------------------------------------------------------------------------


def _idle(
    judged: Sequence[Judged],
    places: Sequence[int],
    census: Census,
    rulings: dict[int, _Ruling],
) -> None:
    """Find ends after a constant silence, or at a constant age, behind one proxy or of one
    gateway."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place in places:
        loss = judged[place].loss
        groups["proxy", loss.proxy].append(place)
        groups["gateway", loss.gateway].append(place)

    def silence(place: int) -> float | None:
        return judged[place].silence_s

    def age(place: int) -> float | None:
        return judged[place].loss.age_s

    for name in sorted(groups):
        members = groups[name]
        least = max(IDLE_COUNT, len(members) // IDLE_CHANCE)
        closed = [
            place
            for place in members
            if judged[place].told is Told.CLOSED and judged[place].loss.cause is Cause.UNKNOWN
        ]
        if len(closed) >= least:
            _constant(judged, closed, least, silence, "of silence", census, rulings)
            _constant(judged, closed, least, age, "of age", None, rulings)


def _constant(
    judged: Sequence[Judged],
    members: Sequence[int],
    least: int,
    measure: Callable[[int], float | None],
    what: str,
    census: Census | None,
    rulings: dict[int, _Ruling],
) -> None:
    """Rule on each member that has enough others at its own value of a measure, at several
    instants. `census` given: sessions that stayed meanwhile speak for it as well."""
    values = sorted(
        (value, place)
        for place in members
        if (value := measure(place)) is not None and value >= IDLE_LEAST_S
    )
    slots: Counter[int] = Counter()
    low = high = 0
    for value, place in values:
        slack = max(_IDLE_SLACK_S, value * _IDLE_SLACK)
        while high < len(values) and values[high][0] <= value + slack:
            slots[_slot(judged[values[high][1]])] += 1
            high += 1
        while values[low][0] < value - slack:
            slot = _slot(judged[values[low][1]])
            slots[slot] -= 1
            if not slots[slot]:
                del slots[slot]
            low += 1
        count, instants, loss = high - low, len(slots), judged[place].loss
        key: Key = (GroupKind.PROXY, loss.proxy)
        spread = instants >= IDLE_COUNT
        if count < least:
            continue
        if not spread and (
            census is None
            or not census.through(key, loss.lost_ns - SECOND_NS, loss.lost_ns + STAYED_NS)
        ):
            continue
        sure = count >= 2 * IDLE_COUNT and spread
        if place in rulings and not (sure and rulings[place].confidence is Confidence.PROBABLE):
            continue  # said already, as surely
        text = f"ended after {value:.1f} s {what}, as {count - 1} others, at {instants} instants"
        rulings[place] = _Ruling(
            Cause.PROXY_IDLE,
            Confidence.CERTAIN if sure else Confidence.PROBABLE,
            Proof(loss.lost_ns, 0, "centre", text),
        )


def _slot(one: Judged) -> int:
    """Return the instant of a loss, so coarse that one cut spreads over two of them at most."""
    return one.loss.lost_ns // SLOT_NS


# --- a reset while the others stay ----------------------------------------------------------------


def _reset(one: Judged, census: Census) -> _Ruling | None:
    loss = one.loss
    if one.told is not Told.RESET or loss.cause is not Cause.UNKNOWN or not one.same_run:
        return None
    key: Key = (GroupKind.PROXY, loss.proxy)
    stayed = census.through(key, loss.lost_ns - SECOND_NS, loss.lost_ns + STAYED_NS)
    if not stayed:
        return None
    text = f"the gateway was reset while {stayed} others behind {loss.proxy} stayed"
    proof = Proof(loss.lost_ns, 0, "centre", text)
    return _Ruling(Cause.RESET_IN_PATH, Confidence.PROBABLE, proof)
