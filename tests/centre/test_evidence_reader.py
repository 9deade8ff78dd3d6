"""Evidence read back from stores says what happened, from one store, two, or an old one."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.centre.store.evidence_reader import Evidence
from gateway.correlation.evidence import GatewayEvidence, Sample
from gateway.errors import StoreError
from gateway.event import EventKind
from tests.centre.history import Box, History, at


def _read(low: float, high: float, *paths: Path) -> dict[str, GatewayEvidence]:
    with Evidence(paths, at(low), at(high)) as evidence:
        return {one.gateway: one for one in evidence.gateways()}


def test_sessions_boots_and_events_come_back(tmp_path: Path) -> None:
    """What the agent and the centre saw of one loss is all there."""
    node = History(tmp_path / "s.sqlite", "a")
    box = Box("pump-7", labels=(("label.feeder", "north"),))
    node.come(box, 0, proxy="10.0.0.1")
    node.go(
        box, 100, "network", "reset", last_message_age_s=1.5, last_pong_age_s=4.0,
        round_trip_s=0.03, round_trip_min_s=0.02, round_trip_max_s=0.5, messages_in=7,
        messages_out=5, tcp_info={"rtt_s": 0.2, "path_dead": True},
    )  # fmt: skip
    box.ended = (("cause", "reset"), ("side", "path"))
    first = box.session
    node.come(box, 130)
    node.tell(box, 99, EventKind.SESSION_ENDED, session=first, cause="reset")
    node.tell(box, 100, EventKind.DEVICE_DOWN, device="m")
    node.send(box, 131)
    node.note(101, "identity_refused", "pump-7", remote="1.2.3.4")
    node.note(102, "centre_started")
    node.close()
    with Evidence([tmp_path / "s.sqlite"], at(50), at(200)) as evidence:
        (found,) = evidence.gateways()
        nodes = evidence.nodes()
    lost, back = sorted(found.sessions, key=lambda one: one.opened_ns)
    assert (lost.number, lost.closed_ns, lost.cause, lost.code) == (first, at(100), "reset", 1006)
    assert (lost.last_message_age_s, lost.last_pong_age_s, lost.path_dead) == (1.5, 4.0, True)
    assert (lost.round_trip_s, lost.round_trip_min_s, lost.round_trip_max_s) == (0.03, 0.02, 0.5)
    assert (lost.messages_in, lost.messages_out, lost.tcp) == (7, 5, (("rtt_s", 0.2),))
    assert (lost.proxy, lost.remote, lost.software) == ("10.0.0.1", "10.0.0.9", "gateway 0.3")
    assert (back.closed_ns, back.side, back.last_session) == (None, "", first)
    assert dict(back.ended) == {"cause": "reset", "side": "path"}
    assert dict(back.facts)["label.feeder"] == "north"
    assert [(seen.kind, seen.source_time_ns) for seen in found.events] == [
        ("session_ended", box.source_ns(99))
    ]
    (boot,) = found.boots
    assert boot.boot_id == box.boot_id.hex() == lost.boot_id
    assert boot.offset_ns == at(box.booted) and boot.anchors[0].wall_ns == at(0)
    assert [(event.kind, event.gateway, event.node) for event in nodes] == [
        ("identity_refused", "pump-7", "a"),
        ("centre_started", "", "a"),
    ]


def test_looks_are_those_around_the_loss(tmp_path: Path) -> None:
    """Without a trace the aggregates of the minutes before; blocks of one instant are one look."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    for second in range(0, 1000, 10):
        node.look(box, second, 5.1 - second / 1000, -60 - second / 50)
    node.send(box, 1000)
    node.go(box, 1000, "agent", "no_pong")
    node.close()
    (looks,) = [one.looks for one in _read(900, 1100, tmp_path / "s.sqlite").values()]
    seconds = [(look.source_time_ns - box.source_ns(0)) // 10**9 for look in looks]
    assert seconds == [*range(760, 1000, 10)]
    assert looks[0].volts == pytest.approx(4.34) and looks[0].dbm == pytest.approx(-75.2)
    assert (looks[0].undervoltage, looks[0].carrier) == (False, True)


def test_a_trace_tells_what_changed_second_by_second(tmp_path: Path) -> None:
    """Full resolution up to the loss."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    for second in range(880, 1000):
        sag = second >= 990
        node.look(
            box, second, 4.4 if sag else 5.1, -88 if sag else -60, low=sag, carrier=not sag,
            trace=True,
        )  # fmt: skip
    node.send(box, 1000)
    node.go(box, 1000, "agent", "no_pong")
    node.close()
    (looks,) = [one.looks for one in _read(900, 1100, tmp_path / "s.sqlite").values()]
    seconds = {(look.source_time_ns - box.source_ns(0)) // 10**9: look for look in looks}
    assert {880, 989, 990, 999} <= set(seconds)
    assert (seconds[989].undervoltage, seconds[989].dbm) == (False, -60)
    last = seconds[990]
    assert (last.undervoltage, last.carrier, last.dbm) == (True, False, -88)
    assert last.volts == pytest.approx(4.4)
    assert last.boot_id == box.boot_id.hex()


def test_a_drained_session_needs_no_looks(tmp_path: Path) -> None:
    """What the centre did itself is not looked for in the host's readings."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    node.look(box, 5)
    node.send(box, 6)
    node.go(box, 10, "centre", "draining")
    node.close()
    assert _read(0, 20, tmp_path / "s.sqlite")["pump-7"].looks == ()


def test_the_session_after_a_past_span_is_there(tmp_path: Path) -> None:
    """A gateway that came back long after the span is not taken for lost for ever."""
    node = History(tmp_path / "s.sqlite")
    away, later, other = Box("away"), Box("later"), Box("other")
    node.come(away, 0)
    node.come(later, 1)
    node.go(later, 50)
    node.come(other, 9000)
    node.come(later, 9000, number=77)
    node.close()
    found = _read(0, 100, tmp_path / "s.sqlite")
    assert sorted(found) == ["away", "later"]
    assert {s.number for s in found["later"].sessions} == {77, later.session} | {
        s.number for s in found["later"].sessions if s.closed_ns == at(50)
    }
    assert len(found["later"].sessions) == 2
    assert sorted(_read(8000, 9500, tmp_path / "s.sqlite")) == ["away", "later", "other"]


def test_two_stores_are_one_fleet(tmp_path: Path) -> None:
    """A gateway that two nodes know is one; its boot and its events are there once."""
    one, two = tmp_path / "one.sqlite", tmp_path / "two.sqlite"
    node = History(one, "a")
    box, only = Box("both"), Box("only-a")
    node.come(box, 0)
    node.come(only, 0)
    node.go(box, 50, "centre", "centre_lost")
    node.count(0, 2, 2)
    node.count(50, 1, 2)
    node.close()
    first = box.session
    other = History(two, "b")
    box.epoch = 0  # its store knows nothing of it
    other.come(box, 60)
    other.count(10, 0, 0)
    other.count(60, 1, 1)
    other.close()
    with Evidence([one, two, one], at(0), at(70)) as evidence:
        found = {gateway.gateway: gateway for gateway in evidence.gateways()}
        series = evidence.series()
    assert sorted(found) == ["both", "only-a"]
    assert [(s.number, s.node) for s in found["both"].sessions] == [
        (first, "a"),
        (box.session, "b"),
    ]
    (boot,) = found["both"].boots
    assert boot.first_ns == at(0) and len(boot.anchors) == 2
    assert series == (
        Sample(at(0), 2, 0),
        Sample(at(10), 2, 0),
        Sample(at(50), 1, 0),
        Sample(at(60), 2, 1),
    )


def test_events_of_an_outage_are_evidence_of_its_time(tmp_path: Path) -> None:
    """What was spooled and came a day late is there; what happened a day late is not."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    node.go(box, 50)
    node.come(box, 90_000)
    node.tell(box, 45, EventKind.SUPPLY_LOW, undervoltage="under")
    node.tell(box, 80_000, EventKind.CARRIER_LOST, interface="eth0")
    node.send(box, 90_001)
    node.close()
    (found,) = _read(0, 100, tmp_path / "s.sqlite").values()
    assert [seen.kind for seen in found.events] == ["supply_low"]


def test_a_copy_without_its_log_and_a_live_store_can_be_read(tmp_path: Path) -> None:
    """Reading needs neither the centre to stop nor a directory that can be written."""
    node = History(tmp_path / "s.sqlite")
    node.come(Box("pump-7"), 0)
    assert list(_read(0, 10, tmp_path / "s.sqlite")) == ["pump-7"]
    node.close()
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "s.sqlite", tmp_path / "copy" / "c.sqlite")
    assert list(_read(0, 10, tmp_path / "copy" / "c.sqlite")) == ["pump-7"]


def test_what_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    """A missing file, another database and a newer store are refused by name."""
    with pytest.raises(StoreError, match=r"nowhere\.sqlite: cannot be read"):
        _read(0, 1, tmp_path / "nowhere.sqlite")
    db = sqlite3.connect(tmp_path / "other.sqlite")
    db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(StoreError, match="not a store"):
        _read(0, 1, tmp_path / "other.sqlite")
    (tmp_path / "text.sqlite").write_text("no database at all, but long enough to look like one")
    with pytest.raises(StoreError, match="cannot be read"):
        _read(0, 1, tmp_path / "text.sqlite")


def test_aggregates_are_left_out_where_a_trace_tells_more(tmp_path: Path) -> None:
    """A minute at full resolution before the end needs no ten-second rows beside it."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    for second in range(0, 1000, 10):
        node.look(box, second, 14 - second / 100, -60)
    for second in range(880, 1000):
        node.look(box, second, 5.1 - second / 1000, -88, trace=True)
    node.send(box, 1000)
    node.go(box, 1000, "agent", "no_pong")
    node.close()
    (found,) = [one.looks for one in _read(900, 1100, tmp_path / "s.sqlite").values()]
    seconds = sorted((look.source_time_ns - box.source_ns(0)) // 10**9 for look in found)
    assert seconds[0] == 880 and seconds[-1] == 999
