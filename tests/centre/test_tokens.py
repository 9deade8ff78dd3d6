"""Tokens: hashed at rest, 0600, revocable, never guessed at."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.centre.tokens import (
    TokenEntry,
    TokenFile,
    _write,
    add_token,
    read_tokens,
    revoke_tokens,
)
from gateway.errors import ConfigError


def test_a_token_is_kept_as_its_hash_only(tmp_path: Path) -> None:
    """The file is 0600 and does not hold the token."""
    path = tmp_path / "deep" / "tokens"
    token = add_token(path, "site-1", 5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text() and len(token) == 43
    file = TokenFile(path)
    assert file.refresh() and not file.refresh()
    assert file.match("site-1", token) is not None
    assert file.match("site-2", token) is None and file.owner(token) == "site-1"
    assert file.match("site-1", token + "x") is None and file.owner("x") is None


def test_two_tokens_of_a_gateway_make_a_rotation(tmp_path: Path) -> None:
    """The new one works before the old one is revoked by its key id."""
    path = tmp_path / "tokens"
    old, new = add_token(path, "site-1", 1), add_token(path, "site-1", 2)
    add_token(path, "site-2", 3)
    file = TokenFile(path)
    file.refresh()
    assert file.match("site-1", old) and file.match("site-1", new)
    first = read_tokens(path)[0]
    assert revoke_tokens(path, "site-1", first.key_id) == 1
    assert file.refresh()
    assert file.match("site-1", old) is None and file.match("site-1", new)
    assert not file.holds(first.digest)
    assert revoke_tokens(path, "nobody") == 0


@pytest.mark.parametrize("text", ["site-1 abc 0\n", "site-1\n", "../x " + "0" * 64 + " 0\n"])
def test_a_broken_file_names_its_line(tmp_path: Path, text: str) -> None:
    """The error says where; what was read before stays in force."""
    path = tmp_path / "tokens"
    token = add_token(path, "site-1", 1)
    file = TokenFile(path)
    file.refresh()
    path.write_text("# fine\n" + text)
    with pytest.raises(ConfigError, match="tokens:2: not a token line"):
        file.refresh()
    assert file.match("site-1", token)


def test_a_file_others_can_read_is_refused(tmp_path: Path) -> None:
    """Mode 0644 is an error that says the cure."""
    path = tmp_path / "tokens"
    add_token(path, "site-1", 1)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(path)


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    """No copy of the hashes stays beside it."""
    path = tmp_path / "tokens"
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be"):
        add_token(path, "site-1", 1)
    (tmp_path / "others").mkdir()
    hashes = [TokenEntry("site-1", b"d" * 32, 1)]
    (tmp_path / "others" / "tokens").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        _write(tmp_path / "others" / "tokens", hashes)
    assert [found.name for found in (tmp_path / "others").iterdir()] == ["tokens"]


def test_the_commands_add_list_and_revoke(tmp_path: Path) -> None:
    """`gateway centre token`: the last line of add is the token."""
    config = tmp_path / "centre.toml"
    config.write_text("[centre]\ntokens_file = 'tokens'\n")

    def gateway(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from gateway.cli.main import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "centre", "token", *words, "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True)

    token = gateway("add", "site-1").stdout.strip()
    file = TokenFile(tmp_path / "tokens")
    file.refresh()
    assert file.match("site-1", token)
    listed = gateway("list").stdout
    assert listed.startswith("site-1\t") and token not in listed
    assert read_tokens(tmp_path / "tokens")[0].digest.hex() not in listed
    assert "1 token of site-1 revoked" in gateway("revoke", "site-1").stdout
    assert gateway("revoke", "site-1").returncode == 1
    assert gateway("add", "no spaces").returncode == 2
