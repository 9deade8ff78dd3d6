"""Pins that what docs/drops.md shows is what the commands print."""

import json
from typing import Any

import pytest

from tests import drops_history
from tests.drops_transcript import BLOCK, PAGE, Transcript, ask_prometheus, play, rewrite
from tests.system import need


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Transcript, drops_history.Day]:
    """The day and what was asked of it."""
    return play(tmp_path_factory.mktemp("drops"))


def shown() -> dict[str, str]:
    """Return the page's blocks."""
    return {match[2]: match[3] for match in BLOCK.finditer(PAGE.read_text("utf-8"))}


@pytest.mark.parametrize("name", ["list", "show", "proxy"])
def test_the_page_shows_this_day(played: tuple[Transcript, drops_history.Day], name: str) -> None:
    """Each block of the page is what is printed now, to the letter."""
    assert shown()[name] == played[0].blocks[name], "python -m tests.drops_transcript"


def test_the_page_can_be_made_anew() -> None:
    """Rewriting the page with its own blocks changes nothing, and no block is missing."""
    text = PAGE.read_text("utf-8")
    assert rewrite(text, shown()) == text
    assert shown().keys() == {"list", "show", "proxy", "prometheus"}


def test_prometheus_and_the_stores_agree(
    played: tuple[Transcript, drops_history.Day],
) -> None:
    """With the drop read from a real Prometheus the incidents are those of the stores' samples."""
    need("promtool")
    transcript, day = played
    ask_prometheus(transcript, day)
    assert shown()["prometheus"] == transcript.blocks["prometheus"]
    mine, theirs = (json.loads(text) for text in transcript.as_json)
    assert theirs["looked_at"]["series"].startswith("http://127.0.0.1:")
    assert [_without_drop(one) for one in mine["incidents"]] == [
        _without_drop(one) for one in theirs["incidents"]
    ]
    assert [_fall(one) for one in mine["incidents"]] == [_fall(one) for one in theirs["incidents"]]
    assert [_fall(one) for one in theirs["incidents"]][:4] == [(16, 10), (16, 15), (16, 8), (16, 8)]


def test_a_dip_between_two_scrapes(played: tuple[Transcript, drops_history.Day]) -> None:
    """With a scrape a minute the fall of 16 s is seen in `ws_connection_total` only."""
    need("promtool")
    transcript, day = played
    mine = Transcript(transcript.root)
    ask_prometheus(mine, day, scrape_s=60)
    found = json.loads(mine.as_json[1])["incidents"]
    proxy = next(one for one in found if one["cause"] == "proxy_failed")
    assert _fall(proxy) == (16, 8) and proxy["drop"]["hidden"]


def _without_drop(incident: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in incident.items() if key != "drop"}


def _fall(incident: dict[str, Any]) -> tuple[int, int] | None:
    drop = incident["drop"]
    return None if drop is None else (drop["connections_before"], drop["connections_bottom"])
