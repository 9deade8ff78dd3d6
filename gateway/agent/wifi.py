"""Wi-Fi levels and disconnections of this machine, through nl80211.

Owns the conversation; what the messages mean is `gateway.host.nl80211`'s. Falls back to
/proc/net/wireless where nl80211 has no answer.
"""

from collections.abc import Callable, Mapping

from gateway.agent.probes import Netlink
from gateway.host import nl80211, radio
from gateway.host.netlink import NLMSG_DONE, NLMSG_ERROR, Family, Message, family, get_family
from gateway.host.netlink import messages as netlink_messages
from gateway.host.nl80211 import Disconnected, Interface, Station
from gateway.process.clock import HostFiles

FAMILY_TRIES = 3
"""Ticks in a row without the family before it is asked for only every `FAMILY_PAUSE` ticks: a
kernel without Wi-Fi never gets it."""
FAMILY_PAUSE = 60
INTERFACES_EVERY = 10
"""Ticks between two listings of the wireless interfaces."""


class Wifi:
    """Called once a second, always from the same thread."""

    def __init__(self, netlink: Netlink, files: HostFiles) -> None:
        self._netlink = netlink
        self._files = files
        self._family: Family | None = None
        self._ticks = 0
        self._seq = 0
        self._interfaces: tuple[Interface, ...] = ()

    def levels(self) -> Mapping[str, radio.Level]:
        """Return what each wireless interface hears now."""
        self._find_family()
        found: dict[str, radio.Level] = {}
        if self._family is not None:
            if self._ticks % INTERFACES_EVERY == 1 or not self._interfaces:
                self._list()
            for interface in self._interfaces:
                level = self._level(interface)
                if level is not None:
                    found[interface.name] = level
        if not found:
            data = self._files.read(radio.WIRELESS_PATH)
            found = {
                name: radio.Level("wifi", rssi_dbm=dbm)
                for name, dbm in radio.wireless(data).items()
            }
        return found

    def disconnections(self) -> list[tuple[str, Disconnected]]:
        """Return the disconnections the kernel told of since the last call."""
        names = {interface.index: interface.name for interface in self._interfaces}
        found = []
        for datagram in self._netlink.pending():
            for message in netlink_messages(datagram):
                told = nl80211.disconnected(message) if self._ours(message) else None
                if told is not None and told.index in names:
                    found.append((names[told.index], told))
        return found

    def _ours(self, message: Message) -> bool:
        return self._family is not None and message.type == self._family.id

    def _find_family(self) -> None:
        self._ticks += 1
        if self._family is not None:
            return
        if self._ticks > FAMILY_TRIES and self._ticks % FAMILY_PAUSE:
            return
        self._seq += 1
        for message in self._ask(get_family(nl80211.FAMILY, self._seq)):
            self._family = family(message) or self._family
        if self._family is not None:
            group = self._family.group(nl80211.MLME)
            if group is not None:
                self._netlink.subscribe(group)

    def _list(self) -> None:
        assert self._family is not None
        self._seq += 1
        found = [
            interface
            for message in self._ask(nl80211.get_interfaces(self._family.id, self._seq))
            if (interface := nl80211.interface(message)) is not None
        ]
        stations = [i for i in found if i.type == nl80211.IFTYPE_STATION]
        self._interfaces = tuple(stations[:8])

    def _level(self, interface: Interface) -> radio.Level | None:
        assert self._family is not None
        self._seq += 1
        request = nl80211.get_stations(self._family.id, interface.index, self._seq)
        stations: list[Station] = [
            station
            for message in self._ask(request)
            if (station := nl80211.station(message)) is not None
        ]
        for station in stations:
            dbm = radio.wifi_dbm(station.signal_dbm)
            if dbm is None:
                dbm = radio.wifi_dbm(station.signal_avg_dbm)
            if dbm is not None:
                return radio.Level("wifi", rssi_dbm=dbm)
        return None

    def _ask(self, request: bytes) -> list[Message]:
        """Return the messages that answer `request`, without those that only end it."""
        seq = self._seq
        datagrams = self._netlink.ask(request, _is_end(seq))
        found = (message for datagram in datagrams for message in netlink_messages(datagram))
        return [m for m in found if m.seq == seq and m.type not in (NLMSG_DONE, NLMSG_ERROR)]


def _is_end(seq: int) -> Callable[[bytes], bool]:
    """Say when an answer is complete: DONE of a dump, an error, or the one answer to no dump."""

    def is_end(datagram: bytes) -> bool:
        for message in netlink_messages(datagram):
            if message.seq != seq:
                continue
            if message.type in (NLMSG_DONE, NLMSG_ERROR) or family(message) is not None:
                return True
        return False

    return is_end
