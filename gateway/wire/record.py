"""Records: the stored form, which is also the wire form.

A record is a header of 18 bytes and a MessagePack payload. The CRC covers everything behind it and
is
seeded with the epoch, so that bytes left over from another epoch in a recycled segment never
verify.

Header, little-endian: crc32 u32, payload length u24, kind u8, readings u16, seq u64.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

from gateway.errors import RemoteProtocolError

HEADER_SIZE = 18
MAX_PAYLOAD = 32 * 1024
"""Bytes; one second of 1,000 readings a second is 5 KB."""
MAX_READINGS = 0xFFFF
_HEAD = struct.Struct("<IHBBHQ")  # crc, length low 16, length high 8, kind, readings, seq


class RecordKind(IntEnum):
    """What a record's payload is (`docs/protocol.md`). Unknown kinds are stored, not understood."""

    ROWS = 1
    EVENT = 2
    GAP = 3
    ANCHOR = 4
    END = 5
    HOST = 6


@dataclass(slots=True, unsafe_hash=True)
class Record:
    """One record. `data` is header and payload exactly as stored and sent.

    Never changed, but not frozen: both ends make one for each record, and a frozen one costs twice
    the time.
    """

    seq: int
    kind: int
    readings: int
    data: bytes

    @property
    def payload(self) -> memoryview:
        return memoryview(self.data)[HEADER_SIZE:]


def epoch_seed(epoch: int) -> int:
    """Return the CRC seed of an epoch (u64): CRC-32 of its eight little-endian bytes."""
    return crc32(epoch.to_bytes(8, "little"))


def pack(seed: int, seq: int, kind: int, readings: int, payload: bytes) -> Record:
    """Build a record. Raises: ValueError past `MAX_PAYLOAD` or `MAX_READINGS` (a bug of the
    caller)."""
    length = len(payload)
    if length > MAX_PAYLOAD or readings > MAX_READINGS:
        raise ValueError(
            f"record of {length} bytes, {readings} readings: limits {MAX_PAYLOAD}, {MAX_READINGS}"
        )
    head = _HEAD.pack(0, length & 0xFFFF, length >> 16, kind, readings, seq)[4:]
    crc = crc32(payload, crc32(head, seed))
    return Record(seq, kind, readings, crc.to_bytes(4, "little") + head + payload)


def unpack_from(seed: int, data: bytes | memoryview, offset: int = 0) -> Record | None:
    """Return the record at `offset`, or ``None`` if no valid record of that epoch starts there."""
    if offset + HEADER_SIZE > len(data):
        return None
    crc, low, high, kind, readings, seq = _HEAD.unpack_from(data, offset)
    length = low | high << 16
    end = offset + HEADER_SIZE + length
    if length > MAX_PAYLOAD or end > len(data):
        return None
    if crc32(data[offset + 4 : end], seed) != crc:
        return None
    return Record(seq, kind, readings, bytes(data[offset:end]))


def unpack_all(seed: int, body: bytes) -> list[Record]:
    """Split a message body into its records.

    Raises: RemoteProtocolError when a record is damaged or cut short (nothing of the body is used).
    """
    size = len(body)
    if size >= HEADER_SIZE:  # live data: one record a message, so nothing need be cut out of it
        crc, low, high, kind, readings, seq = _HEAD.unpack_from(body)
        length = low | high << 16
        if length == size - HEADER_SIZE and length <= MAX_PAYLOAD and crc32(body[4:], seed) == crc:
            return [Record(seq, kind, readings, body)]
    records = []
    offset = 0
    while offset < size:
        record = unpack_from(seed, body, offset)
        if record is None:
            raise RemoteProtocolError(f"damaged record at byte {offset} of {size}", 1007)
        records.append(record)
        offset += len(record.data)
    return records
