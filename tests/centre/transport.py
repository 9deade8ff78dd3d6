"""A transport that keeps what is written: links are driven without sockets."""

import asyncio

from gateway.centre.ending import Ending
from gateway.centre.handshake import Rejection, UpgradeRequest
from gateway.centre.link import Link
from gateway.centre.link_host import LinkSession
from gateway.centre.metrics import Metrics
from gateway.centre.wheel import TimerWheel


class KeepingTransport(asyncio.Transport):
    """Keeps bytes and what was asked of it. `closed`: closed, aborted or half closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.half_closed = self.aborted = self.closing = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.half_closed, "written behind FIN"
        self.written.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return None

    def take(self) -> bytes:
        """Return and forget what was written."""
        data, self.written = b"".join(self.written), []
        return data


class KeepingSession:
    """Keeps messages and the ending."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ending: Ending | None = None

    def message_received(self, message: bytes) -> None:
        self.messages.append(message)

    def handle_due(self, now: float) -> float:
        return float("inf")

    def link_lost(self, ending: Ending) -> None:
        assert self.ending is None
        self.ending = ending


class KeepingHost:
    """A door without a socket. `time` is set by the test."""

    def __init__(self, max_message: int = 1000, deflate: bool = False) -> None:
        self.time = 100.0
        self.now = lambda: self.time
        self.wheel = TimerWheel(0.25, self.time)
        self.max_message = max_message
        self.heartbeat_s = 30.0
        self.heartbeat_timeout_s = 20.0
        self.handshake_timeout_s = 10.0
        self.close_timeout_s = 5.0
        self.deflate = deflate
        self.metrics = Metrics()
        self.failed: list[str] = []
        self.round_trips: list[float] = []
        self.requests: list[UpgradeRequest] = []
        self.verdict: Rejection | None = None
        self.session = KeepingSession()
        self.lost = 0

    def link_made(self, link: Link) -> Rejection | None:
        return None

    def admit(self, link: Link, request: UpgradeRequest) -> LinkSession | Rejection:
        self.requests.append(request)
        return self.verdict or self.session

    def link_opened(self, link: Link) -> None:
        return None

    def handshake_failed(self, link: Link, phase: str) -> None:
        self.failed.append(phase)

    def link_lost(self, link: Link) -> None:
        self.lost += 1

    def round_trip(self, seconds: float) -> None:
        self.round_trips.append(seconds)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the wheel's steps."""
        end = self.time + seconds
        while self.time < end:
            self.time = min(end, self.time + 0.25)
            self.wheel.turn(self.time)


REQUEST = (
    b"GET /gateway/site-1 HTTP/1.1\r\nHost: centre\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: gateway.v1\r\n"
    b"Authorization: Bearer secret\r\n\r\n"
)


def opened(host: KeepingHost) -> tuple[Link, KeepingTransport]:
    """Return a link past its handshake."""
    link, transport = Link(host), KeepingTransport()
    link.connection_made(transport)
    link.data_received(REQUEST)
    assert transport.take().startswith(b"HTTP/1.1 101")
    return link, transport


def frame(
    payload: bytes,
    opcode: int = 2,
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x01\x02\x03\x04",
    form: int = 0,
) -> bytes:
    """Build a client's frame as RFC 6455 §5.2 has it, or not. `form` 126, 127: longer lengths."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    size = len(payload)
    flag = 0x80 if mask is not None else 0
    if form == 127 or size > 65535:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    elif form == 126 or size > 125:
        head = bytes((first, flag | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, flag | size))
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
