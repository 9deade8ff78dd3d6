"""Typed getters: every problem at once, each with its place and cure."""

import pytest

from gateway.config.document import MAX_BYTES, Document, Section
from gateway.config.problems import MAX_PROBLEMS, Problems, did_you_mean, nearest, shown


def read(text: str) -> tuple[Section, Problems]:
    problems = Problems()
    return Document.read(text, "f.toml", problems), problems


def said(problems: Problems) -> list[str]:
    return [str(problem) for problem in problems.parsed(None).problems]


def test_values_come_through() -> None:
    """Right values are returned as they are and nothing is noted."""
    root, problems = read('t = "x"\ni = 3\nf = 2\nb = true\nl = ["a"]\n[s]\nk = 1\n[[a]]\nname="n"')
    assert root.text("t", "") == "x"
    assert root.integer("i", 0, low=1, high=5) == 3
    assert root.number("f", 0.0) == 2.0
    assert root.flag("b", False) is True
    assert root.texts("l", "names") == ("a",)
    assert root.section("s").integer("k", None, low=0, high=1) == 1
    assert [section.label for section in root.sections("a", 5)] == ["a[n]"]
    assert root.text("none", None) is None
    root.close()
    assert not problems.problems


def test_every_problem_at_once() -> None:
    """One pass names every wrong key with line, column, what was found and the cure."""
    root, problems = read(
        't = 5\ni = "7"\nf = "fast"\nb = "yes"\nparty = "odd"\n[[a]]\nc = "evn"\n[[a]]\nname = ""\n'
    )
    root.text("t", "", required=True)
    root.integer("i", 1, low=1, high=247)
    root.number("f", 1.0, low=0.1, high=10, unit="seconds")
    root.flag("b", True)
    root.text("parity", "", required=True, choices=("even", "odd"))
    for section in root.sections("a", 5):
        section.text("c", "", choices=("even", "odd"))
        section.text("name", "x", required=True)
        section.close()
    root.close()
    assert said(problems) == [
        "f.toml:1:1: t: found 5; give a text in quotes",
        'f.toml:1:1: parity: missing; add parity = … (one of "even", "odd")',
        'f.toml:2:1: i: found "7"; give a whole number from 1 to 247, without quotes',
        'f.toml:3:1: f: found "fast"; give a number from 0.1 to 10 seconds, in digits',
        'f.toml:4:1: b: found "yes"; give true or false, without quotes',
        "f.toml:5:1: party: unknown key; "
        'did you mean "parity"? (known here: a, b, f, i, parity, t)',
        "f.toml:6:3: a[#1].name: missing; add name = … (a text in quotes)",
        'f.toml:7:1: a[#1].c: found "evn"; did you mean "even"? (c is one of: even, odd)',
        'f.toml:9:1: a[#2].name: found ""; give a text in quotes',
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = = 2\n", "f.toml:2:5: no value that TOML knows; give"),
        ("a = 1\na = 2\n", "f.toml:2:6: the key is given twice; keep one"),
        ('a = "x', "f.toml:1:7: the text has no end"),
        ("a = " + "9" * 5000, "f.toml:1:1: a number with thousands of digits"),
        ("a = " + "[" * 50_000, "f.toml:1:1: lists or tables nested too deep"),
        ("#" * (MAX_BYTES + 1), f"f.toml:1:1: {MAX_BYTES + 1} characters; a file of at most"),
    ],
)
def test_not_toml(text: str, expected: str) -> None:
    """Text that is not TOML is one message, with line and column where there are any."""
    root, problems = read(text)
    root.close()
    assert len(problems.problems) == 1
    assert said(problems)[0].startswith(expected)


def test_wrong_shapes() -> None:
    """A value where a table belongs, and the other way round, are named."""
    root, problems = read('s = 1\na = [1]\nl = "x"\nm = [1]\nn = [1, 2]\nbig = 1e400\nnan = nan\n')
    assert not root.section("s").values
    assert not root.sections("a", 5)
    assert root.texts("l", "names") is None
    assert root.texts("m", "names") is None
    assert root.items("n", "numbers", 1) is None
    root.number("big", 0.0)
    root.number("nan", 0.0, low=0, high=1)
    assert len(problems.problems) == 7


def test_secret_is_not_shown() -> None:
    """A text marked secret never appears in a message."""
    root, problems = read('p = "http//me:word@host"')
    root.text("p", "", pattern=r"http://.*", secret=True)
    assert "word" not in said(problems)[0]


def test_bounded() -> None:
    """However many keys are wrong, a bounded number of problems is kept."""
    root, problems = read("\n".join(f"k{i} = 1" for i in range(1000)))
    root.close()
    assert len(problems.problems) == MAX_PROBLEMS


def test_nearest() -> None:
    """The nearest word is found whatever its case, and none is better than a wild guess."""
    assert nearest("Eastron-SDM360", ["eastron-sdm630", "abb-b23"]) == "eastron-sdm630"
    assert nearest("qqq", ["abb"]) is None
    assert did_you_mean("x", [], "profile") == "there is no profile"


def test_shown_is_short_and_printable() -> None:
    """What a message shows of a value is one short printable line."""
    for value in ("x" * 500, "\x1b[31m\n", 10**5000, [1], {}, True, 1.5):
        assert shown(value).isprintable() and len(shown(value)) <= 63
