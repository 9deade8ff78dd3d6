"""`gateway centre run`: one process, or one per core, from start to SIGTERM.

Owns the life cycle: limits of the process, opening in the right order, reloading certificates and
tokens, draining, finishing the commits. The work itself is in `door`, `server` and `store`.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from pathlib import Path

import uvloop

from gateway.centre.admin import Admin
from gateway.centre.analyst import Analyst
from gateway.centre.api import Api
from gateway.centre.door import Door
from gateway.centre.gauges import Gauges
from gateway.centre.metrics import Metrics, registry
from gateway.centre.sampling import Sampling
from gateway.centre.server import CentreEvent, Server
from gateway.centre.store.keeper import Keeper, Retention
from gateway.centre.store.layout import open_writer
from gateway.centre.store.writer import Writer
from gateway.centre.tokens import TokenFile
from gateway.centre.web.site import Site
from gateway.config.centre import CentreSettings, TlsSettings
from gateway.errors import ConfigError
from gateway.process.certificate import first_in
from gateway.process.clock import Clock
from gateway.process.log import set_up
from gateway.process.notify import Notifier
from gateway.process.signals import Signals
from gateway.process.tls import server_context
from gateway.wire.body import available
from gateway.wire.receiver import ReceiverLimits

LOGGER = logging.getLogger(__name__)
TOKENS_EVERY_S = 2.0
"""How soon a change of the token file is seen without SIGHUP."""
SPARE_FILES = 200
"""Open files for everything but connections."""
SWITCH_INTERVAL_S = 0.0005
"""The writer's thread must not keep the interpreter from the loop for 5 ms."""


class Centre:
    """One process's centre: built, opened, served, drained, closed."""

    def __init__(self, settings: CentreSettings, base: Path, clock: Clock, worker: int = 0) -> None:
        self._settings = settings
        self._base = base
        self._worker = worker
        shared = settings.workers > 1
        node = settings.node or socket.gethostname()
        self.node = f"{node}.{worker}" if shared else node
        self.metrics = Metrics()
        self.tokens = TokenFile(base / settings.tokens_file)
        self.tokens.refresh()
        self.context = None if settings.tls is None else _context(settings.tls, base)
        limits = ReceiverLimits(
            max_message=settings.link.max_message_bytes,
            window=settings.link.window_bytes,
            heartbeat_s=settings.link.heartbeat_s,
            encodings=available(),
        )
        self.server = Server(
            clock,
            self.metrics,
            limits,
            self.tokens,
            settings.store.queue_bytes,
            settings.link.heartbeat_s,
        )
        self.door = Door(
            settings.path,
            settings.link,
            self.tokens,
            self.metrics,
            clock,
            self.server.make_session,
        )
        path = base / settings.store.path
        self.writer = Writer(path, self.node, clock, self.server.deliver, shared)
        retention = Retention(settings.store.retention_days, settings.store.retention_bytes)
        self.keeper = Keeper(
            path, retention, clock, self.writer, first=worker == 0, alive=self.server.alive
        )
        self.sampling = Sampling(
            self.writer, clock, lambda: (self.server.active, self.metrics.connections)
        )
        self.analyst = Analyst(path, self.writer, self.metrics, clock, self._changes)
        self._tokens_fault = ""
        self._expires_s = _expires_s(settings.tls, base)
        self._lost_at_start = 0
        gauges = Gauges(
            self.server,
            self.door,
            self.writer,
            self.keeper,
            self.analyst,
            lambda: (self._expires_s, self._lost_at_start),
        )
        self.admin = Admin(
            registry(self.metrics, gauges.values),
            self.not_ready,
            Api(path, clock),
            gauges.per_gateway if settings.admin.gateway_metrics else None,
        )
        trusted = settings.link.trusted_proxies
        self.page = (
            Site(settings.web, base, path, self.node, clock, trusted)
            if settings.web.listen and worker == 0
            else None
        )
        self.port = self.admin_port = 0

    async def open(self) -> None:
        """Start everything; gateways may come in afterwards. Raises: OSError."""
        settings = self._settings
        self.server.attach(asyncio.get_running_loop(), self.writer)
        left = self._lost_at_start = self.writer.start()
        self.keeper.start()
        self.sampling.start()
        if self._worker == 0:
            self.analyst.start()
        if settings.admin.listen:
            self.admin_port = await self.admin.open(settings.admin.listen, self._worker)
        if self.page is not None:
            await self.page.open()
        self.port = await self.door.open(settings.listen, self.context, shared=settings.workers > 1)
        self.server.note(CentreEvent.CENTRE_STARTED, node=self.node, revision=settings.revision)
        if left:
            self.server.note(CentreEvent.SESSIONS_LOST, node=self.node, sessions=left)
        LOGGER.info(
            "centre serves node=%s listen=%s tls=%s store=%s",
            self.node,
            settings.listen,
            self.context is not None,
            self.writer.path,
        )

    def look_at_tokens(self) -> None:
        """Read the token file again if it changed; close the sessions that lost theirs."""
        try:
            if self.tokens.refresh():
                dropped = self.server.drop_revoked()
                LOGGER.info("tokens read again sessions_closed=%d", dropped)
            self._tokens_fault = ""
        except ConfigError as error:
            if str(error) != self._tokens_fault:  # once, not every time it is looked at
                LOGGER.error("tokens cannot be read, the old ones stay error=%s", error)
            self._tokens_fault = str(error)

    def reload(self) -> None:
        """SIGHUP: new certificates and tokens; anything else needs a restart."""
        self.look_at_tokens()
        tls = self._settings.tls
        if tls is None or self.context is None:
            return
        try:
            _context(tls, self._base)  # first see whether they are any good
            self.context.load_cert_chain(*_chain(tls, self._base))
        except (ConfigError, OSError) as error:
            LOGGER.error("certificate cannot be read, the old one stays error=%s", error)
        else:
            self._expires_s = _expires_s(tls, self._base)
            LOGGER.info("certificate read again file=%s", tls.certificate_file)

    async def close(self) -> bool:
        """Drain, finish the commits, stop; ``False`` if some could not be committed."""
        drain = self._settings.drain
        self.server.note(CentreEvent.CENTRE_STOPPING, node=self.node)
        self.door.stop_listening()
        await self.server.drain(drain.retry_after_s, drain.timeout_s)
        await self.analyst.stop()
        self.sampling.stop()
        await asyncio.to_thread(self.keeper.close)
        finished = await asyncio.to_thread(self.writer.close, max(1.0, drain.timeout_s))
        await self.admin.close()
        if self.page is not None:
            await self.page.close()
        self.door.close()
        LOGGER.info("centre stopped finished=%s", finished)
        return finished

    def not_ready(self) -> str:
        """Say why no gateway should be sent here; empty when ready."""
        if self.door.draining:
            return "draining"
        if self.writer.trouble:
            return f"the store cannot write: {self.writer.trouble}"
        return ""

    def _changes(self) -> tuple[int, int]:
        """Return what differs when a session began or ended or a boot was told, here or in
        another worker."""
        if self._settings.workers > 1:
            return int(self.server.clock.now()), 0
        return self.metrics.connections, self.metrics.closes.total() + self.writer.boots


def run(settings: CentreSettings, base: Path, config: Path) -> int:
    """Serve until SIGTERM; return the exit status. Raises: ConfigError, OSError, StoreError."""
    set_up(settings.log_level)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a system call filter may forbid it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if settings.link.max_connections + SPARE_FILES > hard:
        LOGGER.warning(
            "the limit of open files is too low for link.max_connections limit=%d connections=%d"
            " cure=LimitNOFILE=",
            hard,
            settings.link.max_connections,
        )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Few cycles, many long-lived objects: look for garbage rarely.
    gc.set_threshold(50_000, 50, 1000)
    LOGGER.info("centre starts config=%s revision=%s", config, settings.revision)
    if settings.workers == 1:
        return uvloop.run(serve(settings, base))
    return _run_workers(settings, base)


async def serve(settings: CentreSettings, base: Path, worker: int = 0) -> int:
    """Run one process's centre until SIGTERM."""
    with Signals().installed() as signals:
        centre = Centre(settings, base, Clock(), worker)
        await centre.open()
        notifier = Notifier()
        notifier.ready()
        async with asyncio.TaskGroup() as tasks:
            watchdog = tasks.create_task(notifier.keep_watchdog(), name="centre.watchdog")
            page = centre.page
            news = None if page is None else tasks.create_task(page.run(), name="centre.web")
            while not signals.stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TOKENS_EVERY_S):
                        await _either(signals.stop, signals.reload)
                if signals.reload.is_set():
                    signals.reload.clear()
                    notifier.reloading()
                    centre.reload()
                    notifier.ready()
                else:
                    centre.look_at_tokens()
                centre.server.told.flush()
                notifier.status(f"{centre.server.active} gateways {centre.not_ready()}")
            notifier.stopping()
            finished = await centre.close()
            watchdog.cancel()
            if news is not None:
                news.cancel()
        notifier.close()
    return 0 if finished else 1


async def _either(*events: asyncio.Event) -> None:
    """Wait for the first of some events."""
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(event.wait(), name="centre.signal") for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _run_workers(settings: CentreSettings, base: Path) -> int:
    """Fork one process per worker; they share the port (SO_REUSEPORT) and the store's file."""
    open_writer(base / settings.store.path).close()  # make it once, before they race for it
    children = []
    for worker in range(settings.workers):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = uvloop.run(serve(settings, base, worker))
            except Exception:
                LOGGER.exception("worker failed worker=%d", worker)
            finally:
                os._exit(status)
        children.append(pid)

    stopping = False

    def forward(number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = stopping or number != signal.SIGHUP
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    worst = 0
    waiting = set(children)
    while waiting:
        pid, status = os.wait()
        waiting.discard(pid)
        code = os.waitstatus_to_exitcode(status)
        worst = worst or (code if code >= 0 else 1)
        if (
            waiting and not stopping
        ):  # one alone must not limp on: the service manager starts all again
            forward(signal.SIGTERM, None)
    return worst


def _context(tls: TlsSettings, base: Path) -> ssl.SSLContext:
    certificate, key = _chain(tls, base)
    client_ca = None if tls.client_ca_file is None else base / tls.client_ca_file
    return server_context(certificate, key, client_ca)


def _chain(tls: TlsSettings, base: Path) -> tuple[Path, Path | None]:
    return base / tls.certificate_file, None if tls.key_file is None else base / tls.key_file


def _expires_s(tls: TlsSettings | None, base: Path) -> float:
    """Return when the centre's own certificate ends; 0: it has none, or one nobody can read."""
    if tls is None:
        return 0.0
    try:
        return first_in((base / tls.certificate_file).read_bytes()).not_after.timestamp()
    except (OSError, ValueError):
        return 0.0
