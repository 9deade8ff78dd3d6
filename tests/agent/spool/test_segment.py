"""The bytes of a segment: nothing but its own records is ever found in them."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.spool.segment import (
    FRAME_SIZE,
    MAGIC,
    Flaw,
    SegmentHeader,
    Summary,
    decode_header,
    decode_trailer,
    encode_header,
    header_size,
    intervals_of,
    parse_name,
    scan,
    segment_name,
)
from gateway.wire.record import epoch_seed, pack

EPOCH = 0x1122334455667788
HEADER = SegmentHeader(
    "site-042", EPOCH, bytes(16), 7, 3, 100, 5_000, ((1, b"schema one"), (2, b"two")),
)  # fmt: skip
SUMMARY = Summary(4096, ((100, 120), (130, 131)), 253, 1, 2)


def records(first: int, count: int, size: int = 40, epoch: int = EPOCH) -> list:
    seed = epoch_seed(epoch)
    return [pack(seed, first + i, 1, 11, bytes([i % 256]) * size) for i in range(count)]


def stored(some: list) -> bytes:
    return b"".join(record.data for record in some)


def found_in(data: bytes, after: int = 0, at: int = 0) -> list[int]:
    return [r.seq for r in scan(data, EPOCH, at, len(data), after).records]


def test_header_and_trailer_round_trip():
    """Header and trailer give back what was put in, whatever lies around them."""
    sealed = SegmentHeader(
        **{n: getattr(HEADER, n) for n in HEADER.__slots__} | {"summary": SUMMARY}
    )
    data = encode_header(HEADER) + b"records" + encode_header(sealed, trailer=True)
    assert decode_header(data) == HEADER
    assert decode_trailer(data) == sealed
    assert data[header_size(data) :].startswith(b"records")


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_of_a_header_is_noticed(place, change):
    """A header with a wrong byte is damaged (or of another version), never believed."""
    data = bytearray(encode_header(HEADER))
    data[place % len(data)] ^= change
    assert isinstance(decode_header(data), Flaw)
    data = bytearray(encode_header(HEADER, trailer=True))
    data[place % len(data)] ^= change
    assert isinstance(decode_trailer(data), Flaw)


@given(st.binary(max_size=200))
def test_garbage_is_no_header(garbage):
    """Garbage is damage, at either end."""
    assert decode_header(garbage) is Flaw.DAMAGED
    assert decode_trailer(garbage) is Flaw.DAMAGED
    assert isinstance(decode_header(MAGIC + garbage), Flaw)
    assert isinstance(decode_trailer(garbage + MAGIC), Flaw)


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        msgpack.packb(7),
        msgpack.packb([]),
        msgpack.packb(["g", 1, b"", 0, 0, 1, 0, b"?", 0]),
    ],
)
def test_a_valid_crc_over_nonsense_is_damage(body):
    """A frame some other program wrote with a right CRC is not believed either."""
    import zlib

    frame = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little")
    assert decode_header(MAGIC + frame + body) is Flaw.DAMAGED
    assert decode_trailer(body + frame + MAGIC) is Flaw.DAMAGED


def test_another_version_is_told_apart_from_damage():
    """A segment of a later format is not taken for garbage."""
    data = bytearray(encode_header(HEADER))
    data[len(MAGIC) - 1] += 1
    assert decode_header(data) is Flaw.VERSION


def test_names():
    """A name is made of ordinal, index and epoch, and nothing else parses."""
    name = segment_name(7, 3, EPOCH)
    assert name == "00000007-00000003-1122334455667788.seg" == HEADER.name
    assert parse_name(name) == (7, 3, EPOCH)
    for other in ("x.seg", name + "x", name.upper(), "7-3-1.seg", "00000007.free"):
        assert parse_name(other) is None


def test_scan_finds_every_record_and_stops_at_a_stride():
    """A sound stretch is read to its end, or to about the size asked for."""
    some = records(1, 100)
    data = stored(some)
    result = scan(data, EPOCH, 0, len(data), 0)
    assert (result.records, result.next_at, result.holes) == (some, len(data), ())
    part = scan(data, EPOCH, 0, len(data), 0, 500)
    assert part.records == some[: len(part.records)]
    assert 500 <= part.next_at < 600
    rest = scan(data, EPOCH, part.next_at, len(data), part.records[-1].seq)
    assert part.records + rest.records == some


@given(st.data())
def test_damage_costs_only_what_it_touches(data):
    """Whatever is overwritten, only the records it touches are missing and none is changed."""
    some = records(10, 60, 50)
    whole = stored(some)
    stretch = bytearray(whole)
    size = len(some[0].data)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(stretch) - 1))
        noise = data.draw(st.one_of(st.binary(min_size=1, max_size=200), st.just(bytes(700))))
        noise = noise[: len(stretch) - start]
        stretch[start : start + len(noise)] = noise
    touched = {i // size for i, byte in enumerate(stretch) if byte != whole[i]}
    result = scan(bytes(stretch), EPOCH, 0, len(stretch), 9)
    assert result.records == [record for i, record in enumerate(some) if i not in touched]
    for before, after in result.holes:
        assert all(i in touched for i in range(before + 1 - 10, after - 10))


def test_stale_records_are_not_found():
    """What a recycled file held before (another epoch, or a lower seq) is never a record."""
    old = stored(records(500, 20)) + stored(records(700, 20, epoch=EPOCH + 1))
    new = stored(records(600, 3))
    assert found_in(new + old[len(new) :], 599) == [600, 601, 602]


def test_a_long_run_of_zeros_is_stepped_over():
    """Records behind half a megabyte of zeros are found."""
    assert found_in(stored(records(1, 2)) + bytes(500_000) + stored(records(9, 2))) == [1, 2, 9, 10]


def test_a_file_made_to_waste_time_is_given_up():
    """Headers that promise 32 KiB everywhere cost a bounded number of CRC bytes."""
    bait = bytes(4) + (32_768).to_bytes(2, "little") + b"\x00\x01" + b"\x00\x00"
    bait += (1 << 40).to_bytes(8, "little")
    assert found_in(bait * 20_000) == []


def test_intervals_of_records():
    """Ascending records are told as intervals."""
    some = records(1, 3) + records(7, 1) + records(9, 2)
    assert list(intervals_of(some)) == [(1, 3), (7, 7), (9, 10)]
    assert list(intervals_of([])) == []
    assert FRAME_SIZE == 16
