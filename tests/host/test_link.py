"""Interfaces: what they are, whether they carry, and which has the default route."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host.link import FILES, LinkKind, LinkState, default_route, link_kind, link_state

HEAD = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def row(name: str, destination: str = "00000000", flags: int = 3, metric: int = 0) -> bytes:
    mask = "00000000" if destination == "00000000" else "00FFFFFF"
    return (
        f"{name}\t{destination}\t0101A8C0\t{flags:04X}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n".encode()
    )


@pytest.mark.parametrize(
    ("name", "uevent", "wireless", "device", "kind"),
    [
        ("eth0", b"INTERFACE=eth0\nIFINDEX=2\n", False, True, LinkKind.WIRE),
        ("wlan0", b"DEVTYPE=wlan\nINTERFACE=wlan0\n", False, True, LinkKind.WIFI),
        ("wlx00", b"INTERFACE=wlx00\n", True, True, LinkKind.WIFI),
        ("wwan0", b"DEVTYPE=wwan\n", False, True, LinkKind.MOBILE),
        ("ppp0", b"DEVTYPE=ppp\n", False, False, LinkKind.MOBILE),
        ("br0", b"DEVTYPE=bridge\n", False, False, None),
        ("eth0.5", b"DEVTYPE=vlan\n", False, True, None),
        ("lo", b"INTERFACE=lo\n", False, False, None),
        ("tun0", None, False, False, None),
    ],
)
def test_kinds(
    name: str, uevent: bytes | None, wireless: bool, device: bool, kind: LinkKind | None
) -> None:
    """Only what a cable or an antenna belongs to."""
    assert link_kind(name, uevent, wireless, device) is kind


def test_a_link_that_is_down() -> None:
    """A link that is down gives EINVAL (no file here): no carrier. One that is gone is unknown."""
    assert link_state({"operstate": b"down\n"}).carrier is False
    assert link_state({}) == LinkState(None)
    up = link_state({"carrier": b"1\n", "operstate": b"up\n", "speed": b"-1\n"})
    assert up.carrier is True and up.speed_mbit is None


def test_errors_add_up_only_when_both_are_known() -> None:
    """Half a sum is no sum."""
    half = {"statistics/rx_errors": b"3\n"}
    assert link_state(half).errors is None
    assert link_state({**half, "statistics/tx_errors": b"4\n"}).errors == 7


def test_the_default_route() -> None:
    """The best metric counts; a route that is down or rejects is none; IPv4 before IPv6."""
    lan = row("eth1", "0001A8C0", 1)
    both = HEAD + lan + row("wwan0", metric=700) + row("eth0", metric=100)
    assert default_route(both, None) == "eth0"
    assert default_route(HEAD + lan + row("eth0", flags=0) + row("eth1", flags=0x203), None) == ""
    zero, via = "0" * 32, "fe80" + "0" * 26 + "fe"
    ipv6 = (
        f"{zero} 00 {zero} 00 {via} 00000400 00000001 00000000 00000003     eth0\n"
        f"{zero} 00 {zero} 00 {via} 00000064 00000001 00000000 00000003    wwan0\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
    ).encode()
    assert default_route(HEAD, ipv6) == "wwan0"
    assert default_route(both, ipv6) == "eth0"
    assert default_route(None, None) == ""


@given(st.binary(max_size=400), st.dictionaries(st.sampled_from(FILES), st.binary(max_size=40)))
def test_garbage(data: bytes, files: dict[str, bytes]) -> None:
    """No file's content raises; a name that is none is not returned."""
    name = default_route(HEAD + data, data)
    assert len(name) <= 15 and "/" not in name
    link_state(files)
    link_kind("x", data, False, True)
