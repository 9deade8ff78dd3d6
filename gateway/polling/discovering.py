"""A device whose points are not known yet: it is walked for SunSpec models first.

Owns the course of such a walk over a bus that loses answers (which read to repeat, when to begin
again) and what its end means. The walk itself is `gateway.modbus.sunspec`'s. Never asks a clock and
never talks to a device. While it is not found there are no readings of it: there is nothing yet
that could be named; the driver tells of it by an event.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.config.agent import DeviceSettings, PointSettings
from gateway.modbus.point import Table
from gateway.modbus.request import Request, read_request
from gateway.modbus.sunspec import Discovery, points_of
from gateway.polling.health import FIRST_TIMEOUT_S, MAX_PROBE_INTERVAL_S, PROBE_SHARE
from gateway.reading import Cause

FIRST_PAUSE_S = 5.0
PAUSE_GROWTH = 1.5


class Discovering:
    """The walk of one device. `due`: when its next read is wanted. `found`: the settings with
    their points, once it is over."""

    def __init__(self, settings: DeviceSettings, start: float) -> None:
        self.settings = settings
        self.due = start
        self.found: DeviceSettings | None = None
        self.down_since: float | None = None
        self._walk = Discovery()
        self._attempt = 0
        self._answered = False
        self._spent_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._cause = Cause.NO_REPLY

    @property
    def timeout_s(self) -> float:
        """Return how long to wait for an answer."""
        return self.settings.timeout_s or FIRST_TIMEOUT_S

    def request(self) -> Request:
        """Return the read to make now."""
        wanted = self._walk.wanted
        assert wanted is not None, "a walk that is over has begun anew or is found"
        return read_request(self.settings.unit_id, Table.HOLDING, wanted.address, wanted.count)

    def given(self, registers: Sequence[int], now: float) -> Cause | None:
        """Take an answer. Return why the walk failed, ``None`` while it has not."""
        self._answered, self._attempt = True, 0
        self._walk.given(registers)
        return self._go_on(now)

    def refused(self, now: float) -> Cause | None:
        """The device answered with an exception."""
        self._answered, self._attempt, self._cause = True, 0, Cause.EXCEPTION
        self._walk.refused()
        return self._go_on(now)

    def lost(self, cause: Cause, now: float, spent_s: float) -> Cause | None:
        """No answer, or a damaged one: asked again, then the walk is begun anew later.

        A device that has not answered at all may be silent only where it has nothing: the other
        places are tried too.
        """
        self._spent_s += spent_s
        self._cause = cause
        silent = cause is Cause.NO_REPLY and not self._answered
        if not silent and self._attempt < self.settings.retries:
            self._attempt += 1
            self.due = now
            return None
        if silent:
            self._walk.refused()
            return self._go_on(now)
        return self._again(now)

    def pause(self, until: float) -> None:
        """Wait: the port is gone, or a late answer must be waited out."""
        self.due = until

    def _go_on(self, now: float) -> Cause | None:
        self.due = now
        chain = self._walk.chain
        if chain is None:
            return None
        only = self.settings.discover_only
        specs = [spec for spec in points_of(chain) if not only or spec.name in only]
        interval_s = self.settings.discover_s
        if not specs or interval_s is None:
            self._cause = Cause.EXCEPTION if self._answered else Cause.NO_REPLY
            return self._again(now)
        points = tuple(PointSettings(spec, interval_s) for spec in specs)
        self.found = replace(self.settings, points=points, discover_s=None, discover_only=())
        return None

    def _again(self, now: float) -> Cause:
        """Begin anew later: seldom enough that a device which is off costs the bus little."""
        self.due = now + max(self._pause_s, self._spent_s / PROBE_SHARE)
        self._pause_s = min(self._pause_s * PAUSE_GROWTH, MAX_PROBE_INTERVAL_S)
        self._walk, self._answered, self._attempt, self._spent_s = Discovery(), False, 0, 0.0
        return self._cause
