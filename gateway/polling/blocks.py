"""Which points are read together: the exact plan of a device's read blocks.

Owns items (points whose registers overlap), the plan (least bus time) and what refusals teach.
Never talks to a device. A block costs its characters, the device's turnaround and the silence after
it, so a gap may be worth reading through; a hole never is.

Source: Modbus application protocol V1.1b3 §6.1–6.4 (limits), §7 (exception 2); Modbus over serial
line V1.02 §2.5.1 (t3.5).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from gateway.modbus.point import MAX_READ_BITS, MAX_READ_REGISTERS, PointSpec, Table

OVERHEAD_CHARACTERS = 13
"""A read's request (8) and what its reply carries beside the data (5)."""

Range = tuple[Table, int, int]
"""(table, first, last): addresses, both inclusive."""


def overlaps(one: Range, others: Iterable[Range]) -> bool:
    """Say whether a range touches one of others."""
    table, first, last = one
    return any(t is table and low <= last and high >= first for t, low, high in others)


@dataclass(frozen=True, slots=True)
class Timing:
    """What a transaction costs beside its data. `silence_s` is t3.5."""

    character_s: float
    silence_s: float
    turnaround_s: float

    def cost(self, table: Table, count: int) -> float:
        """Return the bus seconds of one read of `count` registers or bits."""
        data = (count + 7) // 8 if table.is_bits else 2 * count
        fixed = OVERHEAD_CHARACTERS * self.character_s + self.turnaround_s + self.silence_s
        return fixed + data * self.character_s


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device takes: the longest read, and ranges that must never be read.

    `holes` are never touched (marked by the profile, or found silent). A block never contains the
    whole of a `refused` range (learnt).
    """

    max_registers: int = MAX_READ_REGISTERS
    holes: frozenset[Range] = frozenset()
    refused: frozenset[Range] = frozenset()

    def longest(self, table: Table) -> int:
        """Return how many registers or bits one read may ask for."""
        return MAX_READ_BITS if table.is_bits else self.max_registers

    def allows(self, table: Table, first: int, last: int) -> bool:
        """Say whether one read of `first` to `last` is within every limit."""
        if last - first >= self.longest(table):
            return False
        if overlaps((table, first, last), self.holes):
            return False
        return not any(
            t is table and first <= low and high <= last for t, low, high in self.refused
        )

    def furthest(self, table: Table, first: int) -> int:
        """Return the last address that one read starting at `first` may reach.

        Valid for a `first` that lies in no hole.
        """
        last = first + self.longest(table) - 1
        for held, low, _ in self.holes:
            if held is table and low > first:
                last = min(last, low - 1)
        for held, low, high in self.refused:
            if held is table and low >= first:
                last = min(last, high - 1)
        return last


@dataclass(frozen=True, slots=True)
class Item:
    """Addresses that are read as one: one point, or several that overlap.

    `points` are indices into the sequence of points given; a point with a scale register is in two
    items.
    """

    table: Table
    first: int
    last: int
    points: tuple[int, ...]

    @property
    def range(self) -> Range:
        return self.table, self.first, self.last


@dataclass(frozen=True, slots=True)
class Block:
    """One read: contiguous addresses that cover its items."""

    table: Table
    address: int
    count: int
    items: tuple[Item, ...]

    @property
    def range(self) -> Range:
        return self.table, self.address, self.address + self.count - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Blocks to read, and items that no block may cover (refused, or in a hole)."""

    blocks: tuple[Block, ...]
    unreadable: tuple[Item, ...] = ()


def items_of(points: Sequence[PointSpec], limits: Limits, only: Iterable[int]) -> list[Item]:
    """Return the items of the points `only` names, by table and address."""
    spans: list[tuple[int, int, int, int]] = []
    for index in only:
        spec = points[index]
        last = spec.address + (0 if spec.table.is_bits else spec.registers - 1)
        spans.append((spec.table.value, spec.address, last, index))
        if spec.scale_register is not None:
            spans.append((spec.table.value, spec.scale_register, spec.scale_register, index))
    items: list[Item] = []
    for number, first, last, index in sorted(spans):
        table = Table(number)
        if items and items[-1].table is table and first <= items[-1].last:
            whole = max(last, items[-1].last)
            if limits.allows(table, items[-1].first, whole):
                held = items[-1]
                points_held = held.points if index in held.points else (*held.points, index)
                items[-1] = Item(table, held.first, whole, points_held)
                continue
        items.append(Item(table, first, last, (index,)))
    return items


def plan(items: Sequence[Item], timing: Timing, limits: Limits) -> Plan:
    """Return the blocks of least bus time that cover every item exactly once.

    `items` by table and first address. Dynamic programming over where the last block starts; that
    blocks of neighbours suffice follows from exchange: a block reaching over another whole one
    could take its items for nothing.
    """
    unreadable = tuple(item for item in items if not limits.allows(*item.range))
    readable = [item for item in items if limits.allows(*item.range)]
    furthest = [limits.furthest(item.table, item.first) for item in readable]
    best = [0.0] + [inf] * len(readable)
    start = [0] * (len(readable) + 1)
    for end in range(1, len(readable) + 1):
        table, last = readable[end - 1].table, -1
        for begin in range(end - 1, -1, -1):
            item = readable[begin]
            last = max(last, item.last)
            if item.table is not table or last > furthest[begin]:
                break  # a longer one holds the same hole, refusal or excess
            cost = best[begin] + timing.cost(table, last - item.first + 1)
            if cost < best[end] - 1e-12:
                best[end], start[end] = cost, begin
    blocks: list[Block] = []
    end = len(readable)
    while end:
        blocks.append(block_of(readable[start[end] : end]))
        end = start[end]
    return Plan(tuple(reversed(blocks)), unreadable)


def block_of(items: Sequence[Item]) -> Block:
    """Return the block that covers `items` and nothing beyond them."""
    first, last = items[0].first, max(item.last for item in items)
    return Block(items[0].table, first, last - first + 1, tuple(items))


def halves(block: Block) -> tuple[Block, Block] | None:
    """Return a refused block in two, or ``None`` if it is one item: that item is refused."""
    if len(block.items) < 2:
        return None
    middle = len(block.items) // 2
    return block_of(block.items[:middle]), block_of(block.items[middle:])


def refusal(block: Block, left: Block, right: Block) -> Range:
    """Return what a refusal teaches when both halves were given: the step between them.

    Either an address between two items does not exist or the device takes no read as long; both
    are kept by never reading the two neighbours of the step together.
    """
    return block.table, left.items[-1].first, right.items[0].last


def plan_cost(blocks: Iterable[Block], timing: Timing) -> float:
    """Return the bus seconds that reading `blocks` once takes."""
    return sum(timing.cost(block.table, block.count) for block in blocks)
