"""A child that answers, hangs, ends: whoever waits for it hears of each, in bounded time."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import child as child_module
from gateway.cli.child import Child, ChildError


@contextmanager
def _running(tmp_path: Path, code: str) -> Iterator[Child]:
    child = Child("the child", [sys.executable, "-c", code], tmp_path / "log", pipes=True)
    try:
        yield child
    finally:
        child.stop(5.0)


def test_answers_come_line_by_line(tmp_path: Path) -> None:
    """Also when two come at once, and one in two pieces."""
    code = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    sys.stdout.write('one ' + line + 'two');\n"
        "    sys.stdout.flush(); time.sleep(0.05); print(flush=True)\n"
    )
    with _running(tmp_path, code) as child:
        assert child.ask("é") == "one é"
        assert child.line() == "two"


def test_a_child_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, instead of waiting with it."""
    monkeypatch.setattr(child_module, "ANSWER_S", 0.5)
    code = "import sys, time; print('thinking', file=sys.stderr, flush=True); time.sleep(60)"
    with _running(tmp_path, code) as child:
        with pytest.raises(ChildError, match=r"the child did not answer in 0\.5 s"):
            child.line()
        child.process.kill()


def test_a_child_that_ended_is_told(tmp_path: Path) -> None:
    """Not waited for."""
    with (
        _running(tmp_path, "import sys; sys.exit('no bus here')") as child,
        pytest.raises(ChildError, match=r"ended instead of answering:\nno bus here"),
    ):
        child.line()
