"""Which changes are told, on a day that has too many.

Owns the bound: a bucket of tokens for changes for the worse, 10 at once and then one every 30 s.
What a bound must not do: hide the end of a trouble that was told (it is always told), or a trouble
that lasts (it is told as soon as there is a token). What came and went untold is only counted.
"""

from dataclasses import dataclass, field

from gateway.event import EventKind, Scalar
from gateway.host.trouble import Change

BURST = 10.0
REFILL_S = 30.0

_Key = tuple[str, Scalar]


@dataclass(slots=True)
class Bucket:
    """At most `burst` at once, then one every `refill_s`."""

    burst: float = BURST
    refill_s: float = REFILL_S
    level: float = BURST
    at: float | None = None

    def take(self, now: float) -> bool:
        """Say whether there is a token, and take it."""
        if self.at is not None:
            self.level = min(self.burst, self.level + (now - self.at) / self.refill_s)
        self.at = now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Told:
    """A change to be told now. `suppressed`: how many were held back for good before it,
    `delayed_s`: how long it had to wait."""

    change: Change
    suppressed: int = 0
    delayed_s: float = 0.0


@dataclass(slots=True)
class Telling:
    """Sees every change; `admit` is called once a look, with an empty list too."""

    bucket: Bucket = field(default_factory=Bucket)
    _open: set[_Key] = field(default_factory=set)
    _waiting: dict[_Key, tuple[Change, float]] = field(default_factory=dict)
    _suppressed: int = 0

    def admit(self, changes: list[Change], now: float) -> list[Told]:
        """Return what is to be told now, in order."""
        told: list[Told] = []
        for change in changes:
            key = _key(change)
            if change.kind is EventKind.ROUTE_CHANGED:
                self._move(key, change, now)
            elif change.trouble:
                self._waiting[key] = (change, now)
            elif key in self._open:
                self._open.discard(key)
                told.append(self._tell(change, 0.0))
            elif self._waiting.pop(key, None) is not None:
                self._suppressed += 2
        for key, (change, since) in list(self._waiting.items()):
            if not self.bucket.take(now):
                break
            del self._waiting[key]
            if change.kind is not EventKind.ROUTE_CHANGED:
                self._open.add(key)
            told.append(self._tell(change, now - since))
        return told

    def _tell(self, change: Change, delayed_s: float) -> Told:
        told = Told(change, self._suppressed, delayed_s)
        self._suppressed = 0
        return told

    def _move(self, key: _Key, change: Change, now: float) -> None:
        """Join a move of the route to one that still waits: from the first, to the last."""
        if key not in self._waiting:
            self._waiting[key] = (change, now)
            return
        first, since = self._waiting.pop(key)
        self._suppressed += 1
        start, end = dict(first.fields)["from"], dict(change.fields)["to"]
        if start == end:
            self._suppressed += 1
            return
        fields = (("from", start), ("to", end))
        self._waiting[key] = (Change(change.kind, change.trouble, fields), since)


_PAIRS = {
    EventKind.SUPPLY_LOW: "supply",
    EventKind.SUPPLY_RECOVERED: "supply",
    EventKind.CARRIER_LOST: "carrier",
    EventKind.CARRIER_RETURNED: "carrier",
    EventKind.RADIO_LOST: "radio",
    EventKind.RADIO_RETURNED: "radio",
}


def _key(change: Change) -> _Key:
    """Return what the change is about: beginning and end of a trouble have the same."""
    return _PAIRS.get(change.kind, change.kind.value), dict(change.fields).get("interface")
