"""Pins the form of what goes over the control socket."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.process.control_messages import (
    BusState,
    DeviceState,
    PointRead,
    PointState,
    ReadResult,
    ReloadWord,
    Reply,
    Request,
    Status,
    WriteResult,
    decode_reply,
    decode_request,
    encode,
)

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


def test_a_request_is_one_line_of_json() -> None:
    """It can be written by hand: `echo '{"v":1,"request":"status"}' | socat - UNIX:…`."""
    line = encode(Request("read", "meter.voltage"))
    assert json.loads(line) == {"v": 1, "request": "read", "name": "meter.voltage"}
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_request(line) == Request("read", "meter.voltage")


def test_replies_come_back_as_they_were() -> None:
    """Nested messages, lists and nothing at all survive."""
    bus = BusState("b", devices=(DeviceState("d", 3, turnaround_s=0.01), DeviceState("e")))
    for reply in (
        Reply(),
        Reply(error="no"),
        Reply(status=Status("g", buses=(bus,)), more=True),
        Reply(points=(PointState("d", "p", value="on"), PointState("d", "q", age_s=1.5))),
        Reply(read=ReadResult("d", 3, "b", (PointRead("p", registers=(1, 2)),), (("out", "01"),))),
        Reply(write=WriteResult("d", before=PointRead("p", value=1), agrees=True)),
        Reply(reload=ReloadWord(False, "abc", "why", ("b",), 1.0)),
    ):
        assert decode_reply(encode(reply)) == reply


@given(VALUES)
def test_a_value_keeps_its_type(value: float | int | bool | str | None) -> None:
    """5 does not become 5.0, True not 1."""
    point = decode_reply(encode(Reply(points=(PointState("d", "p", value=value),)))).points[0]
    assert point.value == value
    assert type(point.value) is type(value)


def test_another_version_is_refused_with_the_cure() -> None:
    """A newer command is told what this agent speaks."""
    with pytest.raises(RemoteProtocolError, match="this agent speaks 1"):
        decode_request(b'{"v":2,"request":"status"}')


def test_unknown_keys_are_left_out() -> None:
    """A newer agent may say more than this command knows."""
    line = b'{"v":1,"new":1,"status":{"gateway_id":"g","later":{}}}'
    assert decode_reply(line) == Reply(status=Status("g"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no",
        b"[]",
        b"[" * 100_000,
        b'{"v":1}',
        b'{"v":1,"request":3}',
        b'{"v":1,"request":"read","every_s":true}',
        b'{"v":1,"request":"read","name":["a"]}',
        b"\xff\xfe",
    ],
)
def test_anything_else_is_a_documented_error(line: bytes) -> None:
    """Never a traceback of another kind."""
    with pytest.raises(RemoteProtocolError):
        decode_request(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":1,"points":[1]}',
        b'{"v":1,"points":3}',
        b'{"v":1,"status":[]}',
        b'{"v":1,"read":{"device":"d","frames":[["out"]]}}',
        b'{"v":1,"read":{}}',
    ],
)
def test_a_reply_of_another_shape_is_an_error(line: bytes) -> None:
    """What is missing or of another type is said, not guessed."""
    with pytest.raises(RemoteProtocolError):
        decode_reply(line)


@given(st.binary(max_size=200))
def test_garbage_is_an_error(data: bytes) -> None:
    """Any bytes end in a request or in the one error."""
    with contextlib.suppress(RemoteProtocolError):
        decode_request(data)
