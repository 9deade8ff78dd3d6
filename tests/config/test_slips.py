"""What a file that is not TOML is told, in words a technician can use."""

import tomllib

import pytest

from gateway.config.problems import nearest
from gateway.config.repair import AT
from gateway.config.slips import explain


def told(text: str) -> str:
    with pytest.raises(tomllib.TOMLDecodeError) as failure:
        tomllib.loads(text)
    message = str(failure.value)
    match = AT.search(message)
    assert match is not None
    lines = text.split("\n")
    line = int(match.group(1)) if match.group(1) else len(lines)
    column = int(match.group(2)) if match.group(1) else len(lines[-1]) + 1
    return "; ".join(explain(AT.sub("", message), lines[line - 1], column))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\na = 2", "twice; keep one"),
        ("[a]\n[b]\n[a]", "table is given twice"),
        ("a = {}\n[a.b]", "twice; put its keys under one header"),
        ("[a.b]\n[a]\nb = 1", "keep one of the two"),
        ("a: 1", "TOML takes ="),
        ("[a\nb = 1", "close it with ]"),
        ("a = [1, 2", "close it with ]"),
        ("a = {b = 1", "close it with }"),
        ('a = "x', 'close it with "'),
        ('a = "x\nb = 1', 'close it with "'),
        ('a = "C:\\new\\Users"', "single quotes"),
        ("a =", "give a number, true, false or a text"),
        ("{}", "[table] headers"),
        ("a = 0,5", "decimals take a point"),
        ("a = 1 // b", "a comment begins with #"),
        ("a = 1 ; b", "a comment begins with #"),
        ("a = 1 b = 2", "one key = value a line"),
        ("a = 1\x01", "write one key = value a line"),
        ("= 1", "key = value lines"),
    ],
)
def test_usual_slips(text: str, words: str) -> None:
    """Each names what to write instead."""
    assert words in told(text)


def test_other_messages_stay_as_they_are() -> None:
    """A message nobody thought of is shown, cut, with the place's cure."""
    assert explain("something new", "a", 1) == (
        "not valid TOML: something new",
        explain("", "", 1)[1],
    )
    assert len(explain("x" * 5000, "a", 1)[0]) < 300


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("E", ("even", "none", "odd"), "even"),
        ("holding_registers", ("coil", "holding", "input"), "holding"),
        ("paritty", ("parity", "port"), "parity"),
        ("zzz", ("parity", "port"), None),
        ("p", ("parity", "port"), None),
        ("", ("parity",), None),
    ],
)
def test_nearest(word: str, known: tuple[str, ...], meant: str | None) -> None:
    """The nearest word by spelling, else the only one that begins alike."""
    assert nearest(word, known) == meant
