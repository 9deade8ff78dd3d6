"""The page in a real Chromium: what a person in the control room does, on a desk and on a phone."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from gateway.correlation.verdict import Cause, Incident
from gateway.host.reboot import Confidence
from gateway.process.clock import Clock
from tests.browser import DESK, PHONE, chromium, window
from tests.centre.history import Box, at
from tests.centre.web.serving import NAME, PASSWORD, anna, serving, write_users
from tests.page_fleet import END_S, PageFleet, play

POWER = "20270115T110143-4f2a"
PAGES = ("/", "/incidents", f"/incidents/{POWER}", "/gateways/nord-05", "/?state=lost")


# One browser for all of them; each has a window with cookies and cache of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> PageFleet:
    """A fleet that is only looked at."""
    fleet = play(tmp_path_factory.mktemp("fleet") / "store.sqlite", every_s=300.0)
    fleet.history.close()
    return fleet


async def test_from_the_fleet_to_an_incident_to_a_gateway(
    browser: Browser, told: PageFleet
) -> None:
    """A person sees that something fell, opens the incident, reads why, opens a gateway."""
    clock = told.history.clock
    async with (
        serving(told.history.path, clock) as site,
        window(browser, f"http://127.0.0.1:{site.port}") as seen,
    ):
        page = seen.page
        await seen.go("/")
        await expect(page.locator("[data-count=connected]")).to_have_text("23")
        await expect(page.locator("[data-count=lost]")).to_have_text("1")
        await expect(page.locator("tr[data-gateway]")).to_have_count(24)
        low = page.locator("tr[data-gateway=hafen-06]")
        await expect(low).to_contain_text("low")
        assert await page.locator("#connections .band.loud").count() == 3
        assert await page.locator("#connections .band.calm").count() == 1

        await page.locator("#latest tr", has_text="power cut").locator("a").first.click()
        await page.wait_for_url(f"**/incidents/{POWER}")
        main = page.locator("main")
        await expect(main).to_contain_text("4 of 4 on feeder N2")
        await expect(main).to_contain_text("24 → 20")
        await page.locator("summary", has_text="nord-06").get_by_text("probable").click()
        told_of = page.locator("details[open]", has_text="nord-06")
        await expect(told_of).to_contain_text("supply low: 4.58 V")

        await page.locator("summary a", has_text="nord-06").click()
        await page.wait_for_url("**/gateways/nord-06")
        await expect(main).to_contain_text("Reboots and restarts")
        await expect(main).to_contain_text("power_reset says under-voltage")
        await expect(main).to_contain_text("voltage_l1")
        await expect(main.locator("path.curve")).to_have_count(2)
        seen.check()


async def test_filters_lead_to_lists_that_can_be_shared(browser: Browser, told: PageFleet) -> None:
    """Choosing from a list shows at once what fits; the address says what was chosen."""
    async with (
        serving(told.history.path, told.history.clock) as site,
        window(browser, f"http://127.0.0.1:{site.port}") as seen,
    ):
        page = seen.page
        await seen.go("/")
        await page.select_option("select[name='label.feeder']", "N2")
        await page.wait_for_url("**label.feeder=N2**")
        await expect(page.locator("tr[data-gateway]")).to_have_count(4)
        await page.fill("input[name=q]", "nord-07")
        await page.press("input[name=q]", "Enter")
        await page.wait_for_url("**q=nord-07**")
        await expect(page.locator("tr[data-gateway]")).to_have_count(1)
        await page.get_by_text("show all").click()
        await expect(page.locator("tr[data-gateway]")).to_have_count(24)
        await page.locator("a.count", has_text="not connected").click()
        await expect(page.locator("tr[data-gateway]")).to_have_count(1)
        await expect(page.locator("tr[data-gateway]")).to_contain_text("sued-04")
        seen.check()


async def test_news_arrive_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    """A gateway that comes in, one that goes, and an incident appear on an open page; after the
    stream broke it finds its way back by itself."""
    fleet = await asyncio.to_thread(play, tmp_path / "store.sqlite", 1800.0)
    node = fleet.history
    try:
        async with (
            serving(node.path, node.clock) as site,
            window(browser, f"http://127.0.0.1:{site.port}") as seen,
        ):
            page = seen.page
            await seen.go("/")
            await page.evaluate("window.sameWindow = true")
            await expect(page.locator("#light")).to_have_text("live")
            await asyncio.sleep(1.5)  # the first look at the store only counts

            new = Box("ost-01", labels=(("label.site", "<b>ost</b>"),))
            await asyncio.to_thread(node.come, new, END_S)
            row = page.locator("tr[data-gateway=ost-01]")
            await expect(row).to_contain_text("connected")
            await expect(row).to_contain_text("site <b>ost</b>")
            await expect(page.locator("[data-count=gateways]")).to_have_text("25")

            await asyncio.to_thread(node.go, fleet.boxes["nord-01"], END_S, "network", "reset")
            gone = page.locator("tr[data-gateway=nord-01]")
            await expect(gone).to_contain_text("not connected")
            await expect(page.locator("[data-count=lost]")).to_have_text("2")

            site.hub.cut()
            await expect(page.locator("#light")).to_have_text("reconnecting")
            losses = fleet.incidents[POWER].losses[:1]
            fresh = Incident(
                "20270115T140000-aaaa", at(END_S), None, Cause.WATCHDOG, Confidence.CERTAIN,
                False, losses, (), None,
            )  # fmt: skip
            await asyncio.to_thread(fleet.write, fresh)
            await expect(page.locator("#latest")).to_contain_text("watchdog")
            await expect(page.locator("#light")).to_have_text("live")
            assert await page.evaluate("window.sameWindow") is True
            # A cut stream is no mistake of the page's, but the browser mentions it.
            seen.complaints = [c for c in seen.complaints if "ERR_INCOMPLETE_CHUNKED" not in c]
            seen.check()
    finally:
        await asyncio.to_thread(node.close)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_phone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Nothing sticks out at 360 pixels, not even the longest names that are allowed."""
    fleet = await asyncio.to_thread(play, tmp_path / "store.sqlite", 1800.0)
    node = fleet.history
    labels = (("label.site", "W" * 120), ("label.x", "y " * 60))
    long = Box("g" * 128, labels=labels)
    await asyncio.to_thread(node.come, long, END_S)
    await asyncio.to_thread(node.close)
    pages = (*PAGES, f"/gateways/{long.name}", f"/?q={'g' * 100}", "/nothing-here")
    async with (
        serving(node.path, node.clock) as site,
        window(browser, f"http://127.0.0.1:{site.port}", PHONE, scheme) as seen,
    ):
        for address in pages:
            await seen.go(address)
            assert await seen.width() <= PHONE[0], address
        # The browser notes that a page was not found.
        seen.complaints = [c for c in seen.complaints if "404" not in c]
        seen.check()


async def test_dark_and_light_follow_the_reader(browser: Browser, told: PageFleet) -> None:
    """The colours turn with the preference, and text stands out from its background in both."""
    async with serving(told.history.path, told.history.clock) as site:
        base = f"http://127.0.0.1:{site.port}"
        backs = set()
        for scheme in ("light", "dark"):
            async with window(browser, base, DESK, scheme) as seen:
                await seen.go("/")
                back, ink = await seen.colours()
                backs.add(back)
                assert _contrast(back, ink) > 7  # WCAG 2.2 §1.4.6
                dim = await seen.page.evaluate(
                    "getComputedStyle(document.querySelector('.card .dim')).color"
                )
                card = await seen.page.evaluate(
                    "getComputedStyle(document.querySelector('.card')).backgroundColor"
                )
                assert _contrast(card, dim) > 4.5  # §1.4.3
                seen.check()
        assert len(backs) == 2


def _contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it."""

    def light(colour: str) -> float:
        parts = [int(p) / 255 for p in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


async def test_without_scripts_every_page_still_works(browser: Browser, told: PageFleet) -> None:
    """Links, filters and evidence need no JavaScript; the page says that it stands still."""
    async with (
        serving(told.history.path, told.history.clock) as site,
        window(
            browser, f"http://127.0.0.1:{site.port}", java_script_enabled=False
        ) as seen,
    ):  # fmt: skip
        page = seen.page
        await seen.go("/")
        await expect(page.locator("footer")).to_contain_text("stands still")
        await page.locator("select[name=state]").select_option("lost")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("tr[data-gateway]")).to_have_count(1)
        await page.locator("tr[data-gateway] a").first.click()
        await page.wait_for_url("**/gateways/sued-04")
        assert not any(url.endswith("/live") for url in seen.asked)
        seen.check()


async def test_nobody_sees_anything_before_logging_in(
    browser: Browser, told: PageFleet, tmp_path: Path
) -> None:
    """The login leads back to where one wanted to go; the cookie is out of reach of scripts and of
    other sites; logging out ends it."""
    users = tmp_path / "users"
    write_users(users, await asyncio.to_thread(anna))
    async with (
        serving(told.history.path, Clock(), users_file=str(users)) as site,
        window(browser, f"http://127.0.0.1:{site.port}") as seen,
    ):
        page = seen.page
        await seen.go("/gateways/nord-05")
        await page.wait_for_url(re.compile(r"/login\?next="))
        assert "nord-05" not in await page.locator("body").inner_text()
        await page.fill("input[name=name]", NAME)
        await page.fill("input[name=password]", "not the password")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("wrong")
        await page.fill("input[name=name]", NAME)
        await page.fill("input[name=password]", PASSWORD)
        await page.press("input[name=password]", "Enter")
        await page.wait_for_url("**/gateways/nord-05")
        await expect(page.locator("h1")).to_have_text("nord-05")
        await expect(page.locator("#light")).to_have_text("live")
        cookies = await seen.context.cookies()
        assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
        await seen.go("/")
        await page.wait_for_url(re.compile(r"/login\?next="))
        # The browser notes the answer to the wrong password.
        seen.complaints = [c for c in seen.complaints if "403" not in c]
        seen.check()
