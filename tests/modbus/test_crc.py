"""Pins the CRC against the specification's example and pymodbus."""

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from gateway.modbus.crc import crc16, seal


def test_a_known_frame() -> None:
    """The textbook request: 11 03 006B 0003 7687."""
    assert seal(bytes.fromhex("1103006b0003")) == bytes.fromhex("1103006b00037687")


@given(st.binary(min_size=1, max_size=260))
def test_agrees_with_pymodbus_and_leaves_no_residue(data: bytes) -> None:
    """Two implementations agree, and a whole frame's CRC is 0."""
    assert seal(data)[-2:] == FramerRTU.compute_CRC(data).to_bytes(2, "big")
    assert crc16(seal(data)) == 0
