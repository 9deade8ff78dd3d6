"""A bus: one serial port with its devices, in a thread of its own.

`Bus` does one transaction after the other (blocking); `BusThread` owns the thread: it calls the
worker (the poller) when it is due, runs jobs that other threads submit in between, and reopens the
port when it is lost. Never decides what to poll; frames and their meaning are `gateway.modbus`.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from gateway.config.agent import BusSettings
from gateway.modbus.request import Reply, Request
from gateway.process.clock import Clock

T = TypeVar("T")


class Bus:
    """One port. Not thread-safe: every method but `BusThread.submit` belongs to the bus thread."""

    def __init__(self, settings: BusSettings, clock: Clock) -> None: ...

    is_open: bool
    clock: Clock
    settings: BusSettings

    def open(self) -> None:
        """Open, lock and set up the port. Raises: PortLostError with the reason and the cure."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the port back; harmless when it is closed."""
        raise NotImplementedError

    def transact(self, request: Request, timeout_s: float) -> Reply:
        """Send one request (see `gateway.modbus.request`) and return its reply.

        Keeps t3.5, may lengthen a read (the reply is cut back to what was asked). `timeout_s`: from
        the end of the request on the wire to the first character of the reply.
        A request to unit id 0 returns an empty `Reply` once the broadcast turnaround is over.

        Raises: NoReplyError, BadFrameError, DeviceExceptionError (`code`; 5 and 6 are busy),
        PortLostError (at once when the port is closed; the thread reopens it).
        """
        raise NotImplementedError

    def clear_at(self, request: Request) -> float:
        """Return the time from which `request` can be sent without waiting for late replies."""
        raise NotImplementedError


class Worker(Protocol):
    """What the bus thread serves; all four are called in the bus thread."""

    def next_due(self, now: float) -> float | None:
        """Return when `work` wants to be called (CLOCK_BOOTTIME s), ``None`` for never."""

    def work(self, bus: Bus, now: float) -> None:
        """Do one due poll of one device (a few transactions), then return.

        Called also while the port is lost: then `transact` raises PortLostError at once.
        """

    def port_lost(self, now: float, reason: str) -> None:
        """The port vanished, or could not be opened at the start. Told once per loss."""

    def port_returned(self, now: float) -> None:
        """The port is open (again). Also told after the first successful open."""


class BusThread:
    """Runs a bus and its worker until stopped."""

    def __init__(self, bus: Bus, worker: Worker) -> None: ...

    def start(self) -> None:
        """Start the thread; the port is opened in it (and retried every 0.25 s)."""
        raise NotImplementedError

    def submit(self, job: Callable[[Bus], T]) -> "Future[T]":
        """Run `job(bus)` in the bus thread before the next `work`. Any thread may call this.

        The future fails with what the job raised, or is cancelled when the thread stops.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Ask the thread to end after the transaction in hand, from any thread."""
        raise NotImplementedError

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether the thread is gone."""
        raise NotImplementedError
