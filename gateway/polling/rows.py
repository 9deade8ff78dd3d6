"""What a poll is handed on as: one row for each schema block of its groups.

Owns when a row is complete and putting values, causes and source times together; what registers
mean is `gateway.modbus.values`'s. A point that was not read has a cause, never silence.
"""

from collections.abc import Iterable

from gateway.modbus.values import decode
from gateway.polling.device import DevicePolling, GroupBlock
from gateway.polling.poll import Poll
from gateway.reading import TICK_NS, Cause, Row, Value


def take_rows(device: DevicePolling, poll: Poll, now_ns: int) -> list[Row]:
    """Return the rows that are complete and were not taken yet; of a poll that is over, the rest.

    A row's source time is the last reply that one of its good points came with, rounded down to
    `TICK_NS`; `now_ns` (CLOCK_BOOTTIME) where nothing was read.
    """
    rows = []
    if poll.current is None:
        numbers: Iterable[int] = range(len(device.blocks))
    else:  # a poll of many blocks must not look through all of them after each
        numbers = sorted({device.block_of[point] for point in poll.touched})
    poll.touched.clear()
    for number in numbers:
        block = device.blocks[number]
        wanted = block.group in poll.groups and number not in poll.sent
        if wanted and poll.is_settled(block.points):
            poll.sent.add(number)
            rows.append(_row(device, block, device.first_block + number, poll, now_ns))
    return rows


def unasked(device: DevicePolling, groups: tuple[int, ...], cause: Cause) -> Poll:
    """Return a poll that was not made, for `cause`."""
    poll = Poll(groups)
    poll.mark(range(len(device.specs)), cause)
    return poll


def _row(device: DevicePolling, block: GroupBlock, index: int, poll: Poll, now_ns: int) -> Row:
    values: list[Value] = []
    causes: list[Cause] = []
    at_ns = 0
    for point in block.points:
        value, cause = _reading(device, poll, point)
        if point not in poll.causes:
            at_ns = max(at_ns, poll.times[point])
        values.append(value)
        causes.append(cause)
    source_time_ns = (at_ns or now_ns) // TICK_NS * TICK_NS
    return Row(index, source_time_ns, tuple(values), tuple(causes) if any(causes) else None)


def _reading(device: DevicePolling, poll: Poll, point: int) -> tuple[Value, Cause]:
    cause = poll.causes.get(point)
    if cause is not None:
        return None, cause
    spec = device.specs[point]
    return decode(spec, poll.registers(point, spec), poll.factor(point, spec))
