"""`gateway status --history`: the last boots of this gateway, why each, and the traces of trouble.

Owns the layout; the files are `agent.boots`'. Needs no running agent: the daemon may be what is
broken.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.agent.boot_records import BootRecord, TraceFile
from gateway.agent.boots import read_boots, read_trace, trace_names
from gateway.cli.paint import columns
from gateway.errors import RefusedError

MAX_TRACES = 20
"""Newest traces that are listed; the others are still there by name."""


def history(directory: Path) -> Iterator[str]:
    """Yield the boots, the newest first, then the traces. Raises: RefusedError without access."""
    _check(directory)
    boots = read_boots(directory)
    if not boots:
        yield f"{directory}: no boot is remembered yet; the agent writes one at its first start"
        return
    for record in reversed(boots):
        yield from _boot(record)
    names = trace_names(directory)
    if not names:
        yield "no traces: nothing in trouble since they are kept"
        return
    yield "traces (two minutes around each trouble; --trace NAME shows one):"
    rows = [_summary(name, read_trace(directory, name)) for name in reversed(names[-MAX_TRACES:])]
    yield from (f"  {line}" for line in columns(rows))


def trace(directory: Path, name: str) -> Iterator[str]:
    """Yield one trace, a line for each second. Raises: RefusedError."""
    _check(directory)
    found = read_trace(directory, name)
    if found is None:
        known = ", ".join(trace_names(directory)[-5:]) or "none"
        raise RefusedError(f"trace {name}: there is none; the newest are {known}")
    yield f"{found.reason} in boot {found.boot}, {_when(found.wall_ns, found.synced)}"
    rows = [("seconds", "supply", "under-voltage", "links")]
    for point in found.points:
        seconds = (point.boottime_ns - found.boottime_ns) / 1e9
        links = ", ".join(
            f"{interface} {_carrier(carrier)}{'' if dbm is None else f' {dbm:.0f} dBm'}"
            for interface, carrier, dbm in point.links
        )
        volts = "–" if point.volts is None else f"{point.volts:.3f} V"
        rows.append((f"{seconds:+.1f}", volts, point.undervoltage, links))
    yield from columns(rows, right=(0, 1))


def _check(directory: Path) -> None:
    try:
        next(directory.iterdir(), None)
    except PermissionError:
        raise RefusedError(f"{directory}: permission denied; use sudo") from None
    except OSError as error:
        raise RefusedError(
            f"{directory}: {error.strerror}; has the agent run here? --config names its file"
        ) from None


def _boot(record: BootRecord) -> Iterator[str]:
    revised = ", revised by the centre" if record.revised else ""
    yield (
        f"boot {record.number}  {_when(record.started_wall_ns, record.synced)}  "
        f"{record.reboot} ({record.confidence}, rule {record.rule}{revised})"
    )
    yield from (f"    {evidence}" for evidence in record.evidence)
    if record.restarts:
        crashed = f", {record.crashes} of them after a crash" if record.crashes else ""
        yield f"    the agent was restarted {record.restarts} times{crashed}: {record.last_restart}"


def _summary(name: str, found: TraceFile | None) -> tuple[str, str, str, str]:
    if found is None:
        return name, "damaged", "", ""
    volts = [point.volts for point in found.points if point.volts is not None]
    levels = [dbm for point in found.points for *_, dbm in point.links if dbm is not None]
    low = f"supply at least {min(volts):.2f} V" if volts else ""
    weak = f"radio at least {min(levels):.0f} dBm" if levels else ""
    return name, found.reason, low, weak


def _carrier(carrier: bool | None) -> str:
    return "?" if carrier is None else "up" if carrier else "down"


def _when(wall_ns: int, synced: bool) -> str:
    text = datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return text if synced else f"{text} (clock not synchronised)"
