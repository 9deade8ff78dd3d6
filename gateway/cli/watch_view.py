"""What `gateway watch` shows: the agent's state and every point, from the updates so far.

Owns gathering (an update holds only the points that changed) and layout. Pure of terminals and
clocks: time is the agent's own, as it comes with each update.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gateway.cli.paint import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    columns,
    paint,
    size,
    span,
    value_text,
)
from gateway.process.control_messages import PointState, Reply, Status

STALE_INTERVALS = 3.0
"""A reading older than so many of its intervals is shown as old."""
MIN_STALE_S = 3.0


@dataclass(slots=True)
class Board:
    """All that is known. `names`: patterns of what is wanted, empty for everything."""

    names: tuple[str, ...] = ()
    status: Status = field(default_factory=Status)
    points: dict[str, PointState] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    """Points in the update that was taken last."""
    _began_s: float | None = None
    _received_s: dict[str, float] = field(default_factory=dict)

    def take(self, reply: Reply) -> bool:
        """Take one line of a subscription; return whether an update is whole."""
        if reply.status is not None:
            self.status = reply.status
            if self._began_s is None:
                self._began_s = reply.status.running_s
            self.changed = []
        for point in reply.points:
            name = f"{point.source}.{point.point}"
            if not self.names or any(
                fnmatchcase(name, wanted) or fnmatchcase(point.source, wanted)
                for wanted in self.names
            ):
                self.points[name] = point
                self._received_s[name] = self.status.running_s
                self.changed.append(name)
        return not reply.more

    @property
    def elapsed_s(self) -> float:
        """Return how long the agent has been watched."""
        return self.status.running_s - (self._began_s or 0.0)

    def age_s(self, name: str) -> float | None:
        """Return how old a point's reading is now."""
        age_s = self.points[name].age_s
        return None if age_s is None else age_s + self.status.running_s - self._received_s[name]


def screen(board: Board, height: int, *, colour: bool) -> list[str]:
    """Return the board in at most `height` lines."""
    head = _head(board.status, colour)
    table = _table(board, colour)
    room = max(2, height - len(head))
    if len(table) > room:
        left = len(table) - room + 1
        hint = f"… {left} more: a higher window, or gateway watch DEVICE"
        table = [*table[: room - 1], paint(DIM, hint, colour)]
    return [*head, *table][:height]


def _head(status: Status, colour: bool) -> list[str]:
    link, spool = status.link, status.spool
    up = paint(GREEN, "up", colour) if link.connected else paint(RED, "down", colour)
    lines = [
        f"{paint(BOLD, status.gateway_id, colour)}  link {up} {span(link.since_s)}, "
        f"session {link.session}   spool {spool.records} records, {size(spool.bytes)}   "
        + paint(DIM, "Ctrl-C ends", colour)
    ]
    if not link.connected:
        lines.append(paint(RED, f"  {link.text}", colour))
    for bus in status.buses:
        if bus.open:
            state = f"{bus.busy:5.1%} busy, {bus.transactions} transactions"
            state += f", {bus.no_replies} unanswered, {bus.bad_frames} damaged"
        else:
            state = paint(RED, bus.reason, colour)
        lines.append(f"bus {bus.name}  {bus.baud} baud  {state}")
    return [*lines, ""]


def _table(board: Board, colour: bool) -> list[str]:
    names = sorted(board.points, key=lambda name: board.points[name].source)
    rows = [("point", "value", "unit", "quality", "age", "rate")]
    rows += [_cells(board, name) for name in names]
    lines = columns(rows, right=(1, 4, 5))
    head = [paint(DIM, lines[0], colour)]
    return head + [
        paint(_colour(board, name), line, colour and bool(_colour(board, name)))
        for name, line in zip(names, lines[1:], strict=True)
    ]


def _cells(board: Board, name: str) -> tuple[str, str, str, str, str, str]:
    point = board.points[name]
    quality = point.quality if not point.cause else f"{point.quality}: {point.cause}"
    rate = f"{point.rate:.2g}/s" if point.rate else "–"
    return (
        name,
        value_text(point.value, point.type),
        point.unit,
        "not read yet" if point.age_s is None else quality,
        span(board.age_s(name)),
        rate,
    )


def _colour(board: Board, name: str) -> str:
    point, age_s = board.points[name], board.age_s(name)
    if point.quality == "bad":
        return RED
    if age_s is None:
        return DIM
    stale = age_s > max(MIN_STALE_S, STALE_INTERVALS * point.interval_s) and point.interval_s > 0
    return YELLOW if stale or point.quality == "uncertain" else ""


def plain(board: Board) -> Iterator[str]:
    """Yield an update as lines for a pipe: the state, then each point that changed."""
    status = board.status
    buses = " ".join(
        f"bus.{bus.name}={'%.1f%%' % (100 * bus.busy) if bus.open else 'closed'}"
        for bus in status.buses
    )
    yield (
        f"t={board.elapsed_s:.1f} link={'up' if status.link.connected else 'down'} "
        f"session={status.link.session} spool_records={status.spool.records} "
        f"spool_bytes={status.spool.bytes} {buses}"
    ).rstrip()
    for name in board.changed:
        point = board.points[name]
        age_s = board.age_s(name)
        if age_s is None:
            continue
        yield (
            f"{name} {value_text(point.value, point.type)} {point.unit or '-'} "
            f"{point.quality}{':' + point.cause if point.cause else ''} "
            f"age={age_s:.2f} rate={point.rate:.3g}"
        )
