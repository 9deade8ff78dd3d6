"""A name server for the bench: answers A for what it knows, and can be struck dumb name by name.

Owns just enough of RFC 1035 to be asked by glibc's resolver. Runs in a thread; its socket belongs
to the namespace it was opened in.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Collection, Mapping

_HEADER = struct.Struct(">HHHHHH")
_TYPE_A, _CLASS_IN = 1, 1
_ANSWER = 0x8580  # response, authoritative, recursion asked for and available
_NO_NAME = 0x8583


class NameServer:
    """`addresses`: name → IPv4 address. Names in `silent` get no answer, those in `unknown` are
    said not to exist."""

    def __init__(self, addresses: Mapping[str, str], listening: socket.socket) -> None:
        self._addresses = dict(addresses)
        self._socket = listening
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.silent: frozenset[str] = frozenset()
        self.unknown: frozenset[str] = frozenset()
        self.asked = 0
        self._thread = threading.Thread(target=self._serve, name="hil.names", daemon=True)
        self._thread.start()

    def strike(self, names: Collection[str]) -> None:
        """Give no answer for these names any more."""
        with self._lock:
            self.silent |= frozenset(names)

    def heal(self, names: Collection[str]) -> None:
        """Answer for these names again."""
        with self._lock:
            self.silent -= frozenset(names)

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        self._socket.settimeout(0.2)
        while not self._stopped.is_set():
            try:
                question, peer = self._socket.recvfrom(1500)
            except TimeoutError:
                continue
            except OSError:
                return
            reply = self._reply(question)
            if reply is not None:
                with contextlib.suppress(OSError):
                    self._socket.sendto(reply, peer)

    def _reply(self, question: bytes) -> bytes | None:
        try:
            number, _, _, _, _, _ = _HEADER.unpack_from(question)
            name, end = _name(question, _HEADER.size)
            kind, _ = struct.unpack_from(">HH", question, end)
        except (struct.error, IndexError, UnicodeDecodeError):
            return None
        self.asked += 1
        if name in self.silent:
            return None
        asked = question[_HEADER.size : end + 4]
        address = self._addresses.get(name)
        if address is None or name in self.unknown:
            return _HEADER.pack(number, _NO_NAME, 1, 0, 0, 0) + asked
        if kind != _TYPE_A:
            return _HEADER.pack(number, _ANSWER, 1, 0, 0, 0) + asked
        # 0xC00C: the name is the question's (RFC 1035 §4.1.4). TTL 0: nobody may remember it.
        record = struct.pack(">HHHIH", 0xC00C, _TYPE_A, _CLASS_IN, 0, 4)
        head = _HEADER.pack(number, _ANSWER, 1, 1, 0, 0)
        return head + asked + record + socket.inet_aton(address)


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Read a name; return it and where it ends."""
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii").lower())
        at += 1 + data[at]
    return ".".join(labels), at + 1


def udp_socket(address: str) -> socket.socket:
    """Bind the domain port of `address`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sock.bind((address, 53))
    except OSError:
        sock.close()
        raise
    return sock
