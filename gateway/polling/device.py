"""One device as the poller sees it: its groups and their blocks, its plan, schedule and health.

Owns the schema blocks (fixed for the life of the settings) and the plan (which changes with what is
learnt). Groups are points of one poll interval. Never talks to the device and never asks a clock.
"""

from dataclasses import dataclass, replace

from gateway.config.agent import DeviceSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.polling.blocks import Block, Limits, Range, Timing, block_of, items_of, plan
from gateway.polling.health import DeviceHealth
from gateway.polling.poll import Poll
from gateway.polling.schedule import DeviceSchedule
from gateway.reading import Cause, SchemaBlock, SchemaPoint

NOMINAL_TURNAROUND_S = 0.005
"""For the schema, which must be the same at every start, and until a turnaround is learnt."""
PLANS_KEPT = 64
REFUSED_KEPT = 256
RETRY_REFUSED_S = 600.0
"""A refused item is asked for again this rarely: a device may be set up or exchanged."""
REPLAN_FACTOR = 1.3
REPLAN_S = 0.002
"""The plan is made anew when the turnaround has changed by this factor and this much."""


@dataclass(frozen=True, slots=True)
class GroupBlock:
    """A schema block of this device: `points` are indices into its points, in schema order."""

    group: int
    points: tuple[int, ...]
    schema: SchemaBlock


class DevicePolling:
    """Plans one device's polls. `first_block`: index of its first block in the poller's schema."""

    def __init__(
        self,
        settings: DeviceSettings,
        character_s: float,
        silence_s: float,
        start: float,
        first_block: int = 0,
    ) -> None:
        self.settings = settings
        self.first_block = first_block
        self.specs: tuple[PointSpec, ...] = tuple(point.spec for point in settings.points)
        self._timing = Timing(character_s, silence_s, NOMINAL_TURNAROUND_S)
        self._limits = Limits(
            settings.max_registers,
            frozenset((Table(table), first, last) for table, first, last in settings.holes),
        )
        intervals = sorted({point.poll_interval_s for point in settings.points})
        self._members = [
            tuple(i for i, p in enumerate(settings.points) if p.poll_interval_s == interval)
            for interval in intervals
        ]
        self.schedule = DeviceSchedule(intervals, start)
        self.health = DeviceHealth(settings.timeout_s, settings.retries)
        self.blocks = self._group_blocks(intervals)
        self.pending: Poll | None = None
        self._plans: dict[tuple[int, ...], tuple[tuple[Block, ...], tuple[int, ...]]] = {}
        self._retry_at: dict[Range, float] = {}
        self._silent: set[Range] = set()

    def _group_blocks(self, intervals: list[float]) -> tuple[GroupBlock, ...]:
        """Return each group's own blocks under the nominal plan: the same at every start."""
        blocks = []
        for group, interval in enumerate(intervals):
            items = items_of(self.specs, self._limits, self._members[group])
            planned = plan(items, self._timing, self._limits)
            seen: set[int] = set()
            parts = [block.items for block in planned.blocks]
            parts += [(item,) for item in planned.unreadable]
            for part in parts:
                points = dict.fromkeys(p for item in part for p in item.points if p not in seen)
                seen.update(points)
                if points:
                    schema = SchemaBlock(
                        self.settings.name,
                        interval,
                        tuple(schema_point(self.specs[point]) for point in points),
                    )
                    blocks.append(GroupBlock(group, tuple(points), schema))
        return tuple(blocks)

    @property
    def due(self) -> float:
        """Return when this device wants the bus."""
        if self.pending is not None and self.pending.resume_at is not None:
            return self.pending.resume_at
        return self.schedule.due

    def begin(self, groups: tuple[int, ...], now: float) -> Poll:
        """Return a poll of `groups`, with refused items whose time to be retried has come."""
        self._follow_turnaround()
        if groups not in self._plans:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[groups] = self._plan(groups)
        blocks, unreadable = self._plans[groups]
        poll = Poll(groups)
        poll.add(sorted(blocks, key=lambda block: block.range in self._silent))
        self._silent.clear()
        if unreadable:
            retried: set[int] = set()
            for item in items_of(self.specs, self._limits, unreadable):
                if self._retry_at.get(item.range, now + 1) <= now:
                    self._retry_at[item.range] = now + RETRY_REFUSED_S
                    poll.add((block_of((item,)),))
                    retried.update(item.points)
            poll.mark((p for p in unreadable if p not in retried), Cause.EXCEPTION)
        self.pending = poll
        return poll

    def _plan(self, groups: tuple[int, ...]) -> tuple[tuple[Block, ...], tuple[int, ...]]:
        members = sorted(point for group in groups for point in self._members[group])
        planned = plan(items_of(self.specs, self._limits, members), self._timing, self._limits)
        unreadable = {point for item in planned.unreadable for point in item.points}
        return planned.blocks, tuple(sorted(unreadable))

    def _follow_turnaround(self) -> None:
        learnt = self.health.turnaround_s
        if learnt is None:
            return
        low, high = sorted((learnt, self._timing.turnaround_s))
        if high > low * REPLAN_FACTOR and high > low + REPLAN_S:
            self._timing = replace(self._timing, turnaround_s=learnt)
            self._plans.clear()

    def note_silent(self, block: Block | None) -> None:
        """Ask for `block` last in the next poll: the others tell whether the device is there."""
        if block is not None:
            self._silent.add(block.range)

    def learn(self, poll: Poll, now: float) -> tuple[Range, ...]:
        """Take over what a finished poll taught; return what is refused anew."""
        refused = self._limits.refused
        new = tuple(r for r in dict.fromkeys(poll.learnt) if r not in refused)
        given = {r for r in poll.accepted if r in refused}
        for one in poll.learnt:
            self._retry_at[one] = now + RETRY_REFUSED_S
        if new or given:
            kept = (refused | set(new)) - given
            if len(kept) > REFUSED_KEPT:  # a device that refuses at random: start afresh
                kept = frozenset(new)
            self._limits = replace(self._limits, refused=kept)
            self._retry_at = {r: at for r, at in self._retry_at.items() if r in kept}
            self._plans.clear()
        return new


_PLACES = {float(f"1e-{places}"): f"d{places}" for places in range(1, 10)}
"""Scales of integer registers that are decimal places: such a value is sent exactly, as the
register's integer (`docs/protocol.md` §Schemas)."""


def schema_point(spec: PointSpec) -> SchemaPoint:
    """Return how a point is announced: its name, unit and what its values are packed as."""
    return SchemaPoint(spec.name, spec.unit, _packed_as(spec))


def _packed_as(spec: PointSpec) -> str:
    if spec.type is DataType.BOOL or spec.bit is not None or spec.table.is_bits:
        return "bool"
    if spec.type in (DataType.STR, DataType.ENUM):
        return "str"
    if spec.type is DataType.F32:
        return "f32"
    scaled = spec.scale != 1.0 or spec.offset or spec.binary_scale
    moved = spec.offset or spec.binary_scale or spec.scale_register is not None
    if spec.scale in _PLACES and not moved and spec.type is not DataType.F64:
        return _PLACES[spec.scale]
    if spec.type is DataType.F64 or scaled or spec.scale_register is not None:
        return "f64"
    return "i64"
