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
from gateway.host.sample import SOURCE, TRACE_SOURCE
from gateway.process.control_messages import PointState, Reply, Status

STALE_INTERVALS = 3.0
"""A reading older than so many of its intervals is shown as old."""
MIN_STALE_S = 3.0


@dataclass(slots=True)
class Board:
    """All that is known. `names`: patterns of what is wanted, empty for everything."""

    names: tuple[str, ...] = ()
    direct: bool = False
    """No agent runs: the command polls by itself."""
    gone: str = ""
    """Why the agent is not there any more."""
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
            if self._wants(name, point.source):
                self.points[name] = point
                self._received_s[name] = self.status.running_s
                self.changed.append(name)
        return not reply.more

    def _wants(self, name: str, source: str) -> bool:
        if not self.names:
            return source != TRACE_SOURCE  # recorded around trouble only
        return any(fnmatchcase(name, one) or fnmatchcase(source, one) for one in self.names)

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
    head = _head(board, colour)
    if len(head) > height // 2:  # a low window: the points matter more
        head = head[: max(1, height // 2)]
    table = _table(board, colour)
    room = max(2, height - len(head))
    if len(table) > room:
        left = len(table) - room + 1
        hint = f"… {left} more: a higher window, or gateway watch DEVICE"
        table = [*table[: room - 1], paint(DIM, hint, colour)]
    return [*head, *table][:height]


def _head(board: Board, colour: bool) -> list[str]:
    status = board.status
    link, spool = status.link, status.spool
    ends = paint(DIM, "Ctrl-C ends", colour)
    if board.direct:
        none = paint(YELLOW, "no agent runs", colour)
        here = "polled by this command, nothing is stored or sent"
        return [
            f"{paint(BOLD, status.gateway_id, colour)}  {none}: {here}   {ends}",
            *_units(status, colour),
            "",
        ]
    up = paint(GREEN, "up", colour) if link.connected else paint(RED, "down", colour)
    lines = [
        f"{paint(BOLD, status.gateway_id, colour)}  link {up} {span(link.since_s)}, "
        f"session {link.session}   spool {spool.records} records, {size(spool.bytes)}   {ends}"
    ]
    if board.gone:
        lines = [paint(RED, f"{board.gone}: waiting for it", colour) + f"   {ends}"]
    elif not link.connected:
        lines.append(paint(RED, f"  {link.text}", colour))
    return [*lines, *_units(status, colour), ""]


def _units(status: Status, colour: bool) -> list[str]:
    lines = []
    for bus in status.buses:
        if bus.open:
            state = f"{bus.busy:5.1%} busy, {bus.transactions} transactions"
            state += f", {bus.no_replies} unanswered, {bus.bad_frames} damaged"
        else:
            state = paint(RED, bus.reason, colour)
        lines.append(f"bus {bus.name}  {bus.baud} baud  {state}")
        looked_for = [device.name for device in bus.devices if device.discovers]
        if looked_for:
            text = f"  points still being looked for (SunSpec): {', '.join(looked_for)}"
            lines.append(paint(YELLOW, text, colour))
    for source in status.serials:
        state = f"{source.lines} lines, {size(source.bytes)}"
        if source.asked_s is not None:
            state += f", {source.unanswered} of {source.questions} questions unanswered"
        faults = sum(count for _, count in source.faults)
        state += f", {faults} faulty" if faults else ""
        if not source.open:
            state = paint(RED, source.reason or "being opened", colour)
        lines.append(f"serial {source.name}  {source.baud} baud  {state}")
    return lines


def _table(board: Board, colour: bool) -> list[str]:
    # The gateway's own readings come last: the site's are what one comes for.
    names = sorted(
        board.points,
        key=lambda name: (board.points[name].source == SOURCE, board.points[name].source),
    )
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
    if board.gone:
        yield f"t={board.elapsed_s:.1f} agent=gone reason={board.gone!r}"
        return
    units = [
        f"bus.{bus.name}={f'{100 * bus.busy:.1f}%' if bus.open else 'closed'}"
        for bus in status.buses
    ]
    units += [
        f"serial.{source.name}={f'{source.lines}_lines' if source.open else 'closed'}"
        for source in status.serials
    ]
    head = (
        "agent=none"
        if board.direct
        else f"link={'up' if status.link.connected else 'down'} session={status.link.session} "
        f"spool_records={status.spool.records} spool_bytes={status.spool.bytes}"
    )
    yield " ".join([f"t={board.elapsed_s:.1f}", head, *units])
    closed = [(f"bus.{bus.name}", bus.reason) for bus in status.buses if not bus.open]
    closed += [(f"serial.{one.name}", one.reason) for one in status.serials if not one.open]
    yield from (f"{name} closed: {reason}" for name, reason in closed if reason)
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
