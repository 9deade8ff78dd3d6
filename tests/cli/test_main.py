"""The dispatcher: one line on stderr, the right exit status, never a traceback."""

import argparse
import subprocess
import sys
from types import ModuleType

import pytest

from gateway.cli import main as cli
from gateway.errors import ConfigError, SpoolError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Put a verb into the table whose `run` does what the test says."""

    def install(error: BaseException | int) -> None:
        module = ModuleType("gateway.cli.probe")

        def run(args: argparse.Namespace) -> int:
            if isinstance(error, int):
                return error + args.more
            raise error

        module.add_arguments = lambda parser: parser.add_argument("--more", type=int, default=0)
        module.run = run
        monkeypatch.setitem(cli.VERBS, "probe", "a verb of this test")
        monkeypatch.setitem(sys.modules, "gateway.cli.probe", module)

    return install


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigError("gateway.toml:3: baud"), 2, "gateway probe: gateway.toml:3: baud\n"),
        (SpoolError("no space"), 1, "gateway probe: no space\n"),
        (PermissionError(13, "denied"), 1, "gateway probe: [Errno 13] denied\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors(verb, capsys, error: BaseException, status: int, text: str) -> None:  # type: ignore[no-untyped-def]
    """What went wrong is one line, and its class decides the status."""
    verb(error)
    assert cli.main(["probe"]) == status
    assert capsys.readouterr().err == text


def test_a_verb_gets_its_arguments(verb) -> None:  # type: ignore[no-untyped-def]
    """The verb's own arguments are parsed and its status is returned."""
    verb(3)
    assert cli.main(["probe", "--more", "4"]) == 7


def test_a_wrong_argument(verb, capsys) -> None:  # type: ignore[no-untyped-def]
    """argparse's complaint ends with status 2."""
    verb(0)
    assert cli.main(["probe", "--less"]) == 2
    assert "--less" in capsys.readouterr().err


def test_no_verb_and_unknown_verb(capsys) -> None:  # type: ignore[no-untyped-def]
    """Both name the verbs and end with status 2."""
    assert cli.main([]) == 2
    assert "centre" in capsys.readouterr().out
    assert cli.main(["frobnicate"]) == 2
    assert "invalid choice" in capsys.readouterr().err


def test_version_imports_no_room() -> None:
    """`--version` is quick: it loads neither the agent nor asyncio."""
    program = (
        "import sys; from gateway.cli.main import main; status = main(['--version']);"
        "assert not {'asyncio', 'gateway.agent', 'gateway.centre'} & set(sys.modules); "
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gateway 0.")
