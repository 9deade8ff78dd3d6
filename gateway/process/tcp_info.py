"""What the kernel knows of a TCP connection: TCP_INFO, sampled while the connection still stands.

Owns the layout of ``struct tcp_info`` (linux/tcp.h): fields are only ever appended, so it is read
by offset and ends where the kernel's answer ends. A field the kernel does not have is ``None``.
"""

import socket
import struct
from dataclasses import dataclass

from gateway.event import Scalar

_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_SIZE = 512
"""Bytes asked for; Linux 6.18 fills 280."""


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """One sample. Behind a local proxy it describes the hop to the proxy only."""

    retransmits: int
    """Retransmissions of the segment that now waits."""
    unacked: int
    """Segments sent and not acknowledged by the peer's kernel."""
    rto_s: float | None
    last_data_received_s: float | None
    last_ack_received_s: float | None
    rtt_s: float | None
    min_rtt_s: float | None
    total_retransmits: int | None
    not_sent_bytes: int | None
    bytes_sent: int | None
    bytes_retransmitted: int | None

    @property
    def path_dead(self) -> bool:
        """Whether the peer's kernel is silent now: data waits, no ACK for three time-outs."""
        return (
            self.unacked > 0
            and self.rto_s is not None
            and self.last_ack_received_s is not None
            and self.last_ack_received_s > 3 * self.rto_s
        )

    def fields(self) -> tuple[tuple[str, Scalar], ...]:
        """Return the sample as event fields."""
        pairs: tuple[tuple[str, Scalar], ...] = (
            ("tcp_rtt_s", self.rtt_s),
            ("tcp_min_rtt_s", self.min_rtt_s),
            ("tcp_retransmits", self.retransmits),
            ("tcp_total_retransmits", self.total_retransmits),
            ("tcp_unacked", self.unacked),
            ("tcp_not_sent_bytes", self.not_sent_bytes),
            ("tcp_last_ack_age_s", self.last_ack_received_s),
            ("tcp_path_dead", self.path_dead),
        )
        return tuple(pair for pair in pairs if pair[1] is not None)


def parse(data: bytes) -> TcpInfo:
    """Read what the kernel returned. Raises: ValueError when it is too short to be tcp_info."""
    if len(data) < 28:
        raise ValueError(f"tcp_info of {len(data)} bytes: at least 28 are needed")

    def number(layout: struct.Struct, offset: int) -> int | None:
        if offset + layout.size > len(data):
            return None
        value: int = layout.unpack_from(data, offset)[0]
        return value

    def seconds(offset: int, unit: float) -> float | None:
        count = number(_U32, offset)
        return None if count is None else round(count * unit, 6)

    min_rtt = seconds(148, 1e-6)
    return TcpInfo(
        retransmits=data[2],
        unacked=number(_U32, 24) or 0,
        rto_s=seconds(8, 1e-6),
        last_data_received_s=seconds(52, 1e-3),
        last_ack_received_s=seconds(56, 1e-3),
        rtt_s=seconds(68, 1e-6),
        # The kernel says "no sample yet" with all ones.
        min_rtt_s=None if min_rtt is None or min_rtt > 4000 else min_rtt,
        total_retransmits=number(_U32, 100),
        not_sent_bytes=number(_U32, 144),
        bytes_sent=number(_U64, 200),
        bytes_retransmitted=number(_U64, 208),
    )


def sample(sock: socket.socket | None) -> TcpInfo | None:
    """Ask the kernel about `sock`; ``None`` when it is closed or not TCP."""
    if sock is None:
        return None
    try:
        return parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE))
    except (OSError, ValueError):
        return None
