"""A command's end of the control socket, and where that socket is.

Owns the path's rule (both ends use it), asking and waiting. What is asked is `control_messages`'s.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.agent import AgentSettings
from gateway.errors import GatewayError, RefusedError, RemoteProtocolError
from gateway.process.control_messages import MAX_REPLY, Reply, Request, decode_reply, encode

RUNTIME_DIRECTORY = Path("/run/gateway")
STATE_DIRECTORY = "/var/lib/gateway"
NAME = "control.sock"
TIMEOUT_S = 30.0


class NoAgentError(GatewayError):
    """No agent listens at the control socket."""


def control_path(
    settings: AgentSettings | None, environment: Mapping[str, str] | None = None
) -> Path | None:
    """Return where the agent with these settings listens; ``None``: nowhere (``control = ""``).

    The config's `control`; else systemd's runtime directory; else the state directory where it is
    not the usual one (a second agent, a trial); else /run/gateway.
    """
    if settings is not None and settings.control is not None:
        return Path(settings.control) if settings.control else None
    env = os.environ if environment is None else environment
    runtime = env.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if runtime:
        return Path(runtime) / NAME
    if settings is not None and settings.state_directory != STATE_DIRECTORY:
        return Path(settings.state_directory) / NAME
    return RUNTIME_DIRECTORY / NAME


class ControlClient:
    """One conversation with the agent. Raises: NoAgentError when nobody listens at `path`."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except PermissionError:
            self._socket.close()
            raise RefusedError(
                f"{path}: permission denied; be in the group gateway (usermod -aG gateway YOU, "
                "then log in again), or use sudo"
            ) from None
        except OSError as error:
            self._socket.close()
            raise NoAgentError(
                f"no agent listens at {path} ({error.strerror or error}); "
                "is it running? `systemctl status gateway`"
            ) from None
        self._file = self._socket.makefile("rb")

    def ask(self, request: Request) -> Reply:
        """Ask and return the (first line of the) answer. Raises: RefusedError with the agent's
        reason."""
        self._send(request)
        return self._line()

    def lines(self, request: Request) -> Iterator[Reply]:
        """Ask and yield the answer's lines; a subscription's never end."""
        self._send(request)
        while True:
            yield self._line()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, request: Request) -> None:
        try:
            self._socket.sendall(encode(request))
        except OSError as error:
            raise NoAgentError(f"{self._path}: the agent left ({error.strerror})") from None

    def _line(self) -> Reply:
        try:
            line = self._file.readline(MAX_REPLY + 1)
        except OSError as error:
            raise NoAgentError(f"{self._path}: no answer ({error.strerror or error})") from None
        if not line:
            raise NoAgentError(f"{self._path}: the agent closed the connection; did it stop?")
        if len(line) > MAX_REPLY:
            raise RemoteProtocolError(f"{self._path}: a line of more than {MAX_REPLY} bytes")
        reply = decode_reply(line)
        if reply.error:
            raise RefusedError(reply.error)
        return reply
