"""What a poll is handed on as."""

from gateway.config.agent import DeviceSettings, PointSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.polling.device import DevicePolling
from gateway.polling.rows import take_rows, unasked
from gateway.reading import TICK_NS, Cause, Row

SPECS = (
    PointSpec("a", Table.INPUT, 0, DataType.U16),
    PointSpec("b", Table.INPUT, 1, DataType.S16, scale_register=2),
    PointSpec("far", Table.INPUT, 900, DataType.U16),
    PointSpec("slow", Table.INPUT, 3, DataType.U16),
)
NOW_NS = 99 * TICK_NS + 1


def device() -> DevicePolling:
    points = tuple(PointSettings(s, 5.0 if s.name == "slow" else 1.0) for s in SPECS)
    return DevicePolling(DeviceSettings("d", 1, points), 11 / 19200, 0.002, 0.0, first_block=10)


def test_each_block_has_the_time_of_its_own_reply() -> None:
    """Blocks of one poll that came with two replies carry two times; only the groups polled are
    there; numbers start at the device's first block."""
    polling = device()
    poll = polling.begin((0,), 0.0)
    poll.given((7, 0xFFFF, 1), 5 * TICK_NS + 3)
    poll.given((8,), 6 * TICK_NS)
    assert take_rows(polling, poll, NOW_NS) == [
        Row(10, 5 * TICK_NS, (7, -10.0)),
        Row(11, 6 * TICK_NS, (8,)),
    ]


def test_groups_read_together_share_a_time() -> None:
    """Points of two intervals in one reply make two rows with one time."""
    polling = device()
    poll = polling.begin((0, 1), 0.0)
    poll.given((7, 3, 0, 4), 5 * TICK_NS)
    poll.give_up(Cause.NO_REPLY)
    rows = take_rows(polling, poll, NOW_NS)
    assert rows[0] == Row(10, 5 * TICK_NS, (7, 3.0))
    assert rows[1] == Row(11, 99 * TICK_NS, (None,), (Cause.NO_REPLY,))
    assert rows[2] == Row(12, 5 * TICK_NS, (4,))


def test_what_was_not_asked_has_its_cause() -> None:
    """A poll that was not made gives bad readings with the cause and the time of now."""
    polling = device()
    rows = take_rows(polling, unasked(polling, (1,), Cause.DEVICE_DOWN), NOW_NS)
    assert rows == [Row(12, 99 * TICK_NS, (None,), (Cause.DEVICE_DOWN,))]
