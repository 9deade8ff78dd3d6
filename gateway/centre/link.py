"""One WebSocket connection: the lean link.

Owns framing, heartbeat and back-pressure of a connection. A whole masked binary frame takes a short
path; whatever else comes makes a `ServerProtocol` on demand, which decides as RFC 6455 says, and is
dropped again when nothing unusual is going on. Never knows what a message means (`session`) nor who
may come in (`door`). The short path is fuzzed against `ServerProtocol` itself.
"""

import asyncio
import contextlib
import logging
import math
import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Protocol, cast

from websockets.exceptions import InvalidState
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask
from websockets.typing import Subprotocol

from gateway.centre.ending import EndCause, Ending, Side, closed_by_agent, cut
from gateway.centre.handshake import (
    MAX_REQUEST,
    Rejection,
    UpgradeRequest,
    Usual,
    accepted,
    parse_usual,
    refused,
)
from gateway.centre.metrics import Metrics
from gateway.centre.wheel import TimerWheel
from gateway.wire.message import SUBPROTOCOL

LOGGER = logging.getLogger(__name__)
_QUIET = logging.getLogger("gateway.centre.websockets")
_QUIET.setLevel(logging.WARNING)
_BINARY = 0x82  # FIN and opcode 2 (RFC 6455 §5.2)
_ORDINARY = frozenset({0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8A})
"""First bytes without reserved bits, of known opcodes, control frames whole (RFC 6455 §5.5)."""
_PING = 0x89
_SHORT_HEADS = tuple(bytes((_BINARY, length)) for length in range(126))
_SECONDS = struct.Struct(">d")
WRITE_BUFFER = 64 * 1024
"""Bytes we let pile up for a peer that does not read; past it we stop reading from that peer."""


class Phase(IntEnum):
    """Where a connection is in its life."""

    HANDSHAKE = 0
    OPEN = 1
    CLOSING = 2
    LOST = 3


_HANDSHAKE, _OPEN, _CLOSING = Phase.HANDSHAKE, Phase.OPEN, Phase.CLOSING  # enum look-ups cost


class Hold(IntEnum):
    """Why nothing is read from a connection for now (bits)."""

    PEER = 1
    """It does not read what we send."""
    STORE = 2
    """The store is behind."""


class LinkSession(Protocol):
    """What a link carries once it is open."""

    def message_received(self, message: bytes) -> None:
        """Take one whole message."""

    def handle_due(self, now: float) -> float:
        """Do what is due; return when to ask again (seconds, ``inf``: never)."""

    def link_lost(self, ending: Ending) -> None:
        """The connection is over; comes exactly once."""


class LinkHost(Protocol):
    """What links share: limits, counters and the door's decisions."""

    wheel: TimerWheel
    max_message: int
    heartbeat_s: float
    heartbeat_timeout_s: float
    handshake_timeout_s: float
    close_timeout_s: float
    deflate: bool
    metrics: Metrics
    now: Callable[[], float]

    def link_made(self, link: "Link") -> Rejection | None:
        """Count a connection in; return a rejection when there is no room."""

    def admit(self, link: "Link", request: UpgradeRequest) -> LinkSession | Rejection:
        """Decide on a well-formed request."""

    def link_opened(self, link: "Link") -> None:
        """The 101 answer is on its way."""

    def handshake_failed(self, link: "Link", phase: str) -> None:
        """Count a handshake that came to nothing; exactly once for each."""

    def link_lost(self, link: "Link") -> None:
        """Count a connection out."""

    def round_trip(self, seconds: float) -> None:
        """Note one measured round trip."""


class StrictProtocol(ServerProtocol):
    """websockets' judge, with room for the fragments of one message."""

    def __init__(self, host: LinkHost, state: State) -> None:
        super().__init__(
            extensions=[ServerPerMessageDeflateFactory()] if host.deflate else None,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            select_subprotocol=_select,
            state=state,
            max_size=host.max_message,
            logger=_QUIET,
        )
        self.parts: list[bytes] = []


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose `gateway.v1` or none: the rejection is ours to word."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


class Link(asyncio.Protocol):
    """One connection. Times are the host's; counters count whole messages and their payload."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_deflated",
        "_ending",
        "_fragments",
        "_handed_over",
        "_holds",
        "_need",
        "_pinged",
        "_strict",
        "bytes_in",
        "bytes_out",
        "due",
        "heard",
        "host",
        "messages_in",
        "messages_out",
        "phase",
        "ponged",
        "round_trip_max_s",
        "round_trip_min_s",
        "round_trip_s",
        "session",
        "since",
        "transport",
    )

    def __init__(self, host: LinkHost) -> None:
        self.host = host
        self.transport: asyncio.Transport | None = None
        self.session: LinkSession | None = None
        self.phase = _HANDSHAKE
        self.since = host.now()
        self.heard = 0.0
        self.ponged = 0.0
        self.round_trip_s = -1.0
        self.round_trip_min_s = math.inf
        self.round_trip_max_s = 0.0
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0
        self.due = 0.0
        self._buffer: bytearray | None = None
        self._need = 0
        self._strict: StrictProtocol | None = None
        self._fragments = -1  # bytes of a fragmented message so far; -1: none in progress
        self._deflated = self._handed_over = False
        self._holds = 0
        self._pinged = 0.0
        self._ending: Ending | None = None
        host.wheel.place(self, self.since + host.handshake_timeout_s)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.phase is not _HANDSHAKE:  # TLS took longer than it may
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self.heard = self.host.now()
        rejection = self.host.link_made(self)
        if rejection is not None:
            self._reject(rejection)

    def data_received(self, data: bytes) -> None:
        self.heard = self.host.now()
        buffer = self._buffer
        if buffer is not None:
            buffer += data
            if len(buffer) < self._need:
                return
            data = bytes(buffer)
            self._buffer = None
        if self.phase is _OPEN:
            self._frames(data)
        elif self.phase is _HANDSHAKE:
            self._handshake(data)
        elif self.phase is _CLOSING and self._strict is not None:
            self._feed(data)

    def eof_received(self) -> None:
        if self.phase is _OPEN and self._ending is None:
            self._ending = cut(None)

    def pause_writing(self) -> None:
        self.hold(Hold.PEER)

    def resume_writing(self) -> None:
        self.release(Hold.PEER)

    def connection_lost(self, exc: Exception | None) -> None:
        phase, self.phase = self.phase, Phase.LOST
        if phase is _HANDSHAKE:
            self.host.handshake_failed(self, "lost")
        session, self.session = self.session, None
        if session is not None:
            session.link_lost(self._ending or cut(exc))
        self.host.link_lost(self)
        self.due = 0.0
        self.transport = self._strict = self._buffer = None

    # Handshake

    def _handshake(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0 or end + 4 > MAX_REQUEST:
            if len(data) >= MAX_REQUEST:
                self._reject(Rejection(431, "http", f"The request is over {MAX_REQUEST} bytes."))
            else:
                self._buffer = bytearray(data)
                self._need = len(data) + 1
            return
        head, rest = data[: end + 4], data[end + 4 :]
        usual = parse_usual(head)
        if usual is None or (usual.deflate and self.host.deflate):
            opened = self._unusual_handshake(head)
        else:
            opened = self._usual_handshake(usual)
        if opened:
            self.phase = _OPEN
            assert self.session is not None
            again = self.session.handle_due(self.heard)
            self.host.wheel.place(self, min(again, self.heard + self.host.heartbeat_s))
            self.host.link_opened(self)
            if rest:
                self._frames(rest)

    def _usual_handshake(self, usual: Usual) -> bool:
        verdict = self.host.admit(self, usual.request)
        if isinstance(verdict, Rejection):
            self._reject(verdict)
            return False
        self.session = verdict
        assert self.transport is not None
        self.transport.write(accepted(usual.key))
        return True

    def _unusual_handshake(self, head: bytes) -> bool:
        """Let websockets read the request and negotiate; ours is only who may come in."""
        strict = StrictProtocol(self.host, State.CONNECTING)
        strict.receive_data(head)
        request = next((e for e in strict.events_received() if isinstance(e, Request)), None)
        if request is None:
            self._reject(Rejection(400, "http", "This is not an HTTP/1.1 request."))
            return False
        response = strict.accept(request)
        if response.status_code != 101:
            strict.send_response(response)
            self._end_handshake("upgrade", b"".join(strict.data_to_send()))
            return False
        if strict.subprotocol is None:
            text = f"Sec-WebSocket-Protocol must offer {SUBPROTOCOL}."
            self._reject(Rejection(400, "upgrade", text))
            return False
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        verdict = self.host.admit(self, UpgradeRequest(request.path, headers))
        if isinstance(verdict, Rejection):
            self._reject(verdict)
            return False
        self.session = verdict
        strict.send_response(response)
        assert self.transport is not None
        self.transport.write(b"".join(strict.data_to_send()))
        if strict.extensions:
            self._strict = strict
            self._deflated = self._handed_over = True
        return True

    def _reject(self, rejection: Rejection) -> None:
        self._end_handshake(rejection.phase, refused(rejection))

    def _end_handshake(self, phase: str, answer: bytes) -> None:
        self.phase = _CLOSING
        self.host.handshake_failed(self, phase)
        self._buffer = None
        if self.transport is not None:
            self.transport.write(answer)
            self._half_close()

    # Frames in

    def _frames(self, data: bytes) -> None:
        """Take frames from `data` (RFC 6455 §5.2); keep what is not whole."""
        if self._handed_over:
            self._feed(data)
            return
        host = self.host
        metrics = host.metrics
        session = self.session
        assert session is not None
        at, end = 0, len(data)
        need = 2
        while end - at >= 2:
            first, length = data[at], data[at + 1] - 0x80
            if length < 0 or (first != _BINARY and first not in _ORDINARY):
                self._hand_over(data[at:])
                return
            if length < 126:
                head = 6
            elif length == 126:
                head = 8
                if end - at < head:
                    need = head
                    break
                length = data[at + 2] << 8 | data[at + 3]
            else:
                head = 14
                if end - at < head:
                    need = head
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            if length > host.max_message:
                self._hand_over(data[at:])
                return
            stop = at + head + length
            if first == _BINARY and self._strict is None:
                if stop > end:
                    need = head + length
                    break
                mask = at + head
                message = apply_mask(data[mask:stop], data[mask - 4 : mask])
                at = stop
                self.messages_in += 1
                self.bytes_in += length
                metrics.messages_in += 1
                metrics.bytes_in += length
                metrics.sizes_in[length.bit_length()] += 1
                session.message_received(message)
            elif self._hopeless(first, length):
                self._hand_over(data[at:])
                return
            elif stop > end:
                need = head + length
                break
            else:
                self._one_unusual(data[at:stop])
                at = stop
            if self.phase is not _OPEN:
                if self.phase is _CLOSING and at < end:
                    self._feed(data[at:])
                return
        if at < end:
            self._buffer = bytearray(data[at:]) if at else bytearray(data)
            self._need = need

    def _hopeless(self, first: int, length: int) -> bool:
        """Tell whether this frame can only end the connection: no need to wait for all of it."""
        if first >= 0x88:
            return length > 125
        return max(self._fragments, 0) + length > self.host.max_message

    def _one_unusual(self, frame: bytes) -> None:
        """Let `ServerProtocol` decide on one whole frame."""
        if self._strict is None:
            self._strict = StrictProtocol(self.host, State.OPEN)
        self._feed(frame)
        if self._fragments < 0 and not self._deflated and self.phase is _OPEN:
            self._strict = None

    def _hand_over(self, data: bytes) -> None:
        """Leave everything from here on to `ServerProtocol`: it will fail the connection."""
        if self._strict is None:
            self._strict = StrictProtocol(self.host, State.OPEN)
        self._handed_over = True
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        strict = self._strict
        if strict is None:
            return
        strict.receive_data(data)
        for event in strict.events_received():
            if isinstance(event, Frame) and self.phase is _OPEN:
                self._frame_received(event)
        self._flush(strict)

    def _frame_received(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._ponged(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            self.close(1003, "only binary messages are understood", EndCause.PROTOCOL_ERROR)
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._fragment(frame)

    def _fragment(self, frame: Frame) -> None:
        """Put a fragmented message together (RFC 6455 §5.4); `ServerProtocol` bounds its size."""
        if frame.opcode is Opcode.BINARY and frame.fin:
            self._message(bytes(frame.data))
            return
        assert self._strict is not None
        parts = self._strict.parts
        parts.append(bytes(frame.data))
        self._fragments = max(self._fragments, 0) + len(frame.data)
        if frame.fin:
            message = b"".join(parts)
            parts.clear()
            self._fragments = -1
            self._message(message)

    def _message(self, message: bytes) -> None:
        metrics = self.host.metrics
        size = len(message)
        self.messages_in += 1
        self.bytes_in += size
        metrics.messages_in += 1
        metrics.bytes_in += size
        metrics.sizes_in[size.bit_length()] += 1
        assert self.session is not None
        self.session.message_received(message)

    def _flush(self, strict: ServerProtocol) -> None:
        """Send what `ServerProtocol` wants sent and note how it ended the connection."""
        if strict.state is not State.OPEN and self.phase is _OPEN:
            self.phase = _CLOSING
        if self._ending is None and strict.state is not State.OPEN:
            self._ending = _ending_of(strict)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        for data in strict.data_to_send():
            if data:
                transport.write(data)
            else:
                self._half_close()

    def _half_close(self) -> None:
        """Send FIN behind what was written, read on till the peer's, but not for long.

        Closing at once could make the kernel send RST and so destroy the answer on its way.
        """
        transport = self.transport
        assert transport is not None
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
        if self._holds:
            self._holds = 0
            transport.resume_reading()
        self.host.wheel.place(self, self.host.now() + self.host.close_timeout_s)

    # Frames out

    def send_all(self, messages: Sequence[bytes]) -> None:
        """Send whole messages; what comes after a Close goes nowhere."""
        transport = self.transport
        if self.phase is not _OPEN or transport is None:
            return
        size = 0
        for message in messages:
            length = len(message)
            size += length
            if self._deflated and self._strict is not None:
                self._strict.send_binary(message)
                self._flush(self._strict)
            elif length < 126:
                transport.write(_SHORT_HEADS[length] + message)
            elif length < 65536:
                transport.write(bytes((_BINARY, 126, length >> 8, length & 0xFF)) + message)
            else:
                transport.write(bytes((_BINARY, 127)) + length.to_bytes(8, "big") + message)
        self.messages_out += len(messages)
        self.bytes_out += size
        self.host.metrics.messages_out += len(messages)
        self.host.metrics.bytes_out += size

    def close(self, code: int, reason: str, cause: EndCause) -> None:
        """Start the closing handshake (RFC 6455 §7.1.2)."""
        if self.phase is not _OPEN or self.transport is None:
            return
        if self._strict is None:
            self._strict = StrictProtocol(self.host, State.OPEN)
        self._ending = Ending(Side.CENTRE, cause, code, reason)
        with contextlib.suppress(InvalidState):
            self._strict.send_close(code, reason)
        self.phase = _CLOSING
        self._handed_over = True
        self.host.wheel.place(self, self.host.now() + self.host.close_timeout_s)
        buffer, self._buffer = self._buffer, None
        self._flush(self._strict)
        if self._holds:
            self._holds = 0
            self.transport.resume_reading()
        if buffer:
            self._feed(bytes(buffer))

    def abort(self, cause: EndCause, reason: str) -> None:
        """Drop the connection without ceremony."""
        self._ending = self._ending or Ending(Side.CENTRE, cause, 1006, reason)
        if self.transport is not None:
            self.transport.abort()

    # Heartbeat and back-pressure

    def hold(self, why: Hold) -> None:
        """Stop reading; the peer's TCP window closes and it waits."""
        if not self._holds and self.transport is not None and self.phase is _OPEN:
            self.transport.pause_reading()
        self._holds |= why

    def release(self, why: Hold) -> None:
        """Read again, unless there is another reason not to."""
        held, self._holds = self._holds, self._holds & ~why
        if held and not self._holds and self.transport is not None:
            self.transport.resume_reading()
            self.heard = self.host.now()

    @property
    def held(self) -> int:
        """The reasons why nothing is read, as bits."""
        return self._holds

    def handle_due(self, now: float) -> None:
        """Called by the wheel."""
        host = self.host
        if self.phase is _HANDSHAKE:
            self.phase = _CLOSING
            host.handshake_failed(self, "tls" if self.transport is None else "timeout")
            if self.transport is not None:
                self.transport.abort()
        elif self.phase is _CLOSING and self.transport is not None:
            self.transport.abort()
        elif self.phase is _OPEN and self.session is not None:
            again = self.session.handle_due(now)
            if self.phase is _OPEN:
                host.wheel.place(self, min(again, self._heartbeat(now)))

    def _heartbeat(self, now: float) -> float:
        """Ping a link that is silent; return when to look again."""
        host = self.host
        heard = now if self._holds & Hold.STORE else self.heard
        silent = now - heard
        if silent >= host.heartbeat_s + host.heartbeat_timeout_s:
            self.close(1011, "no pong within the time-out", EndCause.NO_PONG)
            return self.due
        if self._pinged > heard:
            return heard + host.heartbeat_s + host.heartbeat_timeout_s
        if silent < host.heartbeat_s:
            return heard + host.heartbeat_s
        self._pinged = now
        if self.transport is not None:
            payload = _SECONDS.pack(now)
            self.transport.write(bytes((_PING, len(payload))) + payload)
        return heard + host.heartbeat_s + host.heartbeat_timeout_s

    def _ponged(self, payload: bytes) -> None:
        if self._pinged and payload == _SECONDS.pack(self._pinged):
            self.ponged = self.heard
            self.round_trip_s = taken = self.heard - self._pinged
            self.round_trip_min_s = min(self.round_trip_min_s, taken)
            self.round_trip_max_s = max(self.round_trip_max_s, taken)
            self._pinged = 0.0
            self.host.round_trip(self.round_trip_s)


def _ending_of(strict: ServerProtocol) -> Ending:
    """Say who ended the connection, from what `ServerProtocol` exchanged."""
    received, sent = strict.close_rcvd, strict.close_sent
    if received is not None and strict.close_rcvd_then_sent and sent is received:
        return closed_by_agent(int(received.code), received.reason)
    if sent is None:
        return cut(None)
    cause = EndCause.TOO_BIG if sent.code == 1009 else EndCause.PROTOCOL_ERROR
    return Ending(Side.CENTRE, cause, int(sent.code), sent.reason)
