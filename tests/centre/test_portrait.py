"""A gateway's page: sessions, boots and losses newest first, its host over time, bounded."""

from pathlib import Path

import pytest

from gateway.centre.store.layout import open_reader
from gateway.centre.store.portrait import POINTS, BootRow, GatewayPage, HostPoint, gateway_page
from gateway.centre.store.queries import Span, UnknownGatewayError
from gateway.event import EventKind
from tests.centre.history import Box, History, at
from tests.centre.test_incidents import INCIDENT, LOSS, found


def _page(path: Path, low: float, high: float, name: str = "pump-7") -> GatewayPage:
    db = open_reader(path)
    try:
        return gateway_page(db, name, Span(at(low), at(high)))
    finally:
        db.close()


def test_a_page_holds_what_happened(tmp_path: Path) -> None:
    """Two sessions, a reboot with its revision, a loss and the host's values around it."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0, proxy="10.0.0.1")
    node.look(box, 90, 4.75, -70, low=True)
    node.send(box, 91)
    node.go(box, 100, "network", "reset")
    first = box.session
    node.reboot(box, 110)
    node.come(box, 130)
    node.tell(box, 131, EventKind.BOOT_CLASSIFIED, **{"class": "power_cut", "evidence": "rsts"})
    node.tell(box, 140, EventKind.BOOT_REVISED, **{"class": "brown_out", "confidence": "probable"})
    node.look(box, 140, 5.0, -60)
    node.send(box, 141)
    node.ask(found(INCIDENT))
    node.close()
    page = _page(node.path, 0, 200)
    assert page.row.connected and page.first_seen_ns == at(0)
    assert [row.session for row in page.sessions] == [box.session, first]
    assert (page.sessions[1].cause, page.sessions[1].proxy) == ("reset", "10.0.0.1")
    assert page.boots == (
        BootRow(at(140), "brown_out", "probable", "", True),
        BootRow(at(131), "power_cut", "", "rsts", False),
    )
    assert page.losses == ((INCIDENT.identity, LOSS),)
    assert page.host == (
        HostPoint(at(90), 4.75, True, -70.0, True),
        HostPoint(at(140), 5.0, False, -60.0, True),
    )
    assert _page(node.path, 120, 200).host == page.host[1:]
    with pytest.raises(UnknownGatewayError):
        _page(node.path, 0, 1, "nobody")


def test_a_long_span_is_picked_evenly(tmp_path: Path) -> None:
    """Two days of a look every ten seconds are some hundred points, from end to end."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    for start in range(0, 172_800, 10_000):
        for second in range(start, min(start + 10_000, 172_800), 100):
            node.look(box, second, 4.0 + second / 172_800)
        node.send(box, start + 10_001)
    node.close()
    points = _page(node.path, 0, 172_800).host
    assert POINTS / 20 < len(points) <= POINTS + 2
    assert points[0].at_ns == at(0) and points[-1].at_ns > at(160_000)
    assert [p.volts for p in points] == sorted(p.volts or 0.0 for p in points)
