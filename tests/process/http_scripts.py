"""A server that answers as a script says, byte by byte: a client must survive any script."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

Script = Callable[[socket.socket, str], None]
"""Gets the connection and the request's target, and sends what it likes."""


@dataclass
class Server:
    """Listens on a port of its own. `targets`: what was asked for, `heads`: the requests."""

    script: Script
    targets: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    """Set at the end: a script that trickles looks at it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def query(self, number: int) -> dict[str, str]:
        """Return the parameters of a request."""
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.targets[number]).query).items()
        }


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Server]:
    """Serve one connection after the other until the block ends."""
    server = Server(script)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        listener.settimeout(0.02)
        thread = threading.Thread(target=_serve, args=(listener, server))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            thread.join(10)
    assert not thread.is_alive()


def _serve(listener: socket.socket, server: Server) -> None:
    while not server.over.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.settimeout(5)
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    break
                head += piece
            text = head.decode("latin-1")
            server.heads.append(text)
            server.targets.append(text.split(" ")[1] if text else "")
            server.script(connection, server.targets[-1])


def answer(body: bytes, status: str = "200 OK", head: str = "") -> Script:
    """Return a script that answers alike each time."""

    def script(connection: socket.socket, _: str) -> None:
        lines = (
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}Connection: close\r\n\r\n"
        )
        connection.sendall(lines.encode("latin-1") + body)

    return script
