"""Edges that a look a second would date badly or not see: an under-voltage alarm, a lost carrier.

Owns one thread that waits for the kernel's word (poll(POLLPRI) on the alarm's file, rtnetlink) and
asks for a look at once. What is seen then is the look's business; an alarm that is over before the
look is handed on as having rung. Bounded: a link that flaps has its looks like any other.

Source: Linux Documentation/hwmon/sysfs-interface.rst (alarms can be polled); kernfs_fop_poll
(POLLPRI and POLLERR until the next read); rtnetlink(7).
"""

import contextlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable

from gateway.agent.probes import Probes
from gateway.host.rtnetlink import news
from gateway.host.sysfs import integer
from gateway.host.telling import Bucket
from gateway.process.clock import Clock

logger = logging.getLogger(__name__)

BURST, REFILL_S = 10.0, 6.0
"""Looks out of turn: so many at once, then one in so many seconds."""
MAX_DATAGRAM = 65536
MAX_DATAGRAMS = 64
MAX_LINKS = 256


class Edges:
    """Waits until stopped. `on_alarm`: the alarm was set; `on_edge`: look now."""

    def __init__(
        self,
        probes: Probes,
        clock: Clock,
        on_alarm: Callable[[], None],
        on_edge: Callable[[], None],
    ) -> None:
        self._probes = probes
        self._clock = clock
        self._on_alarm = on_alarm
        self._on_edge = on_edge
        self._bucket = Bucket(BURST, REFILL_S, BURST)
        self._lock = threading.Lock()
        self._wanted = ""
        self._path = ""
        self._alarm: int | None = None
        self._value: int | None = None
        self._links: socket.socket | None = None
        self._carriers: dict[int, bool] = {}
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="host.edges", daemon=True)

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def watch(self, path: str) -> None:
        """Wait for the alarm at this path of the host from now on, "" for none; any thread."""
        self._tell(wanted=path)

    def stop(self) -> None:
        """Ask the thread to end."""
        self._tell(stopping=True)

    def join(self, timeout_s: float) -> bool:
        """Say whether the thread has ended within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _tell(self, wanted: str | None = None, stopping: bool = False) -> None:
        with self._lock:
            self._stopping = self._stopping or stopping
            self._wanted = self._wanted if wanted is None else wanted
            if not self._ended:
                os.eventfd_write(self._wake, 1)

    # -- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._links = self._probes.link_news()
            while not self._stopping:
                self._step()
        except Exception:  # supervised: without it a look a second still sees most
            logger.exception("waiting for edges failed")
        finally:
            with self._lock:
                self._ended = True
                os.close(self._wake)
            self._close_alarm()
            if self._links is not None:
                self._links.close()

    def _step(self) -> None:
        if self._wanted != self._path:
            self._open_alarm(self._wanted)
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._alarm is not None:
            poller.register(self._alarm, select.POLLPRI)
        if self._links is not None:
            poller.register(self._links, select.POLLIN)
        for fd, _ in poller.poll():
            if fd == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            elif fd == self._alarm:
                self._alarm_told()
            else:
                self._links_told()

    def _open_alarm(self, path: str) -> None:
        self._close_alarm()
        self._path = path
        if not path:
            return
        with contextlib.suppress(OSError):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            self._alarm = os.open(self._probes.files.path(path), flags)
            self._value = self._read()

    def _close_alarm(self) -> None:
        held, self._alarm = self._alarm, None
        if held is not None:
            os.close(held)

    def _read(self) -> int | None:
        """Read the alarm; only then is the next change told."""
        assert self._alarm is not None
        return integer(os.pread(self._alarm, 64, 0))

    def _alarm_told(self) -> None:
        before = self._value
        try:
            self._value = self._read()
        except OSError:  # its device is gone; the looks find another
            self._close_alarm()
            return
        # The same as before: it was set and cleared again (or the other way round) meanwhile.
        if self._value == 1 or before == self._value == 0:
            self._on_alarm()
        self._look()

    def _links_told(self) -> None:
        changed = False
        assert self._links is not None
        try:
            for _ in range(MAX_DATAGRAMS):
                for one in news(self._links.recv(MAX_DATAGRAM, socket.MSG_DONTWAIT)):
                    changed = changed or self._carriers.get(one.index) != one.carrier
                    if len(self._carriers) >= MAX_LINKS:
                        self._carriers.clear()
                    self._carriers[one.index] = one.carrier
        except BlockingIOError:
            pass
        except OSError:  # ENOBUFS: some were lost
            changed = True
        if changed:
            self._look()

    def _look(self) -> None:
        if self._bucket.take(self._clock.now()):
            self._on_edge()
