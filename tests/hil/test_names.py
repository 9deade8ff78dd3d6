"""The bench's name server answers as a real one does, and is dumb when told to be."""

import socket
import struct
from collections.abc import Iterator

import pytest

from hil.names import NameServer

NAME = "gw-01.nginx.hil"
TYPE_A, TYPE_AAAA = 1, 28


@pytest.fixture
def asking() -> Iterator[tuple[NameServer, socket.socket]]:
    """A server on loopback, and a socket that asks it."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    server = NameServer({NAME: "10.77.3.4"}, listening)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(listening.getsockname())
        sock.settimeout(30)
        try:
            yield server, sock
        finally:
            server.close()


def question(name: str, kind: int, number: int = 7) -> bytes:
    """Return a query (RFC 1035 §4.1)."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return (
        struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack(">BHH", 0, kind, 1)
    )


def codes(reply: bytes) -> tuple[int, int, int]:
    """Return number, response code and count of answers."""
    number, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", reply)
    return number, flags & 0xF, answers


def test_a_known_name_has_its_address(asking: tuple[NameServer, socket.socket]) -> None:
    """The answer carries the question's number and ends in the four bytes of the address."""
    _, sock = asking
    sock.send(question(NAME.upper(), TYPE_A))
    reply = sock.recv(1500)
    assert codes(reply) == (7, 0, 1)
    assert reply[-4:] == socket.inet_aton("10.77.3.4")


def test_there_is_no_ipv6(asking: tuple[NameServer, socket.socket]) -> None:
    """A known name without an address of that family is no error."""
    _, sock = asking
    sock.send(question(NAME, TYPE_AAAA))
    assert codes(sock.recv(1500)) == (7, 0, 0)


def test_a_stranger_does_not_exist(asking: tuple[NameServer, socket.socket]) -> None:
    """NXDOMAIN, which is another fault than no answer."""
    _, sock = asking
    sock.send(question("example.net", TYPE_A))
    assert codes(sock.recv(1500)) == (7, 3, 0)


def test_garbage_gets_no_answer_and_does_no_harm(
    asking: tuple[NameServer, socket.socket],
) -> None:
    """What is no question is dropped; the next question is answered."""
    server, sock = asking
    for garbage in (b"", b"\0", b"\xff" * 40, question(NAME, TYPE_A)[:-3]):
        sock.send(garbage)
    sock.send(question(NAME, TYPE_A, 9))
    assert codes(sock.recv(1500))[0] == 9
    assert server.asked == 1


def test_a_name_that_is_struck_dumb_heals(asking: tuple[NameServer, socket.socket]) -> None:
    """No answer while struck; the first answer that comes is to the question asked after."""
    server, sock = asking
    server.strike({NAME})
    sock.send(question(NAME, TYPE_A, 1))
    sock.send(question("example.net", TYPE_A, 2))
    assert codes(sock.recv(1500))[0] == 2
    server.heal({NAME})
    sock.send(question(NAME, TYPE_A, 3))
    assert codes(sock.recv(1500))[0] == 3
