"""The page's words for ages, instants and values."""

import pytest

from gateway.centre.web import words

DAY = 1_795_393_927_500_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (600, "10 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (90_000, "1 d 1 h"),
        (864_000, "10 d"),
        (-90, "-1 min 30 s"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    """Two units while the first is small, one when it is not."""
    assert words.age(seconds) == text


def test_an_instant_of_today_is_a_time_of_day() -> None:
    """Older ones carry their day; the whole instant is always at hand."""
    near = words.instant(DAY, DAY + 5).text
    assert near.startswith('<time datetime="2026-11-') and ">" in near
    assert "Nov" not in near.partition(">")[2]
    assert "Nov" in words.instant(DAY, DAY + 2 * 86_400 * words.SECOND_NS).text.partition(">")[2]
    assert "unknown" in words.instant(None, DAY).text
    assert words.full(1 << 80) == "?"


def test_values_as_people_read_them() -> None:
    """Booleans are states, floats have six digits, counts have groups."""
    shown = [words.shown(v) for v in (None, True, False, 230.123456, 1e-9, "x", 7)]
    assert shown == ["–", "on", "off", "230.123", "1e\u221209", "x", "7"]
    assert words.number(1234567) == "1\u202f234\u202f567"
    assert [words.size(n) for n in (12, 1500, 3_200_000, 10**15)] == [
        "12 B",
        "1.5 kB",
        "3.2 MB",
        "1000.0 TB",
    ]
