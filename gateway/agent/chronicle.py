"""What is told of the link: every session opened, every ending, every failure to connect.

Owns the events, metrics, log lines and the status line of the uplink, and what the next `Hello`
says of the session before; decides nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.agent.dial import Link, Timings
from gateway.agent.faults import Fault, FaultCause, Phase, Side
from gateway.agent.metrics import Metrics
from gateway.agent.recorder import Recorder
from gateway.agent.session import Session
from gateway.correlation.signatures import log_words
from gateway.event import Event, EventKind, Scalar
from gateway.process.clock import Clock
from gateway.wire.message import Welcome

logger = logging.getLogger(__name__)

SLOW_TLS_S = 0.2
"""A handshake slower than this is worth a warning: the path or the centre is in trouble."""
REPEAT_S = 3600.0
"""The same failure to connect is recorded again after this long."""


@dataclass(slots=True)
class Past:
    """What the next `Hello` tells of the session before, and how the link is now (`since`: of
    `now`, ``None`` until the first attempt ended); outlives an uplink that is replaced."""

    session: int = 0
    ended: tuple[tuple[str, Scalar], ...] = ()
    connected: bool = False
    since: float | None = None
    text: str = ""
    boot: tuple[tuple[str, Scalar], ...] = ()
    """Why this boot happened, for the facts of `Hello`."""
    previous: tuple[tuple[str, Scalar], ...] = ()
    """What the centre last stored of the boot before."""


class Chronicle:
    """Tells. `status` gets one line for the service manager."""

    def __init__(
        self,
        recorder: Recorder,
        metrics: Metrics,
        clock: Clock,
        status: Callable[[str], None],
        past: Past,
    ) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock
        self._status = status
        self._past = past
        self._reported: tuple[FaultCause, Phase] | None = None
        self._reported_at = 0.0

    def timed(self, timings: Timings) -> None:
        """Tell how long the phases of connecting took."""
        for phase, seconds in timings.items():
            self._metrics.phase_seconds.labels(phase).observe(seconds)
        if timings.tls_s is not None and timings.tls_s > SLOW_TLS_S:
            self._metrics.slow_tls.inc()
            logger.warning("slow TLS handshake seconds=%.3f limit=%.3f", timings.tls_s, SLOW_TLS_S)

    def opened(self, welcome: Welcome, link: Link, failures: int) -> None:
        """Tell that a session began after `failures` in a row."""
        self._past.session = welcome.session
        self._past.previous = welcome.previous or self._past.previous
        self._reported = None
        self._metrics.sessions.inc()
        self._metrics.connected.set(1)
        self._metrics.session_start.set(self._clock.wall_ns() / 1e9)
        phases = {f"{name}_s": round(seconds, 6) for name, seconds in link.timings.items()}
        self._event(
            EventKind.SESSION_OPENED,
            session=welcome.session,
            address=link.address,
            failures=failures,
            **phases,
        )
        self._now(True, f"connected to {link.address}, session {welcome.session}")
        logger.info("session opened session=%d address=%s", welcome.session, link.address)

    def gone(self) -> None:
        """Tell that there is no session any more, before anything else is known."""
        self._metrics.connected.set(0)

    def ended(self, session: Session, fault: Fault, lived_s: float) -> None:
        """Tell how a session ended, with what the kernel and the pings knew of the link."""
        self._metrics.sessions_ended.labels(fault.side.value, fault.cause.value).inc()
        number = 0 if session.welcomed is None else session.welcomed.session
        live = session.liveness
        fields = dict(fault.fields())
        fields["duration_s"] = round(lived_s, 3)
        fields["heard_age_s"] = round(self._clock.now() - live.heard, 3)
        if live.round_trip_s is not None:
            fields["rtt_s"] = round(live.round_trip_s, 6)
        if live.last_tcp is not None:
            fields.update(live.last_tcp.fields())
        self._past.ended = tuple(fields.items())
        self._event(EventKind.SESSION_ENDED, session=number, **fields)
        self._now(False, f"disconnected: {fault.cause} by {fault.side}: {fault.text}")
        logger.log(
            logging.INFO if fault.side is Side.OWN else logging.WARNING,
            "session ended session=%d cause=%s side=%s %s lived_s=%.1f text=%r",
            number,
            fault.cause,
            fault.side,
            log_words(fault.cause.value, fault.code),
            lived_s,
            fault.text,
        )

    def failed(self, fault: Fault, failures: int) -> None:
        """Tell of a failed attempt; the same failure is an event only once an hour."""
        self._metrics.connect_failures.labels(fault.phase.value, fault.cause.value).inc()
        self._now(False, f"not connected: {fault.cause} ({fault.phase}): {fault.text}")
        now = self._clock.now()
        same = self._reported == (fault.cause, fault.phase)
        if same and now - self._reported_at < REPEAT_S:
            return
        self._reported, self._reported_at = (fault.cause, fault.phase), now
        fields = dict(fault.fields())
        self._event(EventKind.CONNECT_FAILED, failures=failures, **fields)
        if dict(self._past.ended).get("phase") != Phase.SESSION.value:
            self._past.ended = tuple(fields.items())
        logger.warning(
            "cannot connect cause=%s phase=%s %s text=%r",
            fault.cause,
            fault.phase,
            log_words(fault.cause.value, fault.code, in_session=False),
            fault.text,
        )

    def _now(self, connected: bool, text: str) -> None:
        """Note how the link is and since when."""
        past = self._past
        if past.connected is not connected or past.since is None:
            past.connected, past.since = connected, self._clock.now()
        past.text = text
        self._status(text)

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        self._recorder.event(Event.make(kind, self._clock.boottime_ns(), **fields))
