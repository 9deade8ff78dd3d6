"""What `state.json`, `boots.json` and the traces hold, as values and as JSON.

Owns their form. A file that is damaged or of another form reads as ``None``, never as half a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.host.boot_evidence import Disk
from gateway.host.reboot import Memory, Phase
from gateway.host.sample import Sample

FORMAT = 1
MAX_LIST = 64


@dataclass(frozen=True, slots=True)
class State:
    """What the next start must know. `low_since_ns`, `low_until_ns`: boottime at which the supply
    was last seen low, and well again (``None``: it was still low). `uncounted`: the class of this
    start while it may be judged again and is not in `totals` yet."""

    memory: Memory
    number: int
    boottime_ns: int
    wall_ns: int
    synced: bool
    low_since_ns: int | None = None
    low_until_ns: int | None = None
    totals: tuple[tuple[str, int], ...] = ()
    uncounted: str = ""


@dataclass(frozen=True, slots=True)
class BootRecord:
    """One boot as remembered. `restarts`, `crashes`: of the daemon within it."""

    number: int
    boot_id: str
    reboot: str
    confidence: str
    rule: int
    evidence: tuple[str, ...]
    started_wall_ns: int
    boottime_ns: int
    synced: bool
    revised: bool = False
    restarts: int = 0
    crashes: int = 0
    last_restart: str = ""


@dataclass(frozen=True, slots=True)
class TracePoint:
    """One second. `links`: (interface, carrier, dBm) each."""

    boottime_ns: int
    volts: float | None
    undervoltage: str
    route: str
    links: tuple[tuple[str, bool | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class TraceFile:
    """The samples around one trouble, in the boot numbered `boot`."""

    reason: str
    boot: int
    boottime_ns: int
    wall_ns: int
    synced: bool
    points: tuple[TracePoint, ...]


def trace_point(sample: Sample) -> TracePoint:
    """Return what is kept of a sample."""
    links = tuple(
        (link.name, link.state.carrier, None if link.level is None else link.level.dbm)
        for link in sample.links
    )
    volts = None if sample.volts is None else round(sample.volts, 4)
    return TracePoint(sample.source_time_ns, volts, sample.undervoltage.value, sample.route, links)


# --- to JSON --------------------------------------------------------------------------------------


def state_json(state: State) -> dict[str, object]:
    """Return a state as JSON writes it."""
    memory = state.memory
    return {
        "format": FORMAT,
        "boot_id": memory.boot_id,
        "phase": memory.phase.value,
        "target": memory.target,
        "power_reset": memory.power_reset,
        "disks": [[d.name, d.unsafe_shutdowns, d.power_cycles] for d in memory.disks],
        "pstore": list(memory.pstore),
        "number": state.number,
        "boottime_ns": state.boottime_ns,
        "wall_ns": state.wall_ns,
        "synced": state.synced,
        "low_since_ns": state.low_since_ns,
        "low_until_ns": state.low_until_ns,
        "totals": dict(state.totals),
        "uncounted": state.uncounted,
    }


def boot_json(record: BootRecord) -> dict[str, object]:
    """Return a boot as JSON writes it."""
    return {
        "number": record.number,
        "boot_id": record.boot_id,
        "class": record.reboot,
        "confidence": record.confidence,
        "rule": record.rule,
        "evidence": list(record.evidence),
        "started_wall_ns": record.started_wall_ns,
        "boottime_ns": record.boottime_ns,
        "synced": record.synced,
        "revised": record.revised,
        "restarts": record.restarts,
        "crashes": record.crashes,
        "last_restart": record.last_restart,
    }


def trace_json(trace: TraceFile) -> dict[str, object]:
    """Return a trace as JSON writes it."""
    points = [
        [p.boottime_ns, p.volts, p.undervoltage, p.route, [list(link) for link in p.links]]
        for p in trace.points
    ]
    return {
        "format": FORMAT,
        "reason": trace.reason,
        "boot": trace.boot,
        "boottime_ns": trace.boottime_ns,
        "wall_ns": trace.wall_ns,
        "synced": trace.synced,
        "points": points,
    }


# --- from JSON ------------------------------------------------------------------------------------


class _NotOursError(Exception):
    """The JSON is not of our form."""


def state_from(found: Mapping[str, object]) -> State | None:
    """Read a state."""
    try:
        memory = Memory(
            boot_id=_text(found, "boot_id"),
            phase=Phase(_text(found, "phase")),
            target=_text(found, "target"),
            power_reset=_optional(found, "power_reset"),
            disks=tuple(_disk(item) for item in _list(found.get("disks"))),
            pstore=tuple(item for item in _list(found.get("pstore")) if isinstance(item, str)),
        )
        totals = found.get("totals")
        counts = totals.items() if isinstance(totals, dict) else ()
        uncounted = found.get("uncounted")
        return State(
            memory=memory,
            number=_integer(found, "number"),
            boottime_ns=_integer(found, "boottime_ns"),
            wall_ns=_integer(found, "wall_ns"),
            synced=bool(found.get("synced")),
            low_since_ns=_optional(found, "low_since_ns"),
            low_until_ns=_optional(found, "low_until_ns"),
            totals=tuple((str(k), v) for k, v in counts if isinstance(v, int))[:MAX_LIST],
            uncounted=uncounted if isinstance(uncounted, str) else "",
        )
    except (_NotOursError, ValueError):
        return None


def boot_from(found: object) -> BootRecord | None:
    """Read a boot."""
    if not isinstance(found, dict):
        return None
    try:
        evidence = [item for item in _list(found.get("evidence")) if isinstance(item, str)]
        return BootRecord(
            number=_integer(found, "number"),
            boot_id=_text(found, "boot_id"),
            reboot=_text(found, "class"),
            confidence=_text(found, "confidence"),
            rule=_integer(found, "rule"),
            evidence=tuple(evidence),
            started_wall_ns=_integer(found, "started_wall_ns"),
            boottime_ns=_integer(found, "boottime_ns"),
            synced=bool(found.get("synced")),
            revised=bool(found.get("revised")),
            restarts=_optional(found, "restarts") or 0,
            crashes=_optional(found, "crashes") or 0,
            last_restart=_text(found, "last_restart"),
        )
    except _NotOursError:
        return None


def trace_from(found: Mapping[str, object]) -> TraceFile | None:
    """Read a trace."""
    try:
        points = found.get("points")
        return TraceFile(
            reason=_text(found, "reason"),
            boot=_integer(found, "boot"),
            boottime_ns=_integer(found, "boottime_ns"),
            wall_ns=_integer(found, "wall_ns"),
            synced=bool(found.get("synced")),
            points=tuple(_point(p) for p in (points if isinstance(points, list) else [])[:1000]),
        )
    except _NotOursError:
        return None


def _point(found: object) -> TracePoint:
    match found:
        case [int(at), volts, str(state), str(route), list(links)]:
            return TracePoint(
                at,
                float(volts) if isinstance(volts, int | float) else None,
                state,
                route,
                tuple(_link(link) for link in links[:MAX_LIST]),
            )
    raise _NotOursError


def _link(found: object) -> tuple[str, bool | None, float | None]:
    match found:
        case [str(name), carrier, dbm]:
            return (
                name,
                carrier if isinstance(carrier, bool) else None,
                float(dbm) if isinstance(dbm, int | float) else None,
            )
    raise _NotOursError


def _disk(found: object) -> Disk:
    match found:
        case [str(name), unsafe, cycles]:
            return Disk(
                name,
                unsafe if isinstance(unsafe, int) else None,
                cycles if isinstance(cycles, int) else None,
            )
    raise _NotOursError


def _list(found: object) -> list[object]:
    return found[:MAX_LIST] if isinstance(found, list) else []


def _text(found: Mapping[str, object], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str):
        raise _NotOursError
    return value


def _integer(found: Mapping[str, object], key: str) -> int:
    value = found.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _NotOursError
    return value


def _optional(found: Mapping[str, object], key: str) -> int | None:
    return None if found.get(key) is None else _integer(found, key)
