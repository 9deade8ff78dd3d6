"""Network interfaces: kind, carrier, errors, and which one has the default route.

Owns what the files of /sys/class/net and /proc/net mean. Reading `carrier` or `speed` of a link
that is down gives EINVAL, which arrives here as an absent file and is no carrier, not "unknown".

Source: Linux ABI/testing/sysfs-class-net, sysfs-class-net-statistics; net/ipv4/fib_trie.c and
net/ipv6/route.c (the two route files).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.host.sysfs import hexadecimal, integer, word

ROUTE_PATH = "/proc/net/route"
ROUTE6_PATH = "/proc/net/ipv6_route"
FILES = (
    "carrier",
    "operstate",
    "speed",
    "duplex",
    "carrier_up_count",
    "carrier_down_count",
    "statistics/rx_crc_errors",
    "statistics/rx_errors",
    "statistics/tx_errors",
    "statistics/rx_dropped",
)
"""What is read of each interface, below /sys/class/net/<name>/."""
NAME = re.compile(r"[^/\s:\0]{1,15}")
"""IFNAMSIZ is 16 with the NUL."""

_DEVTYPE = re.compile(rb"(?m)^DEVTYPE=(\w{1,32})$")
_UP, _REJECT = 0x0001, 0x0200


class LinkKind(StrEnum):
    """What carries an interface's frames."""

    WIRE = "wire"
    WIFI = "wifi"
    MOBILE = "mobile"


@dataclass(frozen=True, slots=True)
class LinkState:
    """One interface now. `carrier` ``None``: nothing could be read (the interface is gone)."""

    carrier: bool | None
    operstate: str = ""
    speed_mbit: int | None = None
    duplex: str = ""
    carrier_downs: int | None = None
    crc_errors: int | None = None
    errors: int | None = None
    dropped: int | None = None


def link_kind(name: str, uevent: bytes | None, wireless: bool, device: bool) -> LinkKind | None:
    """Say what an interface is; ``None``: none that a cable or an antenna belongs to.

    `wireless`: it has a ``phy80211`` or ``wireless`` directory; `device`: it has a ``device``.
    """
    match = _DEVTYPE.search(uevent or b"")
    kind = match[1] if match else b""
    if kind == b"wlan" or wireless:
        return LinkKind.WIFI
    if kind == b"wwan" or name.startswith(("wwan", "ppp")):
        return LinkKind.MOBILE
    if kind or not device:  # bridges, vlans, tunnels name their type; lo and veth have no device
        return None
    return LinkKind.WIRE


def link_state(files: Mapping[str, bytes | None]) -> LinkState:
    """Read one interface from its files (`FILES`, by their name there)."""
    operstate = word(files.get("operstate"))
    carrier = integer(files.get("carrier"))
    known = None if carrier is None else carrier != 0
    if known is None and operstate:
        known = False
    speed = integer(files.get("speed"))
    errors = [integer(files.get(f"statistics/{name}_errors")) for name in ("rx", "tx")]
    return LinkState(
        carrier=known,
        operstate=operstate,
        speed_mbit=speed if speed is not None and speed > 0 else None,
        duplex=word(files.get("duplex")),
        carrier_downs=integer(files.get("carrier_down_count")),
        crc_errors=integer(files.get("statistics/rx_crc_errors")),
        errors=None if None in errors else sum(n for n in errors if n is not None),
        dropped=integer(files.get("statistics/rx_dropped")),
    )


def default_route(ipv4: bytes | None, ipv6: bytes | None) -> str:
    """Return the interface of the default route, IPv4 before IPv6; empty when there is none."""
    return _default4(ipv4) or _default6(ipv6)


def _default4(data: bytes | None) -> str:
    best: tuple[int, str] | None = None
    for line in (data or b"").splitlines()[1:512]:
        fields = line.split()
        if len(fields) < 8 or fields[1] != b"00000000" or fields[7] != b"00000000":
            continue
        flags, metric = hexadecimal(fields[3]), integer(fields[6])
        if flags is None or metric is None or not flags & _UP or flags & _REJECT:
            continue
        name = fields[0].decode("ascii", "replace")
        if NAME.fullmatch(name) and (best is None or metric < best[0]):
            best = metric, name
    return best[1] if best else ""


def _default6(data: bytes | None) -> str:
    best: tuple[int, str] | None = None
    for line in (data or b"").splitlines()[:4096]:
        fields = line.split()
        if len(fields) != 10 or fields[0].strip(b"0") or fields[1] != b"00":
            continue
        flags, metric = hexadecimal(fields[8]), hexadecimal(fields[5])
        name = fields[9].decode("ascii", "replace")
        if flags is None or metric is None or not flags & _UP or flags & _REJECT or name == "lo":
            continue
        if NAME.fullmatch(name) and (best is None or metric < best[0]):
            best = metric, name
    return best[1] if best else ""
