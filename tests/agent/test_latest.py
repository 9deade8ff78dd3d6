"""Pins what is remembered of every point for the technician."""

from gateway.agent.latest import Latest
from gateway.reading import Cause, Row, Schema, SchemaBlock, SchemaPoint

METER = SchemaBlock("meter", 1.0, (SchemaPoint("v", "V", "d1"), SchemaPoint("on", "", "bool")))
ROOM = SchemaBlock("room", 10.0, (SchemaPoint("t", "°C", "d1"),))
S = 1_000_000_000


def latest(*blocks: SchemaBlock) -> Latest:
    """A memory for these blocks."""
    made = Latest()
    made.use_schema(Schema(blocks))
    return made


def test_a_point_is_there_before_its_first_reading() -> None:
    """A device that never answered is shown too, without age and rate."""
    (point,) = latest(ROOM).points(5 * S)
    assert (point.source, point.point, point.unit, point.interval_s) == ("room", "t", "°C", 10.0)
    assert (point.value, point.age_s, point.rate, point.quality) == (None, None, 0.0, "none")


def test_the_last_row_counts() -> None:
    """Value, quality, cause and age are those of the newest row."""
    made = latest(METER)
    made.rows([Row(0, 1 * S, (230.1, True))])
    made.rows([Row(0, 2 * S, (None, True), (Cause.NULL_PATTERN, Cause.NONE))])
    first, second = made.points(5 * S)
    assert (first.value, first.quality, first.cause) == (None, "bad", "null_pattern")
    assert (second.value, second.quality, second.cause) == (True, "good", "")
    assert first.age_s == second.age_s == 3.0


def test_a_source_by_itself() -> None:
    """Its points alone; whether all of it was read since; when it was last good."""
    made = latest(METER, ROOM)
    assert [point.source for point in made.points(5 * S, source="room")] == ["room"]
    assert not made.read_since("meter", 0) and made.good_ns() == {}
    made.rows([Row(0, 2 * S, (230.1, True)), Row(1, 1 * S, (None,), (Cause.NO_REPLY,))])
    assert made.read_since("meter", 2 * S) and not made.read_since("meter", 2 * S + 1)
    assert made.read_since("room", 1 * S)
    made.rows([Row(0, 3 * S, (None, None), (Cause.NO_REPLY, Cause.NO_REPLY))])
    assert made.good_ns() == {"meter": 2 * S}


def test_a_value_that_the_device_has_not_is_no_trouble() -> None:
    """An inverter says so of every point it does not implement; a silent one is another matter."""
    made = latest(METER)
    made.rows([Row(0, 1 * S, (None, True), (Cause.NULL_PATTERN, Cause.NONE))])
    assert made.health() == {"meter": "good"}
    made.rows([Row(0, 2 * S, (None, None), (Cause.NULL_PATTERN, Cause.EXCEPTION))])
    assert made.health() == {"meter": "exception"}


def test_the_rate_is_what_comes() -> None:
    """One row a second is 1/s; a device that stays away fades, whatever it was."""
    made = latest(METER)
    made.rows([Row(0, n * S, (230.0, True)) for n in range(1, 6)])
    assert next(iter(made.points(5 * S))).rate == 1.0
    assert next(iter(made.points(105 * S))).rate == 0.01


def test_only_what_changed_is_given_again() -> None:
    """An update holds the blocks with rows since the last."""
    made = latest(METER, ROOM)
    made.rows([Row(1, S, (21.0,))])
    seen = made.rows_seen
    made.rows([Row(0, S, (230.0, True))])
    assert {point.source for point in made.points(S, seen)} == {"meter"}
    assert {point.source for point in made.points(S)} == {"meter", "room"}


def test_a_new_schema_keeps_what_stays() -> None:
    """A reload of one bus does not blank the others, wherever their blocks move."""
    made = latest(METER, ROOM)
    made.rows([Row(0, S, (230.0, True)), Row(1, S, (21.0,))])
    made.use_schema(Schema((ROOM,)))
    assert [point.value for point in made.points(S)] == [21.0]
    made.rows([Row(1, S, (1.0, True))])  # of the schema before: nobody's any more
    assert [point.value for point in made.points(S)] == [21.0]


def test_health_is_the_first_cause() -> None:
    """A source is good while all its last rows are; one not read yet is not listed."""
    made = latest(METER, ROOM)
    made.rows([Row(0, S, (None, None), (Cause.NO_REPLY, Cause.NO_REPLY))])
    assert made.health() == {"meter": "no_reply"}
    made.rows([Row(0, 2 * S, (230.0, True)), Row(1, S, (21.0,))])
    assert made.health() == {"meter": "good", "room": "good"}
