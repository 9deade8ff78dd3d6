"""`gateway check [FILE]`: every problem of a config file at once, then what it asks of the buses.

Owns what is printed and the exit status: 0 usable (there may be warnings), 2 not. Which kind of
file it is (agent's or centre's) is told by its tables; what is wrong with it by `verdict`.
"""

import argparse
import sys
from pathlib import Path

from gateway.cli.verdict import Verdict, judge
from gateway.config.agent import AgentSettings
from gateway.config.diff import details, diff
from gateway.errors import ConfigError
from gateway.process.clock import HostFiles
from gateway.process.files import Profiles, profile_directories, read_agent
from gateway.process.install import RUNNING

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")
EXIT_OK = 0
EXIT_CONFIG = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the file and where else profiles may be."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="an agent's or a centre's config file (default %(default)s)",
    )
    parser.add_argument(
        "--diff",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="RUNNING",
        help="show what a reload would change and restart; RUNNING: the file to compare with, "
        "by default the one that the agent runs with",
    )
    parser.add_argument(
        "--profiles",
        type=Path,
        metavar="DIRECTORY",
        help="look for the site's own device profiles here, not in /etc/gateway/profiles",
    )


def run(args: argparse.Namespace) -> int:
    """Check one file; problems go to stderr, the summary to stdout."""
    path: Path = args.file
    directories = (
        profile_directories() if args.profiles is None else profile_directories(args.profiles)
    )
    try:
        verdict = judge(path, Profiles(directories), HostFiles())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    status = report(str(path), verdict)
    if args.diff is None or verdict.settings is None:
        return status
    return _difference(path, verdict, args.diff, directories)


def report(name: str, verdict: Verdict) -> int:
    """Print problems, warnings and the summary; return the exit status."""
    for problem in verdict.problems:
        print(problem, file=sys.stderr)
    for warning in verdict.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if verdict.settings is None:
        count = len(verdict.problems)
        print(f"{name}: {count} problem{'s' * (count != 1)}; not usable", file=sys.stderr)
        return EXIT_CONFIG
    for line in verdict.summary:
        print(line)
    count = len(verdict.warnings)
    noted = f", {count} warning{'s' * (count != 1)}" if count else ""
    print(f"{name}: no problems{noted}")
    return EXIT_OK


def _difference(path: Path, verdict: Verdict, running: Path, directories: tuple[Path, ...]) -> int:
    """Print what a reload would change; `running` is empty for what the agent runs with."""
    settings = verdict.settings
    if not isinstance(settings, AgentSettings):
        print(f"{path}: --diff is for an agent's file; a centre takes a restart", file=sys.stderr)
        return EXIT_CONFIG
    if running == Path():
        running = Path(settings.state_directory) / RUNNING
    try:
        # The agent's copy lies elsewhere, and means what it meant at its place.
        base = path.absolute().parent
        before = read_agent(running, Profiles(directories), str(running), base)
    except ConfigError as error:
        cure = "name the file to compare with: --diff RUNNING"
        print(f"{error} (has the agent started?); {cure}", file=sys.stderr)
        return EXIT_CONFIG
    if before.settings is None:
        for problem in before.problems:
            print(problem, file=sys.stderr)
        return EXIT_CONFIG
    print(f"compared with {running}:")
    for line in changes_of(before.settings, settings):
        print(f"  {line}")
    return EXIT_OK


def changes_of(old: AgentSettings, new: AgentSettings) -> list[str]:
    """Say what differs, key by key, and what a reload does about it."""
    changes = diff(old, new)
    lines = list(details(old, new))
    return [*lines, f"a reload: {changes}"]
