"""A segment as bytes: its header, its trailer and its records.

Owns the on-disk format (`docs/spool.md`). Never touches a file. Pure.

A segment is ``header | records … | trailer``. Header and trailer say the same (format version,
gateway id, epoch, boot id, schemas), so that either may be destroyed; a *sealed* segment's trailer
also says exactly which seqs the segment holds, so that only unsealed segments are read at start.
Behind the records lie bytes of the file's earlier life: they belong to another epoch (the CRC's
seed differs) or have a lower seq than the header's `first_seq`, and are never taken for records.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from struct import Struct

import msgpack

from gateway.wire.message import Interval
from gateway.wire.record import HEADER_SIZE, MAX_PAYLOAD, Record, epoch_seed

FORMAT_VERSION = 1
MAGIC = b"GWSPOOL" + bytes([FORMAT_VERSION])
_FRAME = Struct("<II")  # length and CRC-32 of the body
FRAME_SIZE = len(MAGIC) + _FRAME.size
MAX_BODY = 1 << 18
"""Bytes of a header's body; schemas are compressed, 208 points take 0.9 KB."""
MAX_SCHEMAS = 8 << 20
"""Bytes of the schemas of one segment once decompressed (a bomb guard)."""
MAX_ORDINAL = 1 << 40
SEAL_SPARE = 512
"""Bytes a seal may take on top of the header's body and its intervals."""
INTERVAL_SIZE = 20
RESYNC_BUDGET = 64
"""How many times its own size a segment may be fed to CRC while looking for the next record."""

_NAME = re.compile(r"([0-9a-f]{8,10})-([0-9a-f]{8,10})-([0-9a-f]{16})\.seg")
# A record's header: length below 64 KiB, a kind, a seq below 2**48 (its two highest bytes are 0).
_PLAUSIBLE = re.compile(rb"(?=.{6}\x00[^\x00].{8}\x00\x00)", re.DOTALL)
_HEAD = Struct("<IHBBHQ")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a sealed segment holds. Times are CLOCK_BOOTTIME ns of the epoch's boot, 0 unknown."""

    end: int
    intervals: tuple[Interval, ...]
    readings: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself. `schemas`: sid → encoded schema of the whole epoch so far.

    `created_ns`: CLOCK_BOOTTIME when it was begun. `summary` only in the trailer of a sealed one.
    """

    gateway_id: str
    epoch: int
    boot_id: bytes
    ordinal: int
    index: int
    first_seq: int
    created_ns: int
    schemas: tuple[tuple[int, bytes], ...]
    summary: Summary | None = None

    @property
    def name(self) -> str:
        """The file's name: by (epoch ordinal, index), never by seq."""
        return segment_name(self.ordinal, self.index, self.epoch)


class Flaw(Enum):
    """Why a header cannot be used."""

    DAMAGED = "damaged"
    VERSION = "another format version"


def segment_name(ordinal: int, index: int, epoch: int) -> str:
    """Return a segment's file name."""
    return f"{ordinal:08x}-{index:08x}-{epoch:016x}.seg"


def parse_name(name: str) -> tuple[int, int, int] | None:
    """Return (ordinal, index, epoch) of a file name, or ``None`` if it is not a segment's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    ordinal, index, epoch = (int(part, 16) for part in match.groups())
    return ordinal, index, epoch


def encode_header(header: SegmentHeader, *, trailer: bool = False) -> bytes:
    """Return the header's (or, length behind the body, the trailer's) bytes."""
    summary = header.summary
    body: bytes = msgpack.packb(
        [
            header.gateway_id,
            header.epoch,
            header.boot_id,
            header.ordinal,
            header.index,
            header.first_seq,
            header.created_ns,
            zlib.compress(msgpack.packb([list(pair) for pair in header.schemas]), 9),
            summary
            and [
                summary.end,
                [list(pair) for pair in summary.intervals],
                summary.readings,
                summary.first_ns,
                summary.last_ns,
            ],
        ]
    )
    frame = _FRAME.pack(len(body), zlib.crc32(body))
    return body + frame + MAGIC if trailer else MAGIC + frame + body


def decode_header(data: bytes | memoryview) -> SegmentHeader | Flaw:
    """Read the header at the start of `data`."""
    start = bytes(data[: len(MAGIC)])
    if start != MAGIC:
        return Flaw.VERSION if start[:-1] == MAGIC[:-1] else Flaw.DAMAGED
    if len(data) < FRAME_SIZE:
        return Flaw.DAMAGED
    length, crc = _FRAME.unpack_from(data, len(MAGIC))
    if length > MAX_BODY or FRAME_SIZE + length > len(data):
        return Flaw.DAMAGED
    return _decode_body(bytes(data[FRAME_SIZE : FRAME_SIZE + length]), crc)


def header_size(data: bytes | memoryview) -> int:
    """Return the size of the valid header at the start of `data`."""
    return FRAME_SIZE + int(_FRAME.unpack_from(data, len(MAGIC))[0])


def decode_trailer(data: bytes | memoryview) -> SegmentHeader | Flaw:
    """Read the trailer at the end of `data`."""
    size = len(data)
    if size < FRAME_SIZE:
        return Flaw.DAMAGED
    end = bytes(data[size - len(MAGIC) :])
    if end != MAGIC:
        return Flaw.VERSION if end[:-1] == MAGIC[:-1] else Flaw.DAMAGED
    length, crc = _FRAME.unpack_from(data, size - FRAME_SIZE)
    if length > MAX_BODY or FRAME_SIZE + length > size:
        return Flaw.DAMAGED
    return _decode_body(bytes(data[size - FRAME_SIZE - length : size - FRAME_SIZE]), crc)


def _decode_body(body: bytes, crc: int) -> SegmentHeader | Flaw:
    if zlib.crc32(body) != crc:
        return Flaw.DAMAGED
    try:
        fields = msgpack.unpackb(body)
        packed = zlib.decompressobj()
        schemas = msgpack.unpackb(packed.decompress(fields[7], MAX_SCHEMAS))
        summary = fields[8] and _decode_summary(*fields[8][:5])
        return SegmentHeader(
            str(fields[0]),
            int(fields[1]) & 0xFFFF_FFFF_FFFF_FFFF,
            bytes(fields[2]),
            int(fields[3]),
            int(fields[4]),
            int(fields[5]),
            int(fields[6]),
            tuple((int(sid), bytes(schema)) for sid, schema in schemas),
            summary,
        )
    except (ValueError, TypeError, IndexError, KeyError, zlib.error, msgpack.UnpackException):
        return Flaw.DAMAGED  # the CRC is right: written by a program that is not ours


def _decode_summary(
    end: int, intervals: list[list[int]], readings: int, first_ns: int, last_ns: int
) -> Summary:
    pairs = tuple((int(first), int(last)) for first, last in intervals)
    if any(not 0 < first <= last < 1 << 63 for first, last in pairs):
        raise ValueError("intervals")
    return Summary(int(end), pairs, int(readings), int(first_ns), int(last_ns))


@dataclass(frozen=True, slots=True)
class Scan:
    """Records found from one place on. `next_at`: where to go on, or `end`.

    `holes`: (seq before, seq after) of each damaged stretch that has a valid record behind it.
    """

    records: list[Record]
    next_at: int
    holes: tuple[Interval, ...]


def scan(data: bytes, epoch: int, at: int, end: int, after: int, size: int | None = None) -> Scan:
    """Return the valid records of `epoch` in data[at:end] whose seq is above `after`.

    Steps over damage (zero runs too) and stops once about `size` bytes of records were found.
    `data` is a whole segment's records; `at` must be where a record starts, or damage.
    """
    seed = epoch_seed(epoch)
    records: list[Record] = []
    holes: list[Interval] = []
    stop = end if size is None else min(end, at + size)
    crc32 = zlib.crc32
    unpack_from = _HEAD.unpack_from
    last_head = end - HEADER_SIZE
    budget = RESYNC_BUDGET * max(end, 1)
    append = records.append
    while at < stop:
        if at <= last_head:
            crc, low, high, kind, readings, seq = unpack_from(data, at)
            behind = at + HEADER_SIZE + low
            if seq > after and behind <= end and not high and low <= MAX_PAYLOAD:
                whole = data[at:behind]
                if crc32(whole[4:], seed) == crc:
                    append(Record(seq, kind, readings, whole))
                    after = seq
                    at = behind
                    continue
        at, budget = _resync(data, seed, at + 1, end, after, budget)
        if at < end:
            holes.append((after, unpack_from(data, at)[5]))
    return Scan(records, at, tuple(holes))


def _resync(data: bytes, seed: int, at: int, end: int, after: int, budget: int) -> tuple[int, int]:
    """Return where the next record starts (or `end`), and the CRC bytes left to spend."""
    for match in _PLAUSIBLE.finditer(data, at, end):
        start = match.start()
        crc, low, high, _, _, seq = _HEAD.unpack_from(data, start)
        behind = start + HEADER_SIZE + (low | high << 16)
        if behind > end or seq <= after or low > MAX_PAYLOAD:
            continue
        budget -= behind - start
        if budget < 0:  # only a file made to waste our time gets here
            break
        if zlib.crc32(data[start + 4 : behind], seed) == crc:
            return start, budget
    return end, budget


def intervals_of(records: list[Record]) -> Iterator[Interval]:
    """Yield the seqs of ascending records as intervals."""
    if not records:
        return
    first = last = records[0].seq
    for record in records:
        if record.seq > last + 1:
            yield first, last
            first = record.seq
        last = record.seq
    yield first, last
