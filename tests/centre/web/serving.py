"""A page served in the test's own loop, over a fleet whose history can go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.centre.web.site import Site
from gateway.centre.web.users import User, make_user
from gateway.config.centre import WebSettings
from gateway.process.clock import Clock

NAME, PASSWORD = "anna", "correct horse battery"


@asynccontextmanager
async def serving(store: Path, clock: Clock, **settings: object) -> AsyncIterator[Site]:
    """Serve the page of a store on a free port."""
    web = WebSettings(listen="127.0.0.1:0", **settings)  # type: ignore[arg-type]
    site = Site(web, store.parent, store, "centre-1", clock)
    await site.open()
    assert site.port
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(site.run(), name="test.site")
        try:
            yield site
        finally:
            await site.close()
            running.cancel()


def write_users(path: Path, *users: User) -> None:
    """Write a file of users."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{user.line()}\n" for user in users))


def anna() -> User:
    """Return a user; this takes a moment."""
    return make_user(NAME, PASSWORD)
