"""The usual upgrade request: what the short path takes, websockets would take too."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.centre.handshake import Rejection, accepted, parse_usual, refused
from tests.centre.transport import REQUEST


def judged(data: bytes) -> tuple[str, bytes] | None:
    """Return (path, Sec-WebSocket-Accept) if `ServerProtocol` accepts the request."""
    judge = ServerProtocol(subprotocols=[Subprotocol("gateway.v1")])
    judge.receive_data(data)
    requests = [event for event in judge.events_received() if isinstance(event, Request)]
    if not requests:
        return None
    response = judge.accept(requests[0])
    if response.status_code != 101:
        return None
    return requests[0].path, response.headers["Sec-WebSocket-Accept"].encode()


def test_the_usual_request_is_taken_as_websockets_takes_it() -> None:
    """Path, headers and the accept key agree."""
    usual = parse_usual(REQUEST)
    assert usual is not None
    assert usual.request.path == "/gateway/site-1"
    assert usual.request.headers["authorization"] == "Bearer secret"
    verdict = judged(REQUEST)
    assert verdict is not None and verdict[0] == usual.request.path
    assert b"Sec-WebSocket-Accept: " + verdict[1] + b"\r\n" in accepted(usual.key)


LINES = REQUEST[:-4].split(b"\r\n")
edits = st.one_of(
    st.tuples(st.just("drop"), st.integers(0, len(LINES) - 1), st.just(b"")),
    st.tuples(st.just("repeat"), st.integers(0, len(LINES) - 1), st.just(b"")),
    st.tuples(st.just("insert"), st.integers(0, len(LINES)), st.binary(max_size=20)),
    st.tuples(
        st.just("insert"),
        st.integers(1, len(LINES)),
        st.sampled_from(
            [
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b" folded: x",
                b"Sec-WebSocket-Extensions: permessage-deflate",
                b"Upgrade: h2c",
                b"Origin: http://x",
                b"X-Forwarded-For: 1.2.3.4",
                b"Connection: close",
            ]
        ),
    ),
    st.tuples(st.just("cut"), st.integers(0, len(REQUEST) - 5), st.binary(max_size=4)),
)


@given(st.lists(edits, max_size=4))
def test_what_the_short_path_takes_websockets_takes_too(
    changes: list[tuple[str, int, bytes]],
) -> None:
    """However the request is mangled: never laxer than `ServerProtocol`, same path, same key."""
    lines = list(LINES)
    for kind, at, text in changes:
        if kind == "drop" and at < len(lines):
            del lines[at]
        elif kind == "repeat" and at < len(lines):
            lines.insert(at, lines[at])
        elif kind == "insert":
            lines.insert(min(at, len(lines)), text)
        elif kind == "cut":
            whole = b"\r\n".join(lines)
            lines = (whole[:at] + text + whole[at + len(text) :]).split(b"\r\n")
    data = b"\r\n".join(lines) + b"\r\n\r\n"
    if data.index(b"\r\n\r\n") + 4 != len(data):
        return  # the link hands over the first request only
    usual = parse_usual(data)
    if usual is not None:
        verdict = judged(data)
        assert verdict is not None
        assert verdict[0] == usual.request.path
        assert verdict[1] in accepted(usual.key)


def test_a_refusal_is_a_whole_http_answer() -> None:
    """Status, length and extra headers are there."""
    text = refused(Rejection(503, "capacity", "full", (("Retry-After", "7"),)))
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 7" in head and b"Content-Length: 5" in head and body == b"full\n"
