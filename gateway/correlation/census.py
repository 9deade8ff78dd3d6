"""Who was connected when, by what gateways have in common.

Owns the counts that a group is measured against: how many of the gateways behind this proxy, on
that feeder, were connected then. Holds two numbers a session and key, sorted when first asked.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from gateway.correlation.evidence import Pairs, Session
from gateway.correlation.history import labels_of
from gateway.correlation.verdict import GroupKind

Key = tuple[GroupKind, str]
NAMED = {
    "site": GroupKind.SITE,
    "feeder": GroupKind.FEEDER,
    "operator": GroupKind.OPERATOR,
    "access_point": GroupKind.ACCESS_POINT,
}
"""Labels that have a kind of their own."""
FLEET: Key = (GroupKind.FLEET, "")
_OPEN = (1 << 63) - 1


class _Span:
    """Starts and ends of the sessions of one key."""

    __slots__ = ("_sorted", "closed", "opened")

    def __init__(self) -> None:
        self.opened: array[int] = array("q")
        self.closed: array[int] = array("q")
        self._sorted = False

    def sort(self) -> None:
        if not self._sorted:
            self.opened = array("q", sorted(self.opened))
            self.closed = array("q", sorted(self.closed))
            self._sorted = True


class Census:
    """Counts of sessions. `add` everything first, then ask."""

    def __init__(self) -> None:
        self._spans: dict[Key, _Span] = {}

    def add(self, session: Session) -> None:
        """Count a session."""
        keys = (
            FLEET,
            (GroupKind.PROXY, session.proxy),
            route_key(session.proxy, session.node),
            (GroupKind.NODE, session.node),
            (GroupKind.SOFTWARE, session.software),
            *label_keys(labels_of(session)),
        )
        closed_ns = _OPEN if session.closed_ns is None else session.closed_ns
        for key in keys:
            span = self._spans.get(key)
            if span is None:
                span = self._spans[key] = _Span()
            span.opened.append(session.opened_ns)
            span.closed.append(closed_ns)

    def merge(self, other: "Census") -> None:
        """Count what another one counted, of other gateways."""
        for key, theirs in other._spans.items():
            ours = self._spans.setdefault(key, _Span())
            ours.opened.extend(theirs.opened)
            ours.closed.extend(theirs.closed)

    def at(self, key: Key, at_ns: int) -> int:
        """Return how many were connected just before an instant."""
        span = self._span(key)
        return bisect_left(span.opened, at_ns) - bisect_left(span.closed, at_ns)

    def through(self, key: Key, from_ns: int, to_ns: int) -> int:
        """Return how many at least were connected from one instant until behind another."""
        span = self._span(key)
        return max(0, bisect_right(span.opened, from_ns) - bisect_right(span.closed, to_ns))

    def next_opened(self, key: Key, after_ns: int) -> int | None:
        """Return when the first session after an instant was opened."""
        opened: Sequence[int] = self._span(key).opened
        place = bisect_right(opened, after_ns)
        return opened[place] if place < len(opened) else None

    def _span(self, key: Key) -> _Span:
        span = self._spans.get(key)
        if span is None:
            span = _Span()
        span.sort()
        return span


def route_key(proxy: str, node: str) -> Key:
    """Return the key of the way through one proxy to one node."""
    return GroupKind.PROXY, f"{proxy} {node}"


def label_keys(labels: Pairs) -> Iterator[Key]:
    """Yield the keys of grouping labels."""
    for name, value in labels:
        kind = NAMED.get(name)
        if kind is None:
            yield GroupKind.LABEL, f"{name}={value}"
        else:
            yield kind, str(value)
