"""`gateway edit` without an agent: the conversation, the lock, what is left on the disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.edit import editor_command
from gateway.errors import ConfigError

CONFIG = """
[gateway]
id = "site-1"
state_directory = "{directory}"
[uplink]
url = "wss://centre.example.net/gateway"
[spool]
directory = "{directory}/spool"
[[bus]]
name = "b1"
port = "/dev/ttyS9"
[[bus.device]]
name = "d"
unit_id = 1
profile = "xy-md02"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(directory=tmp_path))
    path.chmod(0o640)
    return path


def edit(
    config: Path, *scripts: str, answers: str = "", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the command; each round the next script (Python, ``text`` in and out) is the editor."""
    turn = config.with_name("turn")
    turn.write_text("0")
    editor = config.with_name("editor.py")
    editor.write_text(
        f"import sys\nfrom pathlib import Path\nturn = Path({str(turn)!r})\n"
        "number = int(turn.read_text())\nturn.write_text(str(number + 1))\n"
        f"path = Path(sys.argv[1])\ntext = path.read_text()\nscripts = {list(scripts)!r}\n"
        "names = {'text': text, 'sys': sys, 'path': path}\nexec(scripts[number], names)\n"
        "path.write_text(names['text'])\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "edit", str(config), *options],
        env={**os.environ, "VISUAL": f"{sys.executable} {editor}"},
        input=answers,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def files(config: Path) -> set[str]:
    ours = {"turn", "editor.py"}
    return {entry.name for entry in config.parent.iterdir()} - ours


BAUD = "text = text.replace('port =', 'baud = 9600\\nport =')"
WRONG = "text = text.replace('unit_id = 1', 'unit_id = 300')"


def test_install_without_an_agent(config: Path) -> None:
    """The file is exchanged, the one before kept, and nobody needed to be told."""
    before = config.read_text()
    done = edit(config, BAUD, answers="i\n")
    assert done.returncode == 0, done.stderr
    assert "+baud = 9600" in done.stdout and "bus[b1].baud: 19200 → 9600" in done.stdout
    assert "a reload: bus b1 restarts" in done.stdout
    assert "no agent runs with this file; it is used at the next start" in done.stdout
    assert config.read_text() == before.replace("port =", "baud = 9600\nport =")
    assert config.stat().st_mode & 0o777 == 0o640
    assert config.with_name("gateway.toml.last-good").read_text() == before
    assert files(config) == {"gateway.toml", "gateway.toml.last-good"}


def test_edit_again_until_it_is_right(config: Path) -> None:
    """A mistake is shown with its line and cure, and the next round begins with what was typed."""
    mend = "assert 'unit_id = 300' in text; text = text.replace('unit_id = 300', 'unit_id = 3')"
    done = edit(config, WRONG, mend, answers="x\ne\ni\n")
    assert done.returncode == 0
    assert "gateway.toml:14:1: bus[b1].device[d].unit_id: found 300" in done.stderr
    assert ".gateway.edit" not in done.stderr
    assert "unit_id = 3\n" in config.read_text()


@pytest.mark.parametrize("answers", ["u\n", ""])
def test_giving_up(config: Path, answers: str) -> None:
    """A mistake that is given up (or nobody there to ask) changes nothing, with status 2."""
    before = config.read_text()
    done = edit(config, WRONG, answers=answers)
    assert done.returncode == 2 and "nothing is changed" in done.stdout
    assert config.read_text() == before and files(config) == {"gateway.toml"}


def test_a_good_edit_given_up(config: Path) -> None:
    """Also what is right is installed only when somebody says so."""
    before = config.read_text()
    assert edit(config, BAUD, answers="").returncode == 0
    assert config.read_text() == before and files(config) == {"gateway.toml"}


def test_nothing_changed(config: Path) -> None:
    """No question where nothing was changed."""
    done = edit(config, "pass")
    assert (done.returncode, done.stdout) == (0, f"{config}: unchanged\n")


def test_an_editor_that_fails(config: Path) -> None:
    """An editor that ends with a failure changes nothing, whatever it wrote."""
    before = config.read_text()
    done = edit(config, "path.write_text('half'); sys.exit(3)")
    assert done.returncode == 1 and "status 3; nothing is changed" in done.stdout
    assert config.read_text() == before and files(config) == {"gateway.toml"}


def test_the_file_changed_meanwhile(config: Path) -> None:
    """What somebody else wrote meanwhile is not overwritten."""
    script = f"{BAUD}; other = path.with_name('gateway.toml'); other.write_text('# theirs')"
    done = edit(config, script, answers="i\n")
    assert done.returncode == 2 and "somebody else changed it" in done.stderr
    assert config.read_text() == "# theirs"


def test_two_editors(config: Path) -> None:
    """The second is refused while the first has the file."""
    second = (
        "import subprocess; done = subprocess.run([sys.executable, '-m', 'gateway.cli.main', "
        "'edit', str(path.with_name('gateway.toml'))], capture_output=True, text=True); "
        "assert done.returncode == 2 and 'somebody else is editing' in done.stderr, done"
    )
    assert edit(config, second).stdout.endswith("unchanged\n")


def test_an_edit_that_was_killed_is_kept(config: Path) -> None:
    """What a killed edit left is put aside, not lost and not used."""
    config.with_name(".gateway.edit.toml").write_text("# half an hour's work")
    done = edit(config, "pass")
    assert "an earlier edit was not finished" in done.stdout
    assert config.with_name("gateway.toml.unfinished").read_text() == "# half an hour's work"


def test_a_link_stays_a_link(config: Path) -> None:
    """What the link leads to is edited."""
    real = config.with_name("real.toml")
    config.rename(real)
    config.symlink_to(real)
    assert edit(config, BAUD, options=("--yes",)).returncode == 0
    assert config.is_symlink() and "baud = 9600" in real.read_text()


def test_a_broken_file_can_be_mended(config: Path) -> None:
    """A file in force that is not valid is no obstacle."""
    good = config.read_text()
    config.write_text("[gateway\n")
    done = edit(config, f"text = {good!r}", options=("--yes",))
    assert done.returncode == 0 and config.read_text() == good


def test_not_text_and_not_there(config: Path) -> None:
    """A file that is no text, or not there, is one line with its cure."""
    done = edit(config, "pass", options=("--yes",))
    config.unlink()
    done = edit(config, "pass")
    assert done.returncode == 2 and "give a config file" in done.stderr


def test_editor_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """$VISUAL before $EDITOR before one that is installed, with its arguments."""
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_command({"EDITOR": "vi"}) == ["vi"]
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="set EDITOR"):
        editor_command({})
