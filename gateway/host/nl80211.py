"""nl80211: which wireless interfaces there are, how well they hear, why they were disconnected.

Owns the requests and what their answers mean; the envelope is `netlink`. All of it is allowed to
every user (GET_STATION carries no admin flag).

Source: Linux include/uapi/linux/nl80211.h; net/wireless/nl80211.c (ops and their flags).
"""

import struct
from dataclasses import dataclass

from gateway.host import netlink
from gateway.host.netlink import Message, attribute, attributes, unsigned

FAMILY = "nl80211"
MLME = "mlme"
"""The multicast group that tells of (dis)connecting."""
GET_INTERFACE = 5
NEW_INTERFACE = 7
GET_STATION = 17
NEW_STATION = 19
DEAUTHENTICATE = 39
DISASSOCIATE = 40
DISCONNECT = 48
IFTYPE_STATION = 2

_IFINDEX, _IFNAME, _IFTYPE, _MAC = 3, 4, 5, 6
_STA_INFO = 21
_REASON = 54
_BY_AP = 71
_INACTIVE, _SIGNAL, _TX_BITRATE, _TX_PACKETS, _TX_RETRIES, _TX_FAILED = 1, 7, 8, 10, 11, 12
_SIGNAL_AVG, _RX_BITRATE, _CONNECTED, _BEACON_LOSS = 13, 14, 16, 18
_RATE, _RATE32 = 1, 5


@dataclass(frozen=True, slots=True)
class Interface:
    """A wireless interface. `type` 2 is a station, which is what a gateway is."""

    index: int
    name: str
    type: int


@dataclass(frozen=True, slots=True)
class Station:
    """What is known of the peer (the access point). dBm; bits a second; ``None``: not told."""

    index: int
    mac: str
    signal_dbm: int | None = None
    signal_avg_dbm: int | None = None
    tx_bitrate: int | None = None
    rx_bitrate: int | None = None
    tx_packets: int | None = None
    tx_retries: int | None = None
    tx_failed: int | None = None
    connected_s: int | None = None
    beacon_loss: int | None = None
    inactive_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link ended. `reason`: IEEE 802.11 reason code (Table 9-49); `by_ap`: it said so."""

    index: int
    reason: int | None
    by_ap: bool


def get_interfaces(family: int, seq: int) -> bytes:
    """Return the request for every wireless interface."""
    return netlink.request(family, GET_INTERFACE, seq, dump=True)


def get_stations(family: int, index: int, seq: int) -> bytes:
    """Return the request for the stations an interface hears: of a client, its access point."""
    body = attribute(_IFINDEX, struct.pack("=I", index))
    return netlink.request(family, GET_STATION, seq, body, dump=True)


def interface(message: Message) -> Interface | None:
    """Read one answer to `get_interfaces`."""
    if message.command != NEW_INTERFACE:
        return None
    found = message.attributes
    index = unsigned(found.get(_IFINDEX), 4)
    name = netlink.text(found.get(_IFNAME))
    kind = unsigned(found.get(_IFTYPE), 4)
    if index is None or kind is None or not name:
        return None
    return Interface(index, name, kind)


def station(message: Message) -> Station | None:
    """Read one answer to `get_stations`."""
    if message.command != NEW_STATION:
        return None
    found = message.attributes
    index = unsigned(found.get(_IFINDEX), 4)
    if index is None or _STA_INFO not in found:
        return None
    info = attributes(found[_STA_INFO])
    return Station(
        index=index,
        mac=found.get(_MAC, b"")[:6].hex(":"),
        signal_dbm=_dbm(info.get(_SIGNAL)),
        signal_avg_dbm=_dbm(info.get(_SIGNAL_AVG)),
        tx_bitrate=_bitrate(info.get(_TX_BITRATE)),
        rx_bitrate=_bitrate(info.get(_RX_BITRATE)),
        tx_packets=unsigned(info.get(_TX_PACKETS), 4),
        tx_retries=unsigned(info.get(_TX_RETRIES), 4),
        tx_failed=unsigned(info.get(_TX_FAILED), 4),
        connected_s=unsigned(info.get(_CONNECTED), 4),
        beacon_loss=unsigned(info.get(_BEACON_LOSS), 4),
        inactive_ms=unsigned(info.get(_INACTIVE), 4),
    )


def disconnected(message: Message) -> Disconnected | None:
    """Read a message of the `MLME` group that says the link ended."""
    if message.command not in (DISCONNECT, DEAUTHENTICATE, DISASSOCIATE):
        return None
    found = message.attributes
    index = unsigned(found.get(_IFINDEX), 4)
    if index is None:
        return None
    return Disconnected(index, unsigned(found.get(_REASON), 2), _BY_AP in found)


def _dbm(data: bytes | None) -> int | None:
    """Return a signed byte (nl80211.h: u8 on the wire, dBm as s8)."""
    value = unsigned(data, 1)
    return None if value is None else value - 256 if value > 127 else value


def _bitrate(data: bytes | None) -> int | None:
    """Return bits a second; the kernel counts in 100 kbit/s, in 32 bits where 16 are too few."""
    info = attributes(data or b"")
    rate = unsigned(info.get(_RATE32), 4)
    if rate is None:
        rate = unsigned(info.get(_RATE), 2)
    return None if rate is None else rate * 100_000
