"""Pins that two requests whose replies look alike are never open at once."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.modbus.point import Table
from gateway.modbus.request import Request, read_request, write_register, write_registers
from gateway.modbus.shapes import (
    LATE_TIMEOUTS,
    MAX_LEARNT,
    MIN_LATE_S,
    RECENT_S,
    Choice,
    Shapes,
    UnitLimits,
)

TIMEOUT_S = 0.2
LATE_S = max(MIN_LATE_S, LATE_TIMEOUTS * TIMEOUT_S)


def read(address: int, count: int = 10, unit_id: int = 1) -> Request:
    """A holding read."""
    return read_request(unit_id, Table.HOLDING, address, count)


def shapes(**limits: Any) -> Shapes:
    """Shapes of a bus whose unit 1 has these limits."""
    return Shapes({1: UnitLimits(**limits)})


def test_a_first_request_goes_out_as_it_is() -> None:
    """Nothing is open: nothing is lengthened."""
    assert shapes().choose(read(0), 1.0) == Choice(read(0), 1.0)


def test_the_same_block_keeps_its_shape() -> None:
    """An older answer to the same question is an answer."""
    one = shapes()
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    assert one.choose(read(0), 1.0).request == read(0)


def test_a_failed_request_s_shape_is_not_used_again_while_it_can_be_answered() -> None:
    """The next block of the unit is read a register longer until the late window is over."""
    one = shapes()
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    assert one.choose(read(50), 1.0).request == read(50, 11)
    assert one.choose(read(50), 1.0 + LATE_S + 0.01).request == read(50)


def test_other_units_and_other_lengths_are_free() -> None:
    """A reply names its unit, function and length."""
    one = shapes()
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    assert one.choose(read(50, 10, unit_id=2), 1.0).request.count == 10
    assert one.choose(read(50, 9), 1.0).request.count == 9
    inputs = read_request(1, Table.INPUT, 50, 10)
    assert one.choose(inputs, 1.0).request == inputs


def test_answered_requests_may_be_answered_twice() -> None:
    """The last few answered shapes are avoided too, for a while."""
    one = shapes()
    one.answered(read(0), read(0), 1.0)
    assert one.choose(read(50), 1.0).request == read(50, 11)
    assert one.choose(read(50), 1.0 + RECENT_S + 0.01).request == read(50)


def test_word_aligned_meters_are_lengthened_by_words() -> None:
    """Step 2 keeps even counts; bits go by whole bytes."""
    one = shapes(step=2)
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    assert one.choose(read(50), 1.0).request == read(50, 12)
    coils = read_request(1, Table.COIL, 0, 10)
    one.failed(coils, coils, 1.0, TIMEOUT_S)
    assert one.choose(read_request(1, Table.COIL, 99, 12), 1.0).request.count == 28


def test_limits_and_holes_are_never_passed() -> None:
    """Where no longer read is allowed the late window is waited out."""
    for one, address in (
        (shapes(max_registers=10), 50),
        (shapes(holes=((3, 60, 70),)), 50),
        (shapes(step=0), 50),
        (shapes(), 65526),
    ):
        one.failed(read(0), read(0), 1.0, TIMEOUT_S)
        assert one.choose(read(address), 1.0) == Choice(read(address), 1.0 + LATE_S)


def test_an_answered_shape_is_not_worth_waiting_for() -> None:
    """Only an unanswered request holds the next one up."""
    one = shapes(step=0)
    one.answered(read(0), read(0), 1.0)
    assert one.choose(read(50), 1.0) == Choice(read(50), 1.0)


def test_a_refused_longer_read_is_not_tried_again() -> None:
    """The device's refusal is learnt for that block only."""
    one = shapes()
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    one.refused(read(50))
    assert one.choose(read(50), 1.0) == Choice(read(50), 1.0 + LATE_S)
    assert one.choose(read(80), 1.0).request == read(80, 11)


def test_a_device_silent_to_longer_reads_is_asked_plainly() -> None:
    """Unless the longer read has worked before."""
    one = shapes()
    one.answered(read(0), read(0), 1.0)
    one.failed(read(50), read(50, 11), 1.0, TIMEOUT_S)
    assert one.choose(read(50), 1.0).request == read(50)
    proven = shapes()
    proven.answered(read(0), read(0), 1.0)
    proven.answered(read(50), read(50, 11), 1.0)
    proven.failed(read(50), read(50, 11), 1.0, TIMEOUT_S)
    assert proven.choose(read(50), 1.0).request == read(50, 11)


def test_a_device_silent_to_the_plain_read_too_taught_nothing() -> None:
    """It was simply off: longer reads are tried again."""
    one = shapes()
    one.failed(read(50), read(50, 11), 1.0, TIMEOUT_S)
    one.failed(read(50), read(50), 1.2, TIMEOUT_S)
    one.answered(read(0), read(0), 3.0)
    assert one.choose(read(50), 3.0).request == read(50, 11)


def test_what_is_learnt_is_bounded() -> None:
    """The oldest lesson goes first."""
    one = shapes()
    for address in range(MAX_LEARNT + 1):
        one.refused(read(100 + address))
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    assert one.choose(read(100), 1.0).request == read(100, 11)
    assert one.choose(read(101), 1.0).request == read(101)


def test_an_exception_may_answer_an_earlier_request() -> None:
    """It names no address, so an open request of the same function makes it ambiguous."""
    one = shapes()
    one.failed(read(0), read(0), 1.0, TIMEOUT_S)
    assert one.ambiguous(read(50), 1.1)
    assert not one.ambiguous(read(0), 1.1)
    assert not one.ambiguous(read_request(1, Table.INPUT, 50, 10), 1.1)
    assert not one.ambiguous(read(50), 1.0 + LATE_S + 0.1)


def test_a_write_whose_reply_would_look_like_an_earlier_one_waits() -> None:
    """FC 16 is answered without its values: other values to the same place wait."""
    one = shapes()
    first = write_registers(1, 5, [1, 2])
    one.failed(first, first, 1.0, TIMEOUT_S)
    assert one.choose(first, 1.0).clear_at == 1.0
    assert one.choose(write_registers(1, 5, [1, 3]), 1.0).clear_at == 1.0 + LATE_S
    assert one.choose(write_registers(1, 6, [1, 3]), 1.0).clear_at == 1.0
    assert one.choose(write_register(1, 5, 1), 1.0).clear_at == 1.0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 11),  # which block
            st.booleans(),  # answered?
            st.floats(0.001, 0.3),
        ),
        max_size=60,
    ),
    st.sampled_from([0, 1, 2]),
)
def test_no_open_request_has_the_shape_of_the_one_sent(
    course: list[tuple[int, bool, float]], step: int
) -> None:
    """Whatever fails and whenever: an unanswered request's reply never fits another question."""
    one, now = shapes(step=step), 0.0
    unanswered: list[tuple[Request, float]] = []
    for block, answered, pause_s in course:
        asked = read(block * 20, 10 if block % 3 else 11)
        choice = one.choose(asked, now)
        now, sent = max(now, choice.clear_at), choice.request
        assert sent.address == asked.address
        assert sent.count >= asked.count
        for other, until in unanswered:
            same = other.byte_count == sent.byte_count and other.function == sent.function
            assert not (same and other.address != sent.address and until > now)
        if answered:
            one.answered(asked, sent, now)
        else:
            now += TIMEOUT_S
            one.failed(asked, sent, now, TIMEOUT_S)
            unanswered.append((sent, now + LATE_S))
        now += pause_s
