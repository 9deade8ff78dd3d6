"""Check sums against the catalogue's values and makers' examples."""

import pytest

from gateway.serial.checks import (
    FUNCTIONS,
    Check,
    CheckedText,
    crc16_arc,
    crc16_x25,
    crc16_xmodem,
    hex_equals,
    sum8,
    xor8,
)

NINE = b"123456789"


def test_the_catalogue() -> None:
    """The check values of the CRC catalogue."""
    assert (crc16_arc(NINE), crc16_x25(NINE), crc16_xmodem(NINE)) == (0xBB3D, 0x906E, 0x31C3)
    assert sum8(NINE) == 0xDD and xor8(NINE) == 0x31
    assert [crc16_arc(b""), crc16_x25(b""), crc16_xmodem(b""), sum8(b""), xor8(b"")] == [0] * 5


def test_gills_example() -> None:
    """The manual's example of a WindSonic."""
    assert xor8(b"Q,229,002.74,M,00,") == 0x16


def test_nmeas_example() -> None:
    """The sentence every description of NMEA 0183 shows."""
    assert xor8(b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == 0x47


@pytest.mark.parametrize("check", FUNCTIONS)
def test_text_with_its_sum(check: Check) -> None:
    """What was sealed is opened; any flipped bit of text, mark or digits is noticed."""
    function, width = FUNCTIONS[check]
    inside = CheckedText(check, b"$", b"*")
    frame = b"$12.5*" + b"%0*X" % (width, function(b"12.5"))
    assert inside.text(frame) == b"12.5"
    whole = CheckedText(check, b"$", b"*", whole=True)
    assert whole.text(b"$12.5*" + b"%0*x" % (width, function(b"$12.5*"))) == b"12.5"
    for at in range(1, len(frame)):
        for bit in (0, 1, 2, 3, 4, 6, 7):
            assert inside.text(frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]) is None
    assert inside.text(b"$12.5*") is None and inside.text(b"") is None


def test_without_a_check() -> None:
    """Only the start delimiter is taken off."""
    assert CheckedText(start=b"$").text(b"$12") == b"12"


@pytest.mark.parametrize("digits", [b"", b"0x1", b" 16", b"+6", b"1_6", b"\xb9\xb2"])
def test_digits_are_digits(digits: bytes) -> None:
    """What Python's int takes beside hexadecimal digits is no check sum."""
    assert not hex_equals(digits, 0x16)
    assert hex_equals(b"16", 0x16) and hex_equals(b"aB", 0xAB)
