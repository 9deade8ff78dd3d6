"""One WebSocket connection: the lean link.

Owns framing, heartbeat and back-pressure of a connection. A whole masked binary frame takes a short
path; whatever else comes makes a `ServerProtocol` on demand, which decides as RFC 6455 says, and is
dropped again when nothing unusual is going on. Never knows what a message means (`session`) nor who
may come in (`door`). The short path is fuzzed against `ServerProtocol` itself.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import cast

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.speedups import apply_mask

from gateway.centre.ending import EndCause, Ending, Side, cut
from gateway.centre.frames import BINARY, MEDIUM, ORDINARY, binary_frame
from gateway.centre.handshake import MAX_REQUEST, Rejection
from gateway.centre.judge import StrictProtocol, ending_of
from gateway.centre.link_host import Hold, LinkHost, LinkSession, Phase
from gateway.centre.pulse import Pulse
from gateway.centre.upgrade import Refused, refuse, upgrade

WRITE_BUFFER = 64 * 1024
"""Bytes we let pile up for a peer that does not read; past it we stop reading from that peer."""


_HANDSHAKE, _OPEN, _CLOSING = Phase.HANDSHAKE, Phase.OPEN, Phase.CLOSING  # enum look-ups cost


class Link(asyncio.Protocol):
    """One connection. Times are the host's; counters count whole messages and their payload."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_ending",
        "_handed_over",
        "_holds",
        "_need",
        "_strict",
        "bytes_in",
        "bytes_out",
        "due",
        "heard",
        "host",
        "messages_in",
        "messages_out",
        "phase",
        "pulse",
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
        self.pulse = Pulse()
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0
        self.due = 0.0
        self._buffer: bytearray | None = None
        self._need = 0
        self._strict: StrictProtocol | None = None
        self._handed_over = False
        self._holds = 0
        self._ending: Ending | None = None
        host.wheel.place(self, self.since + host.handshake_timeout_s)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        rejection = self.host.link_made(self)
        if self.phase is not _HANDSHAKE:  # TLS took longer than it may
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self.heard = self.host.now()
        if rejection is not None:
            self._end_handshake(refuse(rejection))

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
            size = len(data) - 8
            if (  # nothing but one whole binary frame of medium length: nearly all that comes
                size >= 0
                and data.startswith(MEDIUM)
                and data[2] << 8 | data[3] == size
                and self._strict is None
                and size <= self.host.max_message
            ):
                self._message(apply_mask(data[8:], data[4:8]))
            else:
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
                text = f"The request is over {MAX_REQUEST} bytes."
                self._end_handshake(refuse(Rejection(431, "http", text)))
            else:
                self._buffer = bytearray(data)
                self._need = len(data) + 1
            return
        verdict = upgrade(self.host, self, data[: end + 4])
        if isinstance(verdict, Refused):
            self._end_handshake(verdict)
            return
        assert self.transport is not None
        self.transport.write(verdict.answer)
        self.session = verdict.session
        if verdict.judge is not None:
            self._strict = verdict.judge
            self._handed_over = True
        self.phase = _OPEN
        again = self.session.handle_due(self.heard)
        self.host.wheel.place(self, min(again, self.heard + self.host.heartbeat_s))
        self.host.link_opened(self)
        if len(data) > end + 4:
            self._frames(data[end + 4 :])

    def _end_handshake(self, refused: Refused) -> None:
        self.phase = _CLOSING
        self.host.handshake_failed(self, refused.phase)
        self._buffer = None
        if self.transport is not None:
            self.transport.write(refused.answer)
            self._half_close()

    # Frames in

    def _frames(self, data: bytes) -> None:
        """Take frames from `data` (RFC 6455 §5.2); keep what is not whole."""
        if self._handed_over:
            self._feed(data)
            return
        host = self.host
        at, end = 0, len(data)
        need = 2
        while end - at >= 2:
            first, length = data[at], data[at + 1] - 0x80
            if length < 0 or (first != BINARY and first not in ORDINARY):
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
            if first == BINARY and self._strict is None:
                if stop > end:
                    need = head + length
                    break
                mask = at + head
                at = stop
                self._message(apply_mask(data[mask:stop], data[mask - 4 : mask]))
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
        assembled = 0 if self._strict is None else self._strict.assembled
        return assembled + length > self.host.max_message

    def _judge(self) -> StrictProtocol:
        if self._strict is None:
            self._strict = StrictProtocol(State.OPEN, self.host.max_message)
        return self._strict

    def _one_unusual(self, frame: bytes) -> None:
        """Let `ServerProtocol` decide on one whole frame."""
        judge = self._judge()
        self._feed(frame)
        if not judge.assembling and self.phase is _OPEN:
            self._strict = None

    def _hand_over(self, data: bytes) -> None:
        """Leave everything from here on to `ServerProtocol`: it will fail the connection."""
        self._judge()
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
            taken = self.pulse.pong(bytes(frame.data), self.heard)
            if taken is not None:
                self.host.round_trip(taken)
        elif frame.opcode is Opcode.TEXT:
            self.close(1003, "only binary messages are understood", EndCause.PROTOCOL_ERROR)
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT) and self._strict is not None:
            message = self._strict.assemble(frame)
            if message is not None:
                self._message(message)

    def _message(self, message: bytes) -> None:
        metrics = self.host.metrics
        size = len(message)
        self.messages_in += 1
        self.bytes_in += size
        metrics.bytes_in += size
        metrics.sizes_in[size.bit_length()] += 1
        self.session.message_received(message)  # type: ignore[union-attr] # there is one when open

    def _flush(self, strict: StrictProtocol) -> None:
        """Send what `ServerProtocol` wants sent and note how it ended the connection."""
        if strict.state is not State.OPEN and self.phase is _OPEN:
            self.phase = _CLOSING
        if self._ending is None and strict.state is not State.OPEN:
            self._ending = ending_of(strict)
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
        self.release(*Hold)
        self.host.wheel.place(self, self.host.now() + self.host.close_timeout_s)

    # Frames out

    def send_all(self, messages: Sequence[bytes]) -> None:
        """Send whole messages; what comes after a Close goes nowhere."""
        transport = self.transport
        if self.phase is not _OPEN or transport is None:
            return
        strict, size = self._strict, 0
        for message in messages:
            size += len(message)
            if strict is not None and strict.extensions:
                strict.send_binary(message)
                self._flush(strict)
            else:
                transport.write(binary_frame(message))
        count, metrics = len(messages), self.host.metrics
        self.messages_out += count
        self.bytes_out += size
        metrics.messages_out += count
        metrics.bytes_out += size

    def close(self, code: int, reason: str, cause: EndCause) -> None:
        """Start the closing handshake (RFC 6455 §7.1.2)."""
        if self.phase is not _OPEN or self.transport is None:
            return
        judge = self._judge()
        self._ending = Ending(Side.CENTRE, cause, code, reason)
        with contextlib.suppress(InvalidState):
            judge.send_close(code, reason)
        self.phase = _CLOSING
        self._handed_over = True
        self.host.wheel.place(self, self.host.now() + self.host.close_timeout_s)
        buffer, self._buffer = self._buffer, None
        self._flush(judge)
        self.release(*Hold)
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

    def release(self, *reasons: Hold) -> None:
        """Read again, unless there is another reason not to."""
        held, self._holds = self._holds, self._holds & ~sum(reasons)
        if held and not self._holds and self.transport is not None:
            self.transport.resume_reading()
            self.heard = self.host.now()

    @property
    def held(self) -> int:
        """Why nothing is read, as bits of `Hold`."""
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
        if self.pulse.pinged > heard:
            return heard + host.heartbeat_s + host.heartbeat_timeout_s
        if silent < host.heartbeat_s:
            return heard + host.heartbeat_s
        if self.transport is not None:
            self.transport.write(self.pulse.ping(now))
        return heard + host.heartbeat_s + host.heartbeat_timeout_s
