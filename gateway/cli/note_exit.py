"""`gateway note-exit`: keep what systemd says of the daemon's end, for the next start to read.

Called by ``ExecStopPost=``. /run dies with the boot, so that the note itself proves that the
machine did not reboot (systemd.exec(5), $SERVICE_RESULT).
"""

import argparse
import os
from pathlib import Path

from gateway.process.state_file import write_json

NOTE = "exit.json"
RUNTIME_DIRECTORY = "/run/gateway"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the note goes."""
    parser.add_argument(
        "--runtime-directory",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY).split(":")[0]),
        help=f"where the note is kept ($RUNTIME_DIRECTORY, else {RUNTIME_DIRECTORY})",
    )


def run(args: argparse.Namespace) -> int:
    """Write the note."""
    write_json(
        args.runtime_directory / NOTE,
        {
            "result": os.environ.get("SERVICE_RESULT", "unknown"),
            "code": os.environ.get("EXIT_CODE", ""),
            "status": os.environ.get("EXIT_STATUS", ""),
        },
    )
    return 0
