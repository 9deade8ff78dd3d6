"""A fleet is laid out so that what gateways share can be told apart."""

import pytest

from hil.fleet import NODES, PROXIES, Kind, ids, plan


def test_proxies_and_nodes_cross() -> None:
    """Every proxy leads real agents and drivers to every node."""
    fleet = plan(8, 24)
    for kind in Kind:
        found = {(member.proxy, member.node) for member in fleet.where(kind=kind)}
        assert found == {(proxy, node) for proxy in PROXIES for node in NODES}


def test_ids_are_unique_and_labels_bounded() -> None:
    """Who is who is never in doubt, and every gateway has the four grouping keys."""
    fleet = plan(8, 24)
    assert len(set(ids(fleet.members))) == len(fleet) == 32
    for member in fleet:
        names = [name for name, _ in member.labels]
        assert names == ["site", "feeder", "operator", "access_point"]


def test_a_feeder_is_no_proxy_and_no_node() -> None:
    """Gateways of one feeder come in by different proxies: what they share is the feeder."""
    fleet = plan(8, 24)
    for feeder in {member.label("feeder") for member in fleet}:
        members = fleet.where(feeder=feeder)
        assert len(members) >= 2
        assert len({member.proxy for member in members}) == 2


@pytest.mark.parametrize("quiet", [0, 1, 4])
def test_quiet_gateways_are_drivers_behind_nginx(quiet: int) -> None:
    """The route with the short idle time-out is nginx's, and only drivers can fall quiet."""
    chosen = plan(8, 24, quiet=quiet).where(quiet=True)
    assert len(chosen) == quiet
    assert all(member.kind is Kind.DRIVER and member.proxy == "nginx" for member in chosen)
