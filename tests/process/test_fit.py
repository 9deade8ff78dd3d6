"""Pins what no key shows by itself: points that cannot be announced, polls that cannot fit."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.process.files import load_agent, load_changed
from gateway.process.fit import overloads, pollings

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


def busy(path: Path, interval_s: float, more: str = "") -> Path:
    """Write a config whose one meter is polled that often over 9600 baud."""
    path.write_text(
        f'{HEAD}{more}[[bus]]\nname = "b"\nport = "/dev/x"\nbaud = 9600\n[[bus.device]]\n'
        f'name = "meter"\nunit_id = 1\nprofile = "eastron-sdm630"\n'
        f"poll_interval_s = {interval_s}\n"
    )
    return path


def test_polls_that_cannot_fit_are_refused_where_something_runs(tmp_path: Path) -> None:
    """A reload keeps what it has; a start goes on with what there is and says so."""
    path = busy(tmp_path / "g.toml", 0.1)
    (text,) = overloads(load_agent(path))
    assert text.startswith("bus[b]: needs ")
    assert text.endswith(
        "% of what 9600 baud 8E1 can carry; raise poll_interval_s or baud, or choose fewer points"
    )
    with pytest.raises(ConfigError, match=r"g\.toml: bus\[b\]: needs \d+% of what 9600 baud"):
        load_changed(path)
    fits = busy(tmp_path / "fits.toml", 5.0)
    assert overloads(load_agent(fits)) == () and load_changed(fits) == load_agent(fits)


def test_a_secret_that_others_can_read_is_not_taken_over(tmp_path: Path) -> None:
    """As `gateway check` says it; one that is not there yet is no fault."""
    path = busy(tmp_path / "g.toml", 5.0, 'token_file = "secret"\n')
    assert load_changed(path).uplink.token_file == str(tmp_path / "secret")
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match=r"uplink\.token_file: .*mode 0644 lets others in"):
        load_changed(path)
    assert load_agent(path).gateway_id == "g"
