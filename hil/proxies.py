"""The two proxies: a real nginx and a real HAProxy, each with TLS and the same routing.

Owns their config files, their processes and what can be done to them. Both end TLS, pin a gateway
to a centre node by the id in the URL's path, and reach the nodes from an address of their own, so
that a centre tells which of them brought a gateway (`link.trusted_proxies`).
"""

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.cli.child import Child, ChildError
from hil.capability import program
from hil.network import inside
from hil.processes import Processes

READY_S = 10.0
ROUTES = {"nginx": (8443, "127.0.2.1"), "haproxy": (9443, "127.0.2.2")}
"""Port the gateways connect to, address the centre sees."""


class Proxy:
    """What both have in common: a config file, a process, a certificate."""

    name: str

    def __init__(self, processes: Processes, directory: Path, namespace: str | None) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certificate = directory / "server.pem"
        self.port, self.address = ROUTES[self.name]
        self._processes = processes
        self._namespace = namespace
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it listens. Raises: ChildError."""
        self._child = self._processes.start(
            self.name, self.command(), self.directory / "out.log", namespace=self._namespace
        )
        deadline = time.monotonic() + READY_S
        while not self.listening():
            self._child.check()
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name} does not listen:\n{self._child.tail()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL it with its workers, as a crash or the kernel out of memory would."""
        assert self._child is not None
        workers = _children(self._child.process.pid)
        self._processes.kill(self._child)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)

    def listening(self) -> bool:
        """Say whether its port takes connections."""

        def knock() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                return False
            return True

        return inside(self._namespace, knock)

    def command(self) -> list[str]:
        """Return the command line."""
        raise NotImplementedError

    def use_certificate(self) -> None:
        """Take the certificate file up without touching sessions."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process that takes signals."""
        assert self._child is not None
        return self._child.process.pid


class Nginx(Proxy):
    """nginx with one worker. `quiet`: gateways on the route with the short idle time-out."""

    name = "nginx"

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        namespace: str | None,
        nodes: Mapping[str, int],
        pinned: Mapping[str, str],
        quiet: Sequence[str],
        idle_s: float,
    ) -> None:
        super().__init__(processes, directory, namespace)
        self._config = directory / "nginx.conf"
        self._config.write_text(_nginx(self, nodes, pinned, quiet, idle_s), "utf-8")

    def command(self) -> list[str]:
        """See `Proxy`."""
        found = program("nginx")
        assert found is not None
        return [found, "-p", f"{self.directory}/", "-c", str(self._config)]

    def reload(self) -> None:
        """Load the config again, as a deploy does: old workers leave within a second."""
        os.kill(self.pid, signal.SIGHUP)

    def use_certificate(self) -> None:
        """Nothing: a certificate named by a variable is read anew for every handshake."""


class Haproxy(Proxy):
    """HAProxy with its runtime API on a socket."""

    name = "haproxy"

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        namespace: str | None,
        nodes: Mapping[str, int],
        pinned: Mapping[str, str],
    ) -> None:
        super().__init__(processes, directory, namespace)
        self._config = directory / "haproxy.cfg"
        self._config.write_text(_haproxy(self, nodes), "utf-8")
        lines = [f"/gateway/{gateway} {node}" for gateway, node in pinned.items()]
        (directory / "nodes.map").write_text("\n".join(lines) + "\n", "ascii")

    def command(self) -> list[str]:
        """See `Proxy`."""
        found = program("haproxy")
        assert found is not None
        return [found, "-db", "-f", str(self._config)]

    def tell(self, command: str) -> str:
        """Say something to the runtime API and return the answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5.0)
            sock.connect(str(self.directory / "run.sock"))
            sock.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        return answer.decode("utf-8", "replace").strip()

    def cut(self, node: str) -> None:
        """Cut the sessions with one node at once (`shutdown sessions server`)."""
        self.tell(f"shutdown sessions server {node}/{node}")

    def use_certificate(self) -> None:
        """Swap the certificate in the running process; sessions stay.

        Raises: ChildError when HAProxy refuses it.
        """
        body = self.certificate.read_text("ascii").rstrip()
        name = str(self.certificate)
        answer = self.tell(f"set ssl cert {name} <<\n{body}\n")
        answer += self.tell(f"commit ssl cert {name}")
        if "Success" not in answer:
            raise ChildError(f"haproxy: {answer}")


def _children(pid: int) -> list[int]:
    """Return the processes a process has started."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return []
    return [int(word) for word in words]


def _nginx(
    proxy: Proxy,
    nodes: Mapping[str, int],
    pinned: Mapping[str, str],
    quiet: Sequence[str],
    idle_s: float,
) -> str:
    pins = "".join(f'    "/gateway/{gateway}" {node};\n' for gateway, node in pinned.items())
    upstreams = "".join(
        f"  upstream {node} {{ server 127.0.0.1:{port} max_fails=0; }}\n"
        for node, port in nodes.items()
    )

    def location(route: str, seconds: float) -> str:
        return f"""
    location {route} {{
      proxy_pass http://$node;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_bind {proxy.address};
      proxy_connect_timeout 2s;
      proxy_read_timeout {seconds * 1000:.0f}ms;
      proxy_send_timeout {seconds * 1000:.0f}ms;
    }}
"""

    short = location(f"~ ^/gateway/({'|'.join(quiet)})$", idle_s) if quiet else ""
    paths = "".join(
        f"  {kind}_temp_path {proxy.directory}/tmp;\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
user {"root" if os.geteuid() == 0 else "nobody"};
worker_processes 1;
worker_shutdown_timeout 1s;
pid {proxy.directory}/pid;
error_log {proxy.directory}/error.log info;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{paths}
  map $ssl_server_name $certificate {{ default {proxy.certificate}; }}
  map $uri $node {{
    default {next(iter(nodes))};
{pins}  }}
{upstreams}
  server {{
    listen {proxy.port} ssl;
    ssl_certificate $certificate;
    ssl_certificate_key $certificate;
    ssl_session_tickets off;
{location("/gateway/", 3600.0)}{short}  }}
}}
"""


def _haproxy(proxy: Proxy, nodes: Mapping[str, int]) -> str:
    backends = "".join(
        f"""
backend {node}
  server {node} 127.0.0.1:{port} source {proxy.address}
"""
        for node, port in nodes.items()
    )
    first = next(iter(nodes))
    return f"""\
global
  stats socket {proxy.directory}/run.sock mode 600 level admin
  maxconn 1024
defaults
  mode http
  option forwardfor
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend gateways
  bind :{proxy.port} ssl crt {proxy.certificate}
  use_backend %[path,map({proxy.directory}/nodes.map,{first})]
{backends}"""
