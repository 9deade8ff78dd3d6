"""What the kernel tells of interfaces: messages of a real kernel, and any bytes."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from gateway.host.netlink import attribute
from gateway.host.rtnetlink import DEL_LINK, NEW_LINK, LinkNews, news

# `ip link set eth7 carrier off` on a dummy's neighbour (veth), Linux 6.18: header, ifinfomsg,
# IFLA_IFNAME, IFLA_CARRIER; the other attributes are left out and the length made to fit.
LOST = bytes.fromhex(
    "3400000010000000000000000000000000000100070000000310000000000000"
    "09000300657468370000000005002100"
    "00000000"
)


def message(kind: int, flags: int, *attributes: bytes, index: int = 7) -> bytes:
    """Return a link message."""
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


NAME = attribute(3, b"eth7\0")


def test_a_lost_carrier() -> None:
    """Name, number and state of the interface."""
    assert list(news(LOST)) == [LinkNews(7, "eth7", False)]


def test_the_flag_stands_in_for_the_attribute() -> None:
    """An old kernel has only IFF_LOWER_UP; an interface that is gone has no carrier."""
    carrier = attribute(33, b"\x01")
    assert list(news(message(NEW_LINK, 0, NAME, carrier))) == [LinkNews(7, "eth7", True)]
    assert list(news(message(NEW_LINK, 1 << 16, NAME))) == [LinkNews(7, "eth7", True)]
    assert list(news(message(NEW_LINK, 1, NAME))) == [LinkNews(7, "eth7", False)]
    assert list(news(message(DEL_LINK, 1 << 16, NAME, carrier))) == [LinkNews(7, "eth7", False)]


def test_other_messages_are_passed_over() -> None:
    """Addresses, routes, and what is too short."""
    assert list(news(message(20, 0, NAME))) == []
    assert list(news(message(NEW_LINK, 0)[:20])) == []
    assert list(news(message(NEW_LINK, 0, NAME) * 2)) == 2 * [LinkNews(7, "eth7", False)]


@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    """No exception, whatever comes."""
    for one in news(data):
        assert isinstance(one, LinkNews)
