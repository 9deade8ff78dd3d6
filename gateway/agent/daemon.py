"""The agent: puts spool, buses and uplink together, reloads and stops them.

Owns the life of the process: what starts when, what a signal does, what the service manager is
told. Starts no thread of its own and knows nothing of registers or messages.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from gateway import __version__
from gateway.agent.anchors import TICK_S, Anchors
from gateway.agent.bus_thread import SWITCH_INTERVAL_S
from gateway.agent.chronicle import Past
from gateway.agent.control import Control
from gateway.agent.desk import Desk
from gateway.agent.faults import FaultCause
from gateway.agent.fleet import Fleet
from gateway.agent.host import Host
from gateway.agent.identity import instance
from gateway.agent.metrics import Metrics
from gateway.agent.probes import Probes
from gateway.agent.recorder import Recorder
from gateway.agent.spool.spool import Spool
from gateway.agent.spool_metrics import SpoolCollector
from gateway.agent.uplink import Identity, NewEpochNeededError, Uplink
from gateway.config.agent import AgentSettings
from gateway.config.diff import Changes, details, diff
from gateway.errors import ConfigError, SpoolError
from gateway.event import Event, EventKind, Scalar
from gateway.process import log
from gateway.process.clock import Clock, HostFiles
from gateway.process.control_client import control_path
from gateway.process.control_messages import ReloadWord
from gateway.process.files import load_agent, load_changed
from gateway.process.fit import overloads
from gateway.process.install import note_running
from gateway.process.notify import Notifier
from gateway.process.signals import Signals
from gateway.process.timesync import TimeSync

logger = logging.getLogger(__name__)

LEAVE_S = 3.0
"""How long a stopping agent waits for the centre's last acks and the goodbye."""
SYNC_TICKS = 10
"""Anchor ticks between two questions whether the clock is synchronised."""


def run(path: Path) -> int:
    """Run the agent with the config file at `path` until a signal stops it; return the status.

    Raises: ConfigError, SpoolError before anything has started.
    """
    settings = load_agent(path)
    log.set_up(settings.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    clock, host = Clock(), HostFiles()
    boot_id = host.boot_id()
    spool = Spool.open(settings.spool, settings.gateway_id, boot_id, clock)
    return asyncio.run(Agent(path, settings, spool, boot_id, clock, host).run())


class Agent:
    """One run of the daemon."""

    def __init__(
        self,
        path: Path,
        settings: AgentSettings,
        spool: Spool,
        boot_id: bytes,
        clock: Clock,
        host: HostFiles,
        probes: Probes | None = None,
        sync: TimeSync | None = None,
    ) -> None:
        self._path = path
        self._settings = settings
        self._spool = spool
        self._boot_id = boot_id
        self._clock = clock
        self._instance = instance(host)
        self._notifier = Notifier()
        self._metrics = Metrics()
        self._sync = sync or TimeSync(clock, host)
        self._recorder = Recorder(spool, self._metrics, settings.uplink.batch_s)
        self._fleet = Fleet(self._recorder, self._metrics, clock)
        self._past = Past()
        self._host = Host(
            settings.host,
            Path(settings.state_directory),
            probes or Probes(host),
            self._recorder,
            clock,
            self._sync,
            lambda: dict(self._past.previous),
        )
        self._uplink: Uplink | None = None
        self._uplink_task: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._desk = Desk(
            path,
            lambda: self._settings,
            self._fleet,
            self._recorder,
            spool,
            self._past,
            clock,
            self._sync,
            self._ask_reload,
        )
        self._reload_wanted = asyncio.Event()
        self._reload_waiters: list[asyncio.Future[ReloadWord]] = []
        self._states: dict[str, str] = {}
        self._status = 0
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Start everything, wait for a stop, leave in order."""
        settings, spool = self._settings, self._spool
        spool.on_event = self._recorder.event
        self._metrics.read_from(self._fleet.samples)
        self._metrics.read_from(self._host.samples)
        self._recorder.observer = self._host
        self._fleet.host_blocks = self._host.blocks
        self._host.recompose = self._fleet.compose
        self._host.on_facts = self._know_boot
        self._metrics.registry.register(SpoolCollector(spool))
        self._stop_listening = self._metrics.listen(settings.metrics.listen)
        try:
            with Signals().installed() as signals:
                self._stop, self._reload_wanted = signals.stop, signals.reload
                await self._live(signals)
        except* Exception as group:  # the last line of supervision: systemd starts us again
            for error in group.exceptions:
                logger.error("agent failed", exc_info=error)
            self._status = 1
        finally:
            if self._stop_listening is not None:
                self._stop_listening()
            self._notifier.close()
        return self._status

    async def _live(self, signals: Signals) -> None:
        settings = self._settings
        async with asyncio.TaskGroup() as group:
            commits = group.create_task(self._spool.run(), name="agent.spool")
            jobs = [
                group.create_task(self._anchor(), name="agent.anchors"),
                group.create_task(self._notifier.keep_watchdog(), name="agent.watchdog"),
                group.create_task(self._fleet.supervise(), name="agent.fleet"),
                group.create_task(self._reloads(signals, group), name="agent.reload"),
                group.create_task(self._desk.sample(), name="agent.desk"),
            ]
            control = control_path(settings)
            if control is not None:
                serving = Control(control, self._desk).serve()
                jobs.append(group.create_task(serving, name="agent.control"))
            self._event(EventKind.AGENT_STARTED, version=__version__, revision=settings.revision)
            self._applied()
            self._fleet.start(settings.units)
            await self._host.begin(self._earlier_backlog())
            self._host.start()
            jobs.append(group.create_task(self._host.run(), name="agent.host"))
            self._start_uplink(group)
            # What start-up left behind is not looked at again by the collector.
            gc.collect()
            gc.freeze()
            self._notifier.ready()
            logger.info(
                "agent started version=%s revision=%s buses=%d",
                __version__,
                settings.revision,
                len(settings.buses),
            )
            await signals.stop.wait()
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)
            await self._leave(commits)

    def _know_boot(self) -> None:
        self._past.boot = self._host.facts()

    def _earlier_backlog(self) -> bool:
        """Say whether records of an earlier run are still to be sent."""
        epochs = self._spool.epochs()
        return any(state.available for state in epochs if state.epoch != self._spool.epoch)

    def _restart(self, why: str) -> None:
        """Leave in order with a failure, so that the service manager starts a fresh epoch."""
        logger.error("agent must start anew text=%r", why)
        self._event(EventKind.TASK_FAILED, task="agent", text=why)
        self._status = 1
        self._stop.set()

    # -- the uplink ----------------------------------------------------------------------------

    def _start_uplink(self, group: asyncio.TaskGroup) -> None:
        settings = self._settings
        facts: list[tuple[str, Scalar]] = [("config_revision", settings.revision)]
        facts += [(f"label.{name}", value) for name, value in settings.labels]
        identity = Identity(settings.gateway_id, self._instance, self._boot_id, tuple(facts))
        uplink = self._uplink = Uplink(
            settings.uplink,
            identity,
            self._recorder,
            self._spool,
            self._metrics,
            self._clock,
            self._sync,
            lambda text: self._state("uplink", text),
            self._past,
        )
        self._recorder.live = uplink.offer
        self._recorder.batch_s = settings.uplink.batch_s
        self._uplink_task = group.create_task(self._supervised(uplink), name="agent.uplink")

    async def _supervised(self, uplink: Uplink) -> None:
        """Keep the uplink going: a bug there must not stop the polling."""
        while True:
            try:
                await uplink.run()
            except NewEpochNeededError as error:
                self._restart(str(error))
                return
            except Exception as error:  # supervised: told as an event, tried again
                logger.exception("uplink failed")
                self._metrics.tasks_failed.labels("uplink").inc()
                self._event(EventKind.TASK_FAILED, task="agent.uplink", text=repr(error))
                await asyncio.sleep(self._settings.uplink.backoff_initial_s)
            else:
                return

    async def _leave_uplink(self, cause: FaultCause) -> None:
        """End the session; cut it short when the centre does not answer."""
        if self._uplink is None or self._uplink_task is None:
            return
        self._uplink.leave(cause)
        _, late = await asyncio.wait({self._uplink_task}, timeout=LEAVE_S)
        for task in late:
            task.cancel()

    # -- reload and stop -----------------------------------------------------------------------

    async def _reloads(self, signals: Signals, group: asyncio.TaskGroup) -> None:
        while True:
            await signals.reload.wait()
            signals.reload.clear()
            waiters, self._reload_waiters = self._reload_waiters, []
            self._notifier.reloading()
            word = await self._reload(group)
            self._notifier.ready()
            self._desk.reloaded(word)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(word)

    async def _ask_reload(self) -> ReloadWord:
        """Reload as at SIGHUP, one after the other, and return how it ended."""
        waiter: asyncio.Future[ReloadWord] = asyncio.get_running_loop().create_future()
        self._reload_waiters.append(waiter)
        self._reload_wanted.set()
        return await waiter

    async def _reload(self, group: asyncio.TaskGroup) -> ReloadWord:
        """Take over a changed file, or keep what runs and say why."""
        try:
            settings = load_changed(self._path)
            changes = diff(self._settings, settings)
            if changes.identity:
                raise ConfigError(
                    "gateway.id, gateway.state_directory and gateway.control change only with a "
                    "restart of the daemon; the running configuration stays"
                )
        except (ConfigError, OSError) as error:
            self._metrics.config_rejected.inc()
            self._event(EventKind.CONFIG_REJECTED, text=str(error))
            self._state("config", f"config rejected: {error}")
            logger.error("config rejected text=%r", str(error))
            return ReloadWord(False, self._settings.revision, str(error))
        try:
            await self._apply(settings, changes, group)
        except SpoolError as error:
            self._restart(str(error))
            return ReloadWord(False, settings.revision, str(error))
        restarted = (*changes.changed, *changes.added, *changes.removed)
        return ReloadWord(True, settings.revision, str(changes), restarted)

    async def _apply(
        self, settings: AgentSettings, changes: Changes, group: asyncio.TaskGroup
    ) -> None:
        old, self._settings = self._settings, settings
        self._changed(old, settings, changes)
        if changes.metrics:
            try:
                self._listen_again(settings.metrics.listen)
            except ConfigError as error:
                logger.error("metrics listener kept off text=%r", str(error))
                self._state("metrics", str(error))
        if changes.log_level:
            log.set_up(settings.log_level)
        if changes.host:
            await self._host.change(settings.host)
        by_name = {one.name: one for one in settings.units}
        again = [by_name[name] for name in (*changes.changed, *changes.added)]
        if again or changes.removed:
            await self._fleet.change([*changes.changed, *changes.removed], again)
        if changes.uplink or changes.labels or old.revision != settings.revision:
            self._recorder.flush()
        if changes.uplink or changes.labels:
            await self._leave_uplink(FaultCause.RECONFIGURED)
            self._start_uplink(group)
        self._applied()
        logger.info("config applied revision=%s changes=%s", settings.revision, changes)

    def _changed(self, old: AgentSettings, new: AgentSettings, changes: Changes) -> None:
        """Say what a reload is about to change, before anything restarts."""
        keys = details(old, new)
        self._event(
            EventKind.CONFIG_CHANGED,
            revision=new.revision,
            before=old.revision,
            effect=str(changes),
            keys=len(keys),
            text="; ".join(keys),
        )

    def _applied(self) -> None:
        self._metrics.config_applied.set(self._clock.wall_ns() / 1e9)
        self._event(EventKind.CONFIG_APPLIED, revision=self._settings.revision)
        self._states.pop("load", None)
        self._state("config", f"config {self._settings.revision}")
        for text in overloads(self._settings):  # a start goes on where a reload is refused
            logger.error("polls will be left out text=%r", text)
            self._state("load", text)
        state = Path(self._settings.state_directory)
        note_running(self._path, state, self._settings.revision)

    def _listen_again(self, address: str) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        self._stop_listening = self._metrics.listen(address)

    async def _leave(self, commits: asyncio.Task[None]) -> None:
        """Flush and say goodbye, within 5 s whatever the network does."""
        self._notifier.stopping()
        logger.info("agent stopping")
        await self._fleet.stop()
        self._recorder.flush()
        self._event(EventKind.AGENT_STOPPING, backlog=self._spool.backlog().records)
        await self._host.leave()
        records = self._recorder.end()
        await self._leave_uplink(FaultCause.STOPPED)
        commits.cancel()
        await asyncio.wait({commits})
        await self._spool.close(clean=True)
        self._host.close()
        logger.info("agent stopped readings=%d records=%d", self._recorder.readings, records)

    # -- clocks and what is told ---------------------------------------------------------------

    async def _anchor(self) -> None:
        """Compare the clocks every second; record an anchor when the rule says so."""
        anchors, ticks = Anchors(), 0
        while True:
            if ticks % SYNC_TICKS == 0:
                self._sync.refresh()
                self._metrics.clock_synced.set(self._sync.synced)
            ticks += 1
            reading = self._sync.reading()
            verdict = anchors.compare(reading)
            if verdict.record:
                self._recorder.anchor(reading)
            if verdict.step_ns:
                self._metrics.clock_steps.inc()
                step_s = round(verdict.step_ns / 1e9, 3)
                self._event(EventKind.CLOCK_STEPPED, step_s=step_s, synced=self._sync.synced)
                logger.warning("wall clock stepped step_s=%.3f", step_s)
            await asyncio.sleep(TICK_S)

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        self._recorder.event(Event.make(kind, self._clock.boottime_ns(), **fields))

    def _state(self, part: str, text: str) -> None:
        """Put the parts' states together into the one line `systemctl status` shows."""
        self._states[part] = text
        self._notifier.status("; ".join(self._states.values()))
