"""News: who gets them, who is dropped, how many may listen, and when the store is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from gateway.centre.web import live
from gateway.centre.web.live import MAX_STREAMS, QUEUE, Hub, News
from tests.waiting import until


class Source:
    """The store as far as the hub asks it: what it will say, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.news: list[News] = []
        self.broken = False

    async def look(self) -> News:
        self.asked += 1
        if self.broken:
            raise OSError("the disk is gone")
        return self.news.pop(0) if self.news else News()


@asynccontextmanager
async def listening(hub: Hub) -> AsyncIterator[str]:
    """Serve a hub; return the stream's address."""
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        return await hub.stream(request, lambda: True)

    app.add_routes([web.get("/live", handler)])
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(hub.run())
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/live"
        finally:
            hub.close()
            await runner.cleanup()
            running.cancel()


async def test_a_page_hears_what_changed() -> None:
    """Counts when they differ, names of what changed, and a comment in between."""
    source = Source()
    source.news = [
        News((("connected", 2),)),
        News((("connected", 2),)),
        News((("connected", 1),), ("site-1",), ("inc-1",)),
    ]
    hub = Hub(source.look, every_s=0.01, heartbeat_s=0.1)
    async with listening(hub) as url, ClientSession() as client, client.get(url) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.headers["Cache-Control"] == "no-store"
        text = b""
        async with asyncio.timeout(20):
            while b": still here" not in text:
                text += await stream.content.readany()
    assert text.startswith(b"retry: 3000\n\n")
    assert text.count(b"event: counts") == 2
    assert (
        b'event: changed\ndata: {"gateways":["site-1"],"incidents":["inc-1"],"more":false}' in text
    )


async def test_nobody_asks_the_store_while_nobody_listens() -> None:
    """The looking begins with the first stream, ends with the last, and survives trouble."""
    source = Source()
    hub = Hub(source.look, every_s=0.01, heartbeat_s=0.1)
    async with listening(hub) as url, ClientSession() as client:
        await asyncio.sleep(0.1)
        assert source.asked == 0
        async with client.get(url):
            await until(lambda: source.asked >= 3)
            source.broken = True
            asked = source.asked
            await until(lambda: source.asked >= asked + 3)
        await until(lambda: hub.streams == 0)
        asked = source.asked
        await asyncio.sleep(0.1)
        assert source.asked <= asked + 1


async def test_a_slow_page_is_dropped_and_the_others_are_not() -> None:
    """Who does not read is not waited for: its stream ends, its memory is bounded."""
    hub = Hub(Source().look)
    names = tuple("x" * 120 + str(n) for n in range(200))
    async with listening(hub) as url, ClientSession() as client:
        quick = await client.get(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2][:-5]))
        writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: hub.streams == 2)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        heard = 0
        async with asyncio.timeout(60):
            while hub.dropped == 0:
                hub.publish(News(gateways=names))
                heard += (await quick.content.readuntil(b'"more":false}\n\n')).count(b"changed")
        assert hub.streams == 1 and heard > QUEUE
        quick.close()
        writer.close()
        assert reader is not None


async def test_the_number_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told to come later; when one leaves there is room again."""
    monkeypatch.setattr(live, "MAX_STREAMS", 2)
    assert MAX_STREAMS >= 32
    hub = Hub(Source().look)
    async with listening(hub) as url, ClientSession() as client:
        first, second = await client.get(url), await client.get(url)
        async with client.get(url) as third:
            assert third.status == 503
        hub.cut()
        async with asyncio.timeout(20):
            await first.content.read()
            await second.content.read()
        await until(lambda: hub.streams == 0)
        async with client.get(url) as again:
            assert again.status == 200
        hub.close()
        async with client.get(url) as late:
            assert late.status == 503


def test_many_changes_are_summed_up() -> None:
    """A message names 200 gateways at most, and says that there were more."""
    hub = Hub(Source().look)
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    hub._queues.add(queue)
    hub.publish(News(gateways=tuple(f"g{n}" for n in range(500))))
    message = queue.get_nowait()
    assert message is not None and message.count(b'"g') == 201 and b'"more":true' in message
    hub.publish(News())
    assert queue.empty()
