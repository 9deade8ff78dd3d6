"""`gateway run`: the agent."""

import argparse
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the config file, as an argument or as an option."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help=f"config file ({DEFAULT_CONFIG})"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the same, as an option")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from gateway.process.postpone import RARELY_USED, postpone

    for name in RARELY_USED:
        postpone(name)
    from gateway.agent import daemon

    path: Path = args.config or args.file or DEFAULT_CONFIG
    return daemon.run(path.absolute())
