"""Where a line begins and ends in a stream of bytes: one engine for every format.

Owns the delimiters, the longest line, the idle gap, the time of the first byte, and finding the
next line after anything went wrong. What a line means is asked of `read`. Memory is bounded by the
longest line whatever comes in, and time by a few looks at each byte.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.serial.line import MAX_SHOWN, Fault, FaultKind, Field, Line

MAX_LENGTH = 8192
"""The most that `Framing.max_length` may be (a DSMR P1 telegram has 1 to 3 kB)."""
MAX_STARTS = 8
"""Start delimiters tried within one faulty line: its last ones."""
SLICE = 1024
"""Bytes looked at together; more that come at once are taken in slices."""

Fields = tuple[tuple[str, Field], ...]
Read = Callable[[bytes], Fields | FaultKind]


@dataclass(frozen=True, slots=True)
class Framing:
    """How lines are told apart.

    `start` empty: a line begins behind the end of the one before (or after silence). `end` empty:
    a line ends with silence. `tail`: bytes behind `end` that still belong to the line. `max_length`
    counts everything from start to tail. `idle_gap_s`: silence for this long ends a line; if `end`
    is given, what is there by then is half a line and dropped.
    """

    start: bytes = b""
    end: bytes = b"\n"
    tail: int = 0
    max_length: int = 256
    idle_gap_s: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.start) + len(self.end) + self.tail < self.max_length <= MAX_LENGTH:
            raise ValueError(
                f"max_length {self.max_length}: more than the delimiters, at most {MAX_LENGTH}"
            )


class Framer:
    """Cuts a stream into lines. `read` gets one with its delimiters and says what it means."""

    def __init__(self, framing: Framing, read: Read) -> None:
        self._framing = framing
        self._read = read
        self._data = bytearray()
        self._begins: deque[tuple[int, float]] = deque()
        """Where in the stream bytes that came together begin, and when they were here."""
        self._taken = 0
        self._looked = 0
        self._last = 0.0
        self._in_step = False
        self._told: FaultKind | None = None
        self._tried_end = 0
        self._results: list[Line | Fault] = []

    def reset(self, now: float, in_step: bool = False) -> None:
        """Forget what is in hand: the port is open again, or a question goes out (`in_step`).

        Out of step and without a start delimiter, a line is taken only after an end or silence.
        """
        self._data.clear()
        self._begins.clear()
        self._taken = self._looked = self._tried_end = 0
        self._last = now
        self._in_step, self._told = in_step, None

    @property
    def in_hand(self) -> bool:
        """Tell whether a line has begun and not ended."""
        return bool(self._data)

    def timer_at(self) -> float | None:
        """Return when silence would mean something (then call ``feed(b"", now)``)."""
        if self._data or not (self._in_step or self._framing.start):
            return self._last + self._framing.idle_gap_s
        return None

    def feed(self, data: bytes, now: float) -> list[Line | Fault]:
        """Take the bytes that are here; ``b""`` says that there is nothing up to `now`.

        Only that is silence: bytes that are read late may have come long before.
        """
        if not data and now >= self._last + self._framing.idle_gap_s:
            self._silence()
        if data:
            self._last = now
        for at in range(0, len(data), SLICE):
            if not self._data:
                self._begins.clear()
            self._begins.append((self._taken + len(self._data), now))
            self._data += data[at : at + SLICE]
            while self._data and self._next():
                pass
        results, self._results = self._results, []
        return results

    # --- cutting ----------------------------------------------------------------------------------

    def _next(self) -> bool:
        """Take one line, or drop what leads to none; return whether to go on."""
        framing = self._framing
        if not self._to_start():
            return False
        if not framing.end:
            return self._overlong()
        found = self._data.find(framing.end, max(self._looked, len(framing.start)))
        if found < 0:
            self._looked = max(0, len(self._data) - len(framing.end) + 1)
            return self._overlong()
        length = found + len(framing.end) + framing.tail
        is_long = length > framing.max_length
        if len(self._data) < length and not (is_long and framing.start):
            self._looked = found  # the tail too belongs to what will be dropped
            return False
        if is_long:
            return self._overlong(length)
        self._take(length)
        return True

    def _to_start(self) -> bool:
        """Drop what is in front of the next start; return whether there is a whole one."""
        found = self._start_from(0)
        if found:
            self._tell(FaultKind.NOISE, found)
            self._drop(found)
        return bool(self._data) and self._data.startswith(self._framing.start)

    def _start_from(self, at: int) -> int:
        """Return where the next start is, or what may become one; else the length of the data."""
        start, data = self._framing.start, self._data
        found = data.find(start, at)
        if found >= 0:
            return found
        kept = next(n for n in range(len(start) - 1, -1, -1) if data.endswith(start[:n]))
        return max(at, len(data) - kept)

    def _take(self, length: int) -> None:
        """Read the line at the head of the data."""
        framing = self._framing
        if not framing.start and not self._in_step:
            if self._told is None and length > len(framing.end) + framing.tail:
                self._tell(FaultKind.HALF, length)
            self._drop(length)
            self._in_step, self._told = True, None
            return
        frame = bytes(self._data[:length])
        if not framing.start and not frame.strip():
            self._drop(length)  # an empty line, or the CR of an LF CR
            return
        fields = self._read(frame)
        if isinstance(fields, FaultKind):
            self._fail(fields, frame)
            return
        self._results.append(Line(self._begins[0][1], fields))
        self._told = None
        self._drop(length)

    def _fail(self, kind: FaultKind, frame: bytes) -> None:
        """Tell of a faulty line once; go on at the next start within it, or behind it."""
        start, end = self._framing.start, self._taken + len(frame)
        following = len(frame)
        if end > self._tried_end:
            self._tried_end, self._told = end, None
            self._tell(kind, len(frame))
            for _ in range(MAX_STARTS - 1 if start else 0):
                found = frame.rfind(start, 1, following)
                if found < 0:
                    break
                following = found
        elif start:
            found = frame.find(start, 1)
            following = found if found > 0 else following
        self._drop(following)
        if self._taken >= end:
            self._told = None

    def _overlong(self, length: int | None = None) -> bool:
        """Drop a line that has no end where it must have one; return whether there was one.

        `length`: its end came too late, but it is here.
        """
        framing = self._framing
        if length is None and len(self._data) < framing.max_length:
            return False
        self._tell(FaultKind.TOO_LONG, framing.max_length)
        if framing.start:
            self._drop(self._start_from(1))
        elif length is not None:
            self._drop(length)
            self._in_step, self._told = True, None
        else:
            self._drop(len(self._data) - max(0, len(framing.end) - 1))
            self._in_step = False
        return True

    def _silence(self) -> None:
        """Nothing for the idle gap: a line without end delimiter is whole, any other is half."""
        if self._framing.end:
            self._told = None
            self._tell(FaultKind.HALF, len(self._data))
        else:
            while self._data and self._to_start():
                self._take(len(self._data))
        self._drop(len(self._data))
        self._in_step, self._told = True, None

    # --- book-keeping -----------------------------------------------------------------------------

    def _drop(self, count: int) -> None:
        del self._data[:count]
        self._taken += count
        self._looked = 0
        while len(self._begins) > 1 and self._begins[1][0] <= self._taken:
            self._begins.popleft()

    def _tell(self, kind: FaultKind, length: int) -> None:
        """Add a fault, once for a stretch of the same kind."""
        if length and self._told is not kind:
            self._told = kind
            shown = bytes(self._data[: min(length, MAX_SHOWN)])
            self._results.append(Fault(kind, self._begins[0][1], shown))
