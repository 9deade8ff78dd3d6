"""`docs/serial.md`: every example is a good config, and its lines give what is written there."""

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest

from gateway.config.agent import parse
from gateway.config.serial import SerialSettings
from gateway.process.formats import GROUP, InstalledFormats
from gateway.reading import Cause
from gateway.serial.builtin import BUILT_IN
from gateway.serial.source import Source

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serial.md").read_text("utf-8")
HEAD = '[gateway]\nid = "g"\n[uplink]\nurl = "wss://centre.example.net/g"\n'
TANK = EntryPoint("tank", "tests.serial.tank_format:Tank", GROUP)
FORMATS = InstalledFormats(EntryPoints([*entry_points(group=GROUP), TANK]))
BLOCK = re.compile(r"(?s)```toml\n(\[\[serial\]\]\n.*?)```(?:\n+```text\n(.*?)```)?")


@dataclass(frozen=True, slots=True)
class Example:
    """One config of the page, and its lines: (bytes, what they become)."""

    toml: str
    lines: tuple[tuple[bytes, dict[str, str]], ...]

    @property
    def format(self) -> str:
        match = re.search(r'format = "(\w+)"', self.toml)
        assert match is not None
        return match[1]

    def settings(self) -> SerialSettings:
        """Read the config. Skips what needs an extra that is not installed."""
        if self.format == "dsmr":
            pytest.importorskip("dsmr_parser", reason="the extra dsmr is not installed")
        parsed = parse(HEAD + self.toml, "serial.md", {}, formats=FORMATS)
        assert parsed.settings is not None, [str(problem) for problem in parsed.problems]
        (settings,) = parsed.settings.serials
        return settings


def examples() -> list[Example]:
    found = []
    for toml, shown in BLOCK.findall(PAGE):
        lines = []
        for line in filter(None, shown.splitlines()):
            data, _, readings = line.partition(" → ")
            raw = data.encode().decode("unicode_escape").encode("latin-1")
            pairs = (pair.partition(" = ") for pair in readings.split(", "))
            lines.append((raw, {name: value for name, _, value in pairs}))
        found.append(Example(toml, tuple(lines)))
    return found


EXAMPLES = examples()


def test_every_format_has_an_example() -> None:
    """And those without a telegram's length show a line too."""
    assert {one.format for one in EXAMPLES} == {*BUILT_IN, "dsmr", "tank"}
    assert {one.format for one in EXAMPLES if one.lines} == {*BUILT_IN, "tank"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.format)
def test_an_example_gives_what_is_written(example: Example) -> None:
    """The config is good; each line becomes the readings behind its arrow."""
    settings = example.settings()
    source = Source(
        settings.name,
        settings.format_type(settings.options),
        settings.points,
        settings.asking,
        settings.silent_after_s,
        0.0,
    )
    source.port_returned(0.0)
    source.handle_timer(0.0)
    now = 0.0
    for data, expected in example.lines:
        if settings.format == "vedirect":
            source.receive(data * 2, now)  # blocks count from the second alike on
        elif settings.asking is None:
            source.receive(b"\r\n", now)
        else:
            source.handle_timer(now)
            assert source.bytes_to_send() == settings.asking.question
        source.receive(data, now + 0.1)
        (row,) = source.rows()
        causes = row.causes or (Cause.NONE,) * len(row.values)
        found = {
            point.name: cause.name.lower() if value is None else str(value)
            for point, value, cause in zip(settings.points, row.values, causes, strict=True)
        }
        assert found == expected
        now += settings.asking.interval_s if settings.asking else 1.0


def test_the_third_partys_format_is_the_one_tested() -> None:
    """The page shows the module whole."""
    (shown,) = re.findall(r"(?s)```python\n(.*?)```", PAGE)
    assert shown == (ROOT / "tests/serial/tank_format.py").read_text("utf-8")
