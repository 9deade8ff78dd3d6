"""One gateway's evidence in order: each thing once, sessions in a row, looks and events by boot.

Owns the canonical form, so that neither order nor duplicates of the evidence can matter. Decides
nothing.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from gateway.correlation.account import number_of
from gateway.correlation.evidence import GatewayEvidence, Look, Pairs, Seen, Session
from gateway.correlation.timeline import SECOND_NS, Timeline
from gateway.correlation.verdict import Proof

LABEL = "label."
REACHING = 16
"""Looks behind a range that may speak for it: a run is told by its ends, by a few stores."""
_look_time = attrgetter("source_time_ns")
_event_time = attrgetter("source_time_ns")


@dataclass(frozen=True, slots=True)
class Turn:
    """A session and the gateway's next one (``None``: it has not come back)."""

    session: Session
    following: Session | None

    @property
    def heard_ns(self) -> int | None:
        """When the centre last heard of the gateway; ``None``: it does not know."""
        closed_ns, age_s = self.session.closed_ns, self.session.last_message_age_s
        if closed_ns is None or age_s is None:
            return None
        return max(self.session.opened_ns, closed_ns - round(age_s * SECOND_NS))

    @property
    def same_boot(self) -> bool:
        """Whether it came back with the boot it was lost with."""
        return self.following is not None and self.following.boot_id == self.session.boot_id

    @property
    def same_run(self) -> bool:
        """Whether the very daemon that lost it came back."""
        return (
            self.following is not None
            and self.same_boot
            and self.following.last_session == self.session.number
        )

    @property
    def new_run(self) -> bool:
        """Whether another start of the daemon came back. One that knows of a session of its own
        in between is neither: something is missing."""
        following = self.following
        if following is None or self.same_run:
            return False
        return following.last_session in (0, self.session.number)


class History:
    """One gateway. `turns` in order of time."""

    def __init__(self, evidence: GatewayEvidence) -> None:
        self.gateway = evidence.gateway
        sessions = _sessions(evidence.sessions)
        self.turns = tuple(
            Turn(one, following)
            for one, following in zip(sessions, [*sessions[1:], None], strict=False)
        )
        self._labels: dict[Pairs, Pairs] = {}
        self._by_boot: dict[str, list[Session]] = defaultdict(list)
        for one in sessions:
            self._by_boot[one.boot_id].append(one)
        self._events: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        self._looks: dict[str, list[Look]] = defaultdict(list)
        self._ended: dict[tuple[str, int], list[Seen]] = defaultdict(list)
        lasted: dict[str, int] = {}
        for seen in _events(evidence.events):
            self._events[seen.boot_id, seen.kind].append(seen)
            lasted[seen.boot_id] = seen.source_time_ns
            if seen.kind == "session_ended":
                number = number_of(seen.fields, "session")
                self._ended[seen.boot_id, number or 0].append(seen)
        for look in sorted(evidence.looks, key=_look_time):  # twice the same does no harm
            self._looks[look.boot_id].append(look)
        self._times = {
            boot_id: [look.source_time_ns for look in looks]
            for boot_id, looks in self._looks.items()
        }
        for boot_id, times in self._times.items():
            lasted[boot_id] = max(lasted.get(boot_id, 0), times[-1])
        self.timeline = Timeline(evidence.boots, sessions, lasted)

    def sessions(self, boot_id: str) -> Sequence[Session]:
        """Return a boot's sessions, in order."""
        return self._by_boot.get(boot_id, ())

    def ends(self, session: Session) -> Sequence[Seen]:
        """Return what the gateway told of a session's end, as events."""
        return self._ended.get((session.boot_id, session.number), ())

    def between(self, boot_id: str, low_ns: int, high_ns: int, kinds: Iterable[str]) -> list[Seen]:
        """Return a boot's events of some kinds in a range of source times, both ends included."""
        found: list[Seen] = []
        for kind in kinds:
            events = self._events.get((boot_id, kind), [])
            low = bisect_left(events, low_ns, key=_event_time)
            found += events[low : bisect_right(events, high_ns, key=_event_time)]
        return sorted(found, key=_event_order)

    def events(self, boot_id: str, kind: str) -> Sequence[Seen]:
        """Return a boot's events of a kind, in order."""
        return self._events.get((boot_id, kind), ())

    def looks(self, boot_id: str, low_ns: int, high_ns: int) -> Sequence[Look]:
        """Return a boot's looks of a range of source times, both ends included."""
        times = self._times.get(boot_id, ())
        return self._looks[boot_id][bisect_left(times, low_ns) : bisect_right(times, high_ns)]

    def speaking(self, boot_id: str, low_ns: int, high_ns: int) -> Sequence[Look]:
        """Return a boot's looks that speak for some of a range: also the next ones behind it, if
        their run of the same (`span_s`) began within or before it."""
        times = self._times.get(boot_id, ())
        looks = self._looks[boot_id]
        low, high = bisect_left(times, low_ns), bisect_right(times, high_ns)
        reaching = [
            look
            for look in looks[high : high + REACHING]
            if look.source_time_ns - look.span_s * SECOND_NS <= high_ns
        ]
        return [*looks[low:high], *reaching]

    def labels(self, session: Session) -> Pairs:
        """Return a session's grouping keys; of sessions alike the very same value, for a large
        report holds them long."""
        found = labels_of(session)
        return self._labels.setdefault(found, found)

    def proof(
        self,
        boot_id: str,
        source_ns: int | None,
        observer: str,
        text: str,
        supports: bool = True,
    ) -> Proof:
        """Return a line of evidence dated on the common clock."""
        placed = None if source_ns is None else self.timeline.place(boot_id, source_ns)
        if placed is None:
            return Proof(None, 0, observer, text, supports)
        return Proof(placed.at_ns, placed.error_ns, observer, text, supports)


def labels_of(session: Session) -> Pairs:
    """Return a session's grouping keys in order of their names."""
    return tuple(
        sorted(
            (name.removeprefix(LABEL), value)
            for name, value in session.facts
            if name.startswith(LABEL)
        )
    )


def _sessions(sessions: Iterable[Session]) -> list[Session]:
    """Return each session once, in order: of two editions the one that has ended."""
    found: dict[tuple[int, str], Session] = {}
    for session in set(sessions):
        key = session.number, session.node
        known = found.get(key)
        found[key] = session if known is None else max(known, session, key=_edition)
    return sorted(found.values(), key=lambda one: (one.opened_ns, one.number, one.node))


def _edition(session: Session) -> tuple[bool, int, str]:
    return session.closed_ns is not None, session.closed_ns or 0, repr(session)


def _events(events: Iterable[Seen]) -> Iterator[Seen]:
    """Yield each event once, in order: what came twice (by two stores) is one event."""
    last: Seen | None = None
    for seen in sorted(set(events), key=_event_order):
        if last is None or _said(last) != _said(seen):
            yield seen
        last = seen


def _said(seen: Seen) -> tuple[str, int, str, Pairs]:
    return seen.boot_id, seen.source_time_ns, seen.kind, seen.fields


def _event_order(seen: Seen) -> tuple[int, str, str, str, int]:
    return seen.source_time_ns, seen.boot_id, seen.kind, repr(seen.fields), seen.received_ns
