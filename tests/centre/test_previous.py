"""What `Welcome` tells of the boot before: enough to judge a reboot by, and of that boot only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.event import EventKind
from tests.centre.history import Box, History, at


@pytest.fixture
def node(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "s.sqlite")
    yield made
    made.close()


def _reborn(node: History, box: Box, seconds: float) -> dict[str, object]:
    node.reboot(box, seconds - 20)
    return dict(node.come(box, seconds).previous)


def test_the_supply_and_the_radio_of_the_end(node: History) -> None:
    """The last values, and when the supply was last known low."""
    box = Box("pump-7")
    first = box.boot_id.hex()
    assert dict(node.come(box, 0).previous) == {}
    node.look(box, 60, 5.1, -60)
    node.look(box, 70, 4.5, -71, low=True)
    node.look(box, 80, 4.75, -72.26, low=False)
    node.send(box, 81)
    low_ns, last_ns = box.source_ns(70), box.source_ns(80)
    assert _reborn(node, box, 200) == {
        "boot_id": first,
        "clean": False,
        "last_source_time_ns": last_ns,
        "last_wall_ns": at(80),
        "supply_v": 4.75,
        "undervoltage": False,
        "low_source_time_ns": low_ns,
        "radio_dbm": pytest.approx(-72.3),
    }


def test_an_event_at_the_very_end_counts(node: History) -> None:
    """The sag's own record may be the last that came: low until then."""
    box = Box("pump-7")
    node.come(box, 0)
    node.look(box, 60, 5.1)
    node.tell(box, 64, EventKind.SUPPLY_LOW, undervoltage="under")
    node.send(box, 65)
    said_ns = box.source_ns(64)
    told = _reborn(node, box, 200)
    assert (told["last_source_time_ns"], told["low_source_time_ns"]) == (said_ns, said_ns)
    assert told["undervoltage"] is False  # as it was last read


def test_a_supply_that_recovered_was_low_until_then(node: History) -> None:
    """Half a minute is counted from the end of the sag."""
    box = Box("pump-7")
    node.come(box, 0)
    node.tell(box, 50, EventKind.SUPPLY_LOW, undervoltage="under")
    node.tell(box, 63, EventKind.SUPPLY_RECOVERED, undervoltage="ok")
    node.look(box, 100, 5.1)
    node.send(box, 101)
    well_ns = box.source_ns(63)
    assert _reborn(node, box, 200)["low_source_time_ns"] == well_ns


def test_an_earlier_boots_sag_is_not_the_last_ones(node: History) -> None:
    """Only the boot before is told of."""
    box = Box("pump-7")
    node.come(box, 0)
    node.tell(box, 50, EventKind.SUPPLY_LOW, undervoltage="under")
    node.send(box, 51)
    assert "low_source_time_ns" in _reborn(node, box, 200)
    node.look(box, 210, None, None, low=None)
    node.send(box, 211)
    assert set(_reborn(node, box, 400)) == {
        "boot_id", "clean", "last_source_time_ns", "last_wall_ns",
    }  # fmt: skip


def test_an_old_boot_is_not_told_again(node: History) -> None:
    """A boot is judged once; later sessions of it cost no look at the host's values."""
    box = Box("pump-7")
    node.come(box, 0)
    node.look(box, 60, 5.1)
    node.send(box, 61)
    assert "supply_v" in _reborn(node, box, 200)
    assert "supply_v" in dict(node.come(box, 700).previous)
    assert "supply_v" not in dict(node.come(box, 900).previous)
