"""A real Chromium looking at a page, and a record of all it asked for and complained about.

Owns start and end of the browser. `Window.check` is what every test of a page ends with: nothing in
the console, no failed request, nothing asked of another host.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.system import need

PHONE = (360, 740)
DESK = (1280, 900)


class Window:
    """One page of a context of its own. `asked`: every address it requested."""

    def __init__(self, context: BrowserContext, page: Page, base: str) -> None:
        self.context = context
        self.page = page
        self.base = base
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    async def go(self, address: str) -> None:
        """Open an address of the host."""
        await self.page.goto(self.base + address)

    async def width(self) -> int:
        """Return how wide the document is."""
        found: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return found

    async def colours(self) -> tuple[str, str]:
        """Return the background and the ink."""
        style = "getComputedStyle(document.body)"
        back: str = await self.page.evaluate(f"{style}.backgroundColor")
        ink: str = await self.page.evaluate(f"{style}.color")
        return back, ink

    def check(self) -> None:
        """Fail if anything was complained about or asked of another host."""
        host = urlsplit(self.base).netloc
        others = [url for url in self.asked if urlsplit(url).netloc != host]
        assert self.asked and others == []
        assert self.complaints == []


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run the system's Chromium; skip the test without one."""
    program = need("chromium")
    async with async_playwright() as driver:
        # --no-sandbox: tests run as root in containers, where it cannot start otherwise.
        browser = await driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def window(
    browser: Browser,
    base: str,
    size: tuple[int, int] = DESK,
    scheme: str = "light",
    **options: object,
) -> AsyncIterator[Window]:
    """Open a window; `scheme`: ``light`` or ``dark``."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )
    context.set_default_timeout(20_000)
    try:
        yield Window(context, await context.new_page(), base)
    finally:
        await context.close()
