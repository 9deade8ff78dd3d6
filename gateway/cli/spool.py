"""`gateway spool`: look into a spool, whether or not a daemon has it open.

Owns the command's words and how the findings are printed. Only ever reads; a daemon may write and
recycle meanwhile, so a record may be counted that was acked a moment ago. Records that the centre
already has are counted as long as their segment still holds others: the disk does not know of acks.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.agent.spool.disk import Disk
from gateway.agent.spool.epochs import EpochBook
from gateway.agent.spool.reader import read_held
from gateway.agent.spool.recovery import Survey, survey
from gateway.errors import ConfigError, RemoteProtocolError
from gateway.process.clock import Clock, HostFiles
from gateway.process.files import load_agent
from gateway.reading import Cause, Schema, SchemaBlock, Value
from gateway.wire.message import Gap, GapReason
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import decode_schema, rows_sid, unpack_anchor, unpack_gap, unpack_rows

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")
QUESTIONS = ("depth", "ranges", "gaps", "export")
COLUMNS = (
    "gateway_id",
    "epoch",
    "seq",
    "source",
    "point",
    "unit",
    "boottime_s",
    "time",
    "value",
    "quality",
    "cause",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the question, and where the spool is."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="depth|ranges|gaps|export",
        help="what to tell (default: depth), then the config file or the spool's directory "
        f"(default: {DEFAULT_CONFIG})",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's config file")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="the spool's directory")
    parser.add_argument(
        "--format", choices=("csv", "jsonl"), default="csv", help="of export (default: csv)"
    )


def run(args: argparse.Namespace) -> int:
    """Answer one question. Raises: ConfigError; OSError when the directory cannot be read."""
    question, directory = _asked(args)
    try:
        found = survey(Disk(), str(directory), None)
    except OSError as error:
        raise ConfigError(
            f"{directory}: no spool can be read here ({error.strerror}); give the config file, or "
            "--directory"
        ) from error
    match question:
        case "ranges":
            _print_ranges(found)
        case "gaps":
            _print_gaps(found)
        case "export":
            return _export(found, args.format)
        case _:
            _print_depth(directory, found)
    return 0


def _asked(args: argparse.Namespace) -> tuple[str, Path]:
    words: list[str] = list(args.words)
    question = words.pop(0) if words and words[0] in QUESTIONS else "depth"
    if len(words) > 1:
        raise ConfigError(
            f"{' '.join(words)}: too many words; the questions are {', '.join(QUESTIONS)}, "
            "followed by one config file or directory"
        )
    if args.directory is not None:
        return question, args.directory
    place: Path = args.config or (Path(words[0]) if words else DEFAULT_CONFIG)
    if place.is_dir():
        return question, place
    return question, Path(load_agent(place).spool.directory)


def _records(book: EpochBook) -> Iterator[Record]:
    """Yield what can be read of an epoch; a segment recycled meanwhile gives nothing."""
    for segment in book.segments:
        try:
            yield from read_held(Disk(), segment, segment.held)
        except OSError as error:
            print(f"gateway spool: {segment.path}: {error.strerror}", file=sys.stderr)


def _print_depth(directory: Path, found: Survey) -> None:
    records = readings = size = 0
    kinds: dict[str, int] = {}
    for book in found.books:
        for record in _records(book):
            records += 1
            readings += record.readings
            size += len(record.data)
            name = _kind(record.kind)
            kinds[name] = kinds.get(name, 0) + 1
    disk = sum(size for _, size, regular in found.names if regular)
    free = sum(name.endswith((".free", ".new")) for name, _, _ in found.names)
    segments = sum(len(book.segments) for book in found.books)
    print(f"directory  {directory}")
    print(f"records    {records} ({', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))})")
    print(f"readings   {readings}")
    print(f"bytes      {size} in {segments} segments of {len(found.books)} epochs")
    print(f"disk       {disk} bytes reserved, {free} segments free")
    for stranger in found.strangers:
        print(f"set aside at the next start: {stranger.path} ({stranger.why})")
    for segment in found.damaged:
        print(f"damaged: {segment.path} ({segment.flaw})")


def _print_ranges(found: Survey) -> None:
    wall = _Wall(found)
    for book in found.books:
        first_ns = last_ns = 0
        gateway_id = ""
        for segment in book.segments:
            gateway_id = gateway_id or segment.header.gateway_id
            first_ns = first_ns or segment.first_ns or segment.header.created_ns
            last_ns = max(last_ns, segment.last_ns, segment.header.created_ns)
        span = f"{wall.text(book, first_ns)} .. {wall.text(book, last_ns)}"
        print(f"epoch {book.epoch:016x}  gateway {gateway_id}  boot {book.boot_id.hex()}  {span}")
        for first, last in book.held:
            print(f"  seq {first}..{last}  {last - first + 1} records")


def _print_gaps(found: Survey) -> None:
    """Print the GAP records that wait, and what damage the segments show now."""
    wall = _Wall(found)
    books = {book.epoch: book for book in found.books}
    for book in found.books:
        for record in _records(book):
            if record.kind == RecordKind.GAP:
                try:
                    gap = unpack_gap(record.payload)
                except RemoteProtocolError:
                    continue
                print(_gap_line(gap, wall, books.get(gap.epoch)))
    for book, (first, last) in found.holes:
        print(f"epoch {book.epoch:016x}  seq {first}..{last}  damaged, told at the next start")


def _gap_line(gap: Gap, wall: "_Wall", book: EpochBook | None) -> str:
    reason = GapReason(gap.reason).name.lower() if gap.reason in set(GapReason) else gap.reason
    count = "unknown" if gap.readings < 0 else gap.readings
    span = f"{wall.text(book, gap.from_ns)} .. {wall.text(book, gap.to_ns)}"
    return (
        f"epoch {gap.epoch:016x}  seq {gap.first}..{gap.last}  {reason}  readings {count}  {span}"
    )


def _kind(kind: int) -> str:
    try:
        return RecordKind(kind).name.lower()
    except ValueError:
        return f"kind {kind}"


class _Wall:
    """Boottime → UTC, as far as the spool's anchors (or the running boot) tell."""

    def __init__(self, found: Survey) -> None:
        self._offsets: dict[bytes, int] = {}
        clock = Clock()
        self._offsets[HostFiles().boot_id()] = clock.wall_ns() - clock.boottime_ns()
        for book in found.books:
            if book.boot_id in self._offsets:
                continue
            for record in _records(book):
                if record.kind == RecordKind.ANCHOR:
                    try:
                        anchor = unpack_anchor(record.payload)
                    except RemoteProtocolError:
                        continue
                    self._offsets[book.boot_id] = anchor.wall_ns - anchor.boottime_ns

    def utc(self, book: EpochBook | None, boottime_ns: int) -> str | None:
        """Return an instant in ISO 8601, ``None`` when nobody knows the offset."""
        if book is None or not boottime_ns or book.boot_id not in self._offsets:
            return None
        wall_ns = self._offsets[book.boot_id] + boottime_ns
        try:
            when = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=wall_ns // 1000)
        except OverflowError:
            return None
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def text(self, book: EpochBook | None, boottime_ns: int) -> str:
        """Return an instant as a person reads it."""
        if not boottime_ns:
            return "unknown"
        return self.utc(book, boottime_ns) or f"boot+{boottime_ns / 1e9:.3f}s"


@dataclass(frozen=True, slots=True)
class _Line:
    """One reading as it is exported, in the order of `COLUMNS`."""

    gateway_id: str
    epoch: str
    seq: int
    source: str
    point: str
    unit: str
    boottime_s: float
    time: str | None
    value: Value
    quality: str
    cause: str | None

    def fields(self) -> dict[str, Value]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in COLUMNS}


def _export(found: Survey, form: str) -> int:
    """Print every unacked reading; return 1 if records could not be decoded."""
    wall = _Wall(found)
    skipped = 0
    write = _writer(form)
    for book in found.books:
        schemas: dict[int, Schema | None] = {}
        gateway_id = next((s.header.gateway_id for s in book.segments if s.header.gateway_id), "")
        for record in _records(book):
            if record.kind != RecordKind.ROWS:
                continue
            try:
                schema = _schema(book, record, schemas)
                for line in _lines(gateway_id, book, record, schema, wall):
                    write(line.fields())
            except RemoteProtocolError:
                skipped += 1
    if skipped:
        print(f"gateway spool: {skipped} records could not be decoded", file=sys.stderr)
    return 1 if skipped else 0


def _writer(form: str) -> Callable[[dict[str, Value]], object]:
    if form == "jsonl":
        return lambda fields: print(json.dumps(fields, ensure_ascii=False))
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    return writer.writerow


def _schema(book: EpochBook, record: Record, known: dict[int, Schema | None]) -> Schema:
    sid = rows_sid(record.data)
    if sid is None or sid not in book.schemas:
        raise RemoteProtocolError(f"record {record.seq}: its schema {sid} is not in the spool")
    if sid not in known:
        known[sid] = None
        known[sid] = decode_schema(book.schemas[sid])
    schema = known[sid]
    if schema is None:
        raise RemoteProtocolError(f"schema {sid} cannot be decoded")
    return schema


def _lines(
    gateway_id: str, book: EpochBook, record: Record, schema: Schema, wall: _Wall
) -> Iterable[_Line]:
    for row in unpack_rows(record.payload, schema):
        block: SchemaBlock = schema.blocks[row.block]
        time = wall.utc(book, row.source_time_ns)
        causes = row.causes or (Cause.NONE,) * len(row.values)
        for point, value, cause in zip(block.points, row.values, causes, strict=True):
            yield _Line(
                gateway_id,
                f"{book.epoch:016x}",
                record.seq,
                block.source,
                point.name,
                point.unit,
                row.source_time_ns / 1e9,
                time,
                value,
                cause.quality.name.lower(),
                None if cause is Cause.NONE else cause.name.lower(),
            )
