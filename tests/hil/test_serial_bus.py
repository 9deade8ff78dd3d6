"""The bench's serial bus behaves as a wire with an adapter at its end."""

import errno
import os
import select
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.modbus.crc import crc16 as agents_crc16
from hil.serial_bus import BAUD, BITS, SerialBus, crc16

REQUEST = bytes.fromhex("010300000001")
PATIENCE_S = 10.0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[SerialBus]:
    """A bus, closed afterwards."""
    made = SerialBus(tmp_path / "ttyRS485", seed=1)
    try:
        yield made
    finally:
        made.close()


def open_port(bus: SerialBus) -> int:
    """Open the agent's end in raw mode."""
    port = os.open(bus.port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    return port


def ask(port: int) -> bytes:
    """Ask for register 0; return the reply of seven characters."""
    os.write(port, REQUEST + crc16(REQUEST))
    reply = b""
    while len(reply) < 7:
        ready, _, _ = select.select([port], [], [], PATIENCE_S)
        assert ready, f"no more than {reply.hex()} came"
        reply += os.read(port, 7 - len(reply))
    return reply


def test_the_checksum_is_the_agents_too() -> None:
    """Two that were written apart agree (serial line V1.02 §6.2.2)."""
    assert crc16(bytes.fromhex("0207")) == bytes.fromhex("4112")
    assert agents_crc16(REQUEST).to_bytes(2, "little") == crc16(REQUEST)


def test_answers_are_counted_and_take_their_time(bus: SerialBus) -> None:
    """Register 0 counts; request and reply of 8 + 7 characters are never faster than the wire."""
    port = open_port(bus)
    try:
        began = time.monotonic()
        first = ask(port)
        assert time.monotonic() - began >= 15 * BITS / BAUD
        assert [first[4], ask(port)[4]] == [1, 2]
        assert crc16(first[:5]) == first[5:]
    finally:
        os.close(port)


def test_noise_damages_one_bit(bus: SerialBus) -> None:
    """A spoilt reply differs in one bit, so that its checksum must tell."""
    bus.noise = 1.0
    port = open_port(bus)
    try:
        reply = ask(port)
    finally:
        os.close(port)
    assert bus.spoilt == 1
    body = bytes.fromhex("0103020001")
    sound = body + crc16(body)
    assert sum((a ^ b).bit_count() for a, b in zip(reply, sound, strict=True)) == 1


def test_unplugged_is_an_error_and_no_file(bus: SerialBus) -> None:
    """The open port gives EIO, the link is gone; plugged in again another pty answers."""
    port = open_port(bus)
    try:
        bus.unplug()
        with pytest.raises(OSError) as failure:
            os.write(port, REQUEST)
        assert failure.value.errno == errno.EIO
        assert not os.path.lexists(bus.port)
    finally:
        os.close(port)
    bus.plug()
    port = open_port(bus)
    try:
        assert len(ask(port)) == 7
    finally:
        os.close(port)
