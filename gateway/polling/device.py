"""One device as the poller sees it: its groups and their blocks, its plan, schedule and health.

Owns the schema blocks (fixed for the life of the settings) and the plan (which changes with what is
learnt). Groups are points of one poll interval. Never talks to the device and never asks a clock.
"""

from dataclasses import dataclass, replace
from math import inf

from gateway.config.agent import DeviceSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.polling.blocks import (
    Block,
    Item,
    Limits,
    Plan,
    Range,
    Timing,
    block_of,
    items_of,
    overlaps,
    plan,
)
from gateway.polling.health import DeviceHealth
from gateway.polling.poll import Poll
from gateway.polling.schedule import DeviceSchedule
from gateway.polling.silence import Found, SilentBlocks
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
        self._limits = limits_of(settings)
        self._holes = self._limits.holes
        groups = groups_of(settings)
        self._members = [members for _, members in groups]
        self.schedule = DeviceSchedule([interval_s for interval_s, _ in groups], start)
        self.health = DeviceHealth(settings.timeout_s, settings.retries)
        self.silent = SilentBlocks()
        self.blocks = self._group_blocks()
        self.block_of = {p: i for i, block in enumerate(self.blocks) for p in block.points}
        self.pending: Poll | None = None
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._retry_at: dict[Range, float] = {}
        self._probes = 0

    def _group_blocks(self) -> tuple[GroupBlock, ...]:
        """Return each group's own blocks under the nominal plan: the same at every start."""
        blocks = []
        for group, grid in enumerate(self.schedule.grids):
            planned = self._plan((group,))
            seen: set[int] = set()
            parts = [block.items for block in planned.blocks]
            parts += [(item,) for item in planned.unreadable]
            for part in parts:
                points = dict.fromkeys(p for item in part for p in item.points if p not in seen)
                seen.update(points)
                if points:
                    schema = SchemaBlock(
                        self.settings.name,
                        grid.interval_s,
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

    def is_probe_due(self, now: float) -> bool:
        """Say whether what this device wants the bus for is a probe of whether it is back."""
        return self.health.demoted and self.health.may_ask(now)

    def begin(self, groups: tuple[int, ...], now: float) -> Poll:
        """Return a poll of `groups`, with what was refused and may be asked again by now.

        Blocks that were silent are asked last: the others tell whether the device is there.
        """
        self._follow_turnaround()
        if groups not in self._plans:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[groups] = self._plan(groups)
        planned = self._plans[groups]
        poll = self.pending = Poll(groups, probing=self.health.demoted)
        if poll.probing:
            self._probe_one(poll, planned.blocks)
        poll.add(sorted(planned.blocks, key=self.silent.count))
        if not poll.probing:
            members = {point for group in groups for point in self._members[group]}
            poll.probed = self.silent.to_probe(members, now)
        probed = frozenset[Item]() if poll.probed is None else frozenset(poll.probed.items)
        for item in planned.unreadable:
            if overlaps(item.range, self.silent.ranges):
                if item not in probed:
                    poll.mark(item.points, Cause.NO_REPLY)
            elif self._retry_at.get(item.range, inf) <= now:
                self._retry_at[item.range] = now + RETRY_REFUSED_S
                poll.add((block_of((item,)),))
            else:
                poll.mark(item.points, Cause.EXCEPTION)
        if poll.probed is not None:
            poll.add((poll.probed,), search=True)
        return poll

    def _probe_one(self, poll: Poll, blocks: tuple[Block, ...]) -> None:
        """Let every other probe of a demoted device begin with a single item, another each time.

        A device whose one block holds a register that silences it would never be found else.
        """
        items = [item for block in blocks for item in block.items]
        self._probes += 1
        if self._probes % 2 == 0 and len(items) > 1:
            poll.add((block_of((items[self._probes // 2 % len(items)],)),))

    def _plan(self, groups: tuple[int, ...]) -> Plan:
        members = sorted(point for group in groups for point in self._members[group])
        return plan(items_of(self.specs, self._limits, members), self._timing, self._limits)

    def _follow_turnaround(self) -> None:
        learnt = self.health.turnaround_s
        if learnt is None:
            return
        low, high = sorted((learnt, self._timing.turnaround_s))
        if high > low * REPLAN_FACTOR and high > low + REPLAN_S:
            self._timing = replace(self._timing, turnaround_s=learnt)
            self._plans.clear()

    def learn(self, poll: Poll, now: float) -> tuple[tuple[Range, ...], Found]:
        """Take over what a finished poll taught; return what is refused anew, and the blocks that
        were demoted or answer again."""
        refused = self._limits.refused
        new = tuple(r for r in dict.fromkeys(poll.learnt) if r not in refused)
        given = refused.intersection(poll.accepted)
        for one in poll.learnt:
            self._retry_at[one] = now + RETRY_REFUSED_S
        kept = refused
        if new or given:
            kept = (refused | set(new)) - given
            if len(kept) > REFUSED_KEPT:  # a device that refuses at random: start afresh
                kept = frozenset(new)
            self._retry_at = {r: at for r, at in self._retry_at.items() if r in kept}
        found = self.silent.learn(poll, now)
        holes = self._holes | self.silent.ranges
        if kept != refused or holes != self._limits.holes:
            self._limits = replace(self._limits, refused=kept, holes=holes)
            self._plans.clear()
        return new, found


def groups_of(settings: DeviceSettings) -> list[tuple[float, tuple[int, ...]]]:
    """Return each poll interval of a device with the indices of its points, shortest first."""
    points = settings.points
    return [
        (interval_s, tuple(i for i, p in enumerate(points) if p.poll_interval_s == interval_s))
        for interval_s in sorted({point.poll_interval_s for point in points})
    ]


def limits_of(settings: DeviceSettings) -> Limits:
    """Return what the settings say that the device takes."""
    holes = frozenset((Table(table), first, last) for table, first, last in settings.holes)
    return Limits(settings.max_registers, holes)


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
