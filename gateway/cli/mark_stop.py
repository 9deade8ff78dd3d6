"""`gateway mark-stop`: note that the system itself is stopping, whoever stops the daemon.

Called by ``ExecStop=`` of gateway-mark-stop.service, which stops after the daemon, so that an
orderly shutdown is known for one even when the daemon is dead by then. Does nothing unless systemd
says that the system is stopping.
"""

import argparse
import os
import sys
from pathlib import Path

from gateway.agent.boots import mark_stopping
from gateway.agent.probes import program_output
from gateway.host.shutdown import ASK_S, IS_RUNNING, LIST_JOBS, stopping_for
from gateway.process.clock import HostFiles

STATE_DIRECTORY = "/var/lib/gateway"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the state is."""
    parser.add_argument(
        "--state-directory",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("STATE_DIRECTORY", STATE_DIRECTORY).split(":")[0]),
        help=f"gateway.state_directory ($STATE_DIRECTORY, else {STATE_DIRECTORY})",
    )


def run(args: argparse.Namespace) -> int:
    """Ask systemd and mark."""
    target = stopping_for(program_output(IS_RUNNING, ASK_S), program_output(LIST_JOBS, ASK_S))
    if target is None:
        print("gateway mark-stop: the system is not stopping; nothing marked", file=sys.stderr)
        return 0
    marked = mark_stopping(args.state_directory, target, HostFiles().boot_id().hex())
    print(f"gateway mark-stop: {target} {'marked' if marked else 'not marked: no state'}")
    return 0
