"""A config file is exchanged whole, and the one before stays."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.process.install import (
    RUNNING,
    install,
    last_good,
    locked,
    note_running,
    put_back,
    rejected,
    working_copy,
    write_copy,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_install_keeps_the_file_before(config: Path) -> None:
    """The new file stands whole with the old one's mode; the old one is beside it."""
    install(config, b"new")
    assert config.read_bytes() == b"new" and last_good(config).read_bytes() == b"old"
    assert config.stat().st_mode & 0o777 == last_good(config).stat().st_mode & 0o777 == 0o640
    assert names(config) == ["gateway.toml", "gateway.toml.last-good"]
    install(config, b"newer")
    assert last_good(config).read_bytes() == b"new"


@pytest.mark.root
def test_the_owner_stays(config: Path) -> None:
    """A file of another user stays that user's, edited by root."""
    os.chown(config, 1234, 2345)
    install(config, b"new")
    for path in (config, last_good(config)):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_put_back_keeps_what_was_rejected(config: Path) -> None:
    """The old file is in force again, the refused one is not lost."""
    install(config, b"bad")
    put_back(config, b"old")
    assert config.read_bytes() == b"old" and rejected(config).read_bytes() == b"bad"


def test_a_failed_installation_changes_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle leaves the old file and no litter."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="free some space"):
        install(config, b"new")
    assert config.read_bytes() == b"old" and names(config) == ["gateway.toml"]


def test_a_kill_at_any_step_leaves_a_whole_file(config: Path) -> None:
    """Killed after any number of system calls that change the disk: the old file or the new."""
    program = """
import os, sys
from pathlib import Path
from gateway.process import install
left = int(sys.argv[2])
def dying(call):
    def wrapped(*args, **options):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **options)
    return wrapped
for name in ("open", "fsync", "replace", "fchmod"):
    setattr(os, name, dying(getattr(os, name)))
install.install(Path(sys.argv[1]), b"new")
"""
    seen = set()
    for step in range(40):
        config.write_bytes(b"old")
        done = subprocess.run([sys.executable, "-c", program, str(config), str(step)], check=False)
        assert config.read_bytes() in (b"old", b"new")
        if last_good(config).exists():
            assert last_good(config).read_bytes() == b"old"
        seen.add((done.returncode, config.read_bytes()))
        if done.returncode == 0:
            break
    assert {(9, b"old"), (9, b"new"), (0, b"new")} <= seen


def test_locked_against_a_second_editor(config: Path) -> None:
    """The second is told who has it, and may enter once the first is done."""
    with locked(config):
        program = (
            "import sys\nfrom pathlib import Path\nfrom gateway.process.install import locked\n"
            "from gateway.errors import ConfigError\n"
            "try:\n    with locked(Path(sys.argv[1])): print('in')\n"
            "except ConfigError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(config)], capture_output=True, text=True, check=True
        )
        assert "somebody else is editing it" in done.stdout and str(os.getpid()) in done.stdout
    with locked(config):
        pass
    with pytest.raises(ConfigError, match="give the path"), locked(config / "none" / "x"):
        pass


def test_working_copy_and_links(config: Path) -> None:
    """A working copy that is a link to elsewhere is replaced, never followed."""
    copy = working_copy(config)
    assert copy.name == ".gateway.edit.toml"
    target = config.with_name("precious")
    target.write_bytes(b"precious")
    copy.symlink_to(target)
    write_copy(copy, config, b"copy")
    assert copy.read_bytes() == b"copy" and not copy.is_symlink()
    assert target.read_bytes() == b"precious"


def test_note_running(config: Path, tmp_path: Path) -> None:
    """What a daemon runs with is kept when it is what the file says, and never raises."""
    revision = hashlib.sha256(b"old").hexdigest()[:12]
    note_running(config, tmp_path, "000000000000")
    assert not (tmp_path / RUNNING).exists()
    note_running(config, tmp_path, revision)
    note_running(config, tmp_path, revision)
    assert (tmp_path / RUNNING).read_bytes() == b"old"
    note_running(config, tmp_path / "none", revision)
    note_running(config.with_name("none"), tmp_path, revision)
