"""rtnetlink: what the kernel tells of network interfaces in the moment it happens.

Owns the meaning of its link messages; the envelope is `netlink`. Listening is open to every user.

Source: Linux include/uapi/linux/{rtnetlink,if_link,if}.h; rtnetlink(7).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.host.netlink import attributes, messages, text, unsigned

NETLINK_ROUTE = 0
GROUP_LINK = 1
"""RTMGRP_LINK, as a bit of the address's mask."""
NEW_LINK = 16
DEL_LINK = 17
_INFO = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFNAME = 3
_CARRIER = 33
_LOWER_UP = 1 << 16
"""IFF_LOWER_UP: the driver has a carrier."""


@dataclass(frozen=True, slots=True)
class LinkNews:
    """An interface now. `carrier` False too when it is gone."""

    index: int
    name: str
    carrier: bool


def news(datagram: bytes) -> Iterator[LinkNews]:
    """Yield what a datagram of the link group tells."""
    for message in messages(datagram):
        if message.type not in (NEW_LINK, DEL_LINK) or len(message.body) < _INFO.size:
            continue
        _, _, index, flags, _ = _INFO.unpack_from(message.body)
        found = attributes(message.body[_INFO.size :])
        carrier = unsigned(found.get(_CARRIER), 1)
        up = bool(flags & _LOWER_UP) if carrier is None else carrier != 0
        yield LinkNews(index, text(found.get(_IFNAME)), up and message.type == NEW_LINK)
