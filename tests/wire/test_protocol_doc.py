"""Pins that the examples of `docs/protocol.md` are what this code sends and understands."""

import json
import re
from pathlib import Path

import pytest

from gateway.wire import codec, limits, record, rows
from gateway.wire.limits import MAX_MESSAGE
from gateway.wire.message import Data
from gateway.wire.receiver import ReceiverState
from gateway.wire.sender import SenderState
from tests.wire.examples import EPOCH, MESSAGES, RECORDS, SCHEMA, meaning, plain

TEXT = (Path(__file__).resolve().parents[2] / "docs/protocol.md").read_text("utf-8")
HEX = {
    name: bytes.fromhex(body)
    for name, body in re.findall(r"```hex (\S+)\n(.*?)```", TEXT, flags=re.DOTALL)
}
FIELDS = {
    name: json.loads(body)
    for name, body in re.findall(r"```json (\S+)\n(.*?)```", TEXT, flags=re.DOTALL)
}


def test_every_example_has_bytes_and_fields() -> None:
    """No example of the code is missing in the document, and none has only half."""
    assert set(HEX) == set(FIELDS) == {*MESSAGES, *RECORDS}


@pytest.mark.parametrize("name", MESSAGES)
def test_message_example(name: str) -> None:
    """The hex decodes to the fields beside it, and encodes to the same bytes again."""
    message = codec.decode(HEX[name], MAX_MESSAGE)
    assert message is not None
    assert plain(message) == FIELDS[name]
    assert codec.encode(message) == HEX[name]


@pytest.mark.parametrize("name", RECORDS)
def test_record_example(name: str) -> None:
    """The hex is a valid record of the epoch and says what stands beside it."""
    fields = FIELDS[name]
    item = record.unpack_from(record.epoch_seed(fields["epoch"]), HEX[name])
    assert item is not None
    assert len(item.data) == len(HEX[name])
    got = {"epoch": EPOCH, "seq": item.seq, "kind": item.kind, "readings": item.readings}
    assert {**got, "payload": meaning(item.kind, item.payload)} == fields
    assert RECORDS[name].data == HEX[name]


def test_data_example_holds_the_rows_example() -> None:
    """The Data example's body is the ROWS record, and its rows are those of the schema example."""
    data = codec.decode(HEX["data"])
    assert isinstance(data, Data)
    (item,) = record.unpack_all(record.epoch_seed(EPOCH), data.body)
    assert item.data == HEX["rows-record"]
    assert rows.decode_schema(bytes.fromhex(FIELDS["schema"]["body"])) == SCHEMA
    assert rows.unpack_rows(item.payload, SCHEMA)


@pytest.mark.parametrize("state", [*SenderState, *ReceiverState], ids=str)
def test_every_state_has_a_row(state: SenderState | ReceiverState) -> None:
    """Each state of either side stands in its table."""
    assert re.search(rf"^\| {state.value} \|", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "number",
    [
        limits.MAX_EPOCHS,
        limits.MAX_INTERVALS,
        limits.MAX_SCHEMAS,
        limits.MAX_TEXT,
        limits.MAX_NAME,
        limits.MAX_PAIRS,
        limits.MAX_ARRAY,
        limits.MAX_STRING_VALUE,
        limits.MAX_SCHEMA_BODY,
        limits.MIN_WINDOW,
        limits.MAX_WINDOW,
        limits.DEFAULT_MESSAGE,
        limits.MAX_MESSAGE,
        record.MAX_PAYLOAD,
        *(
            int(seconds)
            for seconds in (
                limits.HELLO_TIMEOUT_S,
                limits.WELCOME_TIMEOUT_S,
                limits.ACK_TIMEOUT_S,
                limits.BYE_TIMEOUT_S,
                limits.MAX_HEARTBEAT_S,
                limits.MAX_RETRY_AFTER_S,
            )
        ),
    ],
)
def test_every_limit_stands_in_the_document(number: int) -> None:
    """A limit of the code is a number of the document."""
    assert re.search(rf"\b{number}\b", TEXT)
