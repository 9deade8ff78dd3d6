"""Pins requests as they stand on the wire, and the shape of their replies."""

from collections.abc import Callable

import pytest

from gateway.errors import LocalProtocolError
from gateway.modbus.crc import crc16
from gateway.modbus.point import Table
from gateway.modbus.request import (
    Request,
    read_request,
    write_coil,
    write_coils,
    write_register,
    write_registers,
)


@pytest.mark.parametrize(
    ("request_", "frame", "reply_length"),
    [
        (read_request(1, Table.HOLDING, 1, 2), "01030001000295cb", 9),
        (read_request(17, Table.COIL, 0x13, 0x25), "110100130025", 10),
        (read_request(17, Table.DISCRETE, 0xC4, 0x16), "110200c40016", 8),
        (read_request(17, Table.INPUT, 8, 1), "110400080001", 7),
        (write_coil(1, 1, True), "01050001ff00", 8),
        (write_coil(1, 1, False), "010500010000", 8),
        (write_register(1, 1, 7), "010600010007", 8),
        (write_coils(1, 1, [True] * 10), "010f0001000a02ff03", 8),
        (write_registers(1, 1, [7, 8]), "01100001000204000700 08".replace(" ", ""), 8),
    ],
)
def test_frames_are_the_specification_s(request_: Request, frame: str, reply_length: int) -> None:
    """Every function code builds the frame of its clause, and knows its reply's length."""
    assert request_.frame.hex().startswith(frame)
    assert crc16(request_.frame) == 0
    assert request_.reply_length == reply_length


def test_a_read_is_built_once() -> None:
    """The bytes are cached per block."""
    assert read_request(1, Table.INPUT, 5, 10) is read_request(1, Table.INPUT, 5, 10)


def test_a_broadcast_expects_nothing() -> None:
    """Nobody answers unit id 0."""
    assert write_register(0, 1, 7).reply_length == 0


def test_a_request_names_itself() -> None:
    """Errors say unit id, function, address and count."""
    assert str(read_request(3, Table.INPUT, 5, 10)) == "unit id 3 function 4 5+10"


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: read_request(248, Table.HOLDING, 0, 1), "unit id 248"),
        (lambda: read_request(0, Table.HOLDING, 0, 1), "broadcast"),
        (lambda: read_request(1, Table.HOLDING, 0, 126), "1-125"),
        (lambda: read_request(1, Table.COIL, 0, 2001), "1-2000"),
        (lambda: read_request(1, Table.HOLDING, 0, 0), "1-125"),
        (lambda: read_request(1, Table.HOLDING, 65535, 2), "ends at 65535"),
        (lambda: write_register(1, 0, 65536), "0-65535"),
        (lambda: write_registers(1, 0, [0] * 124), "1-123"),
        (lambda: write_registers(1, 0, [-1]), "0-65535"),
        (lambda: write_coils(1, 0, [True] * 1969), "1-1968"),
    ],
)
def test_the_protocol_s_limits_are_kept(build: Callable[[], Request], text: str) -> None:
    """What cannot be sent is our bug and says which limit it broke."""
    with pytest.raises(LocalProtocolError, match=text):
        build()
