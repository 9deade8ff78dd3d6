"""Pins schemas and payloads: round trips, digests, limits, what is refused."""

import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.event import Event, EventKind
from gateway.reading import TICK_NS, Cause, Row, Schema, SchemaBlock, SchemaPoint, Value
from gateway.wire import rows
from gateway.wire.limits import MAX_TICKS
from gateway.wire.message import ClockReading, ClockSource, Gap, GapReason
from gateway.wire.record import HEADER_SIZE, MAX_PAYLOAD


def _f32(value: float) -> float:
    result: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return result


VALUES: dict[str, st.SearchStrategy[Value]] = {
    "f32": st.floats(width=32, allow_nan=False),
    "f64": st.floats(allow_nan=False),
    "i64": st.integers(-(2**63), 2**64 - 1),
    "bool": st.booleans(),
    "str": st.text(max_size=40),
    "d1": st.integers(-(10**9), 10**9).map(lambda n: n / 10),
    "d3": st.one_of(
        st.integers(-(10**9), 10**9).map(lambda n: n / 1000), st.floats(width=16, allow_nan=False)
    ),
}
NAMES = st.text(min_size=1, max_size=12)
POINTS = st.builds(SchemaPoint, NAMES, st.text(max_size=6), st.sampled_from(sorted(VALUES)))
SCHEMAS = st.lists(
    st.builds(
        SchemaBlock,
        NAMES,
        st.floats(0, 1e6),
        st.lists(POINTS, min_size=1, max_size=20).map(tuple),
    ),
    min_size=1,
    max_size=4,
).map(lambda blocks: Schema(tuple(blocks)))
CAUSES = st.sampled_from([Cause.NONE, Cause.NO_REPLY, Cause.OUT_OF_RANGE, Cause.NULL_PATTERN])


@st.composite
def batches(draw: st.DrawFn) -> tuple[Schema, list[Row]]:
    schema = draw(SCHEMAS)
    result = []
    for _ in range(draw(st.integers(1, 5))):
        block = draw(st.integers(0, len(schema.blocks) - 1))
        points = schema.blocks[block].points
        causes = draw(
            st.one_of(
                st.none(),
                st.lists(CAUSES, min_size=len(points), max_size=len(points)),
                CAUSES.map(lambda cause: [cause] * 20),
            )
        )
        values = [
            None if causes and causes[i].quality == 2 else draw(VALUES[point.type])
            for i, point in enumerate(points)
        ]
        causes = causes and causes[: len(points)]
        ticks = draw(st.integers(0, MAX_TICKS))
        result.append(Row(block, ticks * TICK_NS, tuple(values), tuple(causes) if causes else None))
    return schema, result


@given(batches())
def test_rows_round_trip(batch: tuple[Schema, list[Row]]) -> None:
    """Rows of any schema come back value by value, bit by bit, with their causes."""
    schema, expected = batch
    payload = rows.pack_rows(300, expected, schema)
    assert rows.rows_sid(payload, 0) == 300
    got = rows.unpack_rows(payload, schema)
    assert [r.values for r in got] == [r.values for r in expected]
    assert [[type(v) for v in r.values] for r in got] == [
        [type(v) for v in r.values] for r in expected
    ]
    assert [(r.block, r.source_time_ns, r.causes) for r in got] == [
        (r.block, r.source_time_ns, r.causes) for r in expected
    ]


@given(SCHEMAS)
def test_schema_round_trip(schema: Schema) -> None:
    """A schema comes back, and its digest depends on nothing but itself."""
    data = rows.encode_schema(schema)
    assert rows.decode_schema(data) == schema
    assert rows.schema_digest(data) == rows.schema_digest(rows.encode_schema(schema))
    assert len(rows.schema_digest(data)) == 8


@pytest.mark.parametrize(
    "schema",
    [
        Schema((SchemaBlock("x", 1.0, ()),)),
        Schema((SchemaBlock("x", -1.0, (SchemaPoint("a", "", "f32"),)),)),
        Schema((SchemaBlock("x" * 129, 1.0, (SchemaPoint("a", "", "f32"),)),)),
        Schema((SchemaBlock("x", 1.0, (SchemaPoint("a", "u" * 33, "f32"),)),)),
        Schema((SchemaBlock("x", 1.0, (SchemaPoint("a", "", "d10"),)),)),
        Schema(
            (SchemaBlock("x", 1.0, tuple(SchemaPoint("a" * 100, "", "f32") for _ in range(999))),)
        ),
    ],
    ids=range(6),
)
def test_a_schema_past_its_limits_is_our_bug(schema: Schema) -> None:
    """What a centre would refuse is not announced."""
    with pytest.raises(ValueError, match="schema cannot be announced"):
        rows.encode_schema(schema)


SCHEMA = Schema(
    (SchemaBlock("m", 1.0, (SchemaPoint("a", "", "f32"), SchemaPoint("s", "", "str"))),)
)


@pytest.mark.parametrize(
    "payload",
    [
        [1, 0],
        [1, 0, []],
        [-1, 0, [[0, 0, [1.0, "x"]]]],
        [1, 0, [[1, 0, [1.0, "x"]]]],
        [1, 0, [[0, 0, [1.0]]]],
        [1, 0, [[0, 0, [1.0, "x", 2]]]],
        [1, 0, [[0, 0, ["x", "x"]]]],
        [1, 0, [[0, 0, [True, "x"]]]],
        [1, 0, [[0, 0, [1.0, None]]]],
        [1, 0, [[0, 0, [1.0, "x" * 4097]]]],
        [1, 0, [[0, 0, [None, None], 256]]],
        [1, 0, [[0, 0, [None, None], [1]]]],
        [1, 0, [[0, 0, [None, None], "x"]]],
        [1, 0, [[0, 1.5, [1.0, "x"]]]],
        [1, 0, [[0, 0]]],
    ],
)
def test_rows_that_do_not_fit_their_schema(payload: list[object]) -> None:
    """Wrong counts, types, blocks and causes are refused."""
    with pytest.raises(RemoteProtocolError):
        rows.unpack_rows(msgpack.packb(payload), SCHEMA)


def test_causes_have_three_forms() -> None:
    """Absent or nil, all good; an integer, the same for all; a list, one for each."""

    def causes(*more: object) -> object:
        payload = msgpack.packb([1, 0, [[0, 0, [None if more and more[0] else 1.0, "x"], *more]]])
        return rows.unpack_rows(payload, SCHEMA)[0].causes

    assert causes() is None
    assert causes(None) is None
    assert causes(0) == (Cause.NONE, Cause.NONE)
    assert causes([7, 0]) == (Cause.NULL_PATTERN, Cause.NONE)
    assert causes([99, 0]) == (Cause.UNKNOWN, Cause.NONE)


@pytest.mark.parametrize(
    ("payload", "sid"),
    [
        (b"", None),
        (b"\x93", None),
        (b"\x92\x01", None),
        (b"\x93\x7f", 127),
        (b"\x94\xcc\xc8", 200),
        (b"\x93\xcc", None),
        (b"\x93\xcd\x01\x00", 256),
        (b"\x93\xcd\x01", None),
        (b"\x93\xc0\x00\x00", None),
        (b"\xa0\x01\x00", None),
        (b"\xa3\x01\x00", None),
    ],
)
def test_rows_sid(payload: bytes, sid: int | None) -> None:
    """The sid is read without decoding, and never guessed."""
    assert rows.rows_sid(payload, 0) == sid
    assert rows.rows_sid(bytes(HEADER_SIZE) + payload) == sid


def test_batch_gathers_and_splits() -> None:
    """Rows are gathered into one payload; a payload never outgrows a record."""
    batch = rows.RowsBatch(1, SCHEMA)
    assert batch.take() == []
    assert batch.add([Row(0, 0, (1.0, "x")), Row(0, TICK_NS, (2.0, "y"))]) == []
    assert batch.readings == 4
    ((readings, payload),) = batch.take()
    assert readings == 4
    assert [r.values for r in rows.unpack_rows(payload, SCHEMA)] == [(1.0, "x"), (2.0, "y")]
    assert batch.readings == 0
    bad = (None, None), (Cause.NO_REPLY, Cause.NO_REPLY)
    many = [Row(0, 0, (1.0, "é" * 900)) for _ in range(100)] + [
        Row(0, 0, *bad) for _ in range(3000)
    ]
    payloads = [*batch.add(many), *batch.take()]
    assert sum(readings for readings, _ in payloads) == 2 * len(many)
    assert all(len(payload) <= MAX_PAYLOAD for _, payload in payloads)
    back = [row for _, payload in payloads for row in rows.unpack_rows(payload, SCHEMA)]
    assert [r.values for r in back] == [r.values for r in many]


def test_event_round_trip() -> None:
    """An event comes back with its fields in order; unknown kinds are kept."""
    event = Event.make(EventKind.PORT_LOST, 5 * TICK_NS, b=1, a="x", c=None, d=True, e=1.5)
    assert rows.unpack_event(rows.pack_event(event)) == (
        5 * TICK_NS,
        "port_lost",
        (("b", 1), ("a", "x"), ("c", None), ("d", True), ("e", 1.5)),
    )
    assert rows.unpack_event(msgpack.packb([0, "new_kind", {}]))[1] == "new_kind"


def test_gap_round_trip() -> None:
    """A GAP comes back to the tick."""
    gap = Gap(2**64 - 1, 5, 9, GapReason.DAMAGED, 3 * TICK_NS, 4 * TICK_NS, -1)
    assert rows.unpack_gap(rows.pack_gap(gap)) == gap


def test_anchor_round_trip() -> None:
    """An anchor comes back to the nanosecond."""
    anchor = ClockReading(123, 2**60, ClockSource.PTP, -1)
    assert rows.unpack_anchor(rows.pack_anchor(anchor)) == anchor


def test_end_is_an_empty_array() -> None:
    """END says nothing."""
    assert msgpack.unpackb(rows.pack_end()) == []
