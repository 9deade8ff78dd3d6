"""`gateway edit [FILE]`: change a config so that no mistake reaches the running agent.

Owns the conversation: edit a copy, check it, show what differs, ask, install, reload, wait for the
agent's word, put the old file back if it says no. How files are exchanged is `process.install`'s,
what is wrong with one `verdict`'s, how the agent is asked `process.reload`'s.
"""

import argparse
import difflib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.check import DEFAULT_CONFIG, changes_of, report
from gateway.cli.verdict import Verdict, judge
from gateway.config.agent import AgentSettings
from gateway.config.diff import diff
from gateway.config.problems import Parsed
from gateway.errors import ConfigError, GatewayError
from gateway.process.files import Profiles, profile_directories, read_agent
from gateway.process.install import (
    install,
    last_good,
    locked,
    put_back,
    rejected,
    working_copy,
    write_copy,
)
from gateway.process.reload import Running, Word, reload, running_agent

EDITORS = ("sensible-editor", "nano", "vi")
EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_CONFIG = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the file and where else profiles may be."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="the agent's config file (default %(default)s)",
    )
    parser.add_argument(
        "--yes", action="store_true", help="install without asking when there is no problem"
    )
    parser.add_argument(
        "--profiles",
        type=Path,
        metavar="DIRECTORY",
        help="look for the site's own device profiles here, not in /etc/gateway/profiles",
    )


def run(args: argparse.Namespace) -> int:
    """Edit one file, from the copy to the agent's word."""
    # A link stays a link: what it leads to is edited.
    path = Path(os.path.realpath(args.file))
    directories = (
        profile_directories() if args.profiles is None else profile_directories(args.profiles)
    )
    with locked(path):
        return _Editing(path, directories, args.yes, editor_command(os.environ)).run()


def editor_command(environment: Mapping[str, str]) -> list[str]:
    """Return the editor's words: $VISUAL, $EDITOR, else one that is installed.

    Raises: ConfigError when there is none.
    """
    for name in ("VISUAL", "EDITOR"):
        words = shlex.split(environment.get(name, ""))
        if words:
            return words
    for editor in EDITORS:
        if shutil.which(editor):
            return [editor]
    raise ConfigError("no editor found; set EDITOR, for example EDITOR=nano")


class _Editing:
    """One edit, under the lock."""

    def __init__(
        self, path: Path, directories: tuple[Path, ...], yes: bool, editor: list[str]
    ) -> None:
        self.path = path
        self.directories = directories
        self.yes = yes
        self.editor = editor
        self.copy = working_copy(path)

    def run(self) -> int:
        try:
            before = self.path.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"{self.path}: cannot be read ({reason}); give a config file"
            ) from None
        self._rescue(before)
        write_copy(self.copy, self.path, before)
        try:
            return self._rounds(before)
        finally:
            self.copy.unlink(missing_ok=True)

    def _rescue(self, before: bytes) -> None:
        """Keep what an editor that was killed left behind."""
        if self.copy.is_file() and self.copy.read_bytes() != before:
            kept = self.path.with_name(f"{self.path.name}.unfinished")
            os.replace(self.copy, kept)
            print(f"an earlier edit was not finished; it is kept as {kept}")

    def _rounds(self, before: bytes) -> int:
        """Edit and check until the file is installed or the edit given up."""
        while True:
            done = subprocess.run([*self.editor, str(self.copy)], check=False)
            if done.returncode != 0:
                print(f"the editor ended with status {done.returncode}; nothing is changed")
                return EXIT_FAILURE
            after = self.copy.read_bytes()
            if after == before:
                print(f"{self.path}: unchanged")
                return EXIT_OK
            try:
                verdict = judge(self.copy, Profiles(self.directories), name=str(self.path))
            except ConfigError as error:
                print(str(error).replace(str(self.copy), str(self.path)), file=sys.stderr)
                verdict = Verdict(None, (), ())
            status = report(str(self.path), verdict)
            if verdict.settings is None:
                if _ask("(e)dit again or give it (u)p?", "eu") == "e":
                    continue
                print(f"{self.path}: given up; nothing is changed")
                return status
            self._show(before, after, verdict)
            answer = "i" if self.yes else _ask("(i)nstall, (e)dit again or give it (u)p?", "ieu")
            if answer == "e":
                continue
            if answer == "i":
                return self._install(before, after, verdict)
            print(f"{self.path}: given up; nothing is changed")
            return EXIT_OK

    def _show(self, before: bytes, after: bytes, verdict: Verdict) -> None:
        """Show the lines that differ, and what they mean to the agent."""
        old = before.decode("utf-8", "replace").splitlines()
        new = after.decode("utf-8", "replace").splitlines()
        for line in difflib.unified_diff(old, new, "in force", "edited", n=1, lineterm=""):
            print(line)
        parsed = self._read_running()
        if parsed.settings is not None and isinstance(verdict.settings, AgentSettings):
            for line in changes_of(parsed.settings, verdict.settings):
                print(line)

    def _read_running(self) -> Parsed[AgentSettings]:
        try:
            return read_agent(self.path, Profiles(self.directories))
        except ConfigError:
            return Parsed(None)

    def _install(self, before: bytes, after: bytes, verdict: Verdict) -> int:
        """Exchange the file and let the agent take it over; its no puts the old one back."""
        if self.path.read_bytes() != before:
            raise ConfigError(
                f"{self.path}: somebody else changed it meanwhile; nothing is installed, edit again"
            )
        old = self._read_running().settings
        running: Running | None = None
        if isinstance(verdict.settings, AgentSettings):
            # A file in force that is broken cannot say where its agent listens.
            running = running_agent(self.path, old or verdict.settings)
        install(self.path, after)
        print(f"{self.path}: installed; the file before is {last_good(self.path)}")
        if not isinstance(verdict.settings, AgentSettings):
            print("restart the centre to use it: systemctl restart gateway-centre")
            return EXIT_OK
        if running is None:
            print("no agent runs with this file; it is used at the next start")
            return EXIT_OK
        if old is not None and diff(old, verdict.settings).identity:
            print("this takes a restart of the agent: systemctl restart gateway")
            return EXIT_OK
        return self._reload(running, before)

    def _reload(self, running: Running, before: bytes) -> int:
        word = _word(running)
        if word is not None and word.ok:
            print(f"the agent has taken it over: {word.text}")
            return EXIT_OK
        put_back(self.path, before)
        if word is None:  # it may have taken the new file over and not have come to say so
            word = _word(running) or Word(False, "it says nothing; journalctl -u gateway")
        print(f"the agent did not take it over: {word.text}", file=sys.stderr)
        print(
            f"{self.path}: the file before is in place again and the agent runs with it; "
            f"your edit is kept as {rejected(self.path)}",
            file=sys.stderr,
        )
        return EXIT_FAILURE


def _word(running: Running) -> Word | None:
    """Let the agent reload; ``None``: it said nothing."""
    try:
        return reload(running)
    except PermissionError:
        return Word(False, "this user may not tell it; use sudo")
    except (GatewayError, OSError) as error:
        print(error, file=sys.stderr)
        return None


def _ask(question: str, letters: str) -> str:
    """Return one of `letters`; the last one when nobody is there to answer."""
    while True:
        print(f"What now? {question} ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print()
            return letters[-1]
        answer = line.strip().lower()[:1]
        if answer and answer in letters:
            return answer
