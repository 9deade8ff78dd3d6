"""`gateway doctor`: walk the path from the serial ports to the centre and say what is wrong.

Owns the order, the time allowed and the exit status: 0 when nothing keeps the gateway from its
work (there may be warnings), 1 when something does, 2 when the config cannot be used. What is
looked at is in `doctor_ports`, `doctor_host` and `doctor_link`. Changes nothing.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway.agent.probes import Probes
from gateway.cli import doctor_host, doctor_link, doctor_ports
from gateway.cli.findings import Finding, Level, Probing, ok, warning
from gateway.config.agent import AgentSettings
from gateway.errors import GatewayError
from gateway.process.clock import Clock, HostFiles
from gateway.process.control_client import ControlClient, NoAgentError, control_path
from gateway.process.control_messages import Request, Status
from gateway.process.files import load_agent
from gateway.process.timesync import TimeSync

DEFAULT_CONFIG = Path("/etc/gateway/gateway.toml")
WHOLE_S = 28.0
"""Everything together; each probe has its own patience besides."""
AGENT_S = 3.0
EXIT_OK = 0
EXIT_PROBLEM = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the config file, as an argument or as an option."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help=f"config file ({DEFAULT_CONFIG})"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the same, as an option")


def run(args: argparse.Namespace) -> int:
    """Look at everything, print a line for each; the slow ones last."""
    path: Path = args.config or args.file or DEFAULT_CONFIG
    settings = load_agent(path)
    worst = EXIT_OK
    for finding in examine(settings, Probes(HostFiles())):
        print("\n".join(finding.lines()), flush=True)
        if finding.level is Level.PROBLEM:
            worst = EXIT_PROBLEM
    return worst


def examine(settings: AgentSettings, probes: Probes) -> Iterator[Finding]:
    """Yield every finding in order; all probes run side by side, `WHOLE_S` at most."""
    deadline = time.monotonic() + WHOLE_S
    clock, files = Clock(), probes.files
    status, agent = _agent(settings)
    sync = TimeSync(clock, files)
    pid = None if status is None else status.pid

    def link() -> Sequence[Finding]:
        return asyncio.run(doctor_link.walk(settings, sync, clock))

    looks: tuple[tuple[str, Callable[[], Sequence[Finding]]], ...] = (
        ("port", lambda: doctor_ports.ports(settings, files, pid)),
        ("kernel", lambda: doctor_host.kernel(os.uname().release)),
        ("clock", lambda: doctor_host.clock(sync, clock)),
        ("disk", lambda: doctor_host.disk(settings, probes)),
        ("supply", lambda: doctor_host.supply_and_radio(settings, probes)),
        ("denials", lambda: doctor_host.denials(probes)),
        ("centre", link),
    )
    probing = [Probing(subject, look) for subject, look in looks]
    yield agent
    for one in probing:
        yield from one.result(deadline - time.monotonic())


def _agent(settings: AgentSettings) -> tuple[Status | None, Finding]:
    """Say whether the agent runs, and what it says of the link itself."""
    path = control_path(settings)
    if path is None:
        return None, ok("agent", 'not asked: it has no control socket (control = "")')
    try:
        with ControlClient(path, AGENT_S) as client:
            status = client.ask(Request("status")).status
    except NoAgentError as error:
        return None, warning("agent", str(error), "systemctl start gateway; journalctl -u gateway")
    except GatewayError as error:
        return None, warning("agent", str(error), "try with sudo")
    if status is None:
        return None, warning(
            "agent", f"{path}: an answer without a status", "journalctl -u gateway"
        )
    link = "connected" if status.link.connected else f"not connected ({status.link.text})"
    said = f"runs since {status.running_s:.0f} s (process {status.pid}), {link}"
    said += f", {status.spool.records} records wait"
    return status, ok("agent", said)
