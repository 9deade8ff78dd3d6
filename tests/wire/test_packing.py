"""Pins which bytes a value takes."""

import pytest

from gateway.reading import Cause, Row, Schema, SchemaBlock, SchemaPoint, Value
from gateway.wire.packing import RowsPacker
from gateway.wire.rows import unpack_rows


def _schema(*types: str) -> Schema:
    return Schema(
        (SchemaBlock("m", 1.0, tuple(SchemaPoint(f"p{i}", "", t) for i, t in enumerate(types))),)
    )


def _pack(types: str, *values: Value, causes: tuple[Cause, ...] | None = None) -> bytes:
    """Return the bytes of the only row behind its block and dt."""
    payload = RowsPacker(1, _schema(*types.split())).pack([Row(0, 0, values, causes)])
    head = b"\x93\x01\x00\x91" + (b"\x93" if causes is None else b"\x94") + b"\x00\x00"
    assert payload.startswith(head)
    return payload[len(head) :]


@pytest.mark.parametrize(
    ("types", "values", "expected"),
    [
        ("f32", (1.5,), "91 ca 3fc00000"),
        ("f64", (1.5,), "91 cb 3ff8000000000000"),
        ("i64 bool str", (7, True, "a"), "93 07 c3 a161"),
        ("f32 f64 f32", (1.5, 1.5, 1.5), "93 ca3fc00000 cb3ff8000000000000 ca3fc00000"),
        ("d1", (23.4,), "91 ccea"),
        ("d1", (0.1 * 3,), "91 03"),
        ("d1", (23,), "91 cce6"),
        ("d2", (-0.01,), "91 ff"),
        ("d1", (0.25,), "91 cb 3fd0000000000000"),
        ("d9", (1e300,), "91 cb 7e37e43c8800759c"),
        ("d1", (float("inf"),), "91 cb 7ff0000000000000"),
        ("d1 f32", (0.25, 1.5), "92 cb3fd0000000000000 ca3fc00000"),
        ("d1 f32", (23.4, 1.5), "92 ccea ca3fc00000"),
    ],
)
def test_bytes_of_values(types: str, values: tuple[Value, ...], expected: str) -> None:
    """Float32 where the point is float32, integers for decimals, float64 when nothing else will
    do."""
    assert _pack(types, *values) == bytes.fromhex(expected)


def test_nil_and_causes() -> None:
    """A bad value is nil; one cause for all is one integer, with and without splicing."""
    down = (Cause.NO_REPLY, Cause.NO_REPLY)
    mixed = (Cause.NONE, Cause.NO_REPLY)
    assert _pack("f32 f32", None, None, causes=down) == bytes.fromhex("92c0c0 01")
    assert _pack("f64 d1", None, None, causes=down) == bytes.fromhex("92c0c0 01")
    assert _pack("f32 f32", 0.0, None, causes=mixed) == bytes.fromhex("92ca00000000c0 920001")


def test_long_blocks_and_batches() -> None:
    """Array headers past 15 elements, spliced and not, together in one payload."""
    schema = Schema(
        (
            SchemaBlock("a", 1.0, tuple(SchemaPoint(f"p{i}", "", "f64") for i in range(20))),
            SchemaBlock("b", 1.0, tuple(SchemaPoint(f"p{i}", "", "f32") for i in range(20))),
        )
    )
    rows = [Row(i % 2, i * 100_000, (0.5,) * 20) for i in range(40)]
    assert unpack_rows(RowsPacker(1, schema).pack(rows), schema) == rows


def test_dt_counts_from_the_row_before() -> None:
    """Times are ticks since the row before, and may go back."""
    packer = RowsPacker(1, _schema("i64"))
    payload = packer.pack([Row(0, t * 100_000, (0,)) for t in (100, 105, 103)])
    assert payload == bytes.fromhex("93 01 64 93 93 00 00 9100 93 00 05 9100 93 00 fe 9100")
