"""What the kernel knows of a connection that ends: evidence for the session's record.

Owns the reading of a few fields of ``struct tcp_info`` (linux/tcp.h; fields are only ever
appended). Behind a proxy on the same host it describes the hop to the proxy only.
"""

import socket
import struct
from typing import Protocol

_U32 = (
    ("rto_us", 8),
    ("unacked", 24),
    ("last_data_sent_ms", 44),
    ("last_data_received_ms", 52),
    ("last_ack_received_ms", 56),
    ("rtt_us", 68),
    ("rttvar_us", 72),
    ("total_retransmits", 100),
    ("not_sent_bytes", 144),
)
_SIZE = 192


class _Socket(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def tcp_info(sock: _Socket | None) -> dict[str, int]:
    """Return the fields by name; empty when the socket is gone or not TCP."""
    if sock is None:
        return {}
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:
        return {}
    if len(data) < 28:
        return {}
    info = {"state": data[0], "retransmits": data[2]}
    for name, offset in _U32:
        if offset + 4 <= len(data):
            info[name] = struct.unpack_from("=I", data, offset)[0]
    return info
