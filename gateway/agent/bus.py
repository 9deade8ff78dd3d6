"""A bus: one serial port with its devices, one transaction after the other.

Owns the sending side's timing (t3.5 kept to some 10 us, broadcast turnaround), which request goes
out for the one asked (`gateway.modbus.shapes`) and the errors that a failed one becomes. Never
decides what to poll, and knows no thread: see `agent.bus_thread`.

Source: Modbus over serial line V1.02 §2.4.1, §2.5.1.1; the timing's measurements are in
`docs/decisions/bus.md`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from gateway.agent.port import Port
from gateway.config.agent import BusSettings
from gateway.errors import BadFrameError, DeviceExceptionError, NoReplyError, PortLostError
from gateway.modbus.request import BROADCAST, Reply, Request
from gateway.modbus.rtu import MAX_BUFFER, Exchange, Outcome, Result, timing
from gateway.modbus.shapes import Shapes, UnitLimits
from gateway.process.clock import Clock, HostFiles

BROADCAST_TURNAROUND_S = 0.1
"""Time for every server to carry a broadcast out (§2.4.1: 100-200 ms typical)."""
MAX_BABBLE_S = 0.5
"""A bus that does not fall silent for this long cannot be used."""
MIN_MARGIN_S, MAX_MARGIN_S = 20e-6, 250e-6
_MARGIN_STEP_S = 4e-6
_MARGIN_QUANTILE = 0.75
_LATENCY_STEP_S = 0.2e-6
_LATENCY_SHARE = 0.75
"""Of our fastest wake-up by a timer, what is taken off an arrival: bytes may wake us faster."""
PAUSE_SLICE_S = 0.05
STRAY_PAUSE_S = 0.004
ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 2, 3, 4
_TOO_LONG = (ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE)
"""What devices say to a read that is too long for them (application protocol V1.1b3 §7)."""
EARLY_REPLIES_OF_A_BARE_PTY = 2
"""In a row; from then on a pty's replies are taken as they come."""


@dataclass(slots=True)
class BusStats:
    """Counts since the start. `busy_s`: time within transactions, silences included."""

    transactions: int = 0
    replies: int = 0
    no_replies: int = 0
    bad_frames: int = 0
    exceptions: int = 0
    port_losses: int = 0
    lengthened: int = 0
    stray_bytes: int = 0
    busy_s: float = 0.0
    waited_late_s: float = 0.0


class Bus:
    """One port and its devices. Not thread-safe: it belongs to the bus's thread.

    `stopping`: set by the thread to cut waiting short.
    """

    def __init__(self, settings: BusSettings, clock: Clock, files: HostFiles | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.stats = BusStats()
        self.stopping = False
        self.lost_reason = "not opened yet"
        self.trace: Callable[[str, bytes], None] | None = None
        """Told what is written ("out") and read ("in") while somebody wants to see the frames."""
        self._files = files if files is not None else HostFiles()
        self._now = clock.now
        self._port: Port | None = None
        self._timing = timing(settings.baud, settings.character_s, settings.strict_end)
        self._shapes = Shapes(
            {
                device.unit_id: UnitLimits(device.shape_step, device.max_registers, device.holes)
                for device in settings.devices
            }
        )
        self._quiet_from = 0.0
        self._margin_s = 80e-6
        self._latency_s = 0.0
        self._echo: bool | None = None
        self._early_replies = 0

    @property
    def is_open(self) -> bool:
        return self._port is not None

    @property
    def low_latency(self) -> bool:
        """Tell whether the adapter hands bytes over at once (or needs no asking)."""
        return self._port is not None and self._port.low_latency

    @property
    def has_parity(self) -> bool:
        """Tell whether the driver checks parity; a pty does not, whatever is asked of it."""
        return self._port is not None and self._port.has_parity

    def open(self) -> None:
        """Open, lock and set up the port. Raises: PortLostError with the reason and the cure."""
        self.close()
        try:
            self._port = Port(self.settings, self._files)
        except PortLostError as error:
            self.lost_reason = str(error)
            raise
        self._echo = None
        self._early_replies = 0
        # Somebody may be in the middle of a frame.
        self._quiet_from = self._now()

    def close(self) -> None:
        """Give the port back; harmless when it is closed."""
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def transact(self, request: Request, timeout_s: float) -> Reply:
        """Send one request (see `gateway.modbus.request`) and return its reply.

        Keeps t3.5, may lengthen a read (the reply is cut back to what was asked). `timeout_s`: from
        the end of the request on the wire to the first character of the reply.
        A request to unit id 0 returns an empty `Reply` once the broadcast turnaround is over.

        Raises: NoReplyError, BadFrameError, DeviceExceptionError (`code`; 5 and 6 are busy),
        PortLostError (at once when the port is closed; the thread reopens it).
        """
        port = self._port
        if port is None:
            raise PortLostError(f"bus {self.settings.name}: {self.lost_reason}")
        started = self._now()
        try:
            return self._transact(port, request, timeout_s)
        except PortLostError as error:
            self._lost(error)
            raise
        finally:
            self.stats.busy_s += self._now() - started

    def listen(self, frame: bytes, timeout_s: float, whole: Callable[[bytes], bool]) -> bytes:
        """Send `frame`, whose answer has no length known beforehand, and return all that came.

        Ends when `whole` says that the answer is there, `timeout_s` after the request without a
        character, or on an idle gap. For finding and identifying devices: nothing is judged here.

        Raises: BadFrameError on a bus that is never silent, PortLostError.
        """
        port = self._port
        if port is None:
            raise PortLostError(f"bus {self.settings.name}: {self.lost_reason}")
        started, data = self._now(), bytearray()
        try:
            self._await_silence(port)
            port.write(frame, timeout_s)
            self._told("out", frame)
            self.stats.transactions += 1
            self._quiet_from = self._now() + len(frame) * self._timing.character_s
            until = self._quiet_from + timeout_s
            while not whole(bytes(data)) and len(data) < MAX_BUFFER:
                if not port.wait_readable(until - self._now()):
                    break
                got = port.read()
                self._told("in", got)
                data += got
                self._quiet_from = self._now()
                until = max(until, self._quiet_from + self._timing.idle_gap_s)
        except PortLostError as error:
            self._lost(error)
            raise
        finally:
            self.stats.busy_s += self._now() - started
        return bytes(data)

    def clear_at(self, request: Request) -> float:
        """Return the time from which `request` can be sent without waiting for late replies.

        In the past or now for nearly every request; a poller may ask another device first.
        """
        return self._shapes.choose(request, self._now()).clear_at

    def idle(self, until: float, wake_fd: int) -> None:
        """Wait with no transaction in hand, until a time, `wake_fd` or the loss of the port.

        Raises: PortLostError, found within a millisecond of a hang-up.
        """
        port = self._port
        if port is None:
            raise PortLostError(f"bus {self.settings.name}: {self.lost_reason}")
        try:
            if port.wait_readable(until - self._now(), wake_fd):
                self._stray(port.read())
                # Another client's traffic must not wake us for every character.
                port.sleep(min(until, self._now() + STRAY_PAUSE_S), self._now)
        except PortLostError as error:
            self._lost(error)
            raise

    def _transact(self, port: Port, request: Request, timeout_s: float) -> Reply:
        while True:
            choice = self._shapes.choose(request, self._now())
            if choice.clear_at > self._now():
                self._pause(port, choice.clear_at)
            sent = choice.request
            self.stats.lengthened += sent.count > request.count
            outcome, source_time_ns = self._exchange(port, sent, timeout_s)
            now = self._now()
            if outcome.result is Result.EXCEPTION and self._shapes.ambiguous(sent, now):
                outcome = Outcome(
                    Result.BAD_FRAME,
                    outcome.quiet_from,
                    text=f"exception {outcome.code}, which may answer an earlier request",
                )
            if outcome.result in (Result.NO_REPLY, Result.BAD_FRAME):
                self._shapes.failed(request, sent, now, timeout_s)
                raise self._failure(request, outcome, timeout_s)
            self._note(outcome)
            if outcome.result is Result.REPLY:
                self._shapes.answered(request, sent, now)
                self.stats.replies += 1
                return _reply(request, outcome, source_time_ns)
            self.stats.exceptions += 1
            if sent.count > request.count and outcome.code in _TOO_LONG:
                self._shapes.refused(request)
                continue
            self._shapes.answered(request, sent, now)
            raise DeviceExceptionError(
                f"bus {self.settings.name}: {request}: refused with exception {outcome.code}",
                outcome.code,
            )

    def _exchange(self, port: Port, request: Request, timeout_s: float) -> tuple[Outcome, int]:
        """Send `request` as it is and receive; return the outcome and its CLOCK_BOOTTIME."""
        now = self._now
        self._await_silence(port)
        sent_at = now()
        port.write(request.frame, timeout_s)
        self._told("out", request.frame)
        self.stats.transactions += 1
        if request.unit_id == BROADCAST:
            return self._broadcast(port, request, sent_at)
        exchange = Exchange(
            request,
            self._timing,
            sent_at,
            timeout_s,
            echo=self._echo,
            has_wire_time=port.has_wire_time or self._early_replies < EARLY_REPLIES_OF_A_BARE_PTY,
            lenient=not port.has_wire_time,
        )
        while exchange.outcome is None:
            at = now()
            if exchange.sleep_until > at:
                port.sleep(exchange.sleep_until, now)
            elif not port.wait_readable(exchange.wake_at - at):
                exchange.handle_timer(now())
                continue
            data = port.read()
            if data:
                self._told("in", data)
                # The bytes were there before we woke up.
                exchange.receive(data, now() - _LATENCY_SHARE * self._latency_s)
        self._quiet_from = exchange.outcome.quiet_from
        return exchange.outcome, self.clock.boottime_ns()

    def _broadcast(self, port: Port, request: Request, sent_at: float) -> tuple[Outcome, int]:
        """Nobody answers; the servers get their turnaround."""
        wire_end = sent_at + len(request.frame) * self._timing.character_s
        self._pause(port, wire_end + BROADCAST_TURNAROUND_S)
        self._quiet_from = wire_end
        return Outcome(Result.REPLY, wire_end), self.clock.boottime_ns()

    def _await_silence(self, port: Port) -> None:
        """Return when the wire has been silent for t3.5: sleep nearly all of it, spin the rest.

        The spin costs what a sleep's end is uncertain (p75 of our own lateness) and only happens
        when a transaction follows another at once.
        """
        now, silence_s = self._now, self._timing.silence_s
        started = at = now()
        until = self._quiet_from + silence_s
        while True:
            target = until - self._margin_s
            if at < target and not port.wait_readable(target - at):
                self._calibrate(now() - target)
                break
            data = port.read()
            at = now()
            if data:
                self._stray(data)
                until = at + silence_s
            elif at >= target:
                break
            if at - started > MAX_BABBLE_S:
                self.stats.bad_frames += 1
                raise BadFrameError(
                    f"bus {self.settings.name}: not silent for {MAX_BABBLE_S:g} s"
                    f" (last {data[:16].hex(' ')}); another client on the bus, or a wrong baud?"
                )
        while now() < until:
            pass

    def _calibrate(self, late_s: float) -> None:
        """Follow the p75 of how late sleeps end, and the least of it."""
        self._latency_s = max(0.0, min(late_s, self._latency_s + _LATENCY_STEP_S))
        step = _MARGIN_QUANTILE if late_s > self._margin_s else _MARGIN_QUANTILE - 1
        margin_s = self._margin_s + step * _MARGIN_STEP_S
        self._margin_s = min(MAX_MARGIN_S, max(MIN_MARGIN_S, margin_s))

    def _pause(self, port: Port, until: float) -> None:
        """Wait, dropping what arrives."""
        started = self._now()
        while (at := self._now()) < until and not self.stopping:
            if port.wait_readable(min(until - at, PAUSE_SLICE_S)):
                self._stray(port.read())
        self.stats.waited_late_s += self._now() - started

    def _told(self, way: str, data: bytes) -> None:
        if self.trace is not None:
            self.trace(way, bytes(data))

    def _stray(self, data: bytes) -> None:
        """Note bytes that answer nothing."""
        self.stats.stray_bytes += len(data)
        self._quiet_from = self._now()

    def _note(self, outcome: Outcome) -> None:
        """Learn from a good reply: local echo, a wire without time."""
        if outcome.echo is not None:
            self._echo = outcome.echo
        if outcome.early:
            self._early_replies += 1
        elif self._early_replies < EARLY_REPLIES_OF_A_BARE_PTY:
            self._early_replies = 0

    def _failure(
        self, request: Request, outcome: Outcome, timeout_s: float
    ) -> NoReplyError | BadFrameError:
        where = f"bus {self.settings.name}: {request}"
        if outcome.result is Result.NO_REPLY:
            self.stats.no_replies += 1
            return NoReplyError(f"{where}: no reply within {timeout_s:g} s ({outcome.text})")
        self.stats.bad_frames += 1
        return BadFrameError(f"{where}: not a valid reply ({outcome.text})")

    def _lost(self, error: PortLostError) -> None:
        self.stats.port_losses += 1
        self.lost_reason = str(error)
        self.close()


def _reply(request: Request, outcome: Outcome, source_time_ns: int) -> Reply:
    """Cut the reply back to what was asked."""
    data, count = outcome.data, request.count
    registers: tuple[int, ...] = ()
    bits: tuple[bool, ...] = ()
    if request.is_read and request.is_bits:
        bits = tuple(bool(data[i >> 3] >> (i & 7) & 1) for i in range(count))
    elif request.is_read:
        registers = struct.unpack_from(f">{count}H", data)
    return Reply(source_time_ns, outcome.turnaround_s, registers, bits)
