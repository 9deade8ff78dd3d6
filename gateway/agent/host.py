"""The host's own readings: one look a second, aggregates, trouble, traces, the reason of a boot.

Owns when something is recorded; reading is `sampler`'s and `modem`'s (threads of their own), what
it means `gateway.host`'s, what is remembered `boots`'s. Everything here runs in the event loop.

The rows are readings like any others, of the sources ``host`` and ``host.trace``; the trace is
recorded only around trouble, each second of it once.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gateway.agent import host_evidence
from gateway.agent.boot_records import TraceFile, trace_point
from gateway.agent.boots import Boots, Instant
from gateway.agent.host_metrics import HostCounters, samples
from gateway.agent.host_threads import HostThread, host_threads
from gateway.agent.host_words import choice_fields, line_of, number, places, verdict_fields
from gateway.agent.metrics import Sample as MetricSample
from gateway.agent.probes import Probes
from gateway.agent.recorder import Recorder
from gateway.agent.sampler import Sampler
from gateway.config.host import HostSettings
from gateway.event import Event, EventKind, Scalar
from gateway.host import shutdown
from gateway.host.link import LinkKind
from gateway.host.nl80211 import Disconnected
from gateway.host.reboot import Phase, Verdict
from gateway.host.sample import Sample, aggregate, blocks, trace
from gateway.host.supply import SupplyChoice, SupplyKind
from gateway.host.telling import Bucket, Telling, Told
from gateway.host.trouble import Watch
from gateway.process.clock import Clock
from gateway.process.timesync import TimeSync
from gateway.reading import Row, Schema, SchemaBlock

logger = logging.getLogger(__name__)

TRACE_S = 120.0
RING = 150
"""Two minutes of looks, and those out of turn."""
LAST_LOOKS = 15
"""Looks of a low supply that are recorded one by one, at once: the next may be the last."""
LOG_S = 3600.0
WRITE_S = 3600.0
STOP_S = 1.0
MAX_LINKS = 8

Disconnections = Sequence[tuple[str, Disconnected]]


class Host:
    """The service. `previous` returns what the centre last stored of the boot before, once it said
    so; `recompose` is called when the blocks changed, `on_facts` when `facts` did."""

    def __init__(
        self,
        settings: HostSettings,
        directory: Path,
        probes: Probes,
        recorder: Recorder,
        clock: Clock,
        sync: TimeSync,
        previous: Callable[[], Mapping[str, Scalar]],
    ) -> None:
        self._settings = settings
        self._probes = probes
        self._recorder = recorder
        self._clock = clock
        self._sync = sync
        self._boots = Boots(directory)
        self._sampler = Sampler(settings, probes, clock)
        self._watch = Watch(*self._sampler.limits_v)
        self._ring: deque[Sample] = deque(maxlen=RING)
        self._window: list[Sample] = []
        self._links: list[tuple[str, LinkKind]] = []
        self._traced_ns = 0
        self._kept_ns = 0
        self._low_looks = 0
        self._telling = Telling()
        self._traces = Bucket()
        self._threads: list[HostThread] = []
        self._ups_fault = ""
        self._stopping = False
        self._point: tuple[Schema, dict[int, int]] | None = None
        self._previous = previous
        self._judged = False
        self._sag_judged = False
        self.counters = HostCounters()
        self.recompose: Callable[[], None] = lambda: None
        self.on_facts: Callable[[], None] = lambda: None

    # -- life ----------------------------------------------------------------------------------

    async def begin(self, had_backlog: bool) -> Verdict:
        """Say why this start happened, and begin to look. Takes up to some seconds.

        `had_backlog`: records of an earlier run are still to be sent, so that what the centre last
        stored is not the last there was.
        """
        self._judged = had_backlog
        evidence = await asyncio.to_thread(host_evidence.boot, self._probes)
        verdict = self._boots.begin(evidence, self._instant())
        if self._judged:
            self._boots.settle(self._instant())
        fields = verdict_fields(verdict)
        if evidence.max_current_ma is not None:
            # A Pi 5 on a 3 A supply gives its USB ports 600 mA and warns nobody.
            fields["supply_max_ma"] = evidence.max_current_ma
        self._event(EventKind.BOOT_CLASSIFIED, **fields)
        logger.info(
            "boot classified class=%s confidence=%s rule=%d evidence=%r",
            verdict.reboot,
            verdict.confidence,
            verdict.rule,
            "; ".join(verdict.evidence),
        )
        self.on_facts()
        return verdict

    def start(self) -> None:
        """Start the threads that look."""
        loop = asyncio.get_running_loop()

        def hand_over(call: Callable[..., None], *args: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the agent has left
                loop.call_soon_threadsafe(call, *args)

        self._threads = host_threads(
            self._settings,
            self._sampler,
            self._probes,
            self._clock,
            hand_over,
            self.take,
            self._chosen,
            self._ups_said,
        )
        for thread in self._threads:
            thread.start()

    def _ups_said(self, fault: str) -> None:
        """Tell once when the UPS's word is missing, and when it is there again."""
        before, self._ups_fault = self._ups_fault, fault
        if bool(fault) == bool(before):
            return
        source = self._settings.supply
        if fault:
            logger.warning("supply says nothing source=%s reason=%r", source, fault)
            self._event(EventKind.DEVICE_DOWN, device=source, cause="no_reply", text=fault)
        else:
            logger.info("supply speaks again source=%s", source)
            self._event(EventKind.DEVICE_UP, device=source)

    async def run(self) -> None:
        """Record an aggregate every `aggregate_s` and the hourly line, until cancelled."""
        logged = written = self._clock.now()
        while True:
            await asyncio.sleep(self._settings.aggregate_s)
            try:
                self.record()
            except Exception as error:  # supervised here: a bug must not stop the polling
                logger.exception("host readings failed")
                self._event(EventKind.TASK_FAILED, task="agent.host", text=repr(error))
            now = self._clock.now()
            if now - logged >= LOG_S:
                logged = now
                self._log_line()
            if now - written >= WRITE_S:
                written = now
                self._boots.write(self._instant())

    async def change(self, settings: HostSettings) -> None:
        """Go on with other settings; what is remembered stays."""
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, STOP_S)
        self.record()
        self._settings = settings
        self._sampler = Sampler(settings, self._probes, self._clock)
        self._watch = Watch(*self._sampler.limits_v)
        self._links = []
        self._point = None
        self.recompose()
        self.start()

    async def leave(self) -> None:
        """Stop looking, and note whether the daemon alone or the whole system stops."""
        self._stopping = True
        for thread in self._threads:
            thread.stop()
        self.record()
        target = await asyncio.to_thread(self._stopping_for)
        phase = Phase.STOPPED if target is None else Phase.SYSTEM_STOPPING
        self._boots.write(self._instant(), phase, target or "")
        await asyncio.wrap_future(self._boots.flush())
        for thread in self._threads:
            await asyncio.to_thread(thread.join, STOP_S)

    def close(self) -> None:
        """Let go of sockets and threads."""
        self._probes.netlink.close()
        self._boots.close()

    def _stopping_for(self) -> str | None:
        running = self._probes.program(shutdown.IS_RUNNING, shutdown.ASK_S)
        jobs = self._probes.program(shutdown.LIST_JOBS, shutdown.ASK_S)
        return shutdown.stopping_for(running, jobs)

    # -- what the schema and the next Hello say ------------------------------------------------

    def blocks(self) -> tuple[SchemaBlock, ...]:
        """Return the blocks of the host's rows; they come first in the schema."""
        return blocks(self._links, self._settings.aggregate_s)

    def facts(self) -> tuple[tuple[str, Scalar], ...]:
        """Return what `Hello` tells of this boot."""
        verdict, state = self._boots.verdict, self._boots.state
        if verdict is None or state is None:
            return ()
        fields = verdict_fields(verdict)
        return (
            ("reboot", fields["class"]),
            ("reboot_confidence", fields["confidence"]),
            ("reboot_evidence", fields["evidence"]),
            ("boot_number", state.number),
        )

    # -- what others bring ---------------------------------------------------------------------

    def rows(self, schema: Schema, rows: Sequence[Row]) -> None:
        """See the rows of the buses: one of their points may be the supply."""
        source = self._sampler.choice.source
        if source is None or source.kind is not SupplyKind.POINT:
            return
        if self._point is None or self._point[0] is not schema:
            self._point = (schema, places(schema, source.name))
        for row in rows:
            index = self._point[1].get(row.block)
            if index is not None:
                self._sampler.point(number(row.values[index]))

    def trouble(self, event: Event) -> None:
        """See an event of trouble elsewhere: what led up to it is recorded."""
        if event.kind is not EventKind.TRACE:
            self._trace(event.kind.value)

    def take(self, sample: Sample, disconnections: Disconnections = ()) -> None:
        """See one look at the host."""
        if self._stopping:
            return
        self._ring.append(sample)
        self._window.append(sample)
        self.counters.seen(sample)
        self._follow_links(sample)
        changes = [
            change
            for name, word in disconnections
            for change in self._watch.disconnected(
                name, word.reason, word.by_ap, sample.source_time_ns / 1e9
            )
        ]
        changes += self._watch.see(sample)
        for change in changes:
            self.counters.changed(change)
        for told in self._telling.admit(changes, self._clock.now()):
            self._tell(told)
        self._low_looks = self._low_looks + 1 if self._watch.low else 0
        if self._low_looks <= LAST_LOOKS:
            self._go_on(sample)

    # -- recording -----------------------------------------------------------------------------

    def record(self) -> None:
        """Record what was seen since the last call."""
        window, self._window = self._window, []
        self._recorder.rows(aggregate(window, self._links, self._clock.boottime_ns()))
        self._revise()

    def _follow_links(self, sample: Sample) -> None:
        """Take up interfaces that appeared; one that vanished keeps its place."""
        known = {name for name, _ in self._links}
        fresh = [(link.name, link.kind) for link in sample.links if link.name not in known]
        if fresh and len(self._links) < MAX_LINKS:
            self._links = (self._links + fresh)[:MAX_LINKS]
            self.recompose()

    def _tell(self, told: Told) -> None:
        """Record a change."""
        change = told.change
        fields = dict(change.fields)
        if told.suppressed:
            fields["suppressed"] = told.suppressed
        if told.delayed_s:
            fields["delayed_s"] = round(told.delayed_s, 1)
        self._log_line(change.kind.value, trouble=change.trouble)
        if change.kind in (EventKind.SUPPLY_LOW, EventKind.SUPPLY_RECOVERED):
            self._boots.supply(change.trouble, self._instant())
        self._event(change.kind, **fields)

    def _trace(self, reason: str) -> None:
        """Record the looks of the last two minutes that no trace has recorded yet."""
        since_ns = max(self._kept_ns, self._clock.boottime_ns() - int(TRACE_S * 1e9))
        fresh = [s for s in self._ring if s.source_time_ns > since_ns]
        if not fresh or not self._traces.take(self._clock.now()):
            return  # what is held back comes with the next trace, if that is within two minutes
        self._kept_ns = fresh[-1].source_time_ns
        self._record_looks([s for s in fresh if s.source_time_ns > self._traced_ns])
        seconds = (fresh[-1].source_time_ns - fresh[0].source_time_ns) / 1e9
        self._event(EventKind.TRACE, reason=reason, looks=len(fresh), seconds=round(seconds, 1))
        state, at = self._boots.state, self._instant()
        if state is not None:
            points = tuple(trace_point(sample) for sample in fresh)
            self._boots.keep_trace(
                TraceFile(reason, state.number, at.boottime_ns, at.wall_ns, at.synced, points)
            )

    def _go_on(self, sample: Sample) -> None:
        """Go on with a trace while the supply is low: nothing comes after a power cut."""
        before = self._ring[-2].source_time_ns if len(self._ring) > 1 else 0
        if self._low_looks > 1 and before <= self._traced_ns < sample.source_time_ns:
            self._record_looks([sample])

    def _record_looks(self, looks: Sequence[Sample]) -> None:
        """Record looks as rows of the trace, and let them go at once."""
        self._traced_ns = looks[-1].source_time_ns if looks else self._traced_ns
        self._recorder.rows(trace(looks, self._links, len(self._links) + 1))
        self._recorder.flush()

    def _revise(self) -> None:
        """Judge the boot again once the silence before it is known; that the supply was low at
        the end needs no synchronised clock."""
        previous = {} if self._judged else self._previous()
        sagged = "low_source_time_ns" in previous and not self._sag_judged
        if not previous or not (self._sync.synced or sagged):
            return
        self._judged, self._sag_judged = self._sync.synced, True
        verdict = self._boots.revise(previous, self._instant())
        if verdict is not None:
            self.on_facts()
            self._event(EventKind.BOOT_REVISED, **verdict_fields(verdict))
            logger.info(
                "boot revised class=%s confidence=%s rule=%d",
                verdict.reboot,
                verdict.confidence,
                verdict.rule,
            )
        if self._judged:
            self._boots.settle(self._instant())

    def _chosen(self, choice: SupplyChoice) -> None:
        """Tell which sources are in use, and why not the others."""
        self._watch.limits(*self._sampler.limits_v)
        fields = choice_fields(choice)
        self._event(EventKind.HOST_SOURCES, **fields)
        logger.info("host sources supply=%s alarm=%s note=%r rejected=%r", *fields.values())

    def _log_line(self, why: str = "hourly", *, trouble: bool = False) -> None:
        if self._ring:
            level = logging.WARNING if trouble else logging.INFO
            logger.log(level, "host %s", line_of(self._ring[-1], why))

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        self._recorder.event(Event.make(kind, self._clock.boottime_ns(), **fields))

    def _instant(self) -> Instant:
        reading = self._sync.reading()
        return Instant(reading.boottime_ns, reading.wall_ns, self._sync.synced)

    # -- metrics -------------------------------------------------------------------------------

    def samples(self) -> Iterator[MetricSample]:
        """Return the host's metrics (called in the listener's thread)."""
        ring = self._ring
        last = ring[-1] if ring else None
        yield from samples(
            last, self._sampler.choice.source, self.counters, self._boots, self._instant()
        )
