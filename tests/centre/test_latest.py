"""What is known last of each gateway is the newest, whatever comes late, and survives a restart."""

from pathlib import Path

from gateway.centre.store.jobs import Progress
from gateway.centre.store.latest import EVERY_S, GROUP, Latest
from gateway.centre.store.layout import open_reader, open_writer
from gateway.wire.message import Backlog
from tests.centre.history import Box, History, at


def _row(path: Path, columns: str) -> tuple[object, ...]:
    db = open_reader(path)
    try:
        (row,) = db.execute(f"SELECT {columns} FROM latest").fetchall()
        return tuple(row)
    finally:
        db.close()


def test_the_hosts_newest_values_are_kept(tmp_path: Path) -> None:
    """Of what comes with records, the newest row counts, not the last that came."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    node.look(box, 30, 5.125, -61, low=False)
    node.look(box, 20, 4.5, -80, low=True)
    node.send(box, 31)
    node.look(box, 10, 3.5, -90, low=True)
    node.send(box, 32)
    node.close()
    found = _row(node.path, "host_ns, volts, undervoltage, route, dbm, reading_ns")
    assert found == (at(30), 5.125, 0, "wlan0", -61.0, at(30))


def test_a_trace_is_newer_than_the_aggregate_before_it(tmp_path: Path) -> None:
    """At trouble the page shows the second, not the ten seconds before."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    node.look(box, 30)
    node.look(box, 37, 4.25, -88, low=True, trace=True)
    node.send(box, 38)
    node.close()
    assert _row(node.path, "host_ns, volts, undervoltage, dbm") == (at(37), 4.25, 1, -88.0)


def test_a_restart_of_the_centre_forgets_nothing_that_was_known(tmp_path: Path) -> None:
    """What the new process has not heard of yet stays; an unknown supply becomes unknown."""
    node = History(tmp_path / "s.sqlite")
    box = Box("pump-7")
    node.come(box, 0)
    node.look(box, 5, 4.75)
    node.send(box, 6)
    node.close()
    again = History(tmp_path / "s.sqlite", start=10)
    again.come(box, 10)
    assert again.left == 1
    again.ask(Progress(gateway=box.pk, epoch=box.epoch, next_seq=9, offset_ns=at(box.booted),
                       waiting=Backlog(7, 700, 0), wall_ns=at(11)))  # fmt: skip
    again.close()
    columns = "volts, backlog_ns, backlog_records, backlog_bytes"
    assert _row(node.path, columns) == (4.75, at(11), 7, 700)
    third = History(tmp_path / "s.sqlite", start=20)
    third.come(box, 20)
    third.look(box, 25, None, None, low=None)
    third.send(box, 26)
    third.close()
    assert _row(node.path, "host_ns, volts, undervoltage, dbm") == (at(25), None, None, None)


def test_groups_are_bounded_and_an_undone_one_comes_again(tmp_path: Path) -> None:
    """Thousands of gateways are not one long transaction; a rollback loses none."""
    db = open_writer(tmp_path / "s.sqlite")
    latest = Latest(db)
    for gateway in range(1, 2 * GROUP + 51):
        latest.reading(gateway, gateway)

    def stored() -> int:
        count: int = db.execute("SELECT count(*) FROM latest").fetchone()[0]
        return count

    sizes = []
    db.execute("BEGIN")
    assert latest.due(100.0)
    latest.write(100.0)
    db.execute("ROLLBACK")
    latest.undone()
    now = 100.0
    for _ in range(2):
        while latest.due(now):
            latest.write(now)
            sizes.append(stored())
        now += EVERY_S
    assert sizes == [GROUP, GROUP + 50, 2 * GROUP + 50]
    assert not latest.due(now)
    db.close()


def test_readings_do_not_go_back(tmp_path: Path) -> None:
    """A backlog that follows live readings does not make the newest reading old."""
    db = open_writer(tmp_path / "s.sqlite")
    latest = Latest(db)
    latest.reading(1, 50)
    latest.reading(1, 40)
    seen = latest.seen(1)
    assert seen is not None and seen.reading_ns == 50
    assert latest.seen(2) is None
    db.close()


def test_a_quiet_fleet_is_written_without_records(tmp_path: Path) -> None:
    """Any transaction writes what is due; the node's own sign of life is enough."""
    node = History(tmp_path / "s.sqlite")
    node.come(Box("one"), 0)
    node.come(Box("two"), 0)
    node.clock.ahead_s = EVERY_S
    node.alive(1)
    db = open_reader(node.path)
    assert db.execute("SELECT backlog_records FROM latest").fetchall() == [(0,), (0,)]
    db.close()
    node.close()
