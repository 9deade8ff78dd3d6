"""Netlink messages as bytes: headers, attributes, generic netlink's family request.

Owns the envelope; what nl80211 puts into it is in `nl80211`. Never touches a socket. Everything is
in the machine's own byte order. Bytes that do not fit end the message they stand in, never more.

Source: Linux include/uapi/linux/{netlink,genetlink}.h; RFC 3549 §2.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_ERROR = 2
NLMSG_DONE = 3
REQUEST = 0x01
DUMP = 0x300
GENL_ID_CTRL = 0x10
CTRL_GETFAMILY = 3
CTRL_NEWFAMILY = 1
_ATTR_FAMILY_ID = 1
_ATTR_FAMILY_NAME = 2
_ATTR_GROUPS = 7
_GROUP_NAME = 1
_GROUP_ID = 2
_TYPE_MASK = 0x3FFF
"""NLA_F_NESTED and NLA_F_NET_BYTEORDER are the two bits above."""
MAX_MESSAGES = 1024
"""Messages looked at in one datagram; a dump of stations is far smaller."""

_HEAD = struct.Struct("=IHHII")  # length, type, flags, seq, port id
_GENL = struct.Struct("=BBH")  # command, version, reserved
_ATTR = struct.Struct("=HH")  # length, type

Attributes = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `error`: errno of an NLMSG_ERROR (0 is an acknowledgement), else ``None``."""

    type: int
    seq: int
    body: bytes
    error: int | None = None

    @property
    def command(self) -> int:
        """Return the generic netlink command; -1 when there is none."""
        return self.body[0] if len(self.body) >= _GENL.size else -1

    @property
    def attributes(self) -> Attributes:
        """Return the attributes behind the generic netlink header."""
        return attributes(self.body[_GENL.size :])


@dataclass(frozen=True, slots=True)
class Family:
    """A generic netlink family: its message type and its multicast groups by name."""

    id: int
    groups: tuple[tuple[str, int], ...]

    def group(self, name: str) -> int | None:
        """Return the number of a multicast group."""
        return dict(self.groups).get(name)


def request(kind: int, command: int, seq: int, body: bytes = b"", *, dump: bool = False) -> bytes:
    """Return a generic netlink request."""
    payload = _GENL.pack(command, 1, 0) + body
    flags = REQUEST | (DUMP if dump else 0)
    return _HEAD.pack(_HEAD.size + len(payload), kind, flags, seq, 0) + payload


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    length = _ATTR.size + len(value)
    return _ATTR.pack(length, kind) + value + bytes(-length % 4)


def get_family(name: str, seq: int) -> bytes:
    """Return the question for a family's number."""
    body = attribute(_ATTR_FAMILY_NAME, name.encode("ascii") + b"\0")
    return request(GENL_ID_CTRL, CTRL_GETFAMILY, seq, body)


def messages(datagram: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram; what is cut short ends it."""
    at = 0
    for _ in range(MAX_MESSAGES):
        if at + _HEAD.size > len(datagram):
            return
        length, kind, _, seq, _ = _HEAD.unpack_from(datagram, at)
        if length < _HEAD.size or at + length > len(datagram):
            return
        body = datagram[at + _HEAD.size : at + length]
        error = None
        if kind == NLMSG_ERROR:
            error = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
        yield Message(kind, seq, body, error)
        at += length + -length % 4


def attributes(data: bytes) -> Attributes:
    """Return the attributes by type; of two alike the last counts."""
    found: Attributes = {}
    at = 0
    while at + _ATTR.size <= len(data):
        length, kind = _ATTR.unpack_from(data, at)
        if length < _ATTR.size or at + length > len(data):
            break
        found[kind & _TYPE_MASK] = data[at + _ATTR.size : at + length]
        at += length + -length % 4
    return found


def unsigned(data: bytes | None, size: int) -> int | None:
    """Return an unsigned number of exactly `size` bytes."""
    formats = {1: "=B", 2: "=H", 4: "=I", 8: "=Q"}
    if data is None or len(data) != size:
        return None
    value: int = struct.unpack(formats[size], data)[0]
    return value


def text(data: bytes | None) -> str:
    """Return a NUL-terminated text."""
    return (data or b"").split(b"\0", 1)[0].decode("utf-8", "replace")


def family(message: Message) -> Family | None:
    """Read the answer to `get_family`."""
    if message.type != GENL_ID_CTRL or message.command != CTRL_NEWFAMILY:
        return None
    found = message.attributes
    number = unsigned(found.get(_ATTR_FAMILY_ID), 2)
    if number is None:
        return None
    groups = []
    for nested in attributes(found.get(_ATTR_GROUPS, b"")).values():
        group = attributes(nested)
        group_id = unsigned(group.get(_GROUP_ID), 4)
        if group_id is not None:
            groups.append((text(group.get(_GROUP_NAME)), group_id))
    return Family(number, tuple(groups))
