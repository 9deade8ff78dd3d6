"""A serial source: when it is asked, what its lines mean as rows, when it has been silent too long.

Owns the course of things as a state machine without clock or port; the driver is
`agent.serial_reader`.
"""

from collections import Counter
from dataclasses import dataclass, field

from gateway.reading import TICK_NS, Cause, Row, SchemaBlock, Value
from gateway.serial.format import Format
from gateway.serial.line import MAX_SHOWN, Fault, FaultKind, Field, Line
from gateway.serial.values import FieldSpec, value_of


@dataclass(frozen=True, slots=True)
class Asking:
    """How a source that only answers is asked: `question` every `interval_s`, on a fixed grid.

    An answer that has not come `timeout_s` after its question is not waited for.
    """

    question: bytes
    interval_s: float
    timeout_s: float


@dataclass(slots=True)
class SourceCounters:
    """Counts since the start, read from other threads. `unasked`: lines nobody waited for."""

    lines: int = 0
    bytes: int = 0
    questions: int = 0
    skipped: int = 0
    unanswered: int = 0
    unasked: int = 0
    crashes: int = 0
    faults: Counter[FaultKind] = field(default_factory=Counter)
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """The source fell silent (`ended` false, with the `cause`) or speaks again."""

    at: float
    ended: bool
    cause: Cause = Cause.NONE
    silent_s: float = 0.0


class Source:
    """One source. `asking` ``None``: it talks by itself."""

    def __init__(
        self,
        name: str,
        format: Format,
        points: tuple[FieldSpec, ...],
        asking: Asking | None,
        silent_after_s: float,
        now: float,
    ) -> None:
        self.counters = SourceCounters()
        self._format = format
        self._asking = asking
        self._silent_after_s = silent_after_s
        self._groups: dict[str, list[FieldSpec]] = {}
        for spec in points:
            self._groups.setdefault(format.group(spec.field) or "", []).append(spec)
        self._index = {group: index for index, group in enumerate(self._groups)}
        period = asking.interval_s if asking else 0.0
        self.blocks = tuple(
            SchemaBlock(name, period, tuple(spec.schema for spec in specs))
            for specs in self._groups.values()
        )
        self._rows: list[Row] = []
        self._silences: list[Silence] = []
        self._question = b""
        self._open = False
        self._due = self._ask_at = now
        self._answer_by: float | None = None
        self._unanswered: set[str] = set()
        self._fault: Cause | None = None
        self._good_at = now
        self._silent_at = now + silent_after_s
        self._stale_at = dict.fromkeys(self._groups, now + silent_after_s)
        self.last_fault: Fault | None = None

    # --- what the driver tells --------------------------------------------------------------------

    def port_returned(self, now: float) -> None:
        """The port is open: lines may come, questions may go out."""
        self._open = True
        self._fault = None
        self._format.reset(now, in_step=False)
        self._silent_at = now + self._silent_after_s
        self._stale_at = dict.fromkeys(self._groups, self._silent_at)

    def port_lost(self, now: float) -> None:
        """The port is gone: say so at once, then each time something is due."""
        self._open = False
        self._question = b""
        self._answer_by = None
        self._unanswered.clear()
        for group in self._groups:
            self._bad(now, group, Cause.PORT_LOST)

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that were read at `now`."""
        self.counters.bytes += len(data)
        self._feed(data, now)

    def ask_now(self, now: float) -> None:
        """Ask out of turn: somebody wants to see the answer. The grid stays as it is.

        A question that is due within the time an answer takes will do; two would cross.
        """
        asking = self._asking
        if asking is None or not self._open or self._answer_by is not None:
            return
        if self._ask_at - now >= asking.timeout_s:
            self._question_out(asking, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due at `now`, when nothing is there to be read."""
        if self._open:
            at = self._format.timer_at()
            if at is not None and at <= now:
                self._feed(b"", now)
        if self._answer_by is not None and now >= self._answer_by:
            self._end_question(now)
        if self._asking is None:
            for group, at in self._stale_at.items():
                if now >= at:
                    self._bad(now, group, self._why(Cause.STALE))
        elif now >= self._ask_at:
            self._ask(self._asking, now)
        if self._open and not self.counters.silent and now >= self._silent_at:
            self.counters.silent = True
            cause = self._why(Cause.STALE if self._asking is None else Cause.NO_REPLY)
            self._silences.append(Silence(now, False, cause))

    def timer_at(self) -> float:
        """Return when `handle_timer` is wanted next."""
        times = [self._ask_at] if self._asking is not None else list(self._stale_at.values())
        if self._answer_by is not None:
            times.append(self._answer_by)
        if self._open:
            at = self._format.timer_at()
            times += [] if at is None else [at]
            times += [] if self.counters.silent else [self._silent_at]
        return min(times)

    # --- what the driver drains -------------------------------------------------------------------

    def bytes_to_send(self) -> bytes:
        """Return the question that is to be sent now, ``b""`` for none."""
        question, self._question = self._question, b""
        return question

    def rows(self) -> list[Row]:
        """Return the rows made since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def silences(self) -> list[Silence]:
        """Return when the source fell silent or spoke again since the last call."""
        silences, self._silences = self._silences, []
        return silences

    # --- lines ------------------------------------------------------------------------------------

    def _feed(self, data: bytes, now: float) -> None:
        try:
            for one in self._format.feed(data, now):
                if isinstance(one, Line):
                    self._line(one, now)
                else:
                    self._note(one)
        except Exception:  # noqa: BLE001 - a plug-in's mistake costs its line, not the source
            self.counters.crashes += 1
            self._format.reset(now, in_step=False)
            self._note(Fault(FaultKind.FORMAT, now, data[:MAX_SHOWN]))

    def _note(self, fault: Fault) -> None:
        self.counters.faults[fault.kind] += 1
        self.last_fault = fault
        if fault.kind is not FaultKind.NOISE or self._fault is None:
            self._fault = fault.kind.cause

    def _line(self, line: Line, now: float) -> None:
        self.counters.lines += 1
        fields = dict(line.fields)
        at_ns = int(min(line.began, now) * 1e9) // TICK_NS * TICK_NS
        for group, specs in self._groups.items():
            if not any(spec.field in fields for spec in specs):
                continue
            if self._asking is not None and group not in self._unanswered:
                self.counters.unasked += 1
                continue
            pairs = [_reading(spec, fields) for spec in specs]
            values = tuple(value for value, _ in pairs)
            causes = tuple(cause for _, cause in pairs)
            if self._asking is not None and set(causes) == {Cause.FORMAT}:
                self._note(Fault(FaultKind.FORMAT, line.began))  # the question's echo, say
                continue
            self._unanswered.discard(group)
            self._rows.append(
                Row(self._index[group], at_ns, values, causes if any(causes) else None)
            )
            self._stale_at[group] = now + self._silent_after_s
            self._heard(now)
        if not self._unanswered:
            self._answer_by = None

    def _heard(self, now: float) -> None:
        if self.counters.silent:
            self.counters.silent = False
            self._silences.append(Silence(now, True, silent_s=now - self._good_at))
        self._good_at = now
        self._silent_at = now + self._silent_after_s
        self._fault = None

    # --- questions and silence --------------------------------------------------------------------

    def _ask(self, asking: Asking, now: float) -> None:
        """Send the question that is due; a line that is coming in may end first, for a while."""
        if self._open and self._format.in_hand and now < self._due + asking.timeout_s / 2:
            at = self._format.timer_at()
            latest = self._due + asking.timeout_s / 2
            self._ask_at = latest if at is None or at <= now else min(at, latest)
            return
        passed = max(0, int((now - self._due) / asking.interval_s + 1e-9))
        self.counters.skipped += passed
        self._due += (passed + 1) * asking.interval_s
        self._ask_at = self._due
        if not self._open:
            for group in self._groups:
                self._bad(now, group, Cause.PORT_LOST)
            return
        self._question_out(asking, now)

    def _question_out(self, asking: Asking, now: float) -> None:
        self._format.reset(now, in_step=True)
        self._question = asking.question
        self.counters.questions += 1
        self._unanswered = set(self._groups)
        self._answer_by = now + asking.timeout_s
        self._fault = None

    def _end_question(self, now: float) -> None:
        """Give up what was not answered in time."""
        self._answer_by = None
        self.counters.unanswered += 1
        cause = self._why(Cause.NO_REPLY)
        for group in self._groups:
            if group in self._unanswered:
                self._bad(now, group, cause)
        self._unanswered.clear()

    def _why(self, nothing: Cause) -> Cause:
        """Return why there is no reading: `nothing` if nothing at all came."""
        if not self._open:
            return Cause.PORT_LOST
        return nothing if self._fault is None else self._fault

    def _bad(self, now: float, group: str, cause: Cause) -> None:
        count = len(self._groups[group])
        at_ns = int(now * 1e9) // TICK_NS * TICK_NS
        self._rows.append(Row(self._index[group], at_ns, (None,) * count, (cause,) * count))
        self._stale_at[group] = now + self._silent_after_s


def _reading(spec: FieldSpec, fields: dict[str, Field]) -> tuple[Value, Cause]:
    """Return a point's value; a field that its line should have and has not is no good format."""
    if spec.field not in fields:
        return None, Cause.FORMAT
    return value_of(spec, fields[spec.field])
