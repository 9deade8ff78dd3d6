"""The reader of one plain serial source, in a thread of its own.

Owns the port's coming and going, when it is read and written, and handing on rows and events. What
bytes mean and when the source is asked is decided in `gateway.serial.source`; a source that hangs,
babbles or vanishes delays nobody else.
"""

import contextlib
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from gateway.agent.bus_thread import REOPEN_S
from gateway.agent.metrics import Sample
from gateway.agent.port import Port
from gateway.config.serial import SerialSettings
from gateway.errors import PortLostError
from gateway.event import Event, EventKind, Scalar
from gateway.process.clock import Clock, HostFiles
from gateway.reading import Row
from gateway.serial.line import Fault
from gateway.serial.source import Silence, Source, SourceCounters

_LOG = logging.getLogger(__name__)

WRITE_WAIT_S = 1.0
"""How long the kernel may refuse the bytes of a question."""
IDLE_S = 60.0
"""Longest wait without looking at the clock again."""
MAX_PIECES, MAX_PIECE, MAX_RECENT = 32, 256, 1024
"""Reads whose bytes are kept to be shown, bytes of one of them, bytes shown."""


class SerialReader:
    """Reads one source until stopped.

    `on_rows(name, rows)` and `on_event(event)` are called in the reader's thread. `ended` completes
    when the thread ends: without a result after `stop`, with the exception of a bug.
    """

    def __init__(
        self,
        settings: SerialSettings,
        clock: Clock,
        on_rows: Callable[[str, list[Row]], None],
        on_event: Callable[[Event], None],
        files: HostFiles | None = None,
    ) -> None:
        self.settings = settings
        self.ended: Future[None] = Future()
        self._clock = clock
        self._on_rows = on_rows
        self._on_event = on_event
        self._files = HostFiles() if files is None else files
        self._source = Source(
            settings.name,
            settings.format_type(settings.options),
            settings.points,
            settings.asking,
            settings.silent_after_s,
            clock.now(),
        )
        self.schema_blocks = self._source.blocks
        self._port: Port | None = None
        self.lost_reason = ""
        """Why the port is not open; empty before the first try."""
        self._asked_for = False
        self._recent: deque[tuple[str, bytes]] = deque(maxlen=MAX_PIECES)
        self._reopen_at = clock.now()
        self._lost_since: float | None = None
        self._losses = 0
        self._stopping = False
        self._lock = threading.Lock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(
            target=self._run, name=f"serial[{settings.name}]", daemon=True
        )

    def start(self) -> None:
        """Start the thread; the port is opened in it (and retried)."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, from any thread."""
        with self._lock:
            self._stopping = True
            if not self.ended.done():
                os.eventfd_write(self._wake_fd, 1)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether the thread is gone."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def ask_now(self) -> None:
        """Ask the source out of turn, from any thread; nothing happens to one that talks by itself
        or whose answer is being waited for."""
        with self._lock:
            if not self.ended.done():
                self._asked_for = True
                os.eventfd_write(self._wake_fd, 1)

    @property
    def is_open(self) -> bool:
        return self._port is not None

    @property
    def counters(self) -> SourceCounters:
        return self._source.counters

    @property
    def last_fault(self) -> Fault | None:
        return self._source.last_fault

    def recent(self) -> tuple[tuple[str, bytes], ...]:
        """Return the bytes sent (``out``) and read (``in``) lately; from any thread."""
        for _ in range(3):
            with contextlib.suppress(RuntimeError):  # it grew meanwhile
                return _joined(tuple(self._recent))
        return ()

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics; called when Prometheus asks, from any thread."""
        counters = self._source.counters
        source = (("source", self.settings.name),)

        def sample(name: str, text: str, value: float, counter: bool = True) -> Sample:
            return Sample(f"gateway_serial_{name}", text, value, counter, source)

        yield sample("bytes", "Bytes read from a serial source", counters.bytes)
        yield sample("lines", "Good lines of a serial source", counters.lines)
        yield sample("questions", "Questions sent to a serial source", counters.questions)
        yield sample("unanswered", "Questions without a whole answer", counters.unanswered)
        yield sample("unasked", "Good lines nobody waited for", counters.unasked)
        yield sample("skipped", "Due times left out: the source was busy", counters.skipped)
        yield sample("format_crashes", "Exceptions of the format's code", counters.crashes)
        yield sample("port_losses", "Times the port was lost", self._losses)
        yield sample("port_open", "1 while the port is open", self._port is not None, False)
        yield sample("silent", "1 while a source gives no good line", counters.silent, False)
        for kind, count in tuple(counters.faults.items()):
            text = "Faulty stretches on a serial line, by kind"
            labels = (*source, ("kind", kind.value))
            yield Sample("gateway_serial_faults", text, count, True, labels)

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._step()
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    def _step(self) -> None:
        """Wait for bytes or a due time, take what came, send what is due, hand on what it gave."""
        if self._port is None:
            self._reopen()
        try:
            self._listen()
            question = self._source.bytes_to_send()
            if question and self._port is not None:
                self._recent.append(("out", question))
                self._port.write(question, WRITE_WAIT_S)
        except PortLostError as error:
            self._lose(str(error))
        self._hand_on()

    def _listen(self) -> None:
        now = self._clock.now()
        until = min(self._source.timer_at(), now + IDLE_S)
        port = self._port
        if port is None:
            until = min(until, self._reopen_at)
            select.select((self._wake_fd,), (), (), max(0.0, until - now))
        else:
            port.wait_readable(until - now, self._wake_fd)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        # The time before the read: what it does not find was not there until then.
        at = self._clock.now()
        data = port.read() if port is not None else b""
        if data:
            self._recent.append(("in", data[-MAX_PIECE:]))
            self._source.receive(data, at)
        if self._asked_for:
            self._asked_for = False
            self._source.ask_now(at)
        self._source.handle_timer(at)

    def _reopen(self) -> None:
        at = self._clock.now()
        if at < self._reopen_at:
            return
        try:
            self._port = Port(self.settings, self._files)
        except PortLostError as error:
            self._lose(str(error))
            return
        at = self._clock.now()
        self._source.port_returned(at)
        _LOG.info("port open source=%s port=%s", self.settings.name, self.settings.port)
        if self._lost_since is not None:
            lost_s = round(at - self._lost_since, 3)
            self._lost_since = None
            self._event(EventKind.PORT_RETURNED, port=self.settings.port, lost_s=lost_s)

    def _lose(self, reason: str) -> None:
        """Close the port; say so once a loss; try again after a fixed delay."""
        at = self._clock.now()
        port, self._port = self._port, None
        self.lost_reason = reason
        if port is not None:
            port.close()
        self._reopen_at = at + REOPEN_S
        if self._lost_since is None:
            self._lost_since = at
            self._losses += 1
            self._source.port_lost(at)
            _LOG.warning("port lost source=%s reason=%s", self.settings.name, reason)
            self._event(EventKind.PORT_LOST, port=self.settings.port, reason=reason)

    def _hand_on(self) -> None:
        rows = self._source.rows()
        if rows:
            self._on_rows(self.settings.name, rows)
        for silence in self._source.silences():
            self._tell(silence)

    def _tell(self, silence: Silence) -> None:
        name = self.settings.name
        if silence.ended:
            _LOG.info("source speaks again source=%s silent_s=%.1f", name, silence.silent_s)
            self._event(EventKind.DEVICE_UP, device=name, down_s=round(silence.silent_s, 3))
            return
        cause = silence.cause.name.lower()
        fault = self._source.last_fault
        shown = fault.shown.hex(" ") if fault is not None else ""
        _LOG.warning("source silent source=%s cause=%s last_fault=%s", name, cause, shown)
        self._event(EventKind.DEVICE_DOWN, device=name, cause=cause)

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        at = self._clock.boottime_ns()
        self._on_event(Event.make(kind, at, source=self.settings.name, **fields))

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            port, self._port = self._port, None
            if port is not None:
                port.close()
            os.close(self._wake_fd)
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)


def _joined(pieces: Sequence[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """Put what was read piece by piece together; the newest `MAX_RECENT` bytes."""
    whole: list[tuple[str, bytes]] = []
    room = MAX_RECENT
    for way, data in reversed(pieces):
        data = data[-room:]
        room -= len(data)
        if whole and whole[-1][0] == way == "in":
            whole[-1] = (way, data + whole[-1][1])
        else:
            whole.append((way, data))
        if room <= 0:
            break
    return tuple(reversed(whole))
