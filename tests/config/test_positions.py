"""Places of keys: the same keys as `tomllib`, each standing where the text says."""

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.positions import Path, key_positions

EXAMPLE = '''\
# a comment [not.a.table]
title = "x"  # trailing = comment
[gateway]
id = 'site = "042"'
labels . "north side" = """
[[bus]] = not a key
\\""" still ""\\" text"""""
[[bus]]
  name = "a"
list = [ 1, # one ]
  [2, "]"], { k = 1, "d.q".e = '}' } ]
[[bus.device]]
unit_id = 1
[[bus.device]]
unit_id = 2
[bus.device.extra]
x = 1979-05-27 07:32:00
[[bus]]
[[bus.device]]
unit_id = 3
raw = \'\'\'
'quoted' = 1\'\'\'\'
'''


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    """Return every key path and array index that `tomllib` found."""
    found: set[Path] = set()
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.add((*path, key))
        if isinstance(inner, dict | list):
            found |= paths_of(inner, (*path, key))
    return found


def test_example() -> None:
    """Headers, dotted and quoted keys, strings and nested values stand where they were written."""
    places = key_positions(EXAMPLE)
    assert set(places) == paths_of(tomllib.loads(EXAMPLE))
    assert places["gateway",] == (3, 2)
    assert places["gateway", "labels", "north side"] == (5, 10)
    assert places["bus", 0, "name"] == (9, 3)
    assert places["bus", 0, "list", 1, 1] == (11, 7)
    assert places["bus", 0, "list", 2, "d.q", "e"] == (11, 28)
    assert places["bus", 0, "device", 1, "extra", "x"] == (17, 1)
    assert places["bus", 1, "device", 0, "raw"] == (21, 1)


def test_windows_line_ends() -> None:
    """Lines that end in CR LF count as `tomllib` counts them."""
    assert key_positions('a = """\r\nx"""\r\nb = 1\r\n')["b",] == (3, 1)


bare = st.text("abcdefgh-_019", min_size=1, max_size=5)
anything = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)


def _basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(text: str) -> str:
    return f"'{text}'" if "'" not in text else _basic(text)


keys = st.one_of(bare, anything.map(_basic), anything.map(_literal))
scalars = st.one_of(
    st.integers(-999, 999).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: repr(x)),
    st.sampled_from(["true", "false", "inf", "07:32:00", "1979-05-27T00:32:00.5Z", "0x1F"]),
    anything.map(_basic),
    anything.map(_literal),
    anything.map(lambda t: '"""\n' + t.replace("\\", "\\\\").replace('"', '\\"') + '""\n#x = 1"""'),
    anything.map(lambda t: "'''" + t.replace("'", "") + "'\n[t]'''"),
)
blank = st.sampled_from(["", " ", "\n", " # c ] } '\n\t"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    """Draw one value in one of its spellings."""
    kind = draw(st.integers(0, 4 if depth else 2))
    if kind <= 2:
        return draw(scalars)
    inner = draw(st.lists(values(depth - 1), max_size=3))
    if kind == 3:
        gaps = [draw(blank) + item + draw(blank) for item in inner]
        comma = "," if gaps and draw(st.booleans()) else ""
        return "[" + ",".join(gaps) + comma + draw(blank) + "]"
    return "{" + ",".join(f" k{i} = {item} " for i, item in enumerate(inner)) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a document; some of them are not TOML (a key twice), which the test leaves out."""
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 8))):
        path = (draw(st.sampled_from([" . ", "."]))).join(
            draw(st.lists(keys, min_size=1, max_size=3))
        )
        form = draw(st.sampled_from(["pair", "pair", "table", "array"]))
        if form == "pair":
            lines.append(f"{path} = {draw(values())}{draw(st.sampled_from(['', ' # c']))}")
        else:
            lines.append(f"[{path}]" if form == "table" else f"[[ {path} ]]")
        lines.append(draw(st.sampled_from(["", "# [x]"])))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_same_keys_as_tomllib(text: str) -> None:
    """Whatever `tomllib` accepts, the scanner finds the same keys, each at its spelling."""
    try:
        loaded = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    places = key_positions(text)
    assert set(places) == paths_of(loaded)
    lines = text.replace("\r\n", "\n").split("\n")
    for path, (line, column) in places.items():
        here = lines[line - 1][column - 1 :]
        if isinstance(path[-1], str):
            bare_key, basic, literal = path[-1], _basic(path[-1]), f"'{path[-1]}'"
            assert here.startswith((bare_key or '"', basic, literal))
