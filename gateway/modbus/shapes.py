"""Shapes: how a late reply is kept from being mistaken for the one we wait for.

A read reply carries unit id, function and byte count, but no address. Two requests to one unit that
share (function, byte count) - the *shape* - are told apart only when they ask for the same address,
so no request is sent while another of its shape may still be answered: it is lengthened by a few
registers instead, and the reply cut back. Every failed request counts as still outstanding, and the
last few answered ones too (a server may answer twice). Where a device refuses the longer read, the
time in which a late reply may come is waited out.

Pure. Source: measured, see `docs/decisions/bus.md`.
"""

from collections import deque
from dataclasses import dataclass

from gateway.modbus.point import MAX_READ_BITS, MAX_READ_REGISTERS, Table
from gateway.modbus.request import Request, read_request

RECENT_REQUESTS = 3
"""Answered requests to a unit whose second answer is still thought possible."""
RECENT_S = 1.0
"""And for how long."""
LATE_TIMEOUTS = 4.0
"""A reply later than this many time-outs after its request is thought impossible."""
MIN_LATE_S = 0.5
MAX_FAILED = 16
"""Failed requests remembered for one unit."""
MAX_EXTRA = 8
"""Steps by which a read is lengthened at most."""
MAX_LEARNT = 512
"""Blocks of one unit for which something is remembered about longer reads."""


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """What a device allows. `step`: registers by which a read may be lengthened, 0: never.

    `holes`: (function code, first, last) that must not be read.
    """

    step: int = 1
    max_registers: int = MAX_READ_REGISTERS
    holes: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What to send. `clear_at`: not before this time."""

    request: Request
    clear_at: float


@dataclass(slots=True)
class _Sent:
    """A request that may still be answered until `until`."""

    request: Request
    until: float


class _Unit:
    """What one unit may still answer, and what is known of its longer reads."""

    __slots__ = ("failed", "learnt", "limits", "recent")

    def __init__(self, limits: UnitLimits) -> None:
        self.limits = limits
        self.failed: deque[_Sent] = deque(maxlen=MAX_FAILED)
        self.recent: deque[_Sent] = deque(maxlen=RECENT_REQUESTS)
        # (function, address, count) → may it be lengthened: True proven, False refused.
        self.learnt: dict[tuple[int, int, int], bool] = {}


class Shapes:
    """The shapes in use on one bus."""

    def __init__(self, limits: dict[int, UnitLimits]) -> None:
        self._limits = limits
        self._units: dict[int, _Unit] = {}

    def choose(self, request: Request, now: float) -> Choice:
        """Return what to send for `request`, and from when on."""
        unit = self._unit(request.unit_id)
        failed = [sent.request for sent in unit.failed if sent.until > now]
        recent = [sent.request for sent in unit.recent if sent.until > now]
        if not failed and not recent:
            return Choice(request, now)
        for longer in self._lengthened(unit, request) if request.is_read else [request]:
            if not _clashes(longer, failed) and not _clashes(longer, recent):
                return Choice(longer, now)
        until = [
            sent.until
            for sent in unit.failed
            if sent.until > now and _clashes(request, [sent.request])
        ]
        return Choice(request, max(until, default=now))

    def ambiguous(self, request: Request, now: float) -> bool:
        """Tell whether an exception may answer an earlier request: it names no address."""
        return any(
            sent.until > now
            and sent.request.function == request.function
            and sent.request.address != request.address
            for sent in self._unit(request.unit_id).failed
        )

    def answered(self, asked: Request, sent: Request, now: float) -> None:
        """Note a good reply (or a clear exception) to `sent`, which stood for `asked`."""
        unit = self._unit(asked.unit_id)
        unit.recent.append(_Sent(sent, now + RECENT_S))
        if sent.count > asked.count:
            self._learn(unit, asked, True)

    def failed(self, asked: Request, sent: Request, now: float, timeout_s: float) -> None:
        """Note that `sent` was not answered (well): the answer may still come."""
        unit = self._unit(asked.unit_id)
        late_s = max(MIN_LATE_S, LATE_TIMEOUTS * timeout_s)
        unit.failed.append(_Sent(sent, now + late_s))
        if sent.count > asked.count and not unit.learnt.get(_key(asked)):
            # Some devices are silent instead of refusing: ask without the extra next time.
            self._learn(unit, asked, False)
        elif sent.count == asked.count and unit.learnt.get(_key(asked)) is False:
            del unit.learnt[_key(asked)]  # the plain read fails as well: that taught nothing

    def refused(self, asked: Request) -> None:
        """Note that the device refused the longer read."""
        self._learn(self._unit(asked.unit_id), asked, False)

    def _learn(self, unit: _Unit, asked: Request, works: bool) -> None:
        if len(unit.learnt) >= MAX_LEARNT:
            unit.learnt.pop(next(iter(unit.learnt)))
        unit.learnt[_key(asked)] = works

    def _unit(self, unit_id: int) -> _Unit:
        unit = self._units.get(unit_id)
        if unit is None:
            unit = self._units[unit_id] = _Unit(self._limits.get(unit_id, UnitLimits()))
        return unit

    def _lengthened(self, unit: _Unit, request: Request) -> list[Request]:
        """Return the request itself and its longer forms that the device may allow."""
        forms, limits = [request], unit.limits
        if limits.step == 0 or unit.learnt.get(_key(request)) is False:
            return forms
        table = Table(request.function)
        step = 8 * limits.step if table.is_bits else limits.step
        longest = MAX_READ_BITS if table.is_bits else min(limits.max_registers, MAX_READ_REGISTERS)
        for extra in range(step, MAX_EXTRA * step + 1, step):
            count = request.count + extra
            last = request.address + count - 1
            if count > longest or last > 0xFFFF or _in_hole(limits, request, last):
                break
            forms.append(read_request(request.unit_id, table, request.address, count))
        return forms


def _key(request: Request) -> tuple[int, int, int]:
    return request.function, request.address, request.count


def _clashes(request: Request, others: list[Request]) -> bool:
    """Tell whether a reply to one of `others` would look like the reply to `request`."""
    if request.is_read:
        return any(
            other.function == request.function
            and other.byte_count == request.byte_count
            and other.address != request.address
            for other in others
        )
    # FC 15 and 16 are answered with address and quantity: the values may differ (§6.11, §6.12).
    return any(other.echoed == request.echoed and other.frame != request.frame for other in others)


def _in_hole(limits: UnitLimits, request: Request, last: int) -> bool:
    return any(
        function == request.function and first <= last and request.address <= end
        for function, first, end in limits.holes
    )
