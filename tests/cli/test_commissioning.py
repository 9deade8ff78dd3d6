"""Pins that the visit which docs/commissioning.md shows happens like that, command by command."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway.config.profile import parse_profile
from gateway.modbus.point import PointSpec
from gateway.modbus.values import decode
from gateway.reading import Cause
from tests.commissioning_transcript import BLOCK, BUSES, PAGE, Visit, play, rewrite

TOKEN = re.compile(r"[0-9A-Za-z.%+-]*\d[0-9A-Za-z.%+-]*")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """The whole visit, played once: scan, check, run, status, read, write, watch, stop."""
    return play(tmp_path_factory.mktemp("v"))


def shape(text: str) -> set[str]:
    """Return the lines without what differs from visit to visit: numbers, times, the clock."""
    lines = set()
    for line in text.splitlines():
        if line[:1] in "→←" and line:
            line = line[0]
        line = line.replace("not synchronised", "synchronised")
        line = TOKEN.sub("#", line)
        line = line.replace("#–#", "#")
        line = re.sub(r"# (ms|s|min|B|KiB)\b", "# ~", line)
        lines.add(" ".join(line.split()))
    return lines


def shown() -> dict[str, str]:
    """Return the page's blocks."""
    return {match[2]: match[3] for match in BLOCK.finditer(PAGE.read_text("utf-8"))}


def test_scan_names_all_six_devices(visit: Visit) -> None:
    """Every device is found at its port, baud and unit id, and named as what it is."""
    buses = {bus["port"]: bus for bus in tomllib.loads(visit.config)["bus"]}
    for wanted in BUSES:
        bus = buses[str(visit.port(wanted))]
        assert (bus["baud"], bus["parity"]) == (wanted.baud, "none")
        found = {(device["unit_id"], device["profile"]) for device in bus["device"]}
        assert found == {(unit_id, profile) for _, unit_id, profile in wanted.devices}


def test_the_snippet_passes_check(visit: Visit) -> None:
    """What scan prints is a config as it stands: no problem, no warning."""
    assert visit.blocks["check"].rstrip().endswith("gateway.toml: no problems")


def test_the_centre_has_readings_of_all_six(visit: Visit) -> None:
    """`gateway run` streams every device found to the centre."""
    named = {
        device["name"] for bus in tomllib.loads(visit.config)["bus"] for device in bus["device"]
    }
    assert set(visit.stored) == named
    assert len(named) == 6


def test_watch_shows_them_live(visit: Visit) -> None:
    """The live table holds good values of every device while the agent runs."""
    table = visit.blocks["watch"].split("rate\n", 1)[1]
    assert {line.split(".")[0] for line in table.splitlines()} == set(visit.stored)
    assert all(" good " in line for line in table.splitlines())
    assert "link up" in visit.blocks["watch"]


def test_a_write_is_read_back_and_limited(visit: Visit) -> None:
    """A write within the limits is read back as written; one outside is refused with the limit."""
    assert "read back  2 (0002): as written" in visit.blocks["write"]
    assert "7 is outside write_min 0 to write_max 3" in visit.blocks["write"]


def test_the_page_shows_this_visit(visit: Visit) -> None:
    """Each block of the page says what was printed now, but for numbers."""
    page = shown()
    assert page.keys() == visit.blocks.keys()
    for name, text in visit.blocks.items():
        assert shape(page[name]) == shape(text), name


def test_the_page_can_be_made_anew() -> None:
    """Rewriting the page with its own blocks changes nothing."""
    text = PAGE.read_text("utf-8")
    assert rewrite(text, shown()) == text


def example() -> str:
    """Return the profile that the page writes."""
    text = PAGE.read_text("utf-8").split("<!-- profile: checked by", 1)[1]
    match = re.search(r"(?s)```toml\n(.*?)```", text)
    assert match is not None
    return match[1]


def test_the_example_profile_is_right(tmp_path: Path) -> None:
    """The page's profile parses, and its points mean what its comments say."""
    parsed = parse_profile(example(), "acme-th-7.toml", "acme-th-7")
    assert [str(problem) for problem in parsed.problems] == []
    profile = parsed.settings
    assert profile is not None

    def point(name: str) -> PointSpec:
        spec = profile.point(name)
        assert spec is not None
        return spec

    assert decode(point("temperature"), [0xFFCE]) == (-5.0, Cause.NONE)
    assert decode(point("temperature"), [0x7FFF]) == (None, Cause.NULL_PATTERN)
    assert decode(point("temperature"), [900]) == (90.0, Cause.OUT_OF_RANGE)
    assert decode(point("energy"), [0x0001, 0x0002]) == (1310.73, Cause.NONE)
    assert decode(point("state"), [2]) == ("fault", Cause.NONE)
    assert profile.probes[0].words == (0x5448, 0x0007)
