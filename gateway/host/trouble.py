"""Changes worth telling: the supply sags, a carrier or a radio goes, the route moves.

Owns when a change counts: trouble at once, its end after `CLEAR_S` without it, so that something
that flaps makes at most a pair of changes in that time. How much of it is told is `telling`'s.
"""

from dataclasses import dataclass, field

from gateway.event import EventKind, Scalar
from gateway.host.alarm import UnderVoltage
from gateway.host.sample import RADIO, LinkSample, Sample

CLEAR_S = 10.0
RADIO_MISSES = 2
"""Looks in a row without a level before a radio counts as lost: one may just not have answered."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state. `trouble`: for the worse."""

    kind: EventKind
    trouble: bool
    fields: tuple[tuple[str, Scalar], ...]


@dataclass(slots=True)
class _Condition:
    """One thing that is well or in trouble. `at`: since when it has been well again."""

    trouble: bool = False
    at: float | None = None

    def see(self, bad: bool, now: float) -> bool | None:
        """Return True when trouble begins, False when it is over, None when nothing changed."""
        if bad:
            began, self.trouble, self.at = not self.trouble, True, None
            return True if began else None
        if not self.trouble:
            return None
        if self.at is None:
            self.at = now
        if now - self.at < CLEAR_S:
            return None
        self.trouble, self.at = False, None
        return False


@dataclass(slots=True)
class _LinkWatch:
    carrier: _Condition = field(default_factory=_Condition)
    radio: _Condition = field(default_factory=_Condition)
    misses: int = 0
    downs: int | None = None
    had_carrier: bool = False
    had_level: bool = False


class Watch:
    """Sees every sample; `low` says whether the supply is low now."""

    def __init__(self, warn_v: float | None, crit_v: float | None) -> None:
        self._warn_v = warn_v
        self._crit_v = crit_v
        self._supply = _Condition()
        self._links: dict[str, _LinkWatch] = {}
        self._route: str | None = None
        self._suspects = 0

    @property
    def low(self) -> bool:
        """Whether the supply is low, or was less than `CLEAR_S` ago."""
        return self._supply.trouble

    def limits(self, warn_v: float | None, crit_v: float | None) -> None:
        """Take the limits of another source."""
        self._warn_v, self._crit_v = warn_v, crit_v

    def see(self, sample: Sample) -> list[Change]:
        """Return what changed with this sample."""
        now = sample.source_time_ns / 1e9
        changes = self._see_supply(sample, now)
        for link in sample.links:
            changes += self._see_link(link, now)
        here = {link.name for link in sample.links}
        for name, watch in self._links.items():
            if name not in here:
                changes += self._gone(name, watch, now)
        if self._route is not None and sample.route != self._route:
            fields = (("from", self._route), ("to", sample.route))
            changes.append(Change(EventKind.ROUTE_CHANGED, not sample.route, fields))
        self._route = sample.route
        return changes

    def _see_supply(self, sample: Sample, now: float) -> list[Change]:
        # A single absurd number is a mistake of the sensor; two in a row are the supply.
        self._suspects = self._suspects + 1 if sample.suspect else 0
        volts = sample.volts if self._suspects != 1 else None
        limit = self._warn_v if self._warn_v is not None else self._crit_v
        below = volts is not None and limit is not None and volts < limit
        under = sample.undervoltage is UnderVoltage.UNDER and self._suspects != 1
        verdict = self._supply.see(below or under, now)
        if verdict is None:
            return []
        kind = EventKind.SUPPLY_LOW if verdict else EventKind.SUPPLY_RECOVERED
        fields: list[tuple[str, Scalar]] = [("undervoltage", sample.undervoltage.value)]
        if sample.volts is not None:
            fields.append(("volts", round(sample.volts, 3)))
        if limit is not None:
            fields.append(("limit_v", limit))
        return [Change(kind, verdict, tuple(fields))]

    def _see_link(self, link: LinkSample, now: float) -> list[Change]:
        watch = self._links.setdefault(link.name, _LinkWatch())
        changes = []
        carrier, downs = link.state.carrier, link.state.carrier_downs
        fell = downs is not None and watch.downs is not None and downs > watch.downs
        watch.downs = downs if downs is not None else watch.downs
        watch.had_carrier = watch.had_carrier or bool(carrier)
        if watch.had_carrier:
            fields: list[tuple[str, Scalar]] = [("interface", link.name)]
            fields.append(("operstate", link.state.operstate))
            if downs is not None:
                fields.append(("carrier_downs", downs))
            verdict = watch.carrier.see(not carrier or fell, now)
            changes += _told(
                verdict, EventKind.CARRIER_LOST, EventKind.CARRIER_RETURNED, tuple(fields)
            )
        if link.kind in RADIO:
            changes += self._see_radio(link, watch, now)
        return changes

    def _see_radio(self, link: LinkSample, watch: _LinkWatch, now: float) -> list[Change]:
        level = None if link.level is None else link.level.dbm
        watch.misses = watch.misses + 1 if level is None else 0
        watch.had_level = watch.had_level or level is not None
        if not watch.had_level:
            return []
        fields: tuple[tuple[str, Scalar], ...] = (("interface", link.name),)
        if level is not None:
            fields += (("dbm", round(level, 1)),)
        verdict = watch.radio.see(watch.misses >= RADIO_MISSES, now)
        return _told(verdict, EventKind.RADIO_LOST, EventKind.RADIO_RETURNED, fields)

    def disconnected(self, name: str, reason: int | None, by_ap: bool, now: float) -> list[Change]:
        """Take the kernel's word that a radio was disconnected, with its IEEE 802.11 reason."""
        watch = self._links.setdefault(name, _LinkWatch())
        verdict = watch.radio.see(True, now)
        watch.had_level = True
        fields: tuple[tuple[str, Scalar], ...] = (("interface", name), ("by_ap", by_ap))
        if reason is not None:
            fields += (("reason", reason),)
        return _told(verdict, EventKind.RADIO_LOST, EventKind.RADIO_RETURNED, fields)

    def _gone(self, name: str, watch: _LinkWatch, now: float) -> list[Change]:
        """An interface that vanished has lost its carrier."""
        if not watch.had_carrier:
            return []
        fields = (("interface", name), ("operstate", "gone"))
        verdict = watch.carrier.see(True, now)
        return _told(verdict, EventKind.CARRIER_LOST, EventKind.CARRIER_RETURNED, fields)


def _told(
    verdict: bool | None,
    lost: EventKind,
    returned: EventKind,
    fields: tuple[tuple[str, Scalar], ...],
) -> list[Change]:
    if verdict is None:
        return []
    return [Change(lost if verdict else returned, verdict, fields)]
