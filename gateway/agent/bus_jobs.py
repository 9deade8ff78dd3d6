"""What a technician's command does on a bus: read a device's points once, write one point.

Owns the transactions of such a job and its result, registers beside values. Runs in the bus thread
of the running agent (`BusThread.submit`), or on a bus of the command's own when no agent runs. Who
may write what is decided here, by the point's settings, before anything is sent.
"""

import select
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from gateway.agent.bus import Bus
from gateway.agent.discovery import read_next
from gateway.config.agent import DeviceSettings, PointSettings
from gateway.errors import (
    BadFrameError,
    BusError,
    DeviceExceptionError,
    NoReplyError,
    PortLostError,
    RefusedError,
)
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.modbus.request import Reply, Request, read_request, write_coils, write_registers
from gateway.modbus.values import decode, write_point
from gateway.polling.blocks import Block, Timing, block_of, halves, items_of, plan
from gateway.polling.device import limits_of
from gateway.polling.discovering import Discovering
from gateway.polling.load import USUAL_TURNAROUND_S
from gateway.process.control_messages import PointRead, ReadResult, WriteResult
from gateway.reading import Cause, Value

TIMEOUT_S = 1.0
"""For a device whose settings name none: a technician waits rather than being told a falsehood."""
MAX_FRAMES = 512
MAX_NAMED = 20
"""Names listed where one is unknown."""
WALK_S = 15.0
"""A device that has not said what it has by then is not waited for."""
READ_BACKS = 4
READ_BACK_S = 0.1
"""A device may take a moment until a written value shows."""
ILLEGAL_FUNCTION = 1
_WRITE_COIL, _WRITE_REGISTER, _WRITE_COILS, _WRITE_REGISTERS = 5, 6, 15, 16

_Cells = dict[tuple[Table, int], int]


def read_points(bus: Bus, device: DeviceSettings, specs: Sequence[PointSpec]) -> ReadResult:
    """Read points of a device now. What fails is in the result, never raised."""
    started = bus.clock.now()
    cells: _Cells = {}
    failed: dict[tuple[Table, int], tuple[Cause, str]] = {}
    with _frames(bus) as frames:
        for block in _blocks(bus, device, specs):
            _read(bus, device, block, cells, failed)
    points = tuple(_point(spec, cells, failed) for spec in specs)
    took_s = bus.clock.now() - started
    return ReadResult(
        device.name, device.unit_id, bus.settings.name, points, _joined(frames), took_s
    )


def write_value(bus: Bus, device: DeviceSettings, point: PointSettings, text: str) -> WriteResult:
    """Write `text` to a point and read it back.

    Raises: RefusedError (not writable, outside its limits), BusError when the device does not take
    it.
    """
    spec = point.spec
    value = checked(device, point, text)
    with _frames(bus) as frames:
        before, factor = _one(bus, device, spec)
        try:
            request = write_point(device.unit_id, spec, value, factor)
        except ValueError as error:
            raise RefusedError(f"{device.name}.{error}") from None
        request, words = _write(bus, device, request)
        after = _read_back(bus, device, spec, words)
    return WriteResult(
        device.name,
        device.unit_id,
        bus.settings.name,
        request.function,
        words,
        before,
        after,
        after.registers == words,
        frames=_joined(frames),
    )


def checked(device: DeviceSettings, point: PointSettings, text: str) -> float | int | bool | str:
    """Return the value that `text` means for a point. Raises: RefusedError with the cure."""
    name, limits = f"{device.name}.{point.spec.name}", point.write
    if limits is None:
        raise RefusedError(
            f"{name}: the config does not mark it writable; add writable = true with write_min and "
            "write_max to its [[bus.device.point]], check, reload"
        )
    value = _parsed(name, point.spec, text)
    reason = limits.refusal(value)
    if reason is not None:
        raise RefusedError(f"{name}: {reason}; give a value within, or change the limits")
    return value


def split(sources: Collection[str], name: str) -> tuple[str, str]:
    """Return the source (device or serial source) and the point that ``source`` or
    ``source.point`` means; no point is "".

    Names may hold dots themselves: the longest source that fits is meant. Raises: RefusedError.
    """
    for at in (len(name), *(i for i in range(len(name) - 1, 0, -1) if name[i] == ".")):
        if name[:at] in sources:
            return name[:at], name[at + 1 :]
    known = ", ".join(sorted(sources)[:MAX_NAMED]) or "none"
    raise RefusedError(f"{name}: there is no such device; the config has {known}")


def point_of(device: DeviceSettings, name: str) -> PointSettings | None:
    """Return a point of a device, ``None`` for the name "". Raises: RefusedError."""
    if not name:
        return None
    for point in device.points:
        if point.spec.name == name:
            return point
    raise RefusedError(no_such_point(device.name, name, [p.spec.name for p in device.points]))


def no_such_point(source: str, name: str, known: Sequence[str]) -> str:
    """Say that a source has no point of that name, and which it has."""
    more = f", … {len(known)} in all" if len(known) > MAX_NAMED else ""
    return (
        f"{source}.{name}: {source} has no such point; it has {', '.join(known[:MAX_NAMED])}{more}"
    )


def with_points(bus: Bus, device: DeviceSettings) -> DeviceSettings:
    """Return a device with its points: one that says itself which it has is asked (SunSpec).

    Raises: RefusedError when it is not found.
    """
    if device.discover_s is None:
        return device
    walk = Discovering(device, bus.clock.now())
    until = bus.clock.now() + WALK_S
    failed: Cause | None = None
    while walk.found is None and failed is None:
        wait_s = walk.due - bus.clock.now()
        if bus.stopping or bus.clock.now() + max(0.0, wait_s) > until:
            failed = Cause.NO_REPLY
            break
        select.select((), (), (), max(0.0, wait_s))
        failed = read_next(bus, walk)
    if walk.found is None:
        cause = "" if failed is None else f" ({failed.name.lower()})"
        raise RefusedError(
            f"{device.name}: unit id {device.unit_id} on {bus.settings.name} says nothing of the "
            f"points it has{cause}; is it on, and does it speak SunSpec?"
        )
    return walk.found


# --- reading ------------------------------------------------------------------------------------


def _blocks(bus: Bus, device: DeviceSettings, specs: Sequence[PointSpec]) -> list[Block]:
    limits = limits_of(device)
    timing = Timing(bus.settings.character_s, 0.002, USUAL_TURNAROUND_S)
    planned = plan(items_of(specs, limits, range(len(specs))), timing, limits)
    return [*planned.blocks, *(block_of((item,)) for item in planned.unreadable)]


def _read(
    bus: Bus,
    device: DeviceSettings,
    block: Block,
    cells: _Cells,
    failed: dict[tuple[Table, int], tuple[Cause, str]],
) -> None:
    """Read a block; a refused one in halves, so that one register does not hide the others."""
    places = [(block.table, block.address + i) for i in range(block.count)]
    request = read_request(device.unit_id, block.table, block.address, block.count)
    try:
        reply = _transact(bus, device, request)
    except DeviceExceptionError as error:
        parts = halves(block)
        if parts is None:
            failed.update(dict.fromkeys(places, (Cause.EXCEPTION, str(error))))
            return
        for part in parts:
            _read(bus, device, part, cells, failed)
    except BusError as error:
        failed.update(dict.fromkeys(places, (_cause(error), str(error))))
    else:
        got = tuple(map(int, reply.bits)) if block.table.is_bits else reply.registers
        cells.update(zip(places, got, strict=True))


def _cause(error: BusError) -> Cause:
    if isinstance(error, PortLostError):
        return Cause.PORT_LOST
    return Cause.BAD_FRAME if isinstance(error, BadFrameError) else Cause.NO_REPLY


def _transact(bus: Bus, device: DeviceSettings, request: Request) -> Reply:
    """One transaction, repeated once when it was lost or damaged."""
    timeout_s = TIMEOUT_S if device.timeout_s is None else device.timeout_s
    try:
        return bus.transact(request, timeout_s)
    except (NoReplyError, BadFrameError):
        return bus.transact(request, timeout_s)


def _point(
    spec: PointSpec, cells: _Cells, failed: dict[tuple[Table, int], tuple[Cause, str]]
) -> PointRead:
    count = 1 if spec.table.is_bits else spec.registers
    table = spec.table.name.lower()
    places = [(spec.table, spec.address + i) for i in range(count)]
    registers = tuple(cells[place] for place in places if place in cells)
    if len(registers) < count:
        cause, text = next(
            (failed[place] for place in places if place in failed), (Cause.NO_REPLY, "not read")
        )
        return PointRead(
            spec.name, spec.unit, table, spec.address, cause=cause.name.lower(), text=text
        )
    value, cause = decode(spec, registers, _factor(spec, cells))
    return PointRead(
        spec.name,
        spec.unit,
        table,
        spec.address,
        registers,
        value,
        cause.quality.name.lower(),
        "" if cause is Cause.NONE else cause.name.lower(),
        decimals=spec.decimals,
    )


def _factor(spec: PointSpec, cells: _Cells) -> int | None:
    return None if spec.scale_register is None else cells.get((spec.table, spec.scale_register))


# --- writing ------------------------------------------------------------------------------------


def _parsed(name: str, spec: PointSpec, text: str) -> float | int | bool | str:
    if spec.table.is_bits or spec.type is DataType.BOOL:
        if text.lower() in ("1", "true", "on"):
            return True
        if text.lower() in ("0", "false", "off"):
            return False
        raise RefusedError(f"{name}: {text!r} is neither on nor off; give on or off")
    if spec.type is DataType.ENUM:
        names = [word for _, word in spec.enum]
        if text not in names:
            raise RefusedError(f"{name}: {text!r} is none of {', '.join(names)}")
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise RefusedError(f"{name}: {text!r} is no number; write it as 21.5") from None


def _one(bus: Bus, device: DeviceSettings, spec: PointSpec) -> tuple[PointRead, int | None]:
    """Read one point and its scale factor."""
    cells: _Cells = {}
    failed: dict[tuple[Table, int], tuple[Cause, str]] = {}
    for block in _blocks(bus, device, (spec,)):
        _read(bus, device, block, cells, failed)
    return _point(spec, cells, failed), _factor(spec, cells)


def _write(bus: Bus, device: DeviceSettings, request: Request) -> tuple[Request, tuple[int, ...]]:
    """Send a write once (never twice unasked: a register may count its writes).

    Some devices know only the functions for several (15, 16): tried when 5 or 6 is refused as
    unknown.
    """
    timeout_s = TIMEOUT_S if device.timeout_s is None else device.timeout_s
    words = _words(request)
    try:
        bus.transact(request, timeout_s)
    except DeviceExceptionError as error:
        if error.code != ILLEGAL_FUNCTION or request.function not in (_WRITE_COIL, _WRITE_REGISTER):
            raise
        unit_id, address = device.unit_id, request.address
        if request.function == _WRITE_COIL:
            request = write_coils(unit_id, address, [bool(words[0])])
        else:
            request = write_registers(unit_id, address, words)
        bus.transact(request, timeout_s)
    return request, words


def _words(request: Request) -> tuple[int, ...]:
    """Return what a write request puts into the device."""
    if request.function == _WRITE_COIL:
        return (int(request.frame[4] == 0xFF),)
    data = request.frame[4:6] if request.function == _WRITE_REGISTER else request.frame[7:-2]
    return tuple(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))


def _read_back(
    bus: Bus, device: DeviceSettings, spec: PointSpec, words: tuple[int, ...]
) -> PointRead:
    after, _ = _one(bus, device, spec)
    for _ in range(READ_BACKS - 1):
        if after.registers == words or bus.stopping:
            break
        select.select((), (), (), READ_BACK_S)
        after, _ = _one(bus, device, spec)
    return after


# --- frames ---------------------------------------------------------------------------------------


@contextmanager
def _frames(bus: Bus) -> Iterator[list[tuple[str, bytes]]]:
    """Gather what goes over the wire meanwhile."""
    seen: list[tuple[str, bytes]] = []

    def note(way: str, data: bytes) -> None:
        if len(seen) < MAX_FRAMES * 32:
            seen.append((way, data))

    bus.trace = note
    try:
        yield seen
    finally:
        bus.trace = None


def _joined(seen: Sequence[tuple[str, bytes]]) -> tuple[tuple[str, str], ...]:
    """Put the pieces of each frame together, in hex."""
    whole: list[tuple[str, bytes]] = []
    for way, data in seen:
        if whole and whole[-1][0] == way == "in":
            whole[-1] = (way, whole[-1][1] + data)
        else:
            whole.append((way, data))
    return tuple((way, data.hex(" ")) for way, data in whole[:MAX_FRAMES])


def shown_value(value: Value) -> str:
    """Return a value as an event or a line shows it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
