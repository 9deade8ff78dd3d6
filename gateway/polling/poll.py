"""One asking of one device: the blocks still to read, what came back, what failures taught.

Owns the course of a poll as a state machine without time or wire: the driver reads `current`, says
how the transaction ended (`given`, `refused`, `unanswered`, `give_up`), and takes the result per
point. A refused block is halved until the refused item stands alone; so is one that never answers,
when the driver says that the device itself does.

Source: Modbus application protocol V1.1b3 §7 (exceptions 2 and 3).
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.modbus.point import PointSpec
from gateway.polling.blocks import Block, Range, halves, refusal
from gateway.reading import Cause

MAX_EXTRA = 32
"""Transactions a poll may spend on halving; what is left is found by the next polls. Halving 2000
bits down to one takes 22."""
SEARCH_SILENT = 3
"""Silences in a row that end a search: one bad register makes two (a half, then a half of it)."""

_UNHEARD = (Cause.NO_REPLY, Cause.PORT_LOST)

Data = Sequence[int] | Sequence[bool]


@dataclass(slots=True)
class _Node:
    """A block to read; `parent` is the block it is a half of. `search`: silence is halved too."""

    block: Block
    parent: "_Node | None" = None
    search: bool = False
    halves: tuple[Block, Block] | None = None
    unread: int = 0
    clean: bool = True


@dataclass(slots=True)
class Poll:
    """One asking of one device for the points of `groups`.

    `causes` holds the points that could not be read, `times` the reply time of each point's last
    block, `sent` the device's schema blocks whose rows were handed on already, `touched` the points
    of the blocks done since rows were last taken. `learnt` are the
    ranges found refused in this poll, `accepted` all that were given, `silent_blocks` those that
    did not answer and were left at that, `searched` those that a search began with, `mute` those
    that did not answer in one. `probing`:
    the device was demoted when the poll began; `probed`: the silent block asked again.
    `attempt` and `busy` count what was spent on `current`, `silent` blocks in a row without a
    reply; `garbled`: something came back. `bus_s`, `silent_s`: bus time spent, and of it waiting
    for nothing. `resume_at`: pending until then.
    """

    groups: tuple[int, ...]
    attempt: int = 0
    busy: int = 0
    resume_at: float | None = None
    bus_s: float = 0.0
    silent_s: float = 0.0
    answered: bool = False
    garbled: bool = False
    silent: int = 0
    probing: bool = False
    probed: Block | None = None
    causes: dict[int, Cause] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    sent: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)
    learnt: list[Range] = field(default_factory=list)
    accepted: list[Range] = field(default_factory=list)
    silent_blocks: list[Block] = field(default_factory=list)
    searched: list[Range] = field(default_factory=list)
    mute: list[Block] = field(default_factory=list)
    _todo: deque[_Node] = field(default_factory=deque)
    _open: Counter[int] = field(default_factory=Counter)
    _data: dict[int, list[tuple[Block, Data]]] = field(default_factory=dict)
    _extra: int = 0

    def add(self, blocks: Iterable[Block], *, search: bool = False) -> None:
        """Append blocks to read; `search`: halve those that do not answer."""
        for block in blocks:
            self._todo.append(_Node(block, search=search))
            for item in block.items:
                self._open.update(item.points)

    @property
    def current(self) -> Block | None:
        """The block to read next; ``None`` when the poll is over."""
        return self._todo[0].block if self._todo else None

    @property
    def searching(self) -> bool:
        """Whether `current` is asked to find what does not answer."""
        return bool(self._todo) and self._todo[0].search

    def is_settled(self, points: Iterable[int]) -> bool:
        """Say whether nothing more will come of these points in this poll."""
        return not any(self._open[point] for point in points)

    def given(self, data: Data, time_ns: int) -> None:
        """Take the registers or bits of `current`, answered at `time_ns`."""
        node = self._pop()
        for item in node.block.items:
            for point in item.points:
                self._data.setdefault(point, []).append((node.block, data))
                self.times[point] = max(time_ns, self.times.get(point, 0))
        self.accepted.append(node.block.range)
        self.silent = 0
        self.answered = True
        self._close(node)

    def refused(self) -> None:
        """Halve `current`, which the device refused, or learn that its one item is refused."""
        node = self._pop()
        parts = halves(node.block)
        if parts is None:
            self.learnt.append(node.block.items[0].range)
        elif self._extra + 2 <= MAX_EXTRA:
            self._todo.extendleft(reversed(self._split(node, parts)))
            return
        self._fail(node, Cause.EXCEPTION)

    def unanswered(self, *, search: bool = False) -> bool:
        """Leave `current` unread, which did not answer; in a search halve it, to be asked last.

        `search` begins one. Return whether it is being searched.
        """
        node = self._pop()
        self.silent += 1
        if not (search or node.search):
            self.silent_blocks.append(node.block)
            self._fail(node, Cause.NO_REPLY)
            return False
        if not node.search:
            node.search = True
            self.searched.append(node.block.range)
        parts = halves(node.block) if self.silent < SEARCH_SILENT else None
        if parts is not None and self._extra + 2 <= MAX_EXTRA:
            self._todo.extend(self._split(node, parts))
        else:
            self._fail(node, Cause.NO_REPLY)
        return True

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

    def registers(self, point: int, spec: PointSpec) -> tuple[int, ...]:
        """Return the registers (one bit for a bits table) of a point that has no cause."""
        return self._read(point, spec.address, 1 if spec.table.is_bits else spec.registers)

    def factor(self, point: int, spec: PointSpec) -> int | None:
        """Return the scale-factor register of a point that has no cause, if it has one."""
        if spec.scale_register is None:
            return None
        return self._read(point, spec.scale_register, 1)[0]

    def _read(self, point: int, address: int, count: int) -> tuple[int, ...]:
        """Return registers out of one reply: a value of two replies would be torn."""
        for block, data in reversed(self._data[point]):
            start = address - block.address
            if start >= 0 and start + count <= block.count:
                return tuple(data[start : start + count])
        raise LookupError(f"point {point}: {address}+{count} was not read")

    def _split(self, node: _Node, parts: tuple[Block, Block]) -> list[_Node]:
        self._extra += 2
        node.halves, node.unread = parts, 2
        return [_Node(part, node, node.search) for part in parts]

    def _pop(self) -> _Node:
        self.attempt = self.busy = 0
        return self._todo.popleft()

    def _fail(self, node: _Node, cause: Cause) -> None:
        for item in node.block.items:
            self.mark(item.points, cause)
        if node.search and cause in _UNHEARD:
            self.mute.append(node.block)
        if node.parent is not None:
            node.parent.clean = False
        self._close(node)

    def _close(self, node: _Node) -> None:
        """A block is done; one whose halves were both given teaches where not to cross."""
        for item in node.block.items:
            self._open.subtract(item.points)
            self.touched.update(item.points)
        parent = node.parent
        while parent is not None:
            parent.unread -= 1
            if parent.unread:
                return
            if parent.clean and parent.halves is not None:
                self.learnt.append(refusal(parent.block, *parent.halves))
            if parent.parent is not None:
                parent.parent.clean = False  # it failed itself: its parent's failure is its
            parent = parent.parent
