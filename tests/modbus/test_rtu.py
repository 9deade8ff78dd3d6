"""Pins what is a reply, and when: time is a number here."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.modbus.crc import seal
from gateway.modbus.point import Table
from gateway.modbus.request import (
    Request,
    read_request,
    write_coils,
    write_register,
    write_registers,
)
from gateway.modbus.rtu import MAX_BUFFER, Exchange, Outcome, Result, Timing, timing

CHARACTER_S = 0.001
TIMING = Timing(CHARACTER_S, 0.0035, 0.003, idle_gap_s=0.030, damaged_gap_s=0.010)
READ = read_request(1, Table.HOLDING, 100, 3)
DATA = bytes.fromhex("000102030405")
REPLY = seal(b"\x01\x03\x06" + DATA)
TIMEOUT_S = 0.2
GATE = 8 * CHARACTER_S
"""The requests here have eight characters and are sent at 0."""
FIRST = GATE + 0.005
"""When a reply starts: 5 ms of turnaround."""

Chunks = Sequence[tuple[float, bytes]]


def bytewise(frame: bytes, start: float) -> list[tuple[float, bytes]]:
    """Return a frame's characters as they end on the wire."""
    return [(start + (i + 1) * CHARACTER_S, frame[i : i + 1]) for i in range(len(frame))]


def drive(exchange: Exchange, chunks: Chunks) -> tuple[Outcome, float]:
    """Be the driver: sleep and wait as the exchange asks; return the outcome and its time."""
    now, waiting = 0.0, sorted(chunks, key=lambda chunk: chunk[0])
    for _ in range(10_000):
        if exchange.outcome is not None:
            return exchange.outcome, now
        now = max(now, exchange.sleep_until)
        if waiting and waiting[0][0] <= max(now, exchange.wake_at):
            now = max(now, waiting[0][0])
            data = b"".join(data for at, data in waiting if at <= now)
            waiting = [chunk for chunk in waiting if chunk[0] > now]
            exchange.receive(data, now)
        else:
            now = max(now, exchange.wake_at)
            exchange.handle_timer(now)
    raise AssertionError("the exchange never ends")


def exchange(
    request: Request = READ,
    *,
    echo: bool | None = None,
    has_wire_time: bool = True,
    lenient: bool = False,
) -> Exchange:
    """Return an exchange sent at 0."""
    return Exchange(request, TIMING, 0.0, TIMEOUT_S, echo, has_wire_time, lenient)


def test_a_reply_byte_by_byte() -> None:
    """Data, turnaround and the end of the frame come out."""
    outcome, at = drive(exchange(), bytewise(REPLY, FIRST))
    assert outcome.result is Result.REPLY
    assert outcome.data == DATA
    assert outcome.turnaround_s == pytest.approx(0.005)
    assert outcome.quiet_from == pytest.approx(FIRST + len(REPLY) * CHARACTER_S)
    assert at == pytest.approx(outcome.quiet_from)


def test_the_end_on_the_wire_is_estimated_from_any_chunk() -> None:
    """A last chunk that comes late (an adapter's latency) does not move the frame's end."""
    chunks = [(FIRST + 0.004, REPLY[:4]), (FIRST + 0.0135, REPLY[4:])]
    outcome, at = drive(exchange(), chunks)
    assert outcome.quiet_from == pytest.approx(FIRST + 0.011)
    assert at == pytest.approx(FIRST + 0.0135)


def test_a_pause_within_a_frame_voids_the_estimate() -> None:
    """The silence then starts when the last byte was read, not earlier."""
    late = FIRST + 0.011 + 0.018
    assert late - FIRST - 0.011 > 2 * TIMING.credit_s
    outcome, at = drive(exchange(), [(FIRST + 0.004, REPLY[:4]), (late, REPLY[4:])])
    assert outcome.result is Result.REPLY
    assert outcome.quiet_from == at == late


def test_the_credit_is_capped() -> None:
    """A little later than the cap the silence starts one credit before the last byte."""
    late = FIRST + 0.011 + 1.5 * TIMING.credit_s
    outcome, at = drive(exchange(), [(FIRST + 0.004, REPLY[:4]), (late, REPLY[4:])])
    assert outcome.quiet_from == pytest.approx(at - TIMING.credit_s)


def test_no_credit_where_devices_pause() -> None:
    """`strict_end` starts the silence at the last byte."""
    strict = timing(9600, 11 / 9600, strict_end=True)
    assert strict.credit_s == 0.0
    assert strict.quiet_from(0.9, 1.0) == 1.0


def test_t35_is_fixed_above_19200() -> None:
    """Serial line V1.02 §2.5.1.1."""
    assert timing(19200, 11 / 19200).silence_s == pytest.approx(3.5 * 11 / 19200)
    assert timing(38400, 11 / 38400).silence_s == 0.00175


def test_a_long_reply_needs_few_looks() -> None:
    """The driver sleeps through the body: six looks at most, whatever the length."""
    request = read_request(1, Table.HOLDING, 0, 100)
    frame = seal(b"\x01\x03\xc8" + bytes(200))
    one, looks = exchange(request), 0
    now, waiting = 0.0, bytewise(frame, FIRST)
    while one.outcome is None:
        now = max(one.sleep_until, waiting[0][0], now)
        one.receive(b"".join(data for at, data in waiting if at <= now), now)
        waiting = [chunk for chunk in waiting if chunk[0] > now]
        looks += 1
    assert one.outcome.result is Result.REPLY
    assert looks <= 6


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 8, 10, 11])
def test_an_exception_reply(code: int) -> None:
    """The code comes out soon after its five characters, not after the time-out."""
    outcome, at = drive(exchange(), bytewise(seal(bytes((1, 0x83, code))), FIRST))
    assert (outcome.result, outcome.code) == (Result.EXCEPTION, code)
    assert at <= FIRST + 0.011 + TIMING.silence_s + 1e-9


def test_an_exception_with_the_reply_behind_it_is_an_old_one() -> None:
    """It names no address; the reply does at least have our shape."""
    chunks = bytewise(seal(b"\x01\x83\x02") + REPLY, FIRST)
    outcome, _ = drive(exchange(), chunks)
    assert (outcome.result, outcome.data) == (Result.REPLY, DATA)


def test_silence_ends_at_the_time_out() -> None:
    """The time-out runs from the end of the request on the wire."""
    outcome, at = drive(exchange(), [])
    assert outcome.result is Result.NO_REPLY
    assert at == pytest.approx(GATE + TIMEOUT_S)
    assert outcome.quiet_from == pytest.approx(GATE)


def test_a_timer_that_rings_too_early_does_nothing() -> None:
    """The driver may look whenever it likes."""
    one = exchange()
    one.handle_timer(one.wake_at - 0.001)
    assert one.outcome is None


def test_bytes_before_the_request_has_left_are_not_the_answer() -> None:
    """The causality gate: a late reply of our shape that ends too early is not taken."""
    chunks = bytewise(REPLY, -0.004)
    outcome, _ = drive(exchange(), chunks)
    assert outcome.result is Result.NO_REPLY
    assert "too early" in outcome.text


def test_a_reply_behind_early_bytes_is_found() -> None:
    """What came too early is only skipped."""
    outcome, _ = drive(exchange(), [(0.003, REPLY), *bytewise(REPLY, FIRST)])
    assert outcome.result is Result.REPLY
    assert not outcome.early


def test_a_bare_pty_has_no_wire_time() -> None:
    """There an early reply is taken once nothing better came, and without delay if known."""
    outcome, _ = drive(exchange(lenient=True), [(0.001, REPLY)])
    assert (outcome.result, outcome.data, outcome.early) == (Result.REPLY, DATA, True)
    outcome, at = drive(exchange(has_wire_time=False, lenient=True), [(0.001, REPLY)])
    assert (outcome.result, at, outcome.early) == (Result.REPLY, 0.001, False)


def test_an_early_copy_of_a_write_is_never_lent_credence() -> None:
    """On a pty that echoes it would be our own request."""
    request = write_register(1, 5, 7)
    outcome, _ = drive(exchange(request, lenient=True), [(0.001, request.frame)])
    assert outcome.result is Result.NO_REPLY


@pytest.mark.parametrize(
    "junk", [b"\x00", b"\xff\x01\x03", b"\x01\x03\x06\x00", b"\x01\x83", REPLY[:-1], bytes(40)]
)
def test_resynchronises_behind_garbage(junk: bytes) -> None:
    """Garbage before the reply costs nothing but its time."""
    outcome, _ = drive(exchange(), bytewise(junk + REPLY, FIRST))
    assert (outcome.result, outcome.data) == (Result.REPLY, DATA)


def test_a_match_with_bytes_behind_it_is_no_reply() -> None:
    """A frame ends with silence; what goes on is something else."""
    outcome, _ = drive(exchange(), [(FIRST + 0.015, REPLY + b"\x01\x02")])
    assert outcome.result is Result.BAD_FRAME


def test_a_damaged_reply_fails_fast() -> None:
    """A whole reply with a wrong CRC fails after a short gap, long before the time-out."""
    bad = REPLY[:-1] + bytes((REPLY[-1] ^ 1,))
    outcome, at = drive(exchange(), bytewise(bad, FIRST))
    assert outcome.result is Result.BAD_FRAME
    assert at == pytest.approx(FIRST + 0.011 + TIMING.damaged_gap_s)


@pytest.mark.parametrize("length", range(1, len(REPLY)))
def test_a_cut_reply_fails_after_the_idle_gap(length: int) -> None:
    """A short frame fails one idle gap after it should have ended."""
    outcome, at = drive(exchange(), bytewise(REPLY[:length], FIRST))
    assert outcome.result is Result.BAD_FRAME
    assert at <= FIRST + len(REPLY) * CHARACTER_S + TIMING.idle_gap_s + 1e-9


def test_a_hesitating_server_is_waited_for() -> None:
    """A pause below the idle gap within a reply is no end."""
    chunks = [*bytewise(REPLY[:5], FIRST), *bytewise(REPLY[5:], FIRST + 0.030)]
    assert drive(exchange(), chunks)[0].result is Result.REPLY


OTHER_UNIT = seal(b"\x09\x04\x02\x00\x01")
OTHER_SHAPE = seal(b"\x01\x03\x02\x00\x01")


@pytest.mark.parametrize("other", [OTHER_UNIT, OTHER_SHAPE, OTHER_UNIT + OTHER_SHAPE])
def test_whole_frames_that_are_not_ours_are_waited_out(other: bytes) -> None:
    """A late reply or another client's traffic comes first: ours may still come."""
    chunks = [*bytewise(other, FIRST), *bytewise(REPLY, FIRST + 0.1)]
    assert drive(exchange(), chunks)[0].result is Result.REPLY
    outcome, at = drive(exchange(), bytewise(other, FIRST))
    assert outcome.result is Result.NO_REPLY
    assert at == pytest.approx(GATE + TIMEOUT_S)


def test_whole_frames_after_the_time_out_end_it() -> None:
    """Somebody else's frame cannot keep us beyond the time-out and a gap."""
    outcome, at = drive(exchange(), bytewise(OTHER_UNIT, GATE + TIMEOUT_S - 0.005))
    assert outcome.result is Result.NO_REPLY
    assert at <= GATE + TIMEOUT_S + 0.011 + TIMING.idle_gap_s


def test_the_wrong_unit_answering_in_our_shape_fails_fast() -> None:
    """A device with a wrong unit id is told from silence."""
    outcome, at = drive(exchange(), bytewise(seal(b"\x02" + REPLY[1:-2]), FIRST))
    assert outcome.result is Result.BAD_FRAME
    assert at < FIRST + 0.011 + 0.031


def test_babble_ends_in_bounded_memory() -> None:
    """A stream without a reply is given up."""
    one = exchange()
    for at in range(MAX_BUFFER + 1):
        one.receive(b"\x55", 1.0 + at * CHARACTER_S)
    assert one.outcome is not None
    assert one.outcome.result is Result.BAD_FRAME
    assert one.received == MAX_BUFFER + 1


# --- local echo -----------------------------------------------------------------------------------


def test_an_echoed_read_is_answered_and_the_echo_noted() -> None:
    """The bus need not be told that it echoes."""
    outcome, _ = drive(exchange(), bytewise(READ.frame, 0.0) + bytewise(REPLY, FIRST))
    assert (outcome.result, outcome.echo) == (Result.REPLY, True)
    assert drive(exchange(), bytewise(REPLY, FIRST))[0].echo is False


@pytest.mark.parametrize(
    "request_",
    [write_register(1, 5, 7), write_registers(1, 5, [1, 2]), write_coils(1, 5, [True])],
)
@pytest.mark.parametrize("echo", [None, True])
@pytest.mark.parametrize("delay_s", [0.0, 0.004])
def test_an_echo_alone_is_no_answer_to_a_write(
    request_: Request, echo: bool | None, delay_s: float
) -> None:
    """The unit is absent: the write is not reported as done, even if an adapter delays the echo."""
    one = Exchange(request_, TIMING, 0.0, TIMEOUT_S, echo=echo)
    end = len(request_.frame) * CHARACTER_S + delay_s
    outcome, _ = drive(one, [(end, request_.frame)])
    assert outcome.result is Result.NO_REPLY


@pytest.mark.parametrize("echo", [None, True, False])
def test_a_write_is_answered(echo: bool | None) -> None:
    """With an echo before it if the bus echoes, alone if not."""
    request = write_register(1, 5, 7)
    chunks = bytewise(request.frame, FIRST)
    if echo:
        chunks = [(0.010, request.frame), *chunks]
    outcome, at = drive(exchange(request, echo=echo), chunks)
    assert outcome.result is Result.REPLY
    known_at = FIRST + 8 * CHARACTER_S
    assert at == pytest.approx(known_at if echo is not None else known_at + TIMING.idle_gap_s)


def test_a_write_on_a_bus_found_to_echo() -> None:
    """The second copy is the answer, though nothing was known before."""
    request = write_register(1, 5, 7)
    chunks = [(0.012, request.frame), *bytewise(request.frame, 0.016)]
    outcome, _ = drive(exchange(request), chunks)
    assert (outcome.result, outcome.echo) == (Result.REPLY, True)


def test_the_reply_to_a_write_names_what_was_written() -> None:
    """Another address, value or quantity is not our reply."""
    request = write_registers(1, 5, [1, 2])
    good, wrong = seal(request.frame[:6]), seal(request.frame[:5] + b"\x03")
    assert drive(exchange(request), bytewise(good, 0.03))[0].result is Result.REPLY
    assert drive(exchange(request), bytewise(wrong, 0.03))[0].result is Result.NO_REPLY


# --- properties -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, len(REPLY)), max_size=6), st.floats(0, 0.012))
def test_any_split_gives_the_same_reply(cuts: list[int], latency_s: float) -> None:
    """However the driver gets the bytes."""
    places = sorted({0, len(REPLY), *cuts})
    chunks = [
        (FIRST + end * CHARACTER_S + latency_s, REPLY[start:end]) for start, end in pairwise(places)
    ]
    outcome, _ = drive(exchange(), chunks)
    assert (outcome.result, outcome.data) == (Result.REPLY, DATA)
    assert outcome.quiet_from >= FIRST + len(REPLY) * CHARACTER_S - 1e-9


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.binary(max_size=40)), max_size=30),
    st.sampled_from([None, True, False]),
    st.booleans(),
)
def test_any_garbage_ends_in_time_and_bounded_memory(
    chunks: list[tuple[float, bytes]], echo: bool | None, lenient: bool
) -> None:
    """Every stream ends as a documented outcome; none as a reply that was not there."""
    one = exchange(echo=echo, lenient=lenient)
    outcome, at = drive(one, chunks)
    assert at <= 0.3 + GATE + TIMEOUT_S + 1.0
    assert one.received <= MAX_BUFFER + 1200
    if outcome.result is Result.REPLY:
        assert seal(b"\x01\x03\x06" + outcome.data) in b"".join(
            data for _, data in sorted(chunks, key=lambda c: c[0])
        )


@given(st.integers(0, len(REPLY) - 1), st.integers(1, 255))
def test_no_damaged_byte_is_taken(place: int, change: int) -> None:
    """A reply with any one byte changed is never taken."""
    bad = REPLY[:place] + bytes((REPLY[place] ^ change,)) + REPLY[place + 1 :]
    assert drive(exchange(), bytewise(bad, FIRST))[0].result is not Result.REPLY
