"""Ask the running agent to take its config file over, and hear what it says.

Owns finding the agent that runs with a file (control socket, else the process that holds its spool)
and waiting for its word; never changes the file. Without a control socket the signal is SIGHUP and
the word is read from the agent's metrics.
"""

import contextlib
import os
import signal
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from gateway.config.agent import AgentSettings
from gateway.errors import GatewayError
from gateway.process.control_client import ControlClient, NoAgentError, control_path
from gateway.process.control_messages import Request
from gateway.process.port_owner import port_owner

WORD_S = 30.0
"""How long an agent may take: it may have to end a session first."""
POLL_S = 0.1
_APPLIED = "gateway_config_applied_time_seconds"
_REJECTED = "gateway_config_rejected_total"


@dataclass(frozen=True, slots=True)
class Running:
    """The agent that runs with a file. `pid` ``None``: it answers at its control socket."""

    control: Path | None
    pid: int | None
    listen: str


@dataclass(frozen=True, slots=True)
class Word:
    """What the agent said. `text`: what it restarted, or why it refused."""

    ok: bool
    text: str


def running_agent(path: Path, settings: AgentSettings) -> Running | None:
    """Find the agent that runs with the file at `path`; `settings` are those it runs with.

    ``None``: none runs, or the one that does has another file. Raises: GatewayError when it may
    not be asked.
    """
    control = control_path(settings)
    if control is not None:
        with contextlib.suppress(NoAgentError), ControlClient(control) as client:
            status = client.ask(Request("status")).status
            if status is not None and os.path.realpath(status.config) == os.path.realpath(path):
                return Running(control, None, settings.metrics.listen)
            return None
    owner = port_owner(settings.spool.directory)
    if owner is None:
        return None
    return Running(None, owner.pid, settings.metrics.listen)


def reload(running: Running) -> Word:
    """Let the agent read its file anew. Raises: GatewayError when it says nothing."""
    if running.control is not None:
        with ControlClient(running.control, WORD_S) as client:
            word = client.ask(Request("reload")).reload
        if word is None:
            raise GatewayError(f"{running.control}: no word on the reload; `gateway status`")
        return Word(word.ok, word.text)
    assert running.pid is not None
    before = _counters(running.listen)
    os.kill(running.pid, signal.SIGHUP)
    deadline = time.monotonic() + WORD_S
    while before is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
        now = _counters(running.listen)
        if now is None:
            continue
        if now[_REJECTED] > before[_REJECTED]:
            return Word(False, "the agent refused the file: journalctl -u gateway tells why")
        if now[_APPLIED] > before[_APPLIED]:
            return Word(True, "taken over")
    raise GatewayError(
        f"process {running.pid} was told to reload (SIGHUP) and no word came; "
        "journalctl -u gateway tells whether it did"
    )


def _counters(listen: str) -> dict[str, float] | None:
    """Return the two metrics that tell how a reload ended; ``None``: there is no listener."""
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5.0) as response:
            lines = response.read(4 * 1024 * 1024).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError):
        return None
    pairs = dict(line.rsplit(" ", 1) for line in lines if line.startswith((_APPLIED, _REJECTED)))
    try:
        return {name: float(pairs[name]) for name in (_APPLIED, _REJECTED)}
    except (KeyError, ValueError):
        return None
