"""The conversation with nl80211: asked once, listened to, and quiet where there is none."""

from pathlib import Path

from gateway.agent.wifi import FAMILY_PAUSE, FAMILY_TRIES, Wifi
from gateway.host.nl80211 import Disconnected
from gateway.host.radio import Level
from gateway.process.clock import HostFiles
from tests.agent.host_fakes import RecordedNetlink
from tests.host.golden import netlink_messages

GOLDEN = netlink_messages()


def test_the_requests_are_the_golden_ones(tmp_path: Path) -> None:
    """Family, interfaces, stations: byte for byte, and afterwards only stations."""
    netlink = RecordedNetlink()
    wifi = Wifi(netlink, HostFiles(tmp_path))
    assert wifi.levels() == {"wlan0": Level("wifi", rssi_dbm=-67.0)}
    assert netlink.requests == [
        *(GOLDEN["get_family"], GOLDEN["get_interfaces"], GOLDEN["get_stations"])
    ]
    wifi.levels()
    assert [request[16] for request in netlink.requests[3:]] == [17]


def test_a_disconnection_is_told_with_its_interface(tmp_path: Path) -> None:
    """The kernel's number becomes the name; strangers' messages are left out."""
    netlink = RecordedNetlink()
    wifi = Wifi(netlink, HostFiles(tmp_path))
    wifi.levels()
    netlink.news = [GOLDEN["disconnect"], GOLDEN["new_station"], b"garbage"]
    assert wifi.disconnections() == [("wlan0", Disconnected(3, 4, True))]
    assert wifi.disconnections() == []


def test_a_kernel_without_wifi_is_not_asked_for_ever(tmp_path: Path) -> None:
    """Three tries, then one a minute."""
    netlink = RecordedNetlink()
    netlink.mute = True
    wifi = Wifi(netlink, HostFiles(tmp_path))
    for _ in range(2 * FAMILY_PAUSE):
        assert wifi.levels() == {}
    assert len(netlink.requests) == FAMILY_TRIES + 2
