"""What the demo shows: one snapshot as lines of text, redrawn in place on a terminal.

Owns layout only; every number comes in with the snapshot. On anything but a terminal it prints one
plain line per snapshot and moves no cursor.
"""

import shutil
from collections import deque
from dataclasses import dataclass
from typing import TextIO

BOLD, DIM, GREEN, RED, RESET = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"
_HIDE_CURSOR, _SHOW_CURSOR, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[K", "\x1b[J"
RATE_OVER = 5
"""Snapshots over which a rate is taken: a device polled every 2 s must not make it jump."""


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """A device and its latest values as the centre has them, with their units."""

    name: str
    profile: str
    values: tuple[tuple[float | int | bool | str | None, str], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One instant of the demo. Counts are totals since its start; ``None``: not known yet."""

    elapsed_s: float
    connected: bool
    sessions: int
    requests: int
    replies: int
    unanswered: int
    bus_busy: float
    readings: int
    bad_readings: int
    sent_bytes: int
    acked_records: int
    stored_readings: int
    backlog_records: int
    latency_p50_s: float | None
    latency_p99_s: float | None
    round_trip_s: float | None
    agent_rss: int
    centre_rss: int
    devices: tuple[DeviceLine, ...]


def render(now: Snapshot, before: Snapshot | None, *, colour: bool) -> list[str]:
    """Return the screen; `before` (some seconds ago) gives the rates."""

    def paint(code: str, text: str) -> str:
        return f"{code}{text}{RESET}" if colour else text

    def rate(name: str) -> str:
        if before is None or now.elapsed_s <= before.elapsed_s:
            return ""
        grown = getattr(now, name) - getattr(before, name)
        return f"{grown / (now.elapsed_s - before.elapsed_s):6.1f}/s"

    minutes, seconds = divmod(int(now.elapsed_s), 60)
    link = paint(GREEN, "up") if now.connected else paint(RED, "down")
    bad = paint(RED, f"{now.bad_readings} bad") if now.bad_readings else "0 bad"
    bytes_each = now.sent_bytes / now.readings if now.readings else 0.0
    lines = [
        f"{paint(BOLD, 'edge-gateway demo')}  {minutes:02}:{seconds:02}   "
        + paint(DIM, "Ctrl-C ends it with a summary"),
        "",
        "  virtual RS-485 ══▶ agent ──WSS, MessagePack──▶ centre ──▶ SQLite",
        paint(
            DIM,
            f"  19200 baud, 8N1    {mib(now.agent_rss):29}{mib(now.centre_rss)}",
        ),
        "",
        f"  bus     {now.requests:>9,} requests  {rate('requests'):>9}   "
        f"{now.unanswered} unanswered, busy {now.bus_busy:.1%}",
        f"  read    {now.readings:>9,} readings  {rate('readings'):>9}   {bad}",
        f"  sent    {now.sent_bytes:>9,} bytes     {rate('sent_bytes'):>9}   "
        f"{bytes_each:.1f} bytes a reading",
        f"  acked   {now.acked_records:>9,} records   {rate('acked_records'):>9}   "
        f"backlog {now.backlog_records}",
        f"  stored  {now.stored_readings:>9,} readings  {rate('stored_readings'):>9}   "
        f"sensor to store p50 {milli(now.latency_p50_s)}, p99 {milli(now.latency_p99_s)}",
        f"  link    {link:>9}   session {now.sessions}, round trip {milli(now.round_trip_s)}",
        "",
    ]
    for device in now.devices:
        values = "".join(f"{number(value):>10} {unit:<4}" for value, unit in device.values)
        name = f"  {device.name:13} {paint(DIM, f'{device.profile:18}')}"
        lines.append(f"{name}{values}".rstrip())
    return lines


def plain(now: Snapshot) -> str:
    """Return the snapshot as one line."""
    return (
        f"t={now.elapsed_s:.0f}s link={'up' if now.connected else 'down'} "
        f"sessions={now.sessions} requests={now.requests} busy={now.bus_busy:.1%} "
        f"readings={now.readings} bad={now.bad_readings} sent_bytes={now.sent_bytes} "
        f"acked_records={now.acked_records} stored={now.stored_readings} "
        f"backlog={now.backlog_records} p50={milli(now.latency_p50_s)} "
        f"p99={milli(now.latency_p99_s)}"
    )


def milli(seconds: float | None) -> str:
    """Return a duration in milliseconds, or a dash while it is not known."""
    return "–" if seconds is None else f"{seconds * 1000:.1f} ms"


def mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def number(value: float | int | bool | str | None) -> str:
    """Return a value as short as it can be read; a bad one is a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)


class Screen:
    """Draws snapshots on `out`: over each other on a terminal, as plain lines elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._drawn = 0
        self._past: deque[Snapshot] = deque(maxlen=RATE_OVER + 1)

    def show(self, now: Snapshot) -> None:
        """Draw a snapshot."""
        if not self._terminal:
            print(plain(now), file=self._out, flush=True)
            return
        self._past.append(now)
        columns, rows = shutil.get_terminal_size()
        lines = [cut(line, columns) for line in render(now, self._past[0], colour=True)]
        lines = lines[: max(1, rows - 1)]
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        self._out.write(_HIDE_CURSOR + up + body + _CLEAR_BELOW)
        self._out.flush()
        self._drawn = len(lines)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._terminal and self._drawn:
            self._out.write(_SHOW_CURSOR)
            self._out.flush()


def cut(line: str, columns: int) -> str:
    """Return `line` no wider than `columns`; colour codes take no width."""
    width = at = 0
    while at < len(line):
        if line[at] == "\x1b":
            at = line.index("m", at) + 1
            continue
        width += 1
        if width > columns:
            return line[:at] + (RESET if "\x1b" in line else "")
        at += 1
    return line
