"""All observers on one clock: the centre's, to which sessions are dated.

Owns where an instant of a gateway lies in UTC, and how far that may be off. A gateway's source time
counts from the start of its boot; what ties a boot to the centre's clock is the least heartbeat
offset. The gateway's own clock (its anchors) is believed only where it does not contradict the
centre: one that was hours wrong before its first synchronisation moves nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.correlation.evidence import Anchor, Boot, Session

SECOND_NS = 1_000_000_000
WAY_NS = 500_000_000
"""What a message may be under way: the least offset is late by the shortest way seen."""
SPOKE_ERROR_NS = SECOND_NS
"""How far an instant may be off that only the least offset places."""
_NTP = 2
_DRIFT = 50e-6
"""What a quartz may run off beside its anchor; 20 ppm and a hot cabinet."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An instant in UTC, and how far it may be off."""

    at_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A boot that never spoke lies between two that did. `length_ns`: its last known source
    time."""

    low_ns: int | None
    high_ns: int
    length_ns: int

    def place(self, source_ns: int) -> Placed:
        """Return the middle of where the instant can lie."""
        high = self.high_ns - max(0, self.length_ns - source_ns)
        low = high if self.low_ns is None else min(self.low_ns + source_ns, high)
        error = (high - low) // 2 if self.low_ns is not None else SECOND_NS * 86_400
        return Placed((low + high) // 2, error + SPOKE_ERROR_NS)


class Timeline:
    """The boots of one gateway. `lasted`: the last source time known of each, for boots that never
    spoke to the centre."""

    def __init__(
        self, boots: Iterable[Boot], sessions: Sequence[Session], lasted: dict[str, int]
    ) -> None:
        self._boots = merged(boots)
        self._bounds: dict[str, _Bounds] = {}
        starts = {
            boot.boot_id: boot.offset_ns
            for boot in self._boots.values()
            if boot.offset_ns is not None
        }
        for boot in self._boots.values():
            if boot.offset_ns is None:
                bounds = _bounds(boot, starts, sessions, lasted.get(boot.boot_id, 0))
                if bounds is not None:
                    self._bounds[boot.boot_id] = bounds

        self.mute = tuple(boot for boot in self._boots.values() if boot.offset_ns is None)
        """The boots that never spoke to the centre, in order of their ids."""

    def source_ns(self, boot_id: str, wall_ns: int) -> int | None:
        """Return the source time of an instant of the centre's clock; ``None`` if the boot never
        spoke."""
        boot = self._boots.get(boot_id)
        return None if boot is None or boot.offset_ns is None else wall_ns - boot.offset_ns

    def place(self, boot_id: str, source_ns: int) -> Placed | None:
        """Return where an instant lies; ``None`` if nothing bounds its boot."""
        boot = self._boots.get(boot_id)
        if boot is None:
            return None
        if boot.offset_ns is not None:
            return _by_offset(boot, boot.offset_ns, source_ns)
        bounds = self._bounds.get(boot_id)
        if bounds is None:
            return _by_anchor(_nearest(boot.anchors, source_ns), source_ns)
        return _within(bounds, boot.anchors, source_ns)


def merged(boots: Iterable[Boot]) -> dict[str, Boot]:
    """Return each boot once, in order of their ids: the least offset, every anchor."""
    found: dict[str, Boot] = {}
    for boot in boots:
        known = found.get(boot.boot_id)
        if known is None:
            found[boot.boot_id] = Boot(
                boot.boot_id,
                boot.first_ns,
                boot.offset_ns,
                tuple(sorted(set(boot.anchors), key=_order)),
            )
            continue
        offsets = [one.offset_ns for one in (known, boot) if one.offset_ns is not None]
        found[boot.boot_id] = Boot(
            boot.boot_id,
            min(known.first_ns, boot.first_ns),
            min(offsets) if offsets else None,
            tuple(sorted({*known.anchors, *boot.anchors}, key=_order)),
        )
    return dict(sorted(found.items()))


def _order(anchor: Anchor) -> tuple[int, int, int, int]:
    return anchor.boottime_ns, anchor.wall_ns, anchor.source, anchor.error_us


def _trusted(anchor: Anchor) -> bool:
    return anchor.source >= _NTP and anchor.error_us >= 0


def _nearest(anchors: Sequence[Anchor], source_ns: int) -> Anchor | None:
    """Return the anchor to go by: the next later one, else the last before (vitals: a clock is
    right after its synchronisation, not before)."""
    trusted = [anchor for anchor in anchors if _trusted(anchor)]
    later = [anchor for anchor in trusted if anchor.boottime_ns >= source_ns]
    if later:
        return later[0]
    return trusted[-1] if trusted else None


def _by_anchor(anchor: Anchor | None, source_ns: int) -> Placed | None:
    if anchor is None:
        return None
    away_ns = source_ns - anchor.boottime_ns
    error_ns = anchor.error_us * 1000 + int(abs(away_ns) * _DRIFT)
    return Placed(anchor.wall_ns + away_ns, error_ns)


def _by_offset(boot: Boot, offset_ns: int, source_ns: int) -> Placed:
    """Place by the anchor if it agrees with what the centre saw, else by the centre alone."""
    said = _by_anchor(_nearest(boot.anchors, source_ns), source_ns)
    seen_ns = source_ns + offset_ns
    if said is not None and -said.error_ns <= seen_ns - said.at_ns <= said.error_ns + WAY_NS:
        return said
    return Placed(seen_ns, SPOKE_ERROR_NS)


def _bounds(
    boot: Boot, starts: dict[str, int], sessions: Sequence[Session], length_ns: int
) -> _Bounds | None:
    """Return what a boot that never spoke lies between: the one before it was last heard of, the
    one that told of it began."""
    later = [start for start in starts.values() if start <= boot.first_ns]
    if not later:
        return None
    high_ns = max(later)
    low_ns: int | None = None
    for session in sessions:
        start = starts.get(session.boot_id)
        if start is None or start >= high_ns:
            continue
        closed_ns = session.opened_ns if session.closed_ns is None else session.closed_ns
        heard_ns = closed_ns - int((session.last_message_age_s or 0.0) * SECOND_NS)
        low_ns = heard_ns if low_ns is None else max(low_ns, heard_ns)
    return _Bounds(None if low_ns is None else min(low_ns, high_ns), high_ns, length_ns)


def _within(bounds: _Bounds, anchors: Sequence[Anchor], source_ns: int) -> Placed:
    """Place by an anchor that lies within the bounds, else by the bounds."""
    wide = bounds.place(source_ns)
    said = _by_anchor(_nearest(anchors, source_ns), source_ns)
    if said is not None and abs(said.at_ns - wide.at_ns) <= wide.error_ns + said.error_ns:
        return said
    return wide
