"""The page as a guest of a running centre: real sessions, one page for several workers."""

import asyncio
from pathlib import Path

from aiohttp import ClientSession

from gateway.centre.daemon import Centre
from gateway.config.centre import (
    AdminSettings,
    CentreSettings,
    DrainSettings,
    StoreSettings,
    WebSettings,
)
from gateway.process.clock import Clock
from tests.centre.peer import Peer, running


async def test_a_gateway_that_comes_in_is_on_the_page(tmp_path: Path) -> None:
    """From `Hello` and a stored reading to the fleet's table and the gateway's page."""
    async with running(tmp_path, web=WebSettings("127.0.0.1:0")) as centre:
        assert centre.page is not None and centre.page.port
        base = f"http://127.0.0.1:{centre.page.port}"
        peer = Peer(centre)
        await peer.open()
        await peer.rows([1])
        async with ClientSession() as client:
            async with client.get(base) as answer:
                text = await answer.text()
                assert answer.status == 200
                assert 'data-gateway="site-1"' in text and "connected" in text
            async with client.get(f"{base}/gateways/site-1") as answer:
                text = await answer.text()
                assert answer.status == 200
                assert "230.5 V" in text and "open" in text
        await peer.socket.close()


async def test_stopping_waits_for_no_open_page(tmp_path: Path) -> None:
    """A centre that drains ends the streams; the page is gone with it."""
    async with ClientSession() as client:
        async with running(tmp_path, web=WebSettings("127.0.0.1:0")) as centre:
            assert centre.page is not None
            stream = await client.get(f"http://127.0.0.1:{centre.page.port}/live")
            assert stream.status == 200
        async with asyncio.timeout(20):
            await stream.content.read()
        stream.close()


async def test_one_of_several_workers_serves_the_page(tmp_path: Path) -> None:
    """The first; with an empty `listen` none does."""
    for listen, served in (("127.0.0.1:0", [True, False]), ("", [False, False])):
        settings = CentreSettings(
            listen="127.0.0.1:0",
            workers=2,
            store=StoreSettings(path="store.sqlite"),
            admin=AdminSettings(""),
            web=WebSettings(listen),
            drain=DrainSettings(0.0, 0.0),
        )
        workers = [Centre(settings, tmp_path, Clock(), number) for number in range(2)]
        for worker in workers:
            await worker.open()
        try:
            assert [worker.page is not None for worker in workers] == served
        finally:
            for worker in workers:
                await worker.close()
