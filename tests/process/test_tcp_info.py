"""TCP_INFO by offset, and from a real connection."""

import socket
import struct

import pytest

from gateway.process.tcp_info import parse, sample


def _info(size: int = 232, **numbers: int) -> bytes:
    data = bytearray(size)
    places = {"rto": 8, "unacked": 24, "last_ack_received": 56, "rtt": 68, "min_rtt": 148}
    for name, value in numbers.items():
        if name == "retransmits":
            data[2] = value
        elif places[name] + 4 <= size:
            struct.pack_into("=I", data, places[name], value)
    return bytes(data)


def test_reads_by_offset() -> None:
    """Microseconds and milliseconds become seconds."""
    info = parse(_info(retransmits=3, rto=204000, unacked=2, rtt=1500, min_rtt=900))
    assert (info.retransmits, info.rto_s, info.unacked) == (3, 0.204, 2)
    assert (info.rtt_s, info.min_rtt_s) == (0.0015, 0.0009)


def test_an_old_kernels_shorter_answer() -> None:
    """Fields the kernel did not fill are not invented."""
    info = parse(_info(size=104, rtt=1500))
    assert info.rtt_s == 0.0015
    assert info.min_rtt_s is None
    assert info.bytes_sent is None
    assert "tcp_min_rtt_s" not in dict(info.fields())


def test_too_short_is_refused() -> None:
    """Something else than tcp_info is said to be so."""
    with pytest.raises(ValueError, match="12 bytes"):
        parse(bytes(12))


def test_path_dead_needs_waiting_data_and_silence() -> None:
    """Silence alone is an idle link; waiting data alone is a busy one."""
    assert parse(_info(unacked=1, rto=200_000, last_ack_received=700)).path_dead
    assert not parse(_info(unacked=0, rto=200_000, last_ack_received=700)).path_dead
    assert not parse(_info(unacked=1, rto=200_000, last_ack_received=500)).path_dead


def test_a_real_connection() -> None:
    """The kernel's own answer makes sense, and a closed socket gives none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"hello")
            info = sample(client)
            assert info is not None
            assert info.rtt_s is not None
            assert 0 < info.rtt_s < 10
        assert sample(client) is None
    assert sample(None) is None
