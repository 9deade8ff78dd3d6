"""What the host showed around the end of a session that fell silent: its link, radio, supply.

Owns when a link, a radio or a dead path explains a silence. Each of the three needs evidence of its
own that the others cannot have: a carrier that went away under the interface in use, a level that
was bad for seconds on end, or looks without a gap that all was well. So what is taken away can
leave nothing behind but "unknown" (`docs/decisions/attribution.md`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.correlation.account import Account, Told, number_of, text_of, value_of
from gateway.correlation.evidence import Look, Seen
from gateway.correlation.history import History
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import Cause, Proof
from gateway.host.reboot import Confidence

WEAK_DBM = -80.0
"""Below it a radio is in trouble; of RSRP the limit is `WEAK_RSRP_DBM`."""
WEAK_RSRP_DBM = -115.0
WELL_DBM = -76.0
"""From here on a radio is well; between the two it is neither."""
WELL_RSRP_DBM = -110.0
RUN = 4
"""Seconds in a row: so long a level must be bad, and so long no look may be missing."""
BEFORE_NS = 15 * SECOND_NS
"""A fade shows before the last message."""
TELLING_NS = 2 * SECOND_NS
"""A change is seen with the next look, a missing level with the second."""
POWER_NS = 30 * SECOND_NS
"""A low supply explains an end within this time."""
ROUTE_NS = 5 * SECOND_NS
_RADIO_NAMES = ("wl", "ww", "ppp", "rmnet", "cdc", "mlan", "ath", "ra", "uap")
_MOBILE_NAMES = ("ww", "ppp", "rmnet", "cdc")
_LEAVING = frozenset({3, 8})
"""IEEE 802.11-2020 Table 9-49: the station itself leaves, as when its adapter is pulled out."""
LINK_KINDS = ("carrier_lost", "radio_lost", "route_changed")
SUPPLY_KINDS = ("supply_low", "supply_recovered")


@dataclass(frozen=True, slots=True)
class Silence:
    """A session that fell silent. Source times of `boot_id`: `heard_ns` the last message the
    centre had, `ended_ns` when the agent gave it up. `watched`: it has a host to look at."""

    boot_id: str
    heard_ns: int
    ended_ns: int
    account: Account
    watched: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What explains it; cause ``None``: nothing does."""

    cause: Cause | None
    confidence: Confidence
    proofs: tuple[Proof, ...]


def explain(history: History, silence: Silence) -> Found:
    """Say whether link, radio or path explains a silence."""
    begins_ns, ends_ns = silence.heard_ns - BEFORE_NS, silence.ended_ns + TELLING_NS
    looks = history.looks(silence.boot_id, begins_ns, ends_ns)
    events = history.between(silence.boot_id, silence.heard_ns - TELLING_NS, ends_ns, LINK_KINDS)
    link = _link(events, looks, silence.account)
    weak = weak_seconds(looks)
    radio = _radio(events, looks) or len(weak) >= RUN
    proofs = (*_events(history, events), *_levels(history, silence.boot_id, looks))
    if link:
        sure = _carrier_gone(looks) or silence.account.told is Told.ADAPTER
        confidence = Confidence.CERTAIN if sure else Confidence.PROBABLE
        return Found(Cause.LINK_LOST, confidence, proofs)
    if radio:
        both = _radio(events, looks) and len(weak) >= RUN
        return Found(Cause.RADIO, Confidence.CERTAIN if both else Confidence.PROBABLE, proofs)
    if not silence.watched:
        text = "watches no host: its link and radio are not known"
        note = history.proof(silence.boot_id, None, "host", text)
        return Found(Cause.PATH_DEAD, Confidence.POSSIBLE, (*proofs, note))
    speaking = history.speaking(silence.boot_id, begins_ns, ends_ns)
    if well_throughout(speaking, silence.heard_ns, silence.ended_ns):
        text = "carrier and radio were well until the session was given up"
        note = history.proof(silence.boot_id, silence.ended_ns, "host", text)
        return Found(Cause.PATH_DEAD, Confidence.PROBABLE, (*proofs, note))
    text = "what its link and radio were then is not known, or not for every second"
    note = history.proof(silence.boot_id, None, "host", text, supports=False)
    return Found(None, Confidence.NONE, (*proofs, note))


def supply(history: History, boot_id: str, until_ns: int) -> tuple[bool, tuple[Proof, ...]]:
    """Say whether the supply was low within `POWER_NS` before a source time, and show it."""
    begins_ns, ends_ns = until_ns - 2 * POWER_NS, until_ns + TELLING_NS
    events = history.between(boot_id, begins_ns, ends_ns, SUPPLY_KINDS)
    looks = history.looks(boot_id, begins_ns, ends_ns)
    near = until_ns - POWER_NS
    low = any(one.kind == "supply_low" and one.source_time_ns >= near for one in events) or any(
        look.undervoltage and look.source_time_ns >= near for look in looks
    )
    proofs = [
        history.proof(boot_id, one.source_time_ns, "host", _supply_words(one), low)
        for one in events
    ]
    volts = [(look.volts, look.source_time_ns) for look in looks if look.volts is not None]
    if volts:
        least, at_ns = min(volts)
        text = f"supply {least:.2f} V at the least of the last minute"
        proofs.append(history.proof(boot_id, at_ns, "host", text, low))
    return low, tuple(proofs)


# --- the link -----------------------------------------------------------------------------------


def _link(events: Sequence[Seen], looks: Sequence[Look], account: Account) -> bool:
    if account.told is Told.ADAPTER:
        return True
    return any(
        seen.kind == "carrier_lost"
        and (_gone(seen) or (_down(seen) and not is_radio(_interface(seen))))
        and _in_use(seen, events, looks, account)
        for seen in events
    )


def _radio(events: Sequence[Seen], looks: Sequence[Look]) -> bool:
    """Say whether an event tells that the radio went: its association with its carrier, a level
    that was bad then, a word of the access point, or silence on an interface that stayed."""
    return any(_radio_carrier(seen, looks) or _radio_word(seen, looks) for seen in events)


def _radio_carrier(seen: Seen, looks: Sequence[Look]) -> bool:
    """A radio's carrier is its association; an adapter that is gone is another matter."""
    name = _interface(seen)
    lost = seen.kind == "carrier_lost" and _down(seen) and is_radio(name)
    return lost and any(look.interface == name for look in looks)


def _radio_word(seen: Seen, looks: Sequence[Look]) -> bool:
    if seen.kind != "radio_lost":
        return False
    if value_of(seen.fields, "by_ap") is True:
        return True
    reason, level = number_of(seen.fields, "reason"), value_of(seen.fields, "dbm")
    if isinstance(level, int | float) and level < _limits(_interface(seen))[0]:
        return True
    if reason is not None:
        return reason not in _LEAVING
    return any(look.carrier and look.source_time_ns > seen.source_time_ns for look in looks)


def _in_use(seen: Seen, events: Iterable[Seen], looks: Iterable[Look], account: Account) -> bool:
    """Say whether it is known that the session went over this interface."""
    name = _interface(seen)
    if any(look.interface == name for look in looks) or account.cause == "no_route":
        return True
    return any(
        one.kind == "route_changed"
        and text_of(one.fields, "from") == name
        and abs(one.source_time_ns - seen.source_time_ns) <= ROUTE_NS
        for one in events
    )


def _interface(seen: Seen) -> str:
    return text_of(seen.fields, "interface")


def _gone(seen: Seen) -> bool:
    return text_of(seen.fields, "operstate") == "gone"


def _down(seen: Seen) -> bool:
    """Not a flap: at the look that saw it, the carrier was away still."""
    return text_of(seen.fields, "operstate") not in ("up", "gone")


def is_radio(interface: str) -> bool:
    """Say whether an interface is a radio, by the kernel's and systemd's names."""
    return interface.startswith(_RADIO_NAMES)


# --- looks --------------------------------------------------------------------------------------


def _limits(interface: str) -> tuple[float, float]:
    """Return below what a level is bad, and from where it is well."""
    if interface.startswith(_MOBILE_NAMES):
        return WEAK_RSRP_DBM, WELL_RSRP_DBM
    return WEAK_DBM, WELL_DBM


def _seconds(look: Look) -> range:
    """Return the seconds a look speaks for, when all was well in them."""
    last = look.source_time_ns // SECOND_NS
    first = (look.source_time_ns - round(look.span_s * SECOND_NS)) // SECOND_NS
    return range(first + (look.span_s > 0), last + 1)


def weak_seconds(looks: Iterable[Look]) -> range:
    """Return the longest run of seconds in which the level was bad. The least of an aggregate
    was so once: it counts for one second."""
    weak = {
        look.source_time_ns // SECOND_NS
        for look in looks
        if look.dbm is not None and look.dbm < _limits(look.interface)[0]
    }
    best = range(0)
    first = 0
    for second in sorted(weak):
        first = first if second - 1 in weak else second
        if second + 1 - first > len(best):
            best = range(first, second + 1)
    return best


def well_throughout(looks: Iterable[Look], heard_ns: int, ended_ns: int) -> bool:
    """Say whether looks show a link that was well until the end, with no gap of `RUN` seconds."""
    well = {second for look in looks if _well(look) for second in _seconds(look)}
    missing = 0
    for second in range(heard_ns // SECOND_NS, ended_ns // SECOND_NS + 1):
        missing = 0 if second in well else missing + 1
        if missing >= RUN:
            return False
    return bool(well)


def _well(look: Look) -> bool:
    if look.carrier is not True:
        return False
    if look.dbm is None:
        return bool(look.interface) and not is_radio(look.interface)
    return look.dbm >= _limits(look.interface)[1]


def _carrier_gone(looks: Iterable[Look]) -> bool:
    return any(look.carrier is False for look in looks)


# --- words --------------------------------------------------------------------------------------


def _events(history: History, events: Iterable[Seen]) -> Iterable[Proof]:
    for seen in events:
        words = seen.kind.replace("_", " ")
        fields = ", ".join(f"{name} {value}" for name, value in seen.fields[:4])
        yield history.proof(seen.boot_id, seen.source_time_ns, "host", f"{words}: {fields}")


def _levels(history: History, boot_id: str, looks: Sequence[Look]) -> Iterable[Proof]:
    levels = [
        (look.source_time_ns, look.dbm, look.interface) for look in looks if look.dbm is not None
    ]
    if not levels:
        return
    at_ns, last, interface = max(levels)
    least = min(dbm for _, dbm, _ in levels)
    bad = last < _limits(interface)[0]
    text = f"radio {last:.0f} dBm at the last look, {least:.0f} dBm at the least"
    yield history.proof(boot_id, at_ns, "host", text, bad)


def _supply_words(seen: Seen) -> str:
    words = seen.kind.replace("_", " ")
    volts = value_of(seen.fields, "volts")
    return words if volts is None else f"{words}: {volts} V"
