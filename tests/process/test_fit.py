"""A config whose points cannot all be announced is refused before anything starts."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.process.files import load_agent
from gateway.process.fit import pollings

HEAD = '[gateway]\nid = "g"\n[uplink]\nurl = "wss://c/g"\n'


def config(path: Path, meters: int) -> Path:
    tables = "".join(
        f'[[bus.device]]\nname = "meter-{unit}"\nunit_id = {unit}\nprofile = "eastron-sdm630"\n'
        "poll_interval_s = 60.0\n"
        for unit in range(1, meters + 1)
    )
    path.write_text(f'{HEAD}[[bus]]\nname = "b"\nport = "/dev/x"\nbaud = 115200\n{tables}')
    return path


def test_what_fits(tmp_path: Path) -> None:
    """The blocks are those that the agent will announce, numbered through."""
    settings = load_agent(config(tmp_path / "g.toml", 3))
    first = [device.first_block for device in pollings(settings)]
    assert first == [0, 3, 6]


def test_what_does_not(tmp_path: Path) -> None:
    """At start and at reload the same words, with the cure, instead of an agent that ends."""
    with pytest.raises(ConfigError, match=r"3120 points are more .*; choose fewer points"):
        load_agent(config(tmp_path / "g.toml", 80))
