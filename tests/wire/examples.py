"""The values of the examples in `docs/protocol.md`, and how a value is written there.

`python -m tests.wire.examples` prints the examples section anew.
"""

import dataclasses
import json
from enum import Enum

from gateway.event import Event, EventKind
from gateway.reading import Cause, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import codec, record, rows
from gateway.wire.message import (
    Ack,
    Backlog,
    Bye,
    ByeCode,
    ClockReading,
    ClockSource,
    Data,
    Encoding,
    EpochHave,
    EpochState,
    Gap,
    GapReason,
    Heartbeat,
    Hello,
    Lane,
    Message,
    Nack,
    NackCode,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.record import Record, RecordKind

EPOCH = 0x1122334455667788
OLD_EPOCH = 0x0102030405060708
BOOT = bytes.fromhex("00112233445566778899aabbccddeeff")
OLD_BOOT = bytes.fromhex("ffeeddccbbaa99887766554433221100")
CLOCK = ClockReading(86_400_123_400_000, 1_767_225_600_000_000_000, ClockSource.NTP, 1500)
SCHEMA = Schema(
    (
        SchemaBlock(
            "main-meter",
            1.0,
            (
                SchemaPoint("voltage", "V", "f32"),
                SchemaPoint("energy", "kWh", "f64"),
                SchemaPoint("temperature", "°C", "d1"),
                SchemaPoint("starts", "", "i64"),
                SchemaPoint("closed", "", "bool"),
                SchemaPoint("model", "", "str"),
            ),
        ),
        SchemaBlock("sub-meter", 10.0, (SchemaPoint("power", "W", "f32"),)),
    )
)
BODY = rows.encode_schema(SCHEMA)
DIGEST = rows.schema_digest(BODY)
ROWS = (
    Row(0, 86_400_100_000_000, (230.5, 1234.5678, 23.4, 7, True, "B23")),
    Row(1, 86_400_112_300_000, (None,), (Cause.NO_REPLY,)),
    Row(
        0,
        86_401_100_100_000,
        (231.0, 1234.5679, 99.9, 7, None, "B23"),
        (Cause.NONE, Cause.NONE, Cause.OUT_OF_RANGE, Cause.NONE, Cause.NULL_PATTERN, Cause.NONE),
    ),
)
EVENT = Event.make(
    EventKind.DEVICE_DOWN, 86_400_112_300_000, device="sub-meter", polls=3, probe_s=2.5
)
GAP = Gap(OLD_EPOCH, 40, 52, GapReason.QUOTA, 71_000_000_000_000, 71_013_000_000_000, 2353)


def _record(seq: int, kind: int, readings: int, payload: bytes) -> Record:
    return record.pack(record.epoch_seed(EPOCH), seq, kind, readings, payload)


RECORDS: dict[str, Record] = {
    "rows-record": _record(1, RecordKind.ROWS, 13, rows.pack_rows(1, ROWS, SCHEMA)),
    "event-record": _record(2, RecordKind.EVENT, 0, rows.pack_event(EVENT)),
    "gap-record": _record(3, RecordKind.GAP, 0, rows.pack_gap(GAP)),
    "anchor-record": _record(4, RecordKind.ANCHOR, 0, rows.pack_anchor(CLOCK)),
    "end-record": _record(5, RecordKind.END, 0, rows.pack_end()),
}
MESSAGES: dict[str, Message] = {
    "hello": Hello(
        gateway_id="site-042",
        instance=bytes.fromhex("c0ffee00"),
        boot_id=BOOT,
        software="edge-gateway 0.1.0",
        epochs=(
            EpochState(OLD_EPOCH, OLD_BOOT, 61, ((53, 60),)),
            EpochState(EPOCH, BOOT, 1, ()),
        ),
        clock=CLOCK,
        encodings=(Encoding.ZSTD, Encoding.ZLIB),
        max_message=262144,
        last_session=77,
        backlog=Backlog(8, 7512, 0),
        ended=(("cause", "half_open"), ("code", 1006)),
        facts=(("reboot", "power_loss"), ("config", "3f2a9c01d4e7")),
    ),
    "welcome": Welcome(
        session=78,
        wall_ns=1_767_225_600_021_000_000,
        have=(EpochHave(OLD_EPOCH, ((1, 39), (53, 55))),),
        encoding=Encoding.ZSTD,
        max_message=262144,
        window=1048576,
        heartbeat_s=30.0,
        schemas=(DIGEST,),
        previous=(("t", 71_020_000_000_000), ("supply", "ok")),
    ),
    "schema": SchemaAnnouncement(EPOCH, 1, DIGEST, BODY),
    "schema-known": SchemaAnnouncement(EPOCH, 1, DIGEST, None),
    "data": Data(EPOCH, Lane.LIVE, Encoding.RAW, RECORDS["rows-record"].data),
    "ack": Ack(EPOCH, ((1, 5),), 1048576),
    "nack": Nack(EPOCH, ((2, 2),), NackCode.NEED_SCHEMA, "sid not announced"),
    "heartbeat": Heartbeat(CLOCK, 6, Backlog(0, 0, 0)),
    "bye": Bye(ByeCode.DRAINING, "restarting", 12.5),
}


def plain(value: object) -> object:
    """Return a value as it stands in the document: bytes as hex, tuples as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def meaning(kind: int, payload: memoryview) -> object:
    """Return what a record's payload says, as it stands in the document."""
    if kind == RecordKind.ROWS:
        return {"sid": rows.rows_sid(payload, 0), "rows": plain(rows.unpack_rows(payload, SCHEMA))}
    if kind == RecordKind.EVENT:
        return plain(rows.unpack_event(payload))
    if kind == RecordKind.GAP:
        return plain(rows.unpack_gap(payload))
    if kind == RecordKind.ANCHOR:
        return plain(rows.unpack_anchor(payload))
    return []


def _hex(data: bytes) -> str:
    return "\n".join(data[i : i + 32].hex(" ") for i in range(0, len(data), 32))


def _json(value: object) -> str:
    if isinstance(value, dict):
        items = ",\n".join(
            f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()
        )
        return "{\n" + items + "\n}"
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Print the examples as the document has them."""
    for name, message in MESSAGES.items():
        print(f"**{name}**\n\n```hex {name}\n{_hex(codec.encode(message))}\n```\n")
        print(f"```json {name}\n{_json(plain(message))}\n```\n")
    for name, item in RECORDS.items():
        fields = {"epoch": EPOCH, "seq": item.seq, "kind": item.kind, "readings": item.readings}
        fields["payload"] = meaning(item.kind, item.payload)  # type: ignore[assignment]
        print(f"**{name}**\n\n```hex {name}\n{_hex(item.data)}\n```\n")
        print(f"```json {name}\n{_json(fields)}\n```\n")


if __name__ == "__main__":
    main()
