"""Receiving the reply to one request: bytes with arrival times in, one outcome out.

Owns what a reply is: causality gate (what arrives before the request can have left the wire answers
something else), resynchronising at any offset, local echo, exception replies, failing fast on an
idle gap, the estimate of when the frame ended on the wire. Never waits and never sends: the driver
(`agent.bus`) reads `sleep_until` and `wake_at`.

Source: Modbus over serial line V1.02 §2.5.1.1 (t3.5), §2.4.1 (time-out); application protocol
V1.1b3 §7 (exceptions).
"""

from dataclasses import dataclass
from enum import Enum

from gateway.modbus.crc import crc16
from gateway.modbus.request import Request

MAX_BUFFER = 1024
"""Bytes kept while waiting for one reply; a longer stream is babble (four whole frames)."""
EXCEPTION_LENGTH = 5
MIN_FRAME = 4
IDLE_GAP_S = 0.030
"""A pause that ends a reply: above a USB adapter's 16 ms default latency and a hesitating server's
pause within a frame (serial line V1.02 §2.5.1.1 asks for t1.5, which no driver can keep)."""
DAMAGED_GAP_S = 0.010
"""The same once a frame of the right length came with a wrong CRC: little can still follow."""
MIN_CREDIT_S = 0.0012
CREDIT_CHARACTERS = 3
SLEEP_CHARACTERS = 8
"""A rest longer than this is slept through; a header is looked at first: it may be an exception."""
LAST_CHARACTERS = 3
"""But these at its end are watched: each chunk may better the estimate of the end."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one bus. `credit_s`: how far before its last byte was read a frame may be taken to
    have ended on the wire; 0 where devices pause inside frames."""

    character_s: float
    silence_s: float
    credit_s: float
    idle_gap_s: float = IDLE_GAP_S
    damaged_gap_s: float = DAMAGED_GAP_S

    def quiet_from(self, ended: float, now: float) -> float:
        """Return since when the wire is silent, for a frame read whole at `now`.

        A reply that comes later than any adapter explains (a FIFO holds its end back for 32 bits,
        a USB frame for 1 ms) had a pause within: the estimate is void.
        """
        late_s = now - ended
        return max(ended, now - self.credit_s) if late_s <= 2 * self.credit_s else now


def timing(baud: int, character_s: float, strict_end: bool = False) -> Timing:
    """Return the times at `baud`. t3.5 is 1.75 ms above 19200 (§2.5.1.1)."""
    silence_s = 0.00175 if baud > 19200 else 3.5 * character_s
    credit_s = 0.0 if strict_end else max(CREDIT_CHARACTERS * character_s, MIN_CREDIT_S)
    gap_s = max(IDLE_GAP_S, 8 * character_s)
    return Timing(character_s, silence_s, credit_s, gap_s, max(DAMAGED_GAP_S, 2 * silence_s))


class Result(Enum):
    """How a transaction ended."""

    REPLY = "reply"
    EXCEPTION = "exception"
    NO_REPLY = "no reply"
    BAD_FRAME = "bad frame"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one transaction.

    `data`: a read's data bytes. `code`: an exception's. `quiet_from`: since when the wire is silent
    as far as we know. `early`: the reply came before the causality gate (a wire without time).
    `echo`: whether our own request came back first; ``None`` when nothing came to tell from.
    """

    result: Result
    quiet_from: float
    data: bytes = b""
    code: int = 0
    turnaround_s: float = 0.0
    early: bool = False
    echo: bool | None = None
    text: str = ""


class Exchange:
    """Waits for the reply to one request.

    `outcome` is set once it is over. Until then the driver looks at the port no earlier than
    `sleep_until` and calls `handle_timer` at `wake_at`.
    `echo`: whether the bus is known to echo our requests. `has_wire_time`: False on a port whose
    characters take no time (a bare pty), where the causality gate means nothing.
    """

    __slots__ = (
        "_arrivals",
        "_buffer",
        "_damaged",
        "_deadline",
        "_early",
        "_early_until",
        "_echo",
        "_gate",
        "_lenient",
        "_pending",
        "_request",
        "_timing",
        "_touched",
        "outcome",
        "sleep_until",
        "wake_at",
    )

    def __init__(
        self,
        request: Request,
        timing: Timing,
        sent_at: float,
        timeout_s: float,
        echo: bool | None = None,
        has_wire_time: bool = True,
        lenient: bool = False,
    ) -> None:
        self._request = request
        self._timing = timing
        self._buffer = bytearray()
        self._arrivals: list[tuple[float, int]] = []
        self._early = 0
        self._echo = echo
        self._lenient = lenient
        self._damaged = False
        self._pending: Outcome | None = None
        wire_end = sent_at + len(request.frame) * timing.character_s
        self._gate = wire_end if has_wire_time else sent_at
        # The first character of an answer ends one character after the gate at the earliest.
        self._early_until = wire_end + timing.character_s if has_wire_time else sent_at
        self._deadline = wire_end + timeout_s
        self._touched = wire_end
        self.outcome: Outcome | None = None
        self.sleep_until = 0.0
        self.wake_at = self._deadline

    @property
    def received(self) -> int:
        """How many bytes are in hand."""
        return len(self._buffer)

    def receive(self, data: bytes, now: float) -> None:
        """Take what the port gave at `now`."""
        buffer = self._buffer
        buffer += data
        self._touched = now
        if now < self._early_until:
            self._early = len(buffer)
            self.sleep_until = self._gate
            self.wake_at = self._deadline
            return
        self._arrivals.append((now, len(buffer)))
        if len(buffer) > MAX_BUFFER:
            self._finish(Result.BAD_FRAME, now, f"more than {MAX_BUFFER} bytes without a reply")
            return
        self._scan(now)

    def handle_timer(self, now: float) -> None:
        """Act on the passing of `wake_at`."""
        if self.outcome is not None or now < self.wake_at:
            return
        if self._pending is not None:
            self.outcome = self._pending
            return
        if len(self._buffer) <= self._early:
            self._fail(Result.NO_REPLY, now)
        elif not self._only_others():
            self._fail(Result.BAD_FRAME, now)
        elif now >= self._deadline:
            self._fail(Result.NO_REPLY, now)
        else:
            # Whole frames that answer something else (an echo, a late reply, another client's
            # traffic): ours can still come.
            self._early = len(self._buffer)
            self._arrivals.clear()
            self._damaged = False
            self.wake_at = self._deadline

    def _scan(self, now: float) -> None:
        """Look for the reply from every offset; set the next times to look."""
        request, buffer = self._request, self._buffer
        length = request.reply_length
        self._pending = None
        floor = self._floor()
        best: int | None = None
        at = buffer.find(self._header(), floor)
        while at >= 0:
            end = at + length
            if end > len(buffer):
                best = at if best is None else best
            elif crc16(memoryview(buffer)[at:end]):
                self._damaged = True
            elif end == len(buffer):
                self._match(at, now)
                return
            at = buffer.find(self._header(), at + 1)
        at = len(buffer) - EXCEPTION_LENGTH
        if at >= floor and buffer[at] == request.unit_id:
            tail = memoryview(buffer)[at:]
            if tail[1] == request.function | 0x80 and not crc16(tail):
                self._refused(at, now)
                return
        self._rest(best, floor, now)

    def _rest(self, candidate: int | None, floor: int, now: float) -> None:
        """Set when to look again: once at the header, once at the estimated end."""
        timing, have = self._timing, len(self._buffer)
        if have <= floor:
            self.wake_at = self._deadline
            return
        length = self._request.reply_length
        start = candidate if candidate is not None else floor
        missing = start + length - have
        whole_gap = timing.idle_gap_s
        self.sleep_until = 0.0
        if candidate is None and have - floor >= EXCEPTION_LENGTH:
            if self._damaged:
                whole_gap = timing.damaged_gap_s
        elif missing > SLEEP_CHARACTERS:
            wait = missing - LAST_CHARACTERS
            if candidate is None:
                wait = EXCEPTION_LENGTH - (have - floor)
            self.sleep_until = self._ended(start, have + wait)
        self.wake_at = max(now, self.sleep_until) + whole_gap

    def _header(self) -> bytes:
        request = self._request
        if request.is_read:
            return bytes((request.unit_id, request.function, request.byte_count))
        return bytes((request.unit_id,)) + request.echoed

    def _floor(self) -> int:
        """Return the offset where a reply can start: behind the gate, and behind our own echo."""
        floor = self._early
        if self._echo and self._request.frame in self._buffer:
            floor = max(floor, self._buffer.find(self._request.frame) + len(self._request.frame))
        return floor

    def _ended(self, start: int, end: int) -> float:
        """Estimate when the character before offset `end` of a frame from `start` is over.

        Every chunk gives an upper bound: what it held had ended by its arrival, what was missing
        takes its characters' time from then on.
        """
        character_s = self._timing.character_s
        return min(
            (arrived + (end - have) * character_s)
            for arrived, have in self._arrivals
            if have > start and have <= end
        )

    def _match(self, start: int, now: float) -> None:
        """A good frame ends the buffer at `start`."""
        request, timing = self._request, self._timing
        length = request.reply_length
        ended = self._ended(start, start + length)
        turnaround_s = ended - length * timing.character_s - self._gate
        outcome = Outcome(
            Result.REPLY,
            timing.quiet_from(ended, now),
            bytes(self._buffer[start + 3 : start + length - 2]) if request.is_read else b"",
            turnaround_s=max(0.0, turnaround_s),
            echo=self._echoed(start),
        )
        if request.echoed and bytes(self._buffer[start:]) == request.frame and self._echo is None:
            # FC 5 and 6 answer with the request itself (§6.5): an echo looks the same. Nothing told
            # yet whether this bus echoes: a second copy would.
            self._confirm(outcome if turnaround_s > 0 else None, timing.idle_gap_s, now)
            return
        self.outcome = outcome

    def _refused(self, start: int, now: float) -> None:
        """An exception ends the buffer; take it when nothing follows (it names no address)."""
        timing = self._timing
        ended = self._ended(start, start + EXCEPTION_LENGTH)
        outcome = Outcome(
            Result.EXCEPTION,
            timing.quiet_from(ended, now),
            code=self._buffer[start + 2],
            turnaround_s=max(0.0, ended - EXCEPTION_LENGTH * timing.character_s - self._gate),
            echo=self._echoed(start),
        )
        self._confirm(outcome, timing.silence_s, now)

    def _confirm(self, outcome: Outcome | None, within_s: float, now: float) -> None:
        self._pending = outcome
        self.sleep_until = 0.0
        self.wake_at = now + within_s

    def _echoed(self, start: int) -> bool | None:
        """Tell whether our request stands before the reply at `start`."""
        return self._request.frame in memoryview(self._buffer)[:start].tobytes()

    def _only_others(self) -> bool:
        """Tell whether everything behind the gate is whole frames none of which is the wrong unit
        answering in our shape."""
        request = self._request
        data = bytes(self._buffer[self._early :])
        if request.frame in data:
            data = data.replace(request.frame, b"", 1)
        start, shape = 0, self._header()[1:]
        while start < len(data):
            end = _frame_end(data, start)
            if end is None or data[start + 1 : start + 1 + len(shape)] == shape:
                return False
            start = end
        return True

    def _fail(self, result: Result, now: float) -> None:
        """End without a reply, unless the wire has no time and an early one is in hand."""
        request, length = self._request, self._request.reply_length
        own_image = request.echoed and request.frame[:-2] == self._header() and not self._echo
        if self._lenient and self._early >= length and not own_image:
            at = self._buffer.rfind(self._header(), 0, self._early)
            frame = self._buffer[at : at + length]
            if at >= 0 and len(frame) == length and not crc16(frame):
                data = bytes(frame[3:-2]) if request.is_read else b""
                echo = request.frame in self._buffer[:at]
                self.outcome = Outcome(Result.REPLY, self._touched, data, early=True, echo=echo)
                return
        got = bytes(self._buffer[self._early :])
        text = f"got {len(got)} bytes {got[:32].hex(' ')}" if got else "nothing came"
        if self._early:
            text += f", {self._early} bytes too early to be the answer"
        self._finish(result, now, text)

    def _finish(self, result: Result, now: float, text: str) -> None:
        self.outcome = Outcome(result, min(now, self._touched), text=text)


def _frame_end(data: bytes, start: int) -> int | None:
    """Return where the first CRC-valid frame from `start` ends."""
    crc = crc16(data[start : start + MIN_FRAME - 1])
    for end in range(start + MIN_FRAME, len(data) + 1):
        crc = crc16(data[end - 1 : end], crc)
        if crc == 0:
            return end
    return None
