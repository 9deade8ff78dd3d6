"""`gateway spool` tells what waits, while a daemon has the spool and after it is gone."""

import csv
import io
import json

import pytest

from gateway.agent.spool.spool import Spool
from gateway.cli.main import main
from gateway.config.agent import SpoolSettings
from gateway.process.clock import Clock
from gateway.reading import Cause, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire.message import ClockReading, ClockSource
from gateway.wire.record import RecordKind
from gateway.wire.rows import encode_schema, pack_anchor, pack_rows

BOOT = bytes(range(16))
SCHEMA = Schema(
    (
        SchemaBlock(
            "main-meter", 1.0, (SchemaPoint("voltage", "V", "f32"), SchemaPoint("state", "", "str"))
        ),
    )
)


@pytest.fixture
async def spool(tmp_path):
    """Return an open spool with ten rows, one of them half bad, and an anchor."""
    settings = SpoolSettings(
        directory=str(tmp_path / "spool"), max_bytes=1 << 20, keep_free_bytes=0
    )
    spool = Spool.open(settings, "site-042", BOOT, Clock())
    sid = spool.add_schema(encode_schema(SCHEMA))
    for number in range(10):
        bad = (Cause.NONE, Cause.NO_REPLY) if number == 3 else None
        row = Row(0, number * 1_000_000_000, (230.5, None if bad else "on"), bad)
        spool.append(RecordKind.ROWS, 2, pack_rows(sid, [row], SCHEMA))
    anchor = ClockReading(0, 1_700_000_000_000_000_000, ClockSource.NTP, 100)
    spool.append(RecordKind.ANCHOR, 0, pack_anchor(anchor))
    await spool.flush()
    yield spool
    await spool.close(clean=False)


def told(capsys, *words: object) -> str:
    assert main(["spool", *map(str, words)]) == 0
    return capsys.readouterr().out


async def test_depth_beside_a_running_daemon(spool, tmp_path, capsys):
    """Depth counts records by kind, readings, segments, while the spool is open."""
    out = told(capsys, "--directory", tmp_path / "spool")
    assert "records    11 (1 anchor, 10 rows)" in out
    assert "readings   20" in out
    assert "in 1 segments of 1 epochs" in out
    assert told(capsys, "depth", tmp_path / "spool") == out


async def test_ranges_and_gaps(spool, tmp_path, capsys):
    """Ranges are per epoch with the wall time the anchors give; losses are listed with reasons."""
    out = told(capsys, "ranges", tmp_path / "spool")
    assert f"epoch {spool.epoch:016x}  gateway site-042  boot {BOOT.hex()}" in out
    assert "seq 1..11  11 records" in out
    assert told(capsys, "gaps", tmp_path / "spool") == ""
    spool.give_up(spool.epoch, [(2, 3)], "test")
    await spool.flush()
    out = told(capsys, "gaps", tmp_path / "spool")
    assert "seq 2..3  dead_letter" in out


async def test_export_as_csv_and_json_lines(spool, tmp_path, capsys):
    """Every unacked reading comes out with its source, point, unit, times, quality and cause."""
    rows = list(csv.DictReader(io.StringIO(told(capsys, "export", tmp_path / "spool"))))
    assert len(rows) == 20
    assert rows[7] == {
        "gateway_id": "site-042",
        "epoch": f"{spool.epoch:016x}",
        "seq": "4",
        "source": "main-meter",
        "point": "state",
        "unit": "",
        "boottime_s": "3.0",
        "time": "2023-11-14T22:13:23.000Z",
        "value": "",
        "quality": "bad",
        "cause": "no_reply",
    }
    lines = told(capsys, "export", "--format", "jsonl", "--directory", tmp_path / "spool")
    values = [json.loads(line) for line in lines.splitlines()]
    assert len(values) == 20
    assert values[0]["value"] == 230.5
    assert values[0]["quality"] == "good"
    assert values[1]["value"] == "on"


async def test_what_cannot_be_read_is_said(tmp_path, capsys):
    """A wrong directory and too many words are one line with the cure, exit status 2."""
    assert main(["spool", "depth", "--directory", str(tmp_path / "absent")]) == 2
    assert "--directory" in capsys.readouterr().err
    assert main(["spool", "depth", "a", "b"]) == 2
    assert "depth, ranges, gaps, export" in capsys.readouterr().err


async def test_it_never_writes(spool, tmp_path, capsys):
    """Looking changes neither a file nor the daemon's records."""
    before = {p.name: p.read_bytes() for p in (tmp_path / "spool").iterdir() if p.is_file()}
    for question in ("depth", "ranges", "gaps", "export"):
        told(capsys, question, tmp_path / "spool")
    after = {p.name: p.read_bytes() for p in (tmp_path / "spool").iterdir() if p.is_file()}
    assert before == after
