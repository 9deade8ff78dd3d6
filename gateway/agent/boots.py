"""What the gateway itself remembers: why it booted, and the two minutes around trouble.

Owns the files below the state directory (`state.json`, `boots.json`, `traces/`): at most 32 boots
and 4 MiB, written at a boot, at a stop, on trouble and hourly, each whole or not at all. Reading
them needs no daemon (`gateway status --history`). The rules are `gateway.host.reboot`'s.
"""

import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.agent.boot_records import (
    BootRecord,
    State,
    TraceFile,
    boot_from,
    boot_json,
    state_from,
    state_json,
    trace_from,
    trace_json,
)
from gateway.host.boot_evidence import BootEvidence
from gateway.host.reboot import LastSeen, Memory, Phase, Verdict, classify, gap_s
from gateway.process.state_file import read_json, sync_directory, write_json

logger = logging.getLogger(__name__)

STATE = "state.json"
BOOTS = "boots.json"
TRACES = "traces"
MAX_BOOTS = 32
MAX_TRACES = 256
MAX_BYTES = 4 * 1024 * 1024
"""All of it together; `state.json` and `boots.json` take at most 64 KiB of it."""
_TRACE_BYTES = MAX_BYTES - 64 * 1024
FIRST_REVISABLE = 7
"""Rules 7 to 12 depend on the silence before the boot, which the centre knows."""
_TRACE = re.compile(r"boot-\d{6}-at-\d{10}\.json")


def read_state(directory: Path) -> State | None:
    """Return the state as it was last written; ``None`` if there is none to be trusted."""
    found = read_json(directory / STATE)
    return None if found is None else state_from(found)


def read_boots(directory: Path) -> tuple[BootRecord, ...]:
    """Return the boots remembered, the oldest first."""
    found = (read_json(directory / BOOTS) or {}).get("boots")
    records = (boot_from(item) for item in found) if isinstance(found, list) else ()
    return tuple(record for record in records if record is not None)[-MAX_BOOTS:]


def trace_names(directory: Path) -> tuple[str, ...]:
    """Return the names of the traces kept, the oldest first."""
    try:
        names = [path.name for path in (directory / TRACES).iterdir()]
    except OSError:
        return ()
    return tuple(sorted(name for name in names if _TRACE.fullmatch(name)))


def read_trace(directory: Path, name: str) -> TraceFile | None:
    """Return one of `trace_names`; ``None`` if it is gone or damaged."""
    if not _TRACE.fullmatch(name):
        return None
    found = read_json(directory / TRACES / name)
    return None if found is None else trace_from(found)


def mark_stopping(directory: Path, target: str, boot_id: str) -> bool:
    """Note that the system itself is stopping, in a state of this very boot; say whether there
    was one. Raises: OSError."""
    state = read_state(directory)
    if state is None or state.memory.boot_id != boot_id:
        return False
    memory = replace(state.memory, phase=Phase.SYSTEM_STOPPING, target=target)
    write_json(directory / STATE, state_json(replace(state, memory=memory)))
    return True


@dataclass(frozen=True, slots=True)
class Instant:
    """Now on both clocks; `synced`: the wall clock can be trusted."""

    boottime_ns: int
    wall_ns: int
    synced: bool

    @property
    def boot_wall_ns(self) -> int:
        """Return when this boot began, as far as the wall clock can be trusted."""
        return self.wall_ns - self.boottime_ns


class Boots:
    """The daemon's side. A disk that refuses is logged once and costs the memory, nothing else."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._refused = False
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agent.state")
        self.before = read_state(directory)
        self.evidence: BootEvidence | None = None
        self.verdict: Verdict | None = None
        self.state: State | None = None
        self.totals: dict[str, int] = {} if self.before is None else dict(self.before.totals)
        """Starts by class; only ever more, for a counter that shrinks counts twice."""
        self._records = list(read_boots(directory))

    # -- at the start --------------------------------------------------------------------------

    def begin(self, evidence: BootEvidence, at: Instant) -> Verdict:
        """Classify this start and write it down."""
        before, self.evidence = self.before, evidence
        memory = None if before is None else before.memory
        verdict = self.verdict = classify(evidence, memory, self.last_seen(None, at))
        new_boot = before is None or before.memory.boot_id != evidence.boot_id
        number = 1 if before is None else before.number + new_boot
        name = verdict.reboot.value
        if before is not None and before.uncounted:
            self._count(before.uncounted)  # nobody can judge it again any more
        if verdict.rule < FIRST_REVISABLE:
            self._count(name)
        record = BootRecord(
            number=number,
            boot_id=evidence.boot_id,
            reboot=name,
            confidence=verdict.confidence.value,
            rule=verdict.rule,
            evidence=verdict.evidence,
            started_wall_ns=at.wall_ns,
            boottime_ns=at.boottime_ns,
            synced=at.synced,
        )
        if new_boot or not self._records:
            self._records.append(record)
        else:
            last = self._records[-1]
            crashed = name == "daemon_crash"
            self._records[-1] = replace(
                last,
                restarts=last.restarts + 1,
                crashes=last.crashes + crashed,
                last_restart=" ".join(verdict.evidence)[:256],
            )
        self._records = self._records[-MAX_BOOTS:]
        self.state = State(
            memory=evidence_memory(evidence),
            number=number,
            boottime_ns=at.boottime_ns,
            wall_ns=at.wall_ns,
            synced=at.synced,
            uncounted="" if verdict.rule < FIRST_REVISABLE else name,
        )
        self._write_boots()
        self.write(at)
        return verdict

    def settle(self, at: Instant) -> None:
        """Count this start: its class is final. Until then the next start counts it."""
        if self.state is None or not self.state.uncounted:
            return
        self._count(self.state.uncounted)
        self.state = replace(self.state, uncounted="")
        self.write(at)

    def _count(self, name: str) -> None:
        self.totals[name] = self.totals.get(name, 0) + 1

    def last_seen(self, previous: Mapping[str, object] | None, at: Instant) -> LastSeen:
        """Put together what was last known of the boot before.

        `previous`: what the centre last stored of it (`Welcome`). Without it, or without a
        synchronised clock, the silence before this boot is not known: the state file is written
        too seldom to tell.
        """
        before = self.before
        if before is None:
            return LastSeen()
        told = previous or {}
        ours = told.get("boot_id") == before.memory.boot_id
        last_ns = before.boottime_ns
        last_wall_ns: int | None = None
        if ours:
            source_ns, wall_ns = told.get("last_source_time_ns"), told.get("last_wall_ns")
            last_ns = max(last_ns, source_ns) if isinstance(source_ns, int) else last_ns
            last_wall_ns = wall_ns if isinstance(wall_ns, int) else None
        ages = []
        if before.low_until_ns is not None:
            ages.append(max(0.0, (last_ns - before.low_until_ns) / 1e9))
        elif before.low_since_ns is not None:
            ages.append(0.0)
        low_ns = told.get("low_source_time_ns") if ours else None
        if isinstance(low_ns, int):  # it reached the centre, though the card lost it
            ages.append(max(0.0, (last_ns - low_ns) / 1e9))
        age_s = min(ages) if ages else None
        return LastSeen(age_s, gap_s(at.boot_wall_ns, last_wall_ns) if at.synced else None)

    def revise(self, previous: Mapping[str, object], at: Instant) -> Verdict | None:
        """Judge again now that the silence is known; return the verdict if it is another one.

        Only what the gap can change is judged again: rules 7 to 12.
        """
        before, evidence, old = self.before, self.evidence, self.verdict
        if before is None or evidence is None or old is None or old.rule < FIRST_REVISABLE:
            return None
        new = classify(evidence, before.memory, self.last_seen(previous, at))
        if (new.reboot, new.confidence) == (old.reboot, old.confidence):
            return None
        self.verdict = new
        if self.state is not None and self.state.uncounted:
            self.state = replace(self.state, uncounted=new.reboot.value)
        if self._records:
            self._records[-1] = replace(
                self._records[-1],
                reboot=new.reboot.value,
                confidence=new.confidence.value,
                rule=new.rule,
                evidence=new.evidence,
                revised=True,
            )
            self._write_boots()
        self.write(at)
        return new

    # -- while running -------------------------------------------------------------------------

    def write(self, at: Instant, phase: Phase = Phase.RUNNING, target: str = "") -> None:
        """Write the state: at each change of phase, on trouble with the supply, hourly."""
        if self.state is None:
            return
        self.state = replace(
            self.state,
            memory=replace(self.state.memory, phase=phase, target=target),
            boottime_ns=at.boottime_ns,
            wall_ns=at.wall_ns,
            synced=at.synced,
            totals=tuple(sorted(self.totals.items())),
        )
        value = state_json(self.state)
        self._keep(lambda: write_json(self._directory / STATE, value))

    def supply(self, low: bool, at: Instant) -> None:
        """Note that the supply is low, or that it is well again."""
        if self.state is None:
            return
        if low:
            self.state = replace(self.state, low_since_ns=at.boottime_ns, low_until_ns=None)
        else:
            self.state = replace(self.state, low_until_ns=at.boottime_ns)
        self.write(at)

    def keep_trace(self, trace: TraceFile) -> None:
        """Keep one trace; the oldest give way."""
        folder = self._directory / TRACES
        name = f"boot-{trace.boot:06d}-at-{trace.boottime_ns // 1_000_000_000:010d}.json"

        def write() -> None:
            folder.mkdir(mode=0o700, exist_ok=True)
            write_json(folder / name, trace_json(trace))
            self._make_room(folder)

        self._keep(write)

    def _make_room(self, folder: Path) -> None:
        names = trace_names(self._directory)
        sizes = {name: (folder / name).stat().st_size for name in names}
        total, left = sum(sizes.values()), len(names)
        for name in names:
            if total <= _TRACE_BYTES and left <= MAX_TRACES:
                break
            (folder / name).unlink()
            total, left = total - sizes[name], left - 1
        sync_directory(folder)

    def _write_boots(self) -> None:
        boots = [boot_json(record) for record in self._records]
        self._keep(lambda: write_json(self._directory / BOOTS, {"format": 1, "boots": boots}))

    def _keep(self, write: Callable[[], None]) -> None:
        """Have it written by the one thread that waits for the disk, in order."""
        self._writer.submit(self._written, write)

    def flush(self) -> Future[None]:
        """Return what is done once everything so far is on the disk."""
        return self._writer.submit(lambda: None)

    def close(self) -> None:
        """Write what is left, then end the thread."""
        self._writer.shutdown(wait=True)

    def _written(self, write: Callable[[], None]) -> None:
        try:
            write()
            self._refused = False
        except OSError as error:
            if not self._refused:
                logger.error("state cannot be kept directory=%s text=%r", self._directory, error)
            self._refused = True


def evidence_memory(evidence: BootEvidence) -> Memory:
    """Return what the next start must know of this one."""
    return Memory(
        boot_id=evidence.boot_id,
        phase=Phase.RUNNING,
        power_reset=evidence.power_reset,
        disks=evidence.disks,
        pstore=tuple(entry.key for entry in evidence.pstore),
    )
