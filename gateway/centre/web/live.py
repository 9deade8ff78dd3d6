"""News for open pages, by server-sent events: counts, gateways and incidents that changed.

Owns the streams, their number and their limits, and when the store is asked for changes: once a
second for all of them, and not at all while nobody watches. What changed is only *named*; the
script then fetches the page it shows again. Source: WHATWG HTML §9.2 (server-sent events).
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

LOGGER = logging.getLogger(__name__)
MAX_STREAMS = 64
QUEUE = 16
"""Messages a stream may fall behind; then it is dropped, and the browser comes again."""
EVERY_S = 1.0
HEARTBEAT_S = 15.0
"""A comment at least this often: proxies cut what is silent, and a dead peer shows."""
WRITE_S = 10.0
RETRY_MS = 3000
NAMED = 200
"""Gateways named in one message; of more the page just hears that there were."""


@dataclass(frozen=True, slots=True)
class News:
    """What changed between two looks at the store. `counts`: gateways by state. `more`: there were
    too many gateways to name."""

    counts: tuple[tuple[str, int], ...] = ()
    gateways: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    more: bool = False


class Hub:
    """The open streams. `look` returns the news since it was last asked."""

    def __init__(
        self,
        look: Callable[[], Awaitable[News]],
        every_s: float = EVERY_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._heartbeat_s = heartbeat_s
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._watched = asyncio.Event()
        self._counts: tuple[tuple[str, int], ...] = ()
        self._closed = False
        self.dropped = 0

    @property
    def streams(self) -> int:
        """Return how many pages are listening."""
        return len(self._queues)

    async def run(self) -> None:
        """Look for news while anybody listens, until cancelled."""
        while True:
            await self._watched.wait()
            try:
                self.publish(await self._look())
            except Exception:  # supervised here: a store in trouble must not end the news
                LOGGER.exception("the page's news failed")
            await asyncio.sleep(self._every_s)

    def publish(self, news: News) -> None:
        """Send news to everybody; who is behind by `QUEUE` messages is dropped."""
        messages = []
        if news.counts and news.counts != self._counts:
            self._counts = news.counts
            messages.append(_message("counts", dict(news.counts)))
        if news.gateways or news.incidents or news.more:
            messages.append(
                _message(
                    "changed",
                    {
                        "gateways": news.gateways[:NAMED],
                        "incidents": news.incidents[:NAMED],
                        "more": news.more or len(news.gateways) > NAMED,
                    },
                )
            )
        for message in messages:
            for queue in list(self._queues):
                if queue.qsize() >= QUEUE:
                    self._drop(queue)
                else:
                    queue.put_nowait(message)

    def _drop(self, queue: asyncio.Queue[bytes | None]) -> None:
        self.dropped += 1
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    async def stream(self, request: web.Request, allowed: Callable[[], bool]) -> web.StreamResponse:
        """Answer a page that listens, until it leaves, falls behind or may not see it any more."""
        if self._closed or len(self._queues) >= MAX_STREAMS:
            return web.Response(status=503, text="too many pages listen\n")
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would keep the news to itself
            }
        )
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queues.add(queue)
        self._watched.set()
        try:
            await response.prepare(request)
            first = f"retry: {RETRY_MS}\n\n".encode()
            if self._counts:
                first += _message("counts", dict(self._counts))
            await self._write(response, first)
            while True:
                message: bytes | None = b": still here\n\n"
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._heartbeat_s):
                        message = await queue.get()
                if message is None or not allowed():
                    break
                await self._write(response, message)
        except (ConnectionError, TimeoutError):
            pass  # the page was closed, or its reader stalled
        finally:
            self._queues.discard(queue)
            if not self._queues:
                self._watched.clear()
                self._counts = ()  # whoever comes next must not be told old ones
        return response

    async def _write(self, response: web.StreamResponse, message: bytes) -> None:
        async with asyncio.timeout(WRITE_S):
            await response.write(message)

    def close(self) -> None:
        """End every stream: the centre stops."""
        self._closed = True
        self.cut()

    def cut(self) -> None:
        """End the streams of now; the pages come again."""
        for queue in list(self._queues):
            self._queues.discard(queue)
            queue.put_nowait(None)


def _message(event: str, data: object) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
