"""Config, profile and secret files: found, read, refused with a cure."""

import os
import re
from pathlib import Path

import pytest

from gateway.config.document import MAX_BYTES
from gateway.errors import ConfigError
from gateway.process.files import (
    Profiles,
    check_secret,
    load_agent,
    profile_directories,
    read_agent,
    read_secret,
    read_text,
)

ROOT = Path(__file__).parents[2]
AGENT = """
[gateway]
id = "g"
[uplink]
url = "wss://c.example/g"
ca_file = "ca.pem"
[[bus]]
name = "b"
port = "/dev/ttyS0"
[[bus.device]]
name = "d"
unit_id = 1
profile = "own-meter"
"""
PROFILE = """
vendor = "Own"
model = "Meter"
[[point]]
name = "v"
table = "input"
address = 0
type = "u16"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A config file with a profile of its own beside it."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/own-meter.toml").write_text(PROFILE)
    (tmp_path / "gateway.toml").write_text(AGENT)
    return tmp_path


def profiles(site: Path) -> Profiles:
    return Profiles(profile_directories(site / "profiles"))


def test_shipped_profiles_are_found() -> None:
    """Ours are found wherever the package is, and one is read."""
    found = Profiles(profile_directories(Path("/nonexistent")))
    assert {"eastron-sdm630", "abb-b23"} <= set(found)
    assert len(found) == len(list(found)) and "no-such" not in found
    profile = found["eastron-sdm630"]
    assert profile is not None and profile.vendor == "Eastron" and not found.problems


def test_own_profile_stands_before_a_shipped_one(site: Path) -> None:
    """A site corrects a profile by putting its own of that name into its directory."""
    (site / "profiles/abb-b23.toml").write_text(PROFILE)
    profile = profiles(site)["abb-b23"]
    assert profile is not None and profile.vendor == "Own"


def test_agent_file_with_its_paths(site: Path) -> None:
    """Relative paths start at the config file; a token beside it is taken without being named."""
    settings = read_agent(site / "gateway.toml", profiles(site)).settings
    assert settings is not None
    assert settings.uplink.ca_file == str(site / "ca.pem")
    assert settings.uplink.token_file is None
    (site / "token").write_text("secret")
    settings = read_agent(site / "gateway.toml", profiles(site)).settings
    assert settings is not None and settings.uplink.token_file == str(site / "token")


def test_problems_of_a_profile_come_with_the_file(site: Path) -> None:
    """A broken profile that is used is told with its own lines; one that is not used is left."""
    (site / "profiles/unused.toml").write_text("x = = 1")
    assert read_agent(site / "gateway.toml", profiles(site)).settings is not None
    path = site / "profiles/own-meter.toml"
    path.write_text(PROFILE.replace('"u16"', '"u17"'))
    parsed = read_agent(site / "gateway.toml", profiles(site))
    assert parsed.settings is None
    assert [(p.file, p.line) for p in parsed.problems] == [
        (str(site / "gateway.toml"), 13),
        (str(path), 8),
    ]
    path.write_bytes(b"\xff")
    assert "not UTF-8" in str(read_agent(site / "gateway.toml", profiles(site)).problems[1])


def test_load_says_every_problem(site: Path) -> None:
    """The daemon gets one error with all problems, one a line."""
    path = site / "gateway.toml"
    path.write_text('[gateway]\nid = 5\n[uplink]\nurl = ""\n[[bus]]\nname = "b"\n')
    with pytest.raises(ConfigError) as failure:
        load_agent(path)
    assert len(str(failure.value).splitlines()) == 3
    path.write_text('[gateway]\nid = "g"\n[uplink]\nurl = "wss://c/g"\n')
    assert load_agent(path).gateway_id == "g"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"a = 1\n\xff", ":2: not UTF-8 text"),
        (b"#" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that cannot be read is one message with a cure."""
    path = tmp_path / "f.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_text(path)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """A path that leads to a directory is said so."""
    with pytest.raises(ConfigError, match="directory"):
        read_text(tmp_path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_secret_that_is_kept(tmp_path: Path, mode: int) -> None:
    """Owner only, or the daemon's group too, is right; the secret comes without its line end."""
    path = tmp_path / "token"
    path.write_text("gw1.abc-DEF\n")
    path.chmod(mode)
    assert read_secret(path) == "gw1.abc-DEF"
    assert check_secret(path).fault is None


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o606, 0o777])
def test_secret_that_others_can_get_at(tmp_path: Path, mode: int) -> None:
    """A secret that others may read, or the group may write, is refused with the cure."""
    path = tmp_path / "token"
    path.write_text("the-very-secret")
    path.chmod(mode)
    with pytest.raises(ConfigError) as failure:
        read_secret(path)
    assert "chmod 600" in str(failure.value) and "very-secret" not in str(failure.value)
    assert check_secret(path).fault in str(failure.value)


@pytest.mark.root
def test_secret_of_somebody_else(tmp_path: Path) -> None:
    """A secret that belongs to another user is refused."""
    path = tmp_path / "token"
    path.write_text("x")
    path.chmod(0o600)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="chown"):
        read_secret(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe", b"x" * 70000])
def test_secret_that_is_none(tmp_path: Path, content: bytes) -> None:
    """Nothing, several lines, bytes that are no text and a flood are no secret."""
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="one line"):
        read_secret(path)


def test_secret_that_is_not_there(tmp_path: Path) -> None:
    """A missing secret is told apart from a wrong one."""
    assert check_secret(tmp_path / "none").missing
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(tmp_path / "none")
    assert "regular" in str(check_secret(tmp_path).fault)


def test_secret_that_is_a_fifo(tmp_path: Path) -> None:
    """A FIFO in a secret's place is told at once, not waited for."""
    path = tmp_path / "token"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_secret(path)
