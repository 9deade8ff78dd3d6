"""What the analysis said beside what was broken: the confusion matrix and its counts.

Owns the comparison only, and it is strict: a verdict is right, honestly unknown, or wrong. Pure.
A loss belongs to the fault that hit its gateway at that time; one that belongs to none is false.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.correlation.report import Report
from gateway.correlation.verdict import Cause, Incident, Loss
from hil.ledger import Entry

POWER = frozenset({Cause.BROWN_OUT, Cause.POWER_CUT})
EARLY_NS = 6_000_000_000
"""How much before its fault a loss may be dated: a killed node's last sign of life is up to 5 s
old."""
LATE_NS = 3_000_000_000
"""How long after everything was back a loss may be dated."""
NOTHING = "(nothing injected)"


@dataclass(frozen=True, slots=True)
class Judged:
    """One loss beside its fault. `entry` ``None``: nothing was injected there and then. `echo`: not
    the gateway's first loss by this fault. `held_right` ``None``: not looked at."""

    entry: Entry | None
    incident: Incident
    loss: Loss
    echo: bool = False

    @property
    def fault(self) -> str:
        return NOTHING if self.entry is None else self.entry.fault

    @property
    def right(self) -> bool:
        """Whether the cause is one of those that are right."""
        if self.entry is None:
            return False
        expected = self.entry.expected
        return self.loss.cause is expected.cause or self.loss.cause in expected.also

    @property
    def beside(self) -> bool:
        """Whether the gateway may fall with the fault or not: then its verdict is not counted."""
        return self.entry is not None and self.loss.gateway not in self.entry.expected.gateways

    @property
    def unknown(self) -> bool:
        return self.loss.cause is Cause.UNKNOWN

    @property
    def held_right(self) -> bool | None:
        if self.entry is None or not self.entry.expected.held_by:
            return None
        return self.loss.held_by in self.entry.expected.held_by

    @property
    def power_without_power(self) -> bool:
        """Whether power is blamed though nobody touched it."""
        if self.loss.cause not in POWER:
            return False
        if self.entry is None:
            return True
        expected = self.entry.expected
        return not POWER & {expected.cause, *expected.also}


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. `missed`: (fault's number, gateway) that fell by the ledger and is in no incident.

    `split`: faults whose gateways are spread over more than one incident; `merged`: faults that
    share an incident with another fault or with a loss that nothing explains.
    """

    entries: tuple[Entry, ...]
    judged: tuple[Judged, ...]
    missed: tuple[tuple[int, str], ...]
    split: tuple[int, ...]
    merged: tuple[int, ...]

    @property
    def lost(self) -> tuple[Judged, ...]:
        """Each gateway that a fault had to take, once a fault."""
        return tuple(
            one for one in self.judged if one.entry is not None and not one.echo and not one.beside
        )

    @property
    def echoes(self) -> tuple[Judged, ...]:
        """Further losses of a gateway by the same fault, and of those that may fall with it."""
        return tuple(one for one in self.judged if one.echo or one.beside)

    @property
    def false(self) -> tuple[Judged, ...]:
        """Losses where nothing was injected."""
        return tuple(one for one in self.judged if one.entry is None)

    @property
    def right(self) -> int:
        return sum(one.right for one in self.lost)

    @property
    def unknown(self) -> int:
        return sum(one.unknown for one in self.lost)

    @property
    def wrong(self) -> tuple[Judged, ...]:
        """Neither right nor honestly unknown."""
        return tuple(one for one in self.lost if not one.right and not one.unknown)

    @property
    def share(self) -> float:
        """The part of the lost gateways whose cause is right; a missed one counts as not."""
        total = len(self.lost) + len(self.missed)
        return self.right / total if total else 0.0

    @property
    def held(self) -> tuple[int, int]:
        """How many *held by* are right, of how many that were looked at."""
        looked = [one.held_right for one in self.lost if one.held_right is not None]
        return sum(looked), len(looked)

    @property
    def blamed(self) -> tuple[Judged, ...]:
        """Every loss, echo or false, blamed on power without power evidence."""
        return tuple(one for one in self.judged if one.power_without_power)

    def shortcomings(self, least: float = 0.95) -> list[str]:
        """Say what keeps this from being good enough; empty: nothing."""
        found = []
        if self.share < least:
            found.append(f"right cause for {self.share:.1%} of the lost gateways, not {least:.0%}")
        for one in self.wrong:
            found.append(_line(one))
        for one in self.blamed:
            found.append(f"power blamed without power evidence: {_line(one)}")
        for number, gateway in self.missed:
            found.append(f"fault {number}: {gateway} fell and is in no incident")
        for number in self.split:
            found.append(f"fault {number}: more than one incident")
        for number in self.merged:
            found.append(f"fault {number}: its incident holds losses of something else")
        return found


def compare(entries: Sequence[Entry], report: Report) -> Comparison:
    """Put the analysis beside the ledger."""
    entries = tuple(entry for entry in entries if not entry.failure)
    pairs = [(incident, loss) for incident in report.incidents for loss in incident.losses]
    pairs.sort(key=lambda pair: (pair[1].lost_ns, pair[1].gateway))
    seen: set[tuple[int, str]] = set()
    judged = []
    for incident, loss in pairs:
        entry = _entry(entries, loss)
        key = (0 if entry is None else entry.number, loss.gateway)
        echo = entry is not None and key in seen
        seen.add(key)
        judged.append(Judged(entry, incident, loss, echo))
    missed = [
        (entry.number, gateway)
        for entry in entries
        for gateway in entry.expected.gateways
        if entry.expected.cause is not None and (entry.number, gateway) not in seen
    ]
    split, merged = _grouping(judged)
    return Comparison(entries, tuple(judged), tuple(missed), split, merged)


def _entry(entries: Sequence[Entry], loss: Loss) -> Entry | None:
    """Return the fault that hit this gateway then; of two the later."""
    fitting = [
        entry
        for entry in entries
        if loss.gateway in (*entry.expected.gateways, *entry.expected.side_effects)
        and entry.began_ns - EARLY_NS <= loss.lost_ns <= _end_ns(entry)
    ]
    return max(fitting, key=lambda entry: entry.began_ns, default=None)


def _end_ns(entry: Entry) -> int:
    ends = (entry.settled_ns, entry.cleared_ns, entry.injected_ns, entry.began_ns)
    return next(at for at in ends if at is not None) + LATE_NS


def _grouping(judged: Sequence[Judged]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the faults with several incidents, and those that share theirs."""
    incidents: dict[int, set[str]] = {}
    faults: dict[str, set[int]] = {}
    for one in judged:
        number = 0 if one.entry is None else one.entry.number
        if not one.echo:
            faults.setdefault(one.incident.identity, set()).add(number)
            if number and not one.beside:
                incidents.setdefault(number, set()).add(one.incident.identity)
    split = tuple(sorted(number for number, some in incidents.items() if len(some) > 1))
    kinds = {
        one.entry.number: (one.entry.fault, one.entry.expected.gateways)
        for one in judged
        if one.entry is not None
    }
    shared = {
        number
        for some in faults.values()
        # The same fault of the same gateways once more is one that comes back: one incident may
        # hold both.
        if len({kinds.get(number) for number in some}) > 1
        for number in some
    }
    return split, tuple(sorted(shared - {0}))


def _line(one: Judged) -> str:
    number = "-" if one.entry is None else str(one.entry.number)
    return (
        f"{one.loss.gateway} lost by {one.fault} (fault {number}) is said to be"
        f" {one.loss.cause.value} ({one.loss.confidence.value})"
    )


# --- the matrix -----------------------------------------------------------------------------------


def matrix(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the confusion matrix: heads, then a row for each fault, false losses last.

    Columns: the fault, what it ought to be, gateways lost, the verdicts met, how many are right.
    """
    found: dict[str, Counter[Cause]] = {}
    truth: dict[str, str] = {}
    right: Counter[str] = Counter()
    for one in (*comparison.lost, *comparison.false):
        found.setdefault(one.fault, Counter())[one.loss.cause] += 1
        right[one.fault] += one.right
    for entry in comparison.entries:
        truth[entry.fault] = _truth(entry)
        found.setdefault(entry.fault, Counter())
    missed = Counter(_name(comparison, number) for number, _ in comparison.missed)
    causes = [cause for cause in Cause if any(cause in some for some in found.values())]
    heads = ["fault", "ought to be", "lost", *(cause.value for cause in causes), "missed", "right"]
    rows = []
    for fault in sorted(found, key=lambda name: (name == NOTHING, name)):
        counts = found[fault]
        total = counts.total()
        cells = [str(counts[cause]) if counts[cause] else "" for cause in causes]
        share = "" if fault == NOTHING else f"{right[fault]}/{total + missed[fault]}"
        rows.append([fault, truth.get(fault, ""), str(total), *cells, _shown(missed[fault]), share])
    return heads, rows


def _truth(entry: Entry) -> str:
    expected = entry.expected
    names = [cause.value for cause in (expected.cause, *expected.also) if cause is not None]
    return " or ".join(names) or "no loss"


def _name(comparison: Comparison, number: int) -> str:
    return next(entry.fault for entry in comparison.entries if entry.number == number)


def _shown(count: int) -> str:
    return str(count) if count else ""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    return "\n".join(_aligned(row, widths) for row in (heads, *rows))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def summary(comparison: Comparison) -> list[str]:
    """Return the figures, a line each."""
    total = len(comparison.lost) + len(comparison.missed)
    held, looked = comparison.held
    return [
        f"faults injected: {len(comparison.entries)}",
        f"lost gateways: {total}; right cause {comparison.right} ({comparison.share:.1%}),"
        f" unknown {comparison.unknown}, wrong {len(comparison.wrong)},"
        f" missed {len(comparison.missed)}",
        f"held by, where looked at: {held} of {looked} right",
        f"blamed on power without power evidence: {len(comparison.blamed)}",
        f"faults with more than one incident: {len(comparison.split)},"
        f" sharing one: {len(comparison.merged)}",
        f"further losses by the same faults (again, or beside): {len(comparison.echoes)}",
        f"false losses (nothing injected): {len(comparison.false)}",
    ]
