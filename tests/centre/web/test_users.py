"""Users of the page: the file's form, its refusals, and what a password costs."""

import io
from pathlib import Path

import pytest

from gateway.centre.web.users import Users, _user, make_user, read_users
from gateway.cli.main import main
from gateway.errors import ConfigError
from tests.centre.web.serving import PASSWORD, anna, write_users


def test_a_line_is_read_as_it_was_made(tmp_path: Path) -> None:
    """What `gateway centre passwd` prints lets the same password in and no other."""
    user = anna()
    write_users(tmp_path / "users", user)
    assert read_users(tmp_path / "users") == [user]
    assert user.fits(PASSWORD) and not user.fits(PASSWORD + " ")
    assert PASSWORD not in user.line() and make_user("anna", PASSWORD).salt != user.salt


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("", PASSWORD, "user name"),
        ("a b", PASSWORD, "user name"),
        ("../x", PASSWORD, "user name"),
        ("anna", "short", "10 to 1024"),
        ("anna", "x" * 1025, "10 to 1024"),
    ],
)
def test_a_bad_name_or_password_is_refused(name: str, password: str, words: str) -> None:
    """The message names the limit and never the password."""
    with pytest.raises(ConfigError, match=words) as refused:
        make_user(name, password)
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        "anna",
        "anna plain",
        "anna scrypt$15$8$3$00$00",
        f"anna scrypt$40$8$3${'00' * 16}${'00' * 32}",
        f"anna scrypt$15$8$900${'00' * 16}${'00' * 32}",
        f"anna scrypt$15$8$x${'00' * 16}${'00' * 32}",
        f"an/na scrypt$15$8$3${'00' * 16}${'00' * 32}",
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    """File and line, never the hash; costs beyond what we spend are refused too."""
    path = tmp_path / "users"
    path.touch(mode=0o600)
    path.write_text(f"# users\n\n{line}\n")
    with pytest.raises(ConfigError, match=r"users:3: not a user's line"):
        read_users(path)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Hashes are secrets."""
    path = tmp_path / "users"
    write_users(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_users(path)
    path.write_bytes(b"x" * (1024 * 1024 + 1))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a file of users"):
        read_users(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_users(tmp_path)


def test_a_change_of_the_file_is_seen_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    """What was read before stays in force."""
    path = tmp_path / "users"
    users = Users(path)
    assert users.refresh() and len(users) == 0 and not users.refresh()
    user = anna()
    write_users(path, user)
    assert users.refresh() and users.get("anna") == user
    path.write_text("nonsense")
    with pytest.raises(ConfigError):
        users.refresh()
    assert users.get("anna") == user
    path.unlink()
    assert users.refresh() and users.get("anna") is None


def test_passwd_prints_a_line_that_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password comes by standard input, the line goes to standard output."""
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert main(["centre", "passwd", "anna"]) == 0
    user = _user(capsys.readouterr().out)
    assert user is not None and user.name == "anna" and user.fits(PASSWORD)
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert main(["centre", "passwd", "anna"]) != 0
    assert "10 to 1024" in capsys.readouterr().err
