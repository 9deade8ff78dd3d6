"""Takes the screenshots of docs/page.md from the fleet of `page_fleet`.

Needs Chromium, and for files that are small enough pngquant (both from apt).

    python -m tests.page_screenshots
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.browser import DESK, chromium, window
from tests.centre.web.serving import serving
from tests.page_fleet import play
from tests.system import missing

OUT = Path(__file__).parents[1] / "docs" / "img"
MOST = 150_000
"""Bytes of a picture in the repository."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture. `height`: how much of the page, in pixels; ``0``: all of it."""

    name: str
    address: str
    scheme: str
    size: tuple[int, int] = DESK
    height: int = 0


POWER = "/incidents/20270115T110143-4f2a"
SHOTS = (
    Shot("page-fleet", "/", "light", height=1000),
    Shot("page-incident", POWER, "dark"),
    Shot("page-gateway", "/gateways/nord-05", "light", height=1240),
    Shot("page-phone", "/", "dark", (360, 740), height=1180),
    Shot("page-phone-incident", POWER, "light", (360, 740), height=1180),
)


async def take(directory: Path, shots: Sequence[Shot]) -> list[Path]:
    """Take the pictures into a directory."""
    fleet = await asyncio.to_thread(play, directory / "store.sqlite", 20.0)
    await asyncio.to_thread(fleet.history.close)
    made = []
    async with (
        serving(directory / "store.sqlite", fleet.history.clock) as site,
        chromium() as browser,
    ):
        for shot in shots:
            base = f"http://127.0.0.1:{site.port}"
            fine = 1.5 if shot.size[0] < DESK[0] else 1
            async with window(
                browser, base, shot.size, shot.scheme, device_scale_factor=fine
            ) as seen:
                await seen.go(shot.address)
                await seen.page.get_by_text("live", exact=True).wait_for()
                path = directory / f"{shot.name}.png"
                clip = {"x": 0, "y": 0, "width": shot.size[0], "height": shot.height}
                await seen.page.screenshot(
                    path=path,
                    full_page=True,
                    clip=clip if shot.height else None,  # type: ignore[arg-type]
                )
                seen.check()
                made.append(path)
    return made


def main() -> int:
    """Write the pictures; return 1 if one is too big."""
    reason = missing("chromium")
    if reason:
        print(reason)
        return 1
    OUT.mkdir(exist_ok=True)
    worst = 0
    with tempfile.TemporaryDirectory() as made:
        for path in asyncio.run(take(Path(made), SHOTS)):
            if shutil.which("pngquant"):
                command = [
                    "pngquant",
                    "--force",
                    "--speed=1",
                    "--strip",
                    "--output",
                    path,
                    "96",
                    path,
                ]
                subprocess.run(command, check=True)
            size = path.stat().st_size
            worst = max(worst, size)
            shutil.copyfile(path, OUT / path.name)
            print(f"docs/img/{path.name}: {size / 1000:.0f} kB")
    if worst > MOST:
        print(f"a picture is over {MOST / 1000:.0f} kB: apt-get install pngquant")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
