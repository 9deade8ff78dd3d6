"""Pins what `gateway drops` prints: the table, a story, JSON; that lists are bounded."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.cli import drops_json, drops_list, drops_show
from gateway.cli.drops_source import Looked
from gateway.cli.drops_words import instant, shown
from gateway.correlation.report import Report
from gateway.correlation.verdict import Cause, Drop
from gateway.errors import RefusedError
from tests.cli.drops_golden import GOLDEN, listed, outputs, told
from tests.cli.drops_made import NASTY, ZONE, at, hostile, incident, looked, loss, story

HOUR = 3600 * 10**9


@pytest.mark.parametrize("name", ["list.txt", "show.txt", "list.json", "show.json"])
def test_golden(name: str) -> None:
    """List and story, as text and as JSON, are as they were read and approved."""
    assert outputs()[name] == (GOLDEN / name).read_text("utf-8"), "see tests/cli/drops_golden.py"


def test_colour_is_only_colour() -> None:
    """A terminal gets the same words as a pipe; what is quiet is dimmed, what goes on is red."""
    coloured = listed(True)
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == listed()
    assert "\x1b" not in listed() and "\x1b" not in told(0)
    quiet = next(line for line in listed(True).splitlines() if "quiet" in line)
    assert quiet.startswith("\x1b[2m")
    away = next(line for line in listed(True).splitlines() if "goes on" in line)
    assert away.startswith("\x1b[31m")


def test_long_stories_are_bounded() -> None:
    """A story of 120 gateways shows a few and says how many more there are; --all shows them."""
    short, whole = told(1), told(1, whole=True)
    assert "… and 211 lines more (--all)" in short
    assert "… and 110 gateways more (--all)" in short
    assert "--all" not in whole and whole.count("site-119") == 3
    assert len(short.splitlines()) < 80


def test_nothing_happened() -> None:
    """A day without incidents says so, and still says what was looked at."""
    day = looked()
    empty = type(day.report)(day.asked.from_ns, day.asked.to_ns, (), (), 7, 9)
    lines = list(drops_list.lines(type(day)(day.asked, empty, day.series), False, ZONE))
    assert lines[0] == "no incidents: no gateway lost its session in this time"
    assert "looked at 7 gateways, 9 sessions in 2 stores" in lines[1]


@pytest.mark.parametrize("text", NASTY)
def test_a_terminal_obeys_no_gateway(text: str) -> None:
    """Whatever gateways call themselves, printable text on lines of ours is all that comes out."""
    day = hostile(text)
    one = day.report.incidents[0]
    lines = [
        *drops_list.lines(day, False, ZONE),
        *drops_show.lines(one, story(one), (), True, False, ZONE),
    ]
    for line in lines:
        assert line.isprintable(), repr(line)
        assert len(line) < 4000
    value: Any = json.loads(drops_json.text(drops_json.incident(day, one, story(one), ())))
    assert value["incident"]["losses"][0]["gateway"] == text + "0"
    assert value["incident"]["losses"][0]["labels"].get("n", 0) is None


def test_words_for_instants() -> None:
    """--since takes durations and dates, local unless they say otherwise."""
    now_ns = 1_795_500_000 * 10**9
    for text, hours in (("24h", 24), ("90m", 1.5), ("90 min", 1.5), ("7d", 168), ("1.5h", 1.5)):
        assert instant(text, now_ns, ZONE) == now_ns - hours * HOUR
    assert instant("now", now_ns) == now_ns
    midnight_utc = 1_795_392_000 * 10**9
    for text in ("2026-11-23T00:00Z", "2026-11-23 00:00:00+00:00", "2026-11-23T01:00"):
        assert instant(text, now_ns, ZONE) == midnight_utc
    assert instant("2026-11-23", now_ns, ZONE) == midnight_utc - HOUR
    assert instant("2026-11-23T01:00:00.250", now_ns, ZONE) == midnight_utc + 250_000_000
    assert isinstance(instant("2026-11-23", now_ns), int)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "24", "-3h", "1e9h", "2026-13-01", "h", "9" * 40]
)
def test_words_that_are_no_instant(text: str) -> None:
    """What is no time is repeated, with examples of what is."""
    with pytest.raises(RefusedError, match="is no time; give a duration"):
        instant(text, 0, ZONE)


def test_foreign_text() -> None:
    """A text of a gateway is one bounded printable line."""
    assert shown("a\tb\x1b[1m") == "a b [1m"
    assert len(shown("x" * 10_000)) == 301


def crowd(number: int) -> Looked:
    """Return a day of many small incidents, a large one and one that goes on."""
    day = looked()
    small = tuple(
        incident(
            f"20261123T01{n // 60:02}{n % 60:02}-{n:04x}", (loss(n, 3600 + n, 3700 + n, cause),)
        )
        for n in range(number)
        for cause in (Cause.RADIO if n % 3 else Cause.UNKNOWN,)
    )
    large = tuple(loss(n, 9000, 9050, Cause.CENTRE_KILLED) for n in range(50))
    away = (loss(7, 100, None, Cause.PATH_DEAD),)
    incidents = (
        incident("20261123T000140-away", away),
        *small,
        incident("20261123T023000-big0", large),
    )
    report = Report(day.asked.from_ns, day.asked.to_ns, (), incidents, 900, 2000)
    return Looked(day.asked, report, day.series)


def test_many_incidents_are_cut() -> None:
    """Of hundreds of incidents the largest, those that go on and the newest are listed."""
    lines = list(drops_list.lines(crowd(500), False, ZONE))
    rows = [line for line in lines if line.startswith("2026")]
    assert len(rows) == 100
    assert rows[0].startswith("20261123T000140-away") and rows[-1].startswith(
        "20261123T023000-big0"
    )
    assert "20261123T010819-01f3" in rows[-2], "then the newest"
    assert "… and 402 smaller incidents more (--all)" in lines
    causes = lines[lines.index("cause          incidents  lost  not back") :]
    assert [line.split() for line in causes[1:5]] == [
        ["radio", "333", "333", "0"],
        ["unknown", "167", "167", "0"],
        ["centre_killed", "1", "50", "0"],
        ["path_dead", "1", "1", "1"],
    ]
    whole = list(drops_list.lines(crowd(500), False, ZONE, whole=True))
    assert sum(line.startswith("2026") for line in whole) == 502


@pytest.mark.parametrize("number", [0, 1, 300])
def test_json_of_any_number(number: int) -> None:
    """The list is JSON line by line, each incident on one of its own, none of them left out."""
    lines = list(drops_json.report(crowd(number)))
    found: Any = json.loads("\n".join(lines))
    assert len(found["incidents"]) == number + 2
    assert sum('"losses"' in line for line in lines) == number + 2
    empty = crowd(0)
    none = type(empty.report)(empty.asked.from_ns, empty.asked.to_ns, (), (), 0, 0)
    text = "\n".join(drops_json.report(Looked(empty.asked, none, empty.series)))
    assert json.loads(text)["incidents"] == []


def test_a_fall_with_losses_is_not_bare() -> None:
    """A fall that small incidents make up together is not told as one without a lost session."""
    day = looked()
    fall = Drop(at(11_527), at(11_528), at(11_530), 240, 236)
    alone = Drop(at(70_000), at(70_001), at(70_002), 240, 236)
    report = replace(day.report, drops=(fall, alone))
    assert drops_list.bare_drops(replace(day, report=report)) == [alone]
