"""The mailbox message and the firmware's replies, byte by byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host import firmware


def test_the_message_is_vcgencmds() -> None:
    """Size, request, tag, buffer size, zero, zero, the command in 1024 bytes, end tag."""
    message = firmware.encode("get_throttled")
    assert len(message) == 6 * 4 + 1024 + 4
    assert struct.unpack_from("=6I", message) == (1052, 0, 0x00030080, 1024, 0, 0)
    assert bytes(message[24:38]) == b"get_throttled\0"
    assert not any(message[38:])


def test_the_reply_stands_where_the_command_was() -> None:
    """Text up to its NUL; an error code or another tag is no reply."""
    reply = struct.pack("=6I", 1052, 0x80000000, 0x00030080, 1024, 0x80000000, 0)
    text = b"throttled=0x50005".ljust(1028, b"\0")
    assert firmware.decode(reply + text) == b"throttled=0x50005"
    failed = struct.pack("=6I", 1052, 0x80000000, 0x00030080, 1024, 0, 1)
    assert firmware.decode(failed + text) is None
    assert firmware.decode(b"short") is None


def test_the_bits() -> None:
    """0x50005: under-voltage and throttled, now and since the start."""
    word = firmware.throttled(b"throttled=0x50005\n")
    assert word == firmware.Throttled(True, False, True, False, True, False, True, False)
    assert firmware.throttled_word(0xE0008) == firmware.Throttled(
        *(False, False, False, True, False, True, True, True)
    )


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"",
        b"throttled=",
        b"throttled=0x80000001",
        b'error=1 error_msg="Command not registered"',
    ],
)
def test_no_bits(reply: bytes | None) -> None:
    """The mailbox's own error is not a word of bits."""
    assert firmware.throttled(reply) is None


@pytest.mark.parametrize(
    ("reply", "volts"),
    [
        (b"     EXT5V_V volt(24)=5.11746000V\n", 5.11746),
        (b"EXT5V_V volt(24)=5V", 5.0),
        (b"EXT5V_A current(24)=1.1A", None),
        (b"", None),
        (None, None),
        (b"EXT5V_V volt(24)=99999.9V", None),
    ],
)
def test_the_supply_of_a_pi_5(reply: bytes | None, volts: float | None) -> None:
    """`pmic_read_adc EXT5V_V` as it answers."""
    assert firmware.supply_volts(reply) == volts


def test_the_reset_status() -> None:
    """`get_rsts` answers in hexadecimal with or without 0x."""
    assert firmware.reset_status(b"get_rsts=1020") == 0x1020
    assert firmware.reset_status(b"get_rsts=0x20") == 0x20
    assert firmware.reset_status(b"?") is None


@given(st.binary(max_size=2000))
def test_garbage(data: bytes) -> None:
    """Nothing a mailbox gives back raises."""
    firmware.decode(data)
    firmware.throttled(data)
    firmware.supply_volts(data)
    firmware.reset_status(data)
