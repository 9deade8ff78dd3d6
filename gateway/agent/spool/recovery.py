"""Starting with whatever the directory holds.

Owns the reading of a spool directory: which files are segments, what they hold, what of it is
damaged. Reads headers and trailers, and the records of unsealed segments only; sealed ones are
verified while they drain. `survey` changes nothing (the command `gateway spool` uses it beside a
running daemon); `recover` also tidies up. Never fails because of what a file contains.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gateway.agent.spool.disk import PAGE, Disk
from gateway.agent.spool.epochs import EpochBook, Segment
from gateway.agent.spool.gaps import UNKNOWN, record_ns
from gateway.agent.spool.intervals import Intervals
from gateway.agent.spool.pool import Pool
from gateway.agent.spool.segment import (
    FRAME_SIZE,
    MAX_BODY,
    MAX_ORDINAL,
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
)
from gateway.wire.message import Gap, GapReason, Interval

_LOOK = 2 * PAGE
MAX_SEGMENT = 64 * 1024 * 1024
"""A larger file is not a segment (settings allow 16 MiB)."""
NO_BOOT = bytes(16)
_NO_RECORDS = "no header and no record can be read"


@dataclass(frozen=True, slots=True)
class Stranger:
    """A file that is not a segment of this spool, and why."""

    path: str
    why: str


@dataclass(slots=True)
class Survey:
    """What a directory holds. `holes`: lost seqs of an epoch, found while scanning."""

    books: list[EpochBook] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)
    holes: list[tuple[EpochBook, Interval]] = field(default_factory=list)
    damaged: list[Segment] = field(default_factory=list)
    unused: list[tuple[str, int]] = field(default_factory=list)
    """(path, size) of segments that were begun and hold nothing: cut off before their first
    commit was complete."""
    names: list[tuple[str, int, bool]] = field(default_factory=list)
    ordinal: int = 0
    """The highest ordinal seen."""


def survey(disk: Disk, directory: str, gateway_id: str | None) -> Survey:
    """Read a spool directory. `gateway_id`: whose segments count, ``None``: everyone's.

    Raises: OSError when the directory itself cannot be read.
    """
    found = Survey(names=disk.names(directory))
    segments = []
    shared = _Schemas()
    for name, size, regular in found.names:
        if not name.endswith(".seg"):
            continue
        path = os.path.join(directory, name)
        named = parse_name(name)
        if named and named[0] < MAX_ORDINAL:
            found.ordinal = max(found.ordinal, named[0])
        if not regular or size > MAX_SEGMENT:
            found.strangers.append(Stranger(path, "not a regular file" if not regular else "size"))
            continue
        segment = _examine(disk, path, size, named)
        if isinstance(segment, str) and segment == _NO_RECORDS and named and _newest(named, found):
            found.unused.append((path, size))
        elif isinstance(segment, str):
            found.strangers.append(Stranger(path, segment))
        elif gateway_id is not None and segment.header.gateway_id not in (gateway_id, ""):
            found.strangers.append(
                Stranger(path, f"of another gateway: {segment.header.gateway_id[:64]!r}")
            )
        else:
            segment.header = replace(segment.header, schemas=shared(segment.header.schemas))
            segments.append(segment)
    _arrange(found, segments)
    return found


class _Schemas:
    """Lets headers that say the same schemas hold one copy: a full spool has a thousand of them."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, bytes] = {}
        self._lists: dict[tuple[tuple[int, bytes], ...], tuple[tuple[int, bytes], ...]] = {}

    def __call__(self, schemas: tuple[tuple[int, bytes], ...]) -> tuple[tuple[int, bytes], ...]:
        """Return the copy to hold."""
        if schemas not in self._lists:
            held = tuple((sid, self._bodies.setdefault(body, body)) for sid, body in schemas)
            self._lists[held] = held
        return self._lists[schemas]


def _arrange(found: Survey, segments: list[Segment]) -> None:
    """Put segments into the books of their epochs, oldest first."""
    books: dict[int, EpochBook] = {}
    segments.sort(key=lambda s: (s.header.ordinal, s.header.index, s.header.first_seq, s.path))
    for segment in segments:
        header = segment.header
        if header.ordinal < MAX_ORDINAL:
            found.ordinal = max(found.ordinal, header.ordinal)
        book = books.get(header.epoch)
        if book is None:
            book = books[header.epoch] = EpochBook(header.epoch, header.boot_id, header.ordinal)
            found.books.append(book)
        if book.boot_id == NO_BOOT:
            book.boot_id = header.boot_id
        book.adopt(segment)
    for book in found.books:
        book.segments.sort(key=lambda s: s.header.first_seq)
        found.holes.extend((book, hole) for hole in _holes(book))
        found.damaged += [segment for segment in book.segments if segment.flaw]


def _holes(book: EpochBook) -> Iterator[Interval]:
    """Yield the seqs that damage may have cost: around it, and behind a segment cut short."""
    lost = Intervals()
    for segment in book.segments:
        if segment.flaw:
            lost.update(segment.landmarks)
            segment.landmarks = []
    for segment, following in zip(book.segments, book.segments[1:], strict=False):
        if not segment.sealed or not following.header.gateway_id:
            last = segment.held.last if segment.held else segment.header.first_seq - 1
            if last + 1 < following.header.first_seq:
                lost.add(last + 1, following.header.first_seq - 1)
                segment.flaw = segment.flaw or "records missing at its end"
    lost.subtract(book.held.pairs())
    yield from lost


def _newest(named: tuple[int, int, int], found: Survey) -> bool:
    """Tell whether no later segment of an epoch is there, going by the names."""
    later = (parse_name(name) for name, _, _ in found.names)
    return not any(n and n[0] == named[0] and n[1] > named[1] for n in later)


def _examine(disk: Disk, path: str, size: int, named: tuple[int, int, int] | None) -> Segment | str:
    """Return a file as a segment, or why it is none."""
    try:
        fd = disk.open(path, read_only=True)
    except OSError as error:
        return f"cannot be opened: {os.strerror(error.errno or errno.EIO)}"
    try:
        head, start = _header(disk, fd, size)
        trailer = _trailer(disk, fd, size)
        if isinstance(head, Flaw) and isinstance(trailer, Flaw):
            if Flaw.VERSION in (head, trailer):
                return "of another format version"
            if named is None:
                return "neither header nor name can be read"
        segment = _identify(path, size, named, head, trailer)
        segment.start = start
        if not segment.sealed:
            _scan(disk, fd, segment)
            if not segment.records and isinstance(head, Flaw):
                return _NO_RECORDS
        return segment
    except OSError as error:
        return f"cannot be read: {os.strerror(error.errno or errno.EIO)}"
    finally:
        disk.close(fd)


def _header(disk: Disk, fd: int, size: int) -> tuple[SegmentHeader | Flaw, int]:
    """Return the header and where the records start behind it (0: nobody knows)."""
    data = disk.read_all(fd, min(size, _LOOK))
    header = decode_header(data)
    if header is Flaw.DAMAGED and size > _LOOK:
        header = decode_header(disk.read_all(fd, min(size, FRAME_SIZE + MAX_BODY)))
    return header, 0 if isinstance(header, Flaw) else header_size(data)


def _trailer(disk: Disk, fd: int, size: int) -> SegmentHeader | Flaw:
    look = min(size, _LOOK)
    trailer = decode_trailer(disk.read_all(fd, look, size - look))
    if trailer is Flaw.DAMAGED and size > _LOOK:
        look = min(size, FRAME_SIZE + MAX_BODY)
        trailer = decode_trailer(disk.read_all(fd, look, size - look))
    return trailer


def _identify(
    path: str,
    size: int,
    named: tuple[int, int, int] | None,
    head: SegmentHeader | Flaw,
    trailer: SegmentHeader | Flaw,
) -> Segment:
    """Decide whose word counts: the header's, else the trailer's, else the name's."""
    summary: Summary | None = None
    flaw: str | None = None
    if not isinstance(head, Flaw):
        header = head
        if not isinstance(trailer, Flaw) and replace(trailer, summary=None) == head:
            summary = trailer.summary
    elif not isinstance(trailer, Flaw):
        header = replace(trailer, summary=None)
        flaw = "header destroyed"
        # A trailer may be left over from the file's earlier life; then the name is another one.
        if named is None or (trailer.ordinal, trailer.index, trailer.epoch) == named:
            summary = trailer.summary
    else:
        assert named is not None
        header = SegmentHeader("", named[2], NO_BOOT, named[0], named[1], 1, 0, ())
        flaw = "header and trailer destroyed"
    segment = Segment(path, size, header, 0, size, Intervals(), flaw=flaw)
    if summary is not None and 0 <= summary.end <= size:
        segment.sealed = True
        segment.end = summary.end
        segment.held = Intervals(summary.intervals)
        segment.records = segment.held.count()
        segment.readings = summary.readings
        segment.first_ns = summary.first_ns
        segment.last_ns = summary.last_ns
    return segment


def _scan(disk: Disk, fd: int, segment: Segment) -> None:
    """Read an unsealed segment's records. Its holes are left in `landmarks` for `_holes`."""
    data = disk.read_all(fd, segment.size)
    header = segment.header
    result = scan(data, header.epoch, segment.start, len(data), header.first_seq - 1)
    records = result.records
    holes = list(result.holes)
    if records and not header.gateway_id:  # nobody told its first seq
        first = records[0].seq
        segment.header = header = replace(header, first_seq=first)
        holes = [hole for hole in holes if hole[0] >= first or not header.index]
    if holes:
        segment.flaw = segment.flaw or "damaged records"
    segment.landmarks = [(b + 1, a - 1) for b, a in holes if a > b + 1]
    segment.held.update(intervals_of(records))
    segment.records = len(records)
    segment.readings = sum(record.readings for record in records)
    segment.end = segment.start + sum(len(record.data) for record in records)
    if result.holes:
        segment.end = len(data)
    if records:
        segment.first_ns = record_ns(records[0])
        segment.last_ns = record_ns(records[-1])


@dataclass(slots=True)
class Recovered:
    """A directory that is ready for a new epoch. `gaps`: what was lost; `notes`: (path, why)."""

    books: list[EpochBook]
    ordinal: int
    gaps: list[Gap]
    notes: list[Stranger]


def recover(disk: Disk, pool: Pool, gateway_id: str) -> Recovered:
    """Take stock of the pool's directory, tidy it up, reserve the space that is left to reserve."""
    found = survey(disk, pool.directory, gateway_id)
    pool.find(found.names)
    notes = list(found.strangers)
    for stranger in found.strangers:
        try:
            pool.quarantine(stranger.path)
        except OSError as error:
            notes.append(Stranger(stranger.path, f"cannot be moved to quarantine: {error}"))
    pool.in_use = sum(size for _, size in found.unused)
    for book in found.books:
        pool.in_use += sum(segment.size for segment in book.segments)
    for book in found.books:
        for segment in list(book.segments):
            _tidy(disk, pool, book, segment, notes)
    for path, size in found.unused:
        try:
            pool.release(path, size)
        except OSError as error:
            notes.append(Stranger(path, f"cannot be recycled: {error.strerror}"))
    try:
        pool.reserve()
    except OSError as error:  # a full disk: what is here can still be drained, and recycled
        notes.append(Stranger(pool.directory, f"no space can be reserved: {error.strerror}"))
    gaps = [
        Gap(book.epoch, first, last, GapReason.DAMAGED, 0, 0, UNKNOWN)
        for book, (first, last) in found.holes
    ]
    notes += [Stranger(s.path, s.flaw or "damaged") for s in found.damaged]
    books = [book for book in found.books if book.segments]
    return Recovered(books, found.ordinal + 1, gaps, notes)


def _tidy(disk: Disk, pool: Pool, book: EpochBook, segment: Segment, notes: list[Stranger]) -> None:
    """Recycle an empty segment; seal an unsealed one at its end and give its unused space back."""
    try:
        if not segment.held:
            book.segments.remove(segment)
            segment.gone = True
            pool.release(segment.path, segment.size, sound=segment.flaw is None)
        elif segment.flaw is None:
            _seal_short(disk, pool, segment)
    except OSError as error:
        notes.append(Stranger(segment.path, f"cannot be tidied: {error}"))


def _seal_short(disk: Disk, pool: Pool, segment: Segment) -> None:
    """Seal behind the last record and cut: many short epochs must not use up the quota.

    The new seal counts only once the file ends with it; until then what was there counts.
    """
    summary = Summary(
        segment.end,
        segment.held.pairs(),
        segment.readings,
        segment.first_ns,
        segment.last_ns,
    )
    trailer = encode_header(replace(segment.header, summary=summary), trailer=True)
    size = -(-(segment.end + len(trailer)) // PAGE) * PAGE
    if size * 4 > segment.size * 3:
        return
    fd = disk.open(segment.path)
    try:
        disk.write_all(fd, trailer, size - len(trailer))
        disk.fdatasync(fd)
        disk.truncate(fd, size)
        disk.fsync(fd)
    finally:
        disk.close(fd)
    pool.in_use += size - segment.size
    segment.size = size
    segment.sealed = True
