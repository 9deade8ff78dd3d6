"""Prometheus' HTTP API as a client: a question in PromQL, a bounded answer.

Owns the connection (one deadline for the whole answer, a bounded size, no redirect followed, no
proxy) and the checking of what comes back. Never decides what a series means: that is
`prometheus_series`'. Source: "HTTP API" of the Prometheus manual, `/api/v1`; the same API is served
by Thanos, Mimir and VictoriaMetrics.
"""

import http.client
import json
import math
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from gateway.errors import PrometheusError
from gateway.process.tls import client_context

Labels = tuple[tuple[str, str], ...]
MAX_POINTS = 10_000
"""Points of one series that one request asks for; Prometheus refuses more than 11,000."""
MAX_TEXT = 200
"""Characters of a foreign text that are repeated."""
MAX_WARNINGS = 5
_MS = 1_000_000
_LAST_MS = 1 << 43
"""The year 2248: a later instant is not one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may cost. `timeout_s` is for all of it, from the name to the last byte."""

    timeout_s: float = 30.0
    max_bytes: int = 16 * 1024 * 1024
    max_series: int = 1000


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels without the name, its points as (UTC ns, value), NaN included."""

    labels: Labels
    points: tuple[tuple[int, float], ...]


class Prometheus:
    """A server at `url`, which may have a path before `/api`. Blocking; every question connects
    anew. `token`: sent as a bearer token. `warnings`: what the server said beside its answers."""

    def __init__(self, url: str, *, token: str | None = None, limits: Limits | None = None) -> None:
        """Check the address. Raises: PrometheusError."""
        self._url = _checked(url)
        self._limits = limits or Limits()
        self._headers = {"Accept": "application/json"}
        if self._url.username is not None:
            pair = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            self._headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self.name = self._url._replace(netloc=self._url.netloc.rpartition("@")[2]).geturl()
        """The address as it may be shown: without a password."""
        self.warnings: list[str] = []

    def range(self, query: str, from_ns: int, to_ns: int, step_ns: int) -> list[Series]:
        """Ask for a value at each step, both ends included; `MAX_POINTS` of them at most.

        Raises: PrometheusError.
        """
        asked = {
            "query": query,
            "start": _seconds(from_ns),
            "end": _seconds(to_ns),
            "step": _seconds(step_ns),
        }
        return self._series("query_range", asked)

    def instant(self, query: str, at_ns: int) -> list[Series]:
        """Ask for a vector, or for the stored points of a range (`metric[10m]`).

        Raises: PrometheusError.
        """
        return self._series("query", {"query": query, "time": _seconds(at_ns)})

    def _series(self, call: str, asked: Mapping[str, str]) -> list[Series]:
        status, headers, body = self._get(f"/api/v1/{call}?{urlencode(asked)}")
        answer = self._decoded(status, headers, body)
        warnings = answer.get("warnings")
        for text in warnings if isinstance(warnings, list) else ():
            if len(self.warnings) < MAX_WARNINGS and plain(text) not in self.warnings:
                self.warnings.append(plain(text))
        data = answer.get("data")
        result = data.get("result") if isinstance(data, dict) else None
        if not isinstance(result, list):
            raise self._odd("an answer without data.result", body)
        if len(result) > self._limits.max_series:
            raise PrometheusError(
                f"{self.name}: {asked['query']!r} gives {len(result)} series, at most "
                f"{self._limits.max_series} are read; sum them or choose fewer with a matcher"
            )
        try:
            return [_one(item) for item in result]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise self._odd(f"a series that is none ({plain(error)})", body) from error

    def _decoded(self, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, object]:
        """Return the JSON object of a good answer. Raises: PrometheusError."""
        if 300 <= status < 400:
            raise PrometheusError(
                f"{self.name}: HTTP {status}, go to {plain(headers.get('location', '?'))}; "
                "redirects are not followed (a login page?): give the address of the API itself"
            )
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            if status == 200:
                raise self._odd("an answer that is not JSON", body) from error
            answer = None
        if status == 200 and not (isinstance(answer, dict) and "status" in answer):
            raise self._odd("JSON that is not an answer of the API", body)
        known = answer if isinstance(answer, dict) else {}
        if status == 200 and known.get("status") == "success":
            return known
        said = plain(known.get("error") or body.decode("utf-8", "replace"))
        raise PrometheusError(f"{self.name}: HTTP {status}, {said or 'no text'}; {_cure(status)}")

    def _odd(self, what: str, body: bytes) -> PrometheusError:
        start = plain(body[: 4 * MAX_TEXT].decode("utf-8", "replace"))
        return PrometheusError(
            f"{self.name}: {what} ({start!r}); is this Prometheus, and is a path missing?"
        )

    def _get(self, target: str) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and read its answer within the limits. Raises: PrometheusError."""
        limits, url = self._limits, self._url
        deadline = time.monotonic() + limits.timeout_s
        tls = client_context() if url.scheme == "https" else None
        host, port = url.hostname or "", url.port or (443 if tls else 80)
        connection = http.client.HTTPConnection(host, port)
        try:
            raw = socket.create_connection((host, port), limits.timeout_s)
        except OSError as error:
            raise self._unreachable(error) from error
        try:
            with _cut_at(raw, deadline) as late:
                try:
                    connection.sock = _wrapped(raw, tls, host)
                    connection.request("GET", url.path.rstrip("/") + target, headers=self._headers)
                    with connection.getresponse() as response:
                        body = response.read(limits.max_bytes + 1)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    if late.is_set() or isinstance(error, TimeoutError):
                        raise self._late() from error
                    raise self._unreachable(error) from error
            if late.is_set():  # the end of an answer without a length looks like its cut
                raise self._late()
        finally:
            connection.close()
            raw.close()
        if len(body) > limits.max_bytes:
            raise PrometheusError(
                f"{self.name}: an answer of over {limits.max_bytes >> 20} MiB; ask for less time "
                "(--since) or fewer series (--query)"
            )
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, body

    def _late(self) -> PrometheusError:
        return PrometheusError(
            f"{self.name}: no whole answer within {self._limits.timeout_s:g} s; is it overloaded? "
            "ask for less time (--since), or try again"
        )

    def _unreachable(self, error: Exception) -> PrometheusError:
        said = plain(getattr(error, "strerror", None) or error) or type(error).__name__
        return PrometheusError(
            f"{self.name}: cannot be asked ({said}); "
            "check the address and the port, and whether it runs"
        )


def plain(text: object, most: int = MAX_TEXT) -> str:
    """Return foreign text on one line, without control characters, cut where it gets long."""
    start = str(text)[: 4 * most]
    words = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return words if len(words) <= most else words[:most] + "…"


def _checked(url: str) -> SplitResult:
    expected = "expected http://HOST:PORT or https://HOST/PATH, such as http://prometheus:9090"
    shown = plain(re.sub(r"//[^/]*@", "//", url))
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise PrometheusError(f"--prometheus {shown!r}: {error}; {expected}") from error
    odd = re.search(r"[\s\x00-\x1f\x7f]", url) or not url.isascii()
    if parts.scheme not in ("http", "https") or not parts.hostname or odd:
        raise PrometheusError(f"--prometheus {shown!r} is no address of a server; {expected}")
    if parts.query or parts.fragment:
        raise PrometheusError(
            f"--prometheus {shown!r}: nothing may stand behind the path; {expected}"
        )
    return parts


def _cure(status: int) -> str:
    if status in (401, 403):
        return "it wants credentials: --prometheus-token FILE, or a proxy that lets us in"
    if status == 404:
        return "no such API there: a path is missing or wrong"
    if status in (400, 422):
        return "check --query on its own web page; with too many points ask for less time (--since)"
    if status in (429, 502, 503, 504):
        return "try again later, or ask for less time (--since)"
    return "see the server's log"


def _seconds(ns: int) -> str:
    """Return ns as the API wants it; it knows milliseconds."""
    return f"{ns // _MS // 1000}.{ns // _MS % 1000:03}"


def _one(item: Mapping[str, object]) -> Series:
    """Check one series of a result. Raises: ValueError, TypeError, KeyError, AttributeError."""
    metric = item.get("metric", {})
    if not isinstance(metric, dict):
        raise TypeError("metric is not an object")
    labels = tuple(sorted((str(k), str(v)) for k, v in metric.items() if k != "__name__"))
    values = [item["value"]] if "value" in item else item["values"]
    if not isinstance(values, list):
        raise TypeError("values is not a list")
    points = tuple(_point(pair) for pair in values)
    if any(later[0] <= earlier[0] for earlier, later in pairwise(points)):
        raise ValueError("its times do not grow")
    return Series(labels, points)


def _point(pair: object) -> tuple[int, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise TypeError("a point is not a pair")
    at, text = pair
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        raise TypeError("a time is not a number")
    if not isinstance(text, str):
        raise TypeError("a value is not a string")
    ms = round(at * 1000)
    if not 0 <= ms < _LAST_MS:
        raise ValueError(f"time {at!r} is out of range")
    return ms * _MS, float(text)


def _wrapped(raw: socket.socket, tls: ssl.SSLContext | None, host: str) -> socket.socket:
    if tls is None:
        return raw
    wrapped = tls.wrap_socket(raw.dup(), server_hostname=host, do_handshake_on_connect=False)
    try:
        wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped


@contextmanager
def _cut_at(raw: socket.socket, deadline: float) -> Iterator[threading.Event]:
    """Shut the connection down at `deadline`, so that a server that trickles holds nobody up."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        try:
            raw.shutdown(socket.SHUT_RDWR)
        except OSError:
            late.set()  # it has ended by itself

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
