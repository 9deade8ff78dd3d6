"""Pins the record's bytes: header, CRC with the epoch's seed, splitting."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.wire import record
from gateway.wire.record import HEADER_SIZE, MAX_PAYLOAD

RECORDS = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.binary(max_size=300),
)


@given(RECORDS)
def test_round_trip(values: tuple[int, int, int, int, bytes]) -> None:
    """A record comes back from its bytes, at any offset, and only under its epoch."""
    epoch, seq, kind, readings, payload = values
    seed = record.epoch_seed(epoch)
    item = record.pack(seed, seq, kind, readings, payload)
    assert len(item.data) == HEADER_SIZE + len(payload)
    assert record.unpack_from(seed, b"xyz" + item.data + b"tail", 3) == item
    assert bytes(item.payload) == payload
    assert record.unpack_from(record.epoch_seed(epoch ^ 1), item.data) is None


@given(RECORDS, st.data())
def test_any_flipped_bit_is_noticed(
    values: tuple[int, int, int, int, bytes], data: st.DataObject
) -> None:
    """One bit anywhere in header or payload makes the record invalid."""
    epoch, seq, kind, readings, payload = values
    seed = record.epoch_seed(epoch)
    spoilt = bytearray(record.pack(seed, seq, kind, readings, payload).data)
    at = data.draw(st.integers(0, len(spoilt) * 8 - 1))
    spoilt[at // 8] ^= 1 << at % 8
    assert record.unpack_from(seed, bytes(spoilt)) is None


def test_crc_is_as_documented() -> None:
    """The CRC is zlib's over bytes 4.., continued from that of the epoch's little-endian bytes."""
    item = record.pack(record.epoch_seed(5), 1, 5, 0, b"\x90")
    seed = zlib.crc32((5).to_bytes(8, "little"))
    assert int.from_bytes(item.data[:4], "little") == zlib.crc32(item.data[4:], seed)


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_unpack_all(payloads: list[bytes]) -> None:
    """A body splits into its records."""
    items = [record.pack(9, n + 1, 1, 0, payload) for n, payload in enumerate(payloads)]
    assert record.unpack_all(9, b"".join(item.data for item in items)) == items


def test_a_cut_body_is_refused_whole() -> None:
    """A record that is cut short spoils the body."""
    data = record.pack(9, 1, 1, 0, b"payload").data
    for cut in range(1, len(data)):
        with pytest.raises(RemoteProtocolError, match="damaged record at byte"):
            record.unpack_all(9, data + data[:cut])


def test_a_record_alone_is_held_to_the_limit_too() -> None:
    """What says more than `MAX_PAYLOAD` is no record, though its CRC is right."""
    for size, fits in ((MAX_PAYLOAD, True), (MAX_PAYLOAD + 1, False)):
        head = struct.pack("<HBBHQ", size & 0xFFFF, size >> 16, 1, 1, 1)
        body = zlib.crc32(head + bytes(size), 9).to_bytes(4, "little") + head + bytes(size)
        if fits:
            (alone,) = record.unpack_all(9, body)
            assert alone.data == body
            continue
        with pytest.raises(RemoteProtocolError, match="damaged record at byte 0"):
            record.unpack_all(9, body)


def test_limits() -> None:
    """A payload or count past the limit is a bug of the caller; a stated length past it is none."""
    assert record.pack(0, 1, 1, 0xFFFF, bytes(MAX_PAYLOAD))
    with pytest.raises(ValueError, match="limits"):
        record.pack(0, 1, 1, 0, bytes(MAX_PAYLOAD + 1))
    with pytest.raises(ValueError, match="limits"):
        record.pack(0, 1, 1, 0x10000, b"")
    assert record.unpack_from(0, bytes(4) + b"\xff\xff\xff" + bytes(MAX_PAYLOAD + 40)) is None
