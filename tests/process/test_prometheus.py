"""Pins that Prometheus' client takes a good answer, survives every other, and names the cure."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.certificates import make_certificates
from gateway.errors import PrometheusError
from gateway.process.prometheus import Limits, Prometheus, Series, plain
from tests.process.http_scripts import Script, Server, answer, serving

QUICK = Limits(timeout_s=0.5, max_bytes=4096, max_series=3)
S = 1_000_000_000


def matrix(*series: object, **more: object) -> bytes:
    """Return an answer's body."""
    data = {"resultType": "matrix", "result": list(series)}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def one(*values: object, **labels: str) -> dict[str, object]:
    """Return a series as the API writes it."""
    return {"metric": {"__name__": "m", **labels}, "values": list(values)}


def ask(script: Script, limits: Limits = QUICK) -> list[Series]:
    """Ask once."""
    with serving(script) as server:
        return Prometheus(server.url, limits=limits).range("m", 0, 10 * S, S)


def refused(script: Script) -> str:
    """Ask once and return the error."""
    with pytest.raises(PrometheusError) as caught:
        ask(script)
    text = str(caught.value)
    assert "\n" not in text and "\x1b" not in text and len(text) < 600
    return text


def test_a_good_answer() -> None:
    """Series come with labels but the name, points in ns, values that are no number included."""
    body = matrix(one([1.5, "2"], [2.5, "NaN"], b="1", a="x"), one([1, "+Inf"]))
    with serving(answer(body)) as server:
        first, second = Prometheus(server.url + "/prom/").range("m{}", 1 * S, 3 * S, S // 2)
        assert first.labels == (("a", "x"), ("b", "1"))
        assert first.points[0] == (1_500_000_000, 2.0)
        assert first.points[1][1] != first.points[1][1]
        assert second == Series((), ((S, float("inf")),))
        assert server.targets[0].startswith("/prom/api/v1/query_range?")
        assert server.query(0) == {
            "query": "m{}", "start": "1.000", "end": "3.000", "step": "0.500"
        }  # fmt: skip


def test_an_instant() -> None:
    """A vector's series have one point; an empty one is no error."""
    data = {"resultType": "vector", "result": [{"metric": {"a": "1"}, "value": [7.001, "3"]}]}
    body = json.dumps({"status": "success", "data": data}).encode()
    with serving(answer(body)) as server:
        assert Prometheus(server.url).instant("m", 7_001_000_000) == [
            Series((("a", "1"),), ((7_001_000_000, 3.0),))
        ]
        assert server.query(0) == {"query": "m", "time": "7.001"}
    assert ask(answer(matrix())) == []


def test_warnings_are_kept() -> None:
    """What the server says beside its answer (a partial one, say) is kept once, and bounded."""
    body = matrix(warnings=["part\x1b[31mial", "part\x1b[31mial", *map(str, range(50))])
    with serving(answer(body)) as server:
        prometheus = Prometheus(server.url)
        prometheus.range("m", 0, S, S)
        assert prometheus.warnings == ["part [31mial", "0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>Sign in</html>", "not JSON ('<html>Sign in</html>')"),
        (b"", "not JSON"),
        (b"[" * 4000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "not an answer of the API"),
        (b'{"status":"success"}', "without data.result"),
        (b'{"status":"success","data":{"result":{}}}', "without data.result"),
        (matrix(1), "a series that is none"),
        (matrix({"metric": 1, "values": []}), "metric is not an object"),
        (matrix({"metric": {}, "values": {}}), "values is not a list"),
        (matrix({"metric": {}}), "a series that is none"),
        (matrix(one([1, 2])), "a value is not a string"),
        (matrix(one(["1", "2"])), "a time is not a number"),
        (matrix(one([1, "two"])), "a series that is none"),
        (matrix(one([1, "2", 3])), "a point is not a pair"),
        (matrix(one([2, "1"], [1, "1"])), "its times do not grow"),
        (matrix(one([1e300, "1"])), "out of range"),
        (matrix(one([1, "1"])).replace(b"[1,", b"[1e999,"), "a series that is none"),
        (matrix(one([1, "1"])).replace(b"1, ", b"1" * 3000 + b", "), "a series that is none"),
        (matrix(one(), one(), one(), one()), "4 series, at most 3"),
        (b'{"status":"error","error":"bad\\u001b[2Jness"}', "bad [2Jness"),
    ],
)
def test_a_wrong_answer(body: bytes, said: str) -> None:
    """Whatever is not the API's answer is one line that says what came."""
    assert said in refused(answer(body))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("400 Bad Request", "check --query"),
        ("401 Unauthorized", "--prometheus-token"),
        ("403 Forbidden", "--prometheus-token"),
        ("404 Not Found", "a path is missing"),
        ("422 Unprocessable Entity", "check --query"),
        ("429 Too Many Requests", "try again later"),
        ("503 Service Unavailable", "try again later"),
        ("500 Internal Server Error", "server's log"),
    ],
)
def test_a_refusal(status: str, said: str) -> None:
    """A refusal repeats the server's words and names a cure."""
    body = b'{"status":"error","errorType":"bad_data","error":"parse error at char 3"}'
    text = refused(answer(body, status))
    assert said in text and "parse error at char 3" in text and status[:3] in text
    assert said in refused(answer(b"plain \x07words", status))


def test_a_redirect_is_not_followed() -> None:
    """A login page is named, not read."""
    text = refused(answer(b"", "302 Found", "Location: https://login.example.net/\r\n"))
    assert "login.example.net" in text and "redirects are not followed" in text


def trickling(before: bytes) -> Script:
    """Return a script that sends a byte now and then for ever."""

    def script(connection: socket.socket, _: str) -> None:
        connection.sendall(before)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.sendall(b" ")
            time.sleep(0.05)

    return script


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n",
    ],
)
def test_a_server_that_trickles(before: bytes) -> None:
    """The deadline is for the whole answer: one byte in time does not prolong it."""
    assert "no whole answer within 0.5 s" in refused(trickling(before))


def test_a_server_that_is_silent() -> None:
    """A server that takes the request and says nothing is given up."""
    assert "no whole answer" in refused(lambda connection, _: time.sleep(1))


def test_a_huge_answer() -> None:
    """An answer without end is cut off; one that says it is huge is not waited for."""

    def endless(connection: socket.socket, _: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    assert "an answer of over" in refused(endless)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 8192
    assert "an answer of over" in refused(lambda connection, _: connection.sendall(long))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_something_that_is_no_http(sent: bytes) -> None:
    """What does not speak HTTP is told, not crashed on."""
    assert "cannot be asked" in refused(lambda connection, _: connection.sendall(sent))


@pytest.fixture(scope="module")
def parrot() -> Iterator[tuple[Server, list[bytes]]]:
    """A server that answers with what lies in a list."""
    said = [b""]
    with serving(lambda connection, target: answer(said[0])(connection, target)) as server:
        yield server, said


@given(body=st.binary(max_size=300) | st.text(max_size=100).map(lambda t: json.dumps(t).encode()))
@settings(max_examples=60, deadline=None)
def test_any_body(parrot: tuple[Server, list[bytes]], body: bytes) -> None:
    """Any bytes end in series or in the one documented error."""
    server, said = parrot
    said[0] = body
    try:
        Prometheus(server.url, limits=QUICK).range("m", 0, 10 * S, S)
    except PrometheusError as error:
        assert "\n" not in str(error)


def test_nobody_there() -> None:
    """A refused connection and a name that does not exist name the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PrometheusError, match=rf"127\.0\.0\.1:{port}: cannot be asked"):
        Prometheus(f"http://127.0.0.1:{port}").instant("m", 0)
    with pytest.raises(PrometheusError, match=r"nowhere\.invalid"):
        Prometheus("http://nowhere.invalid:9090").instant("m", 0)


@pytest.mark.parametrize(
    "url",
    [
        "prometheus:9090", "localhost", "", "http://", "ftp://host", "http://host:99999",
        "http://ho st", "http://host\r\nX: y", "http://host/?a=b", "http://host/#x", "http://[::1",
        "http://höst",
    ],
)  # fmt: skip
def test_an_address_that_is_none(url: str) -> None:
    """A wrong address is told before anything is asked, with what is expected."""
    with pytest.raises(PrometheusError, match="expected http"):
        Prometheus(url)


def test_credentials_never_show() -> None:
    """A password goes to the server and nowhere else."""
    with serving(answer(b"no", "401 Unauthorized")) as server:
        url = server.url.replace("//", "//me:s%3Acret@")
        with pytest.raises(PrometheusError) as caught:
            Prometheus(url).instant("m", 0)
        assert "Authorization: Basic bWU6czpjcmV0" in server.heads[0]  # me:s:cret
        with pytest.raises(PrometheusError) as again:
            Prometheus(server.url, token="tok-en").instant("m", 0)
        assert "Authorization: Bearer tok-en" in server.heads[1]
    for error in (caught.value, again.value):
        assert "cret" not in str(error) and "tok-en" not in str(error)
    with pytest.raises(PrometheusError) as wrong:
        Prometheus("http://me:secret@host:port")
    assert "secret" not in str(wrong.value)


def test_https_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate nobody vouches for is refused; with its authority known the answer comes."""
    make_certificates(tmp_path, ("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "centre.pem", tmp_path / "key.pem")
    body = matrix(one([1, "1"]))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"

    def serve() -> None:
        with listener:
            for _ in range(2):
                raw, _ = listener.accept()
                raw.settimeout(30)
                try:
                    with context.wrap_socket(raw, server_side=True) as connection:
                        connection.recv(65536)
                        answer(body)(connection, "")
                except OSError:
                    raw.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(PrometheusError, match="cannot be asked"):
        Prometheus(url).instant("m", 0)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert len(Prometheus(url).instant("m", 0)) == 1
    thread.join(10)


def test_foreign_text_is_one_line() -> None:
    """Control characters, reordering marks and lone surrogates are gone, long texts cut."""
    assert plain("a\r\n\x1b]0;x\x07b\u202ec\ud800d") == "a ]0;x b c d"
    assert len(plain("x" * 10_000)) == 201
