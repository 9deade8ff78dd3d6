"""One asking of one device: the blocks still to read, what came back, what refusals taught.

Owns the course of a poll as a state machine without time or wire: the driver reads `current`, says
how the transaction ended (`given`, `refused`, `give_up`), and takes the result per point. A refused
block is halved until the refused item stands alone.

Source: Modbus application protocol V1.1b3 §7 (exceptions 2 and 3).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.modbus.point import PointSpec, Table
from gateway.polling.blocks import Block, Range, halves, refusal
from gateway.reading import Cause

MAX_EXTRA = 32
"""Transactions a poll may spend on halving; what is left is found by the next polls. Halving 2000
bits down to one takes 22."""


@dataclass(slots=True)
class _Node:
    """A block to read; `parent` is the refused block it is a half of."""

    block: Block
    parent: "_Node | None" = None
    halves: tuple[Block, Block] | None = None
    unread: int = 0
    clean: bool = True


@dataclass(slots=True)
class Poll:
    """One asking of one device for the points of `groups`.

    `causes` holds the points that could not be read, `times` the reply time of each point's last
    block. `learnt` are the ranges found refused in this poll, `accepted` those refused before and
    given now. `attempt` and `busy` count what was spent on `current`, `silent` blocks in a row
    without a reply; `garbled`: something came back. `resume_at`: pending until then.
    """

    groups: tuple[int, ...]
    attempt: int = 0
    busy: int = 0
    resume_at: float | None = None
    bus_s: float = 0.0
    answered: bool = False
    garbled: bool = False
    silent: int = 0
    causes: dict[int, Cause] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    learnt: list[Range] = field(default_factory=list)
    accepted: list[Range] = field(default_factory=list)
    _todo: deque[_Node] = field(default_factory=deque)
    _registers: dict[int, int] = field(default_factory=dict)
    _extra: int = 0

    def add(self, blocks: Iterable[Block]) -> None:
        """Append blocks to read."""
        self._todo.extend(_Node(block) for block in blocks)

    @property
    def current(self) -> Block | None:
        """The block to read next; ``None`` when the poll is over."""
        return self._todo[0].block if self._todo else None

    def given(self, data: Sequence[int] | Sequence[bool], time_ns: int) -> None:
        """Take the registers or bits of `current`, answered at `time_ns`."""
        node = self._pop()
        base = node.block.table.value << 16 | node.block.address
        self._registers.update(enumerate(data, base))
        for item in node.block.items:
            for point in item.points:
                self.times[point] = max(time_ns, self.times.get(point, 0))
        if len(node.block.items) == 1:
            self.accepted.append(node.block.items[0].range)
        self._settle(node.parent)

    def refused(self) -> bool:
        """Halve `current`, which the device refused, or learn that its one item is refused.

        Return whether there is something left to find out about it in this poll.
        """
        node = self._pop()
        node.clean = False
        parts = halves(node.block)
        if parts is None:
            self.learnt.append(node.block.items[0].range)
        elif self._extra + 2 <= MAX_EXTRA:
            self._extra += 2
            node.halves, node.unread, node.clean = parts, 2, True
            self._todo.extendleft(_Node(part, node) for part in reversed(parts))
            return True
        self._fail(node, Cause.EXCEPTION)
        return False

    def give_up(self, cause: Cause) -> None:
        """Leave `current` unread."""
        self._fail(self._pop(), cause)

    def give_up_all(self, cause: Cause) -> None:
        """Leave everything that is still to read unread."""
        while self._todo:
            self.give_up(cause)

    def mark(self, points: Iterable[int], cause: Cause) -> None:
        """Note points that are not read in this poll at all."""
        for point in points:
            self.causes.setdefault(point, cause)

    def registers(self, spec: PointSpec) -> tuple[int, ...]:
        """Return the registers (one bit for a bits table) of a point that has no cause."""
        base = spec.table.value << 16 | spec.address
        count = 1 if spec.table.is_bits else spec.registers
        return tuple(self._registers[base + offset] for offset in range(count))

    def register(self, table: Table, address: int) -> int:
        """Return one register that was read: a scale factor."""
        return self._registers[table.value << 16 | address]

    def _pop(self) -> _Node:
        self.attempt = self.busy = 0
        return self._todo.popleft()

    def _fail(self, node: _Node, cause: Cause) -> None:
        for item in node.block.items:
            self.mark(item.points, cause)
        parent = node.parent
        if parent is not None:
            parent.clean = False
        self._settle(parent)

    def _settle(self, parent: _Node | None) -> None:
        """A half is done; a block whose halves were both given teaches where not to cross."""
        while parent is not None:
            parent.unread -= 1
            if parent.unread:
                return
            if parent.clean and parent.halves is not None:
                self.learnt.append(refusal(parent.block, *parent.halves))
            if parent.parent is not None:
                parent.parent.clean = False  # it was refused itself: its parent's refusal is its
            parent = parent.parent
