"""The engine: where lines begin and end, the time of the first byte, and finding the next line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serial.framing import MAX_LENGTH, MAX_STARTS, Fields, Framer, Framing
from gateway.serial.line import MAX_SHOWN, Fault, FaultKind, Line

DOLLAR = Framing(b"$", b"\n", max_length=32)
LINES = Framing(max_length=32)
TWO = Framing(b"<<", b">>", max_length=32)
TAIL = Framing(b"/", b"!", tail=2, max_length=32)
SILENT = Framing(end=b"", max_length=32, idle_gap_s=0.5)


NUMBER = re.compile(rb"(?:\$|<<|/)?(\d+)(?:>>|!\r\n|\r?\n)?")


def number(frame: bytes) -> Fields | FaultKind:
    """Read a line that is digits between delimiters; ``x`` spoils the check sum."""
    if b"x" in frame:
        return FaultKind.CHECKSUM
    match = NUMBER.fullmatch(frame)
    return (("n", int(match[1])),) if match else FaultKind.FORMAT


def framer(framing: Framing, in_step: bool = False) -> Framer:
    """Return an engine opened at 0."""
    made = Framer(framing, number)
    made.reset(0.0, in_step)
    return made


def told(results: list[Line | Fault]) -> list[object]:
    """Return numbers of lines and kinds of faults, in order."""
    return [one.fields[0][1] if isinstance(one, Line) else one.kind for one in results]


def fed(framing: Framing, data: bytes, *, in_step: bool = False) -> list[object]:
    return told(framer(framing, in_step).feed(data, 1.0))


def test_the_first_line_may_be_half_a_one() -> None:
    """Without a start delimiter only what follows an end is a whole line."""
    assert fed(LINES, b"45\r\n12\r\n13\n") == [FaultKind.HALF, 12, 13]
    assert fed(LINES, b"\n12\n") == [12]
    assert fed(LINES, b"45\n", in_step=True) == [45]


def test_silence_puts_it_in_step() -> None:
    """After the idle gap the next byte begins a line."""
    made = framer(LINES)
    assert made.timer_at() == 1.0
    assert made.feed(b"", 0.9) == [] and made.feed(b"", 1.0) == []
    assert made.timer_at() is None
    assert told(made.feed(b"12\n", 5.0)) == [12]


def test_only_an_empty_feed_is_silence() -> None:
    """Bytes read late may have come long before: they go on with the line."""
    made = framer(LINES, in_step=True)
    made.feed(b"1", 1.0)
    assert told(made.feed(b"2\n", 60.0)) == [12]
    made.feed(b"1", 61.0)
    assert made.in_hand and made.timer_at() == 62.0
    assert told(made.feed(b"", 62.0)) == [FaultKind.HALF]
    assert told(made.feed(b"2\n", 62.1)) == [2]


def test_empty_lines_are_nothing() -> None:
    """Blank lines between are no faults."""
    assert fed(LINES, b"\n\r\n1\n\r\n2\n\r\n\n3\n", in_step=True) == [1, 2, 3]


def test_the_time_is_the_first_bytes() -> None:
    """A line has the time of the read its first byte came with."""
    made = framer(LINES, in_step=True)
    made.feed(b"1\n2", 1.0)
    made.feed(b"2", 2.0)
    (line,) = made.feed(b"\n3", 3.0)
    assert isinstance(line, Line) and line.began == 1.0
    (line,) = made.feed(b"\n", 4.0)
    assert isinstance(line, Line) and line.began == 3.0
    (line,) = made.feed(b"4\n", 5.0)
    assert isinstance(line, Line) and line.began == 5.0


def test_noise_before_a_start() -> None:
    """Noise is told once; a start cut in two is still found."""
    assert fed(DOLLAR, b"zzz$12\nyy$13\n") == [FaultKind.NOISE, 12, FaultKind.NOISE, 13]
    made = framer(TWO)
    assert told(made.feed(b"z<", 1.0)) == [FaultKind.NOISE]
    assert told(made.feed(b"<12>", 1.1)) == []
    assert told(made.feed(b">", 1.2)) == [12]


def test_a_start_inside_a_spoilt_line() -> None:
    """After a failure the next start within the line is tried; the fault is told once."""
    assert fed(DOLLAR, b"$1x$12\n") == [FaultKind.CHECKSUM, 12]
    assert fed(DOLLAR, b"$$$$12\n$13\n") == [FaultKind.FORMAT, 12, 13]
    assert fed(DOLLAR, b"$a$b$c\n$13\n") == [FaultKind.FORMAT, 13]


def test_starts_tried_are_bounded() -> None:
    """Of many starts in one line the last ones are tried."""
    data = b"$x" * (MAX_STARTS + 3) + b"$7\n"
    looks: list[bytes] = []

    def counting(frame: bytes) -> Fields | FaultKind:
        looks.append(frame)
        return number(frame)

    made = Framer(Framing(b"$", b"\n", max_length=256), counting)
    made.reset(0.0)
    assert told(made.feed(data, 1.0)) == [FaultKind.CHECKSUM, 7]
    assert len(looks) == MAX_STARTS


def test_a_tail_belongs_to_the_line() -> None:
    """It is waited for, and a start in it is found when it was none."""
    made = framer(TAIL)
    assert made.feed(b"/12!\r", 1.0) == []
    assert told(made.feed(b"\n", 1.1)) == [12]
    assert fed(TAIL, b"/1x!/13!\r\n") == [FaultKind.CHECKSUM, 13]


def test_endless_lines_are_one_fault() -> None:
    """However long: told once, and what follows is read."""
    made = framer(LINES, in_step=True)
    found: list[Line | Fault] = []
    for _ in range(100):
        found += made.feed(b"a" * 50, 1.0)
    assert told(found) == [FaultKind.TOO_LONG]
    assert told(made.feed(b"77\n78\n", 2.0)) == [78]
    assert fed(DOLLAR, b"$" + b"1" * 500 + b"\n$12\n") == [FaultKind.TOO_LONG, 12]
    assert fed(LINES, b"1" * 40 + b"\n12\n", in_step=True) == [FaultKind.TOO_LONG, 12]


def test_silence_ends_a_line_without_end() -> None:
    """A source that only pauses between lines; what is too long is no line."""
    made = framer(SILENT)
    made.feed(b"45", 0.1)
    assert told(made.feed(b"", 0.6)) == [FaultKind.HALF]
    assert made.feed(b"1", 1.0) == [] and made.feed(b"2", 1.1) == []
    assert told(made.feed(b"", 1.6)) == [12]
    found = made.feed(b"1" * 100, 2.0) + made.feed(b"", 2.6)
    assert told(found) == [FaultKind.TOO_LONG]
    made.feed(b"13", 3.0)
    assert told(made.feed(b"", 3.5)) == [13]
    with_start = framer(Framing(b"$", b"", max_length=32, idle_gap_s=0.5))
    assert told(with_start.feed(b"zz$1x$14", 1.0)) == [FaultKind.NOISE]
    assert told(with_start.feed(b"", 1.5)) == [FaultKind.CHECKSUM, 14]


def test_a_fault_shows_its_beginning() -> None:
    """Enough to see what it was, never more."""
    (fault,) = framer(DOLLAR).feed(b"z" * 500, 1.0)
    assert isinstance(fault, Fault) and fault.shown == b"z" * MAX_SHOWN and fault.began == 1.0


@pytest.mark.parametrize("length", [2, MAX_LENGTH + 1])
def test_limits(length: int) -> None:
    """A framing nothing fits in, or one without bound, is refused."""
    with pytest.raises(ValueError, match="max_length"):
        Framing(b"$", b"\n", max_length=length)


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.sampled_from([b"$", b"\n", b"<<", b">>", b"/", b"!", b"<", b"x", b"12\n", b"$5\n"]),
    ),
    max_size=30,
).map(b"".join)


@given(
    st.sampled_from([DOLLAR, LINES, TWO, TAIL, Framing(b"$", b"", max_length=16), SILENT]),
    PIECES,
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
)
def test_any_split_gives_the_same(framing: Framing, data: bytes, sizes: list[int]) -> None:
    """How bytes are handed in changes nothing, and what is held is bounded at each step."""
    whole = framer(framing)
    expected = told(whole.feed(data, 1.0) + whole.feed(b"", 9.0))
    made = framer(framing)
    found: list[Line | Fault] = []
    at = step = 0
    while at < len(data):
        size = sizes[step % len(sizes)]
        found += made.feed(data[at : at + size], 1.0)
        assert len(made._data) < framing.max_length
        assert len(made._begins) <= framing.max_length
        at, step = at + size, step + 1
    found += made.feed(b"", 9.0)
    assert [one for one in told(found) if isinstance(one, int)] == [
        one for one in expected if isinstance(one, int)
    ]


@given(st.sampled_from([DOLLAR, TWO, TAIL]), PIECES)
def test_a_line_behind_any_noise_is_found(framing: Framing, noise: bytes) -> None:
    """With a start delimiter a valid line is found whatever stands in front of it."""
    line = {DOLLAR: b"$4711\n", TWO: b"<<4711>>", TAIL: b"/4711!\r\n"}[framing]
    assert 4711 in fed(framing, noise + line)


def test_the_tail_of_an_overlong_line_is_not_the_next_one() -> None:
    """Without a start delimiter the line behind would begin with it."""
    ends = Framing(end=b"!", tail=2, max_length=16)
    made = framer(ends, in_step=True)
    assert told(made.feed(b"9" * 14 + b"!", 1.0)) == []
    assert told(made.feed(b"\r\n12!\r\n", 1.1)) == [FaultKind.TOO_LONG, 12]
