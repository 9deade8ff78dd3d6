"""Pins that check, edit and doctor happen as docs/configuration.md and docs/doctor.md show them."""

import re

import pytest

from tests.config_transcript import BLOCK, PAGES, Play, play, rewrite

NUMBER = re.compile(r"[0-9A-Za-z.%+-]*\d[0-9A-Za-z.%+-]*")
OF_THE_PATH = ("agent", "port", "DNS", "TCP", "upgrade", "certificate", "round trip", "path MTU")
"""Lines of the doctor that are the same on every machine."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Everything, played once."""
    return play(tmp_path_factory.mktemp("t"))


def shown() -> dict[str, str]:
    """Return the blocks of the pages."""
    return {
        match[2]: match[3] for page in PAGES for match in BLOCK.finditer(page.read_text("utf-8"))
    }


def shape(text: str) -> list[str]:
    """Return the lines without numbers, times and units."""
    lines = [re.sub(r"# (ms|s|kB|MB|GB|hours|days)\b", "# ~", NUMBER.sub("#", line))
             for line in text.splitlines()]  # fmt: skip
    return [re.sub(r" \(# ~ with batch_s = #\)", "", line).rstrip() for line in lines]


@pytest.mark.parametrize("name", ["errors", "summary", "edit"])
def test_check_and_edit(scene: Play, name: str) -> None:
    """Line by line as the page shows it, but for numbers."""
    assert shape(scene.blocks[name]) == shape(shown()[name])


def path(text: str) -> list[tuple[str, str]]:
    """Return (level, subject) of the doctor's lines that no machine changes."""
    rows = [(line[:8].strip(), line[9:23].strip()) for line in text.splitlines()[1:]]
    return [row for row in rows if row[0] and row[1].startswith(OF_THE_PATH)]


@pytest.mark.parametrize("name", ["well", "portal", "expired"])
def test_doctor(scene: Play, name: str) -> None:
    """The same steps with the same verdicts; times differ, and what this machine has."""
    slow = {("warning", subject): ("ok", subject) for subject in ("DNS", "TCP", "TLS")}
    played = [slow.get(row, row) for row in path(scene.blocks[name])]
    assert played == path(shown()[name])


def test_what_the_pages_promise(scene: Play) -> None:
    """The words that the examples are there for."""
    assert "captive portal" in scene.blocks["portal"]
    assert "HotelWiFi/2.1" in scene.blocks["portal"]
    assert "certificate has expired" in scene.blocks["expired"]
    assert "the agent has taken it over: bus roof restarts" in scene.blocks["edit"]
    assert "5 problems; not usable" in scene.blocks["errors"]


def test_the_pages_are_made_by_the_script(scene: Play) -> None:
    """Each block of the pages has a name that the script plays."""
    assert shown().keys() == scene.blocks.keys()
    for page in PAGES:
        text = page.read_text("utf-8")
        assert rewrite(text, shown()) == text
