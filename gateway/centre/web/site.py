"""The page's listener: routes, the way in, the news, from open to close.

Owns what is served where and what a failure looks like; pages are in modules of their own. It is a
guest in the centre: gateways are served first, a page that cannot be had is a line in the log.
"""

import asyncio
import logging
import sqlite3
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.centre.web import fleet_page, gateway_page, incident_page, incidents_page
from gateway.centre.web.guard import MAX_FORM, Guard, Handler, dress
from gateway.centre.web.live import Hub
from gateway.centre.web.news import Lookout
from gateway.centre.web.shelf import Shelf
from gateway.centre.web.shell import ASSETS, Viewer, problem
from gateway.config.centre import WebSettings
from gateway.errors import ConfigError, StoreError
from gateway.process.clock import Clock
from gateway.process.tls import server_context

LOGGER = logging.getLogger(__name__)
USERS_EVERY_S = 2.0
"""How soon a change of the file of users is seen."""
MAX_CONNECTIONS = 150
"""Fewer than `daemon.SPARE_FILES`; half of it may be streams."""
Page = Callable[[Shelf, web.Request, Viewer], Awaitable[web.Response]]


class _Refusal(asyncio.Protocol):
    """Ends a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()  # uvloop's are no subclass


class Site:
    """One per process that serves it. `store`: the store's file."""

    def __init__(
        self,
        settings: WebSettings,
        base: Path,
        store: Path,
        node: str,
        clock: Clock,
        trusted: tuple[str, ...] = (),
    ) -> None:
        self._settings = settings
        self._base = base
        self._node = node
        self._clock = clock
        self._guard = Guard(settings, base, clock, trusted)
        self._shelf = Shelf(store, clock)
        self._lookout = Lookout(self._shelf, clock)
        self.hub = Hub(self._lookout.look)
        app = web.Application(middlewares=[self._middle()], client_max_size=MAX_FORM)
        app.add_routes(
            [
                web.get("/", self._page(fleet_page.show)),
                web.get("/incidents", self._page(incidents_page.show)),
                web.get("/incidents/{id}", self._page(incident_page.show)),
                web.get("/gateways/{id}", self._page(gateway_page.show)),
                web.get("/live", self._live, allow_head=False),
                web.get("/static/{name}", ASSETS.serve),
                *self._guard.routes(),
            ]
        )
        app.on_response_prepare.append(dress)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen, or say why not: whoever collects readings must not depend on a page."""
        try:
            await self._open()
        except (OSError, ConfigError) as error:
            LOGGER.error(
                "the page cannot be served, gateways are all the same listen=%s error=%s",
                self._settings.listen,
                error,
            )

    async def _open(self) -> None:
        host, _, port = self._settings.listen.rpartition(":")
        self._guard.look_at_users()
        if self._guard.users is not None and not len(self._guard.users):
            LOGGER.warning(
                "nobody can log in to the page, its file of users is empty file=%s"
                " cure='gateway centre passwd NAME'",
                self._guard.users.path,
            )
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._connection, host.strip("[]"), int(port), ssl=self._context()
        )
        self.port = self._server.sockets[0].getsockname()[1]
        LOGGER.info("page served listen=%s login=%s", self._settings.listen, self._guard.walled)

    def _connection(self) -> asyncio.Protocol:
        """Return what serves a new connection; past `MAX_CONNECTIONS`, what ends it: whoever opens
        thousands of them must not take the open files that gateways need."""
        server = self._runner.server
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Refusal()
        return server()

    def _context(self) -> ssl.SSLContext | None:
        certificate, key = self._settings.certificate_file, self._settings.key_file
        if certificate is None:
            return None
        return server_context(self._base / certificate, None if key is None else self._base / key)

    async def run(self) -> None:
        """Look for news and for changes of the users, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hub.run(), name="centre.web.news")
            while True:
                await asyncio.sleep(USERS_EVERY_S)
                self._guard.look_at_users()

    async def close(self) -> None:
        """End the streams and stop answering."""
        self.hub.close()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    # Answering

    def _middle(self) -> Middleware:
        @web.middleware
        async def middle(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await self._guard.check(request, handler)
            except web.HTTPNotFound:
                return problem(404, "Not here", "There is no such page.", self._viewer(request))
            except web.HTTPException:
                raise
            except StoreError as error:
                return problem(404, "Not here", f"{error}.", self._viewer(request))
            except sqlite3.Error as error:
                LOGGER.warning("the page could not read the store error=%r", error)
                text = f"The store could not answer: {error}. Gateways are served all the same."
                return problem(503, "No answer", text, self._viewer(request))

        return middle

    def _page(self, page: Page) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            viewer = self._viewer(request)
            assert viewer is not None
            return await page(self._shelf, request, viewer)

        return handler

    def _viewer(self, request: web.Request) -> Viewer | None:
        """Return who looks; ``None``: somebody who has yet to log in."""
        visit = self._guard.visit(request)
        now_ns = self._clock.wall_ns()
        if visit is not None:
            return Viewer(self._node, now_ns, visit.user, visit.form)
        return None if self._guard.walled else Viewer(self._node, now_ns)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        def allowed() -> bool:
            return not self._guard.walled or self._guard.visit(request) is not None

        return await self.hub.stream(request, allowed)
