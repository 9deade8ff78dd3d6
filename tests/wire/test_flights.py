"""Pins the match of acks to messages in flight."""

from gateway.wire.flights import LIVE_ROOM, Flights
from gateway.wire.message import Lane


def _flights() -> Flights:
    flights = Flights(0.0)
    flights.window.limit = 1024 * 1024
    return flights


def test_a_message_leaves_with_its_last_record() -> None:
    """Acks in any order and pieces; only the last one frees the bytes."""
    flights = _flights()
    flights.sent(1, [(1, 5), (8, 9)], 1000, Lane.BACKLOG, 0.0)
    flights.acked(1, [(4, 8)], 1.0)
    assert flights.window.in_flight == 1000
    flights.acked(2, [(1, 9)], 1.0)
    flights.acked(1, [(1, 3)], 1.0)
    assert flights.window.in_flight == 1000
    flights.acked(1, [(9, 20)], 1.0)
    assert flights.window.in_flight == 0
    flights.acked(1, [(9, 20)], 1.0)
    assert flights.window.in_flight == 0


def test_a_refused_message_frees_its_bytes_but_measures_nothing() -> None:
    """A Nack is no delivery."""
    flights = _flights()
    flights.sent(1, [(1, 5)], 1000, Lane.LIVE, 0.0)
    flights.refused(1, [(2, 3)], 1.0)
    assert flights.window.in_flight == 1000
    flights.acked(1, [(1, 5)], 1.0)
    assert flights.window.in_flight == 0
    assert flights.window.rate == 0.0
    assert flights.live_room() == LIVE_ROOM


def test_waiting_since_the_last_answer() -> None:
    """The clock of the ack time-out runs only while something is in flight."""
    flights = _flights()
    assert flights.waiting_since is None
    flights.sent(1, [(1, 1)], 100, Lane.LIVE, 5.0)
    flights.sent(1, [(2, 2)], 100, Lane.LIVE, 6.0)
    assert flights.waiting_since == 5.0
    flights.acked(1, [(1, 1)], 7.0)
    assert flights.waiting_since == 7.0
    flights.refused(1, [(2, 2)], 8.0)
    assert flights.waiting_since is None


def test_live_has_room_when_the_backlog_fills_the_window() -> None:
    """The backlog waits at the window; live goes on to its own room, and both to the limit."""
    flights = _flights()
    room = flights.backlog_room()
    assert room == flights.window.size
    flights.sent(1, [(1, 1)], room, Lane.BACKLOG, 0.0)
    assert flights.backlog_room() == 0
    assert flights.live_room() == LIVE_ROOM
    flights.sent(1, [(2, 2)], LIVE_ROOM, Lane.LIVE, 0.0)
    assert flights.live_room() == 0
    flights.window.limit = 1000
    assert flights.live_room() == 0


def test_a_little_room_is_not_worth_a_message() -> None:
    """While something is in flight the backlog waits for half a message's room."""
    flights = _flights()
    flights.sent(1, [(1, 1)], flights.window.size - 100, Lane.BACKLOG, 0.0)
    assert flights.window.room() == 100
    assert flights.backlog_room() == 0
