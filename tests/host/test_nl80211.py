"""nl80211 and its envelope against bytes that other programs made."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host import netlink, nl80211
from tests.host.golden import netlink_messages

GOLDEN = netlink_messages()
pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="the golden bytes are little-endian")


def one(name: str) -> netlink.Message:
    (message,) = netlink.messages(GOLDEN[name])
    return message


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("get_family", netlink.get_family("nl80211", 1)),
        ("get_interfaces", nl80211.get_interfaces(0x1C, 2)),
        ("get_stations", nl80211.get_stations(0x1C, 3, 3)),
    ],
)
def test_requests_are_byte_for_byte_those_of_pyroute2(name: str, ours: bytes) -> None:
    """What we send is what an independent encoder sends."""
    assert ours == GOLDEN[name]


def test_the_family() -> None:
    """The family's number and its multicast groups."""
    family = netlink.family(one("new_family"))
    assert family is not None
    assert (family.id, family.group("mlme"), family.group("none")) == (0x1C, 8, None)
    assert [name for name, _ in family.groups] == [
        *("config", "scan", "regulatory", "mlme", "vendor")
    ]


def test_an_interface() -> None:
    """Number, name and type."""
    assert nl80211.interface(one("new_interface")) == nl80211.Interface(3, "wlan0", 2)


def test_a_station() -> None:
    """Levels are signed, bit rates are in 100 kbit/s, the rest are counters."""
    assert nl80211.station(one("new_station")) == nl80211.Station(
        index=3,
        mac="00:11:22:aa:bb:cc",
        signal_dbm=-67,
        signal_avg_dbm=-65,
        tx_bitrate=65_000_000,
        rx_bitrate=43_300_000,
        tx_packets=1000,
        tx_retries=12,
        tx_failed=2,
        connected_s=86400,
        beacon_loss=1,
        inactive_ms=40,
    )


def test_a_disconnection() -> None:
    """Reason 4 (inactivity), said by the access point."""
    assert nl80211.disconnected(one("disconnect")) == nl80211.Disconnected(3, 4, True)
    assert nl80211.disconnected(one("new_station")) is None


def test_done_and_error() -> None:
    """The end of a dump, and errno 2 for a family that does not exist."""
    assert (one("done").type, one("done").error) == (netlink.NLMSG_DONE, None)
    assert (one("error").type, one("error").error) == (netlink.NLMSG_ERROR, 2)


def test_several_in_one_datagram() -> None:
    """The kernel packs the parts of a dump together; a cut end loses only itself."""
    together = GOLDEN["new_interface"] + GOLDEN["new_station"] + GOLDEN["done"]
    assert [m.seq for m in netlink.messages(together)] == [2, 3, 3]
    assert [m.seq for m in netlink.messages(together[:-1])] == [2, 3]


@given(
    st.sampled_from(sorted(GOLDEN)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    st.integers(0, 400),
)
def test_damaged_messages(name: str, edits: list[tuple[int, int]], length: int) -> None:
    """Bytes changed or cut off anywhere end in values or in nothing, never in an exception."""
    data = bytearray(GOLDEN[name])
    for at, value in edits:
        data[at % len(data)] = value
    for message in netlink.messages(bytes(data[:length])):
        netlink.family(message)
        nl80211.interface(message)
        nl80211.disconnected(message)
        station = nl80211.station(message)
        if station is not None and station.signal_dbm is not None:
            assert -128 <= station.signal_dbm <= 127


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    """Garbage is bounded and harmless."""
    assert len(list(netlink.messages(data))) <= len(data) // 16
    netlink.attributes(data)
