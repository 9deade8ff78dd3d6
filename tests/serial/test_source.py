"""A source's course: asked on a grid, silent too long, port gone and back, a plug-in's mistakes."""

import math
from collections.abc import Callable

from gateway.reading import Cause, Row
from gateway.serial.delimited import Delimited
from gateway.serial.format import Format, Options
from gateway.serial.jsonlines import JsonLines
from gateway.serial.line import Fault, FaultKind, Line
from gateway.serial.nmea import Nmea
from gateway.serial.source import Asking, Silence, Source
from gateway.serial.values import FieldSpec
from tests.serial.test_formats import seal

POINT = (FieldSpec("p", "p"),)
ASKING = Asking(b"?\r", 1.0, 0.4)


def one_number(**options: float) -> Format:
    """Return a format of one number a line."""
    return Delimited(Options.of(Delimited.OPTIONS, {"fields": ("p",), **options}))


def source(
    asking: Asking | None = None,
    silent_after_s: float = 10.0,
    format: Format | None = None,
    points: tuple[FieldSpec, ...] = POINT,
) -> Source:
    """Return a source whose port opened at 0."""
    made = Source("s", format or one_number(), points, asking, silent_after_s, 0.0)
    made.port_returned(0.0)
    return made


def causes(rows: list[Row]) -> list[tuple[Cause, ...] | None]:
    return [row.causes for row in rows]


def test_an_asked_source() -> None:
    """A question at each due time, a row for each, with the time of the answer's first byte."""
    made = source(ASKING)
    assert made.blocks[0].period_s == 1.0
    for second in range(5):
        assert made.timer_at() <= second
        made.handle_timer(float(second))
        assert made.bytes_to_send() == b"?\r"
        assert made.bytes_to_send() == b""
        made.receive(b"4", second + 0.1)
        made.receive(b"%d\r\n" % second, second + 0.2)
        (row,) = made.rows()
        assert row.values == (40.0 + second,) and row.causes is None
        assert row.source_time_ns == int((second + 0.1) * 1e9) // 100_000 * 100_000
    assert made.counters.questions == 5 and made.counters.unanswered == 0


def test_a_question_out_of_turn() -> None:
    """Somebody wants to see the answer now: asked at once, the grid stays; a question that is out
    or soon due will do, and one that talks by itself or has no port is not asked."""
    made = source(Asking(b"?\r", 10.0, 0.4))
    made.handle_timer(0.0)
    assert made.bytes_to_send() == b"?\r"
    made.ask_now(0.1)
    assert made.bytes_to_send() == b""
    made.receive(b"1\r\n", 0.2)
    made.ask_now(3.0)
    assert made.bytes_to_send() == b"?\r" and made.timer_at() == 3.4
    made.receive(b"2\r\n", 3.1)
    assert [row.values for row in made.rows()] == [(1.0,), (2.0,)]
    made.ask_now(9.7)
    assert made.bytes_to_send() == b"" and made.timer_at() == 10.0
    made.ask_now(5.0)
    assert made.bytes_to_send() == b"?\r"
    made.handle_timer(5.4)
    (row,) = made.rows()
    assert row.causes == (Cause.NO_REPLY,) and made.counters.unanswered == 1
    made.port_lost(6.0)
    made.ask_now(6.1)
    assert made.bytes_to_send() == b""
    talking = source()
    talking.ask_now(1.0)
    assert talking.bytes_to_send() == b""


def test_an_answer_that_does_not_come() -> None:
    """A bad row at the time-out says why: nothing, or nothing readable."""
    made = source(ASKING)
    made.handle_timer(0.0)
    assert made.timer_at() == 0.4
    made.handle_timer(0.4)
    assert causes(made.rows()) == [(Cause.NO_REPLY,)]
    made.handle_timer(1.0)
    made.receive(b"oh,no\r\n", 1.1)
    made.handle_timer(1.4)
    assert causes(made.rows()) == [(Cause.FORMAT,)]
    made.receive(b"12\r\n", 1.6)
    assert made.rows() == [] and made.counters.unasked == 1
    assert made.counters.unanswered == 2


def test_an_echo_is_not_the_answer() -> None:
    """A two-wire adapter gives the question back first: a fault, then the answer."""
    made = source(ASKING)
    made.handle_timer(0.0)
    made.receive(b"?\n", 0.01)
    made.receive(b"7\n", 0.1)
    assert [row.values for row in made.rows()] == [(7.0,)]


def test_a_question_waits_for_the_end_of_a_line() -> None:
    """What is still coming in is not cut in two, but nothing is waited for for long."""
    made = source(ASKING)
    for at in (0.0, 0.4):
        made.handle_timer(at)
    assert made.bytes_to_send() and made.rows()
    made.receive(b"\n1", 0.9)
    made.handle_timer(1.0)
    assert made.bytes_to_send() == b"" and 1.0 < made.timer_at() <= 1.2
    made.receive(b"2\n", 1.05)
    made.handle_timer(made.timer_at())
    assert made.bytes_to_send() == b"?\r" and made.counters.unasked == 1
    made.receive(b"5\n", 1.3)
    assert [row.values for row in made.rows()] == [(5.0,)]
    babbling = source(ASKING)
    now = 0.0
    while now < 3.0:
        babbling.receive(b"x", now)
        babbling.handle_timer(now)
        now += 0.05
    assert babbling.counters.questions >= 2


def test_missed_due_times_are_skipped() -> None:
    """After a stall one question goes out, on the grid, and the rest is counted."""
    made = source(ASKING)
    made.handle_timer(0.0)
    made.handle_timer(5.3)
    assert made.counters.questions == 2 and made.counters.skipped == 4
    made.handle_timer(5.7)
    assert made.timer_at() == 6.0


def test_a_talking_source_that_falls_silent() -> None:
    """Bad rows at the pace of `silent_after_s`, and one change each way."""
    made = source()
    made.receive(b"\n1\n", 1.0)
    assert [row.values for row in made.rows()] == [(1.0,)]
    assert made.timer_at() == 11.0
    made.handle_timer(11.0)
    assert causes(made.rows()) == [(Cause.STALE,)]
    assert made.silences() == [Silence(11.0, False, Cause.STALE)]
    made.receive(b"noise", 15.0)
    made.handle_timer(16.0)
    made.handle_timer(21.0)
    assert causes(made.rows()) == [(Cause.FORMAT,)]
    made.receive(b"2\n", 22.0)
    assert [row.values for row in made.rows()] == [(2.0,)]
    (silence,) = made.silences()
    assert silence.ended and silence.silent_s == 21.0
    assert not made.counters.silent


def test_each_group_is_stale_by_itself() -> None:
    """One sentence that stops does not hide behind another that goes on."""
    points = (FieldSpec("angle", "MWV.wind_angle"), FieldSpec("heading", "HDT.heading"))
    made = source(format=Nmea(Options.of(Nmea.OPTIONS, {})), points=points)
    assert len(made.blocks) == 2
    for second in range(1, 12):
        made.receive(seal(b"IIMWV,10.0,R,1,N,A"), float(second))
        made.handle_timer(float(second))
    rows = made.rows()
    assert [row.causes for row in rows if row.block == 1] == [(Cause.STALE,)]
    assert len([row for row in rows if row.block == 0]) == 11
    assert made.silences() == []


def test_the_port_comes_and_goes() -> None:
    """At once, then at the pace of what was due; what was in hand is forgotten."""
    talking, asked = source(), source(ASKING)
    talking.receive(b"\n1\n2", 1.0)
    talking.rows()
    talking.port_lost(2.0)
    talking.handle_timer(12.0)
    assert causes(talking.rows()) == [(Cause.PORT_LOST,)] * 2
    talking.port_returned(13.0)
    talking.receive(b"3\n4\n", 13.1)
    assert [row.values for row in talking.rows()] == [(4.0,)]
    assert talking.counters.faults[FaultKind.HALF] == 1
    asked.handle_timer(0.0)
    asked.port_lost(0.1)
    assert asked.bytes_to_send() == b""
    for second in (1.0, 2.0):
        asked.handle_timer(second)
    assert causes(asked.rows()) == [(Cause.PORT_LOST,)] * 3
    assert asked.silences() == []


def test_a_field_the_line_should_have() -> None:
    """A point whose field is missing in a line of its group is bad, the others are not."""
    made = source(
        format=JsonLines(Options.of(JsonLines.OPTIONS, {})),
        points=(FieldSpec("a", "a"), FieldSpec("b", "b")),
    )
    made.receive(b'\n{"a": 0}\n{"c": 1}\n', 1.0)
    (row,) = made.rows()
    assert row.values == (0.0, None) and row.causes == (Cause.NONE, Cause.FORMAT)


class Strange:
    """A plug-in's format whose `feed` does what a test wants."""

    OPTIONS = ()
    FIELDS = ("p",)

    def __init__(self, feed: Callable[[bytes, float], list[Line | Fault]]) -> None:
        self.feed = feed
        self.in_hand = False

    def group(self, field: str) -> str | None:
        return ""

    def timer_at(self) -> float | None:
        return None

    def reset(self, now: float, in_step: bool) -> None:
        pass


def test_a_plug_ins_mistakes_are_survived() -> None:
    """Exceptions and impossible results cost the line; they are counted and named."""

    def crash(data: bytes, now: float) -> list[Line | Fault]:
        raise KeyError(data)

    def impossible(data: bytes, now: float) -> list[Line | Fault]:
        return [Line(math.nan, (("p", "1"),))]

    def untyped(data: bytes, now: float) -> list[Line | Fault]:
        return [Line(now, (("p", [1]),))]  # type: ignore[arg-type]  # what no type checker sees

    for feed in (crash, impossible, untyped):
        made = source(format=Strange(feed))  # type: ignore[arg-type]  # `feed` is an attribute
        made.receive(b"x" * 1000, 1.0)
        assert made.rows() == []
        assert made.counters.crashes == 1
        assert made.last_fault is not None and len(made.last_fault.shown) == 64


def test_a_line_from_the_future() -> None:
    """A plug-in's wrong clock does not put a reading ahead of its arrival."""

    def ahead(data: bytes, now: float) -> list[Line | Fault]:
        return [Line(now + 100, (("p", "1"),))]

    made = source(format=Strange(ahead))  # type: ignore[arg-type]  # `feed` is an attribute
    made.receive(b"x", 1.0)
    assert [row.source_time_ns for row in made.rows()] == [1_000_000_000]
