"""What the loop asks of the writer thread, and what comes back.

Owns the job types only. A job is made by the loop, filled in by the writer, and given back to the
loop after the COMMIT that holds it; nobody else touches it in between.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.event import Scalar
from gateway.wire.message import Backlog, EpochHave, Hello, Interval
from gateway.wire.record import Record

Pairs = tuple[tuple[str, Scalar], ...]


@dataclass(slots=True, kw_only=True)
class Job:
    """`done` runs on the loop after COMMIT. `failed`: the job itself cannot be stored (not: the
    disk is full, then it waits)."""

    done: "Callable[[Job], None] | None" = None
    failed: str = ""
    size: int = 200
    backlog: bool = False


@dataclass(slots=True)
class Greeting(Job):
    """A gateway said `Hello`. The answer is in the fields below `alive_ns`."""

    hello: Hello
    session: int
    remote: str
    proxy: str
    received_ns: int
    gateway: int = 0
    refused: bool = False
    have: tuple[EpochHave, ...] = ()
    schemas: tuple[bytes, ...] = ()
    previous: Pairs = ()
    gaps: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Binding(Job):
    """(epoch, sid) means this schema."""

    gateway: int
    epoch: int
    sid: int
    digest: bytes
    body: bytes


@dataclass(slots=True)
class Ingest(Job):
    """Records of one `Data`. `offset_ns`: wall minus boottime as the centre estimates it.

    Answer: `intervals` are committed, duplicates included; `conflicts` are not: another record is
    stored under each of these seqs. `stored` counts the new records, `latency_s` is negative when
    unknown; `replaced`: another process owns the gateway now.
    """

    gateway: int
    session: int
    epoch: int
    records: Sequence[Record]
    offset_ns: int
    received_ns: int
    queued: float = 0.0
    intervals: tuple[Interval, ...] = ()
    conflicts: tuple[Interval, ...] = ()
    stored: int = 0
    readings: int = 0
    newest: int = -1
    latency_s: float = -1.0
    replaced: bool = False
    lost: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Farewell(Job):
    """A session is over."""

    session: int
    closed_ns: int
    side: str
    cause: str
    code: int
    reason: str
    evidence: dict[str, object]


@dataclass(slots=True)
class Progress(Job):
    """A heartbeat: what the epoch has reached and how the clocks stand."""

    gateway: int
    epoch: int
    next_seq: int
    offset_ns: int
    waiting: Backlog | None = None
    wall_ns: int = 0


@dataclass(slots=True)
class Note(Job):
    """An event of the centre itself. `gateway` is a name, ``""`` for the centre."""

    gateway: str
    kind: str
    wall_ns: int
    fields: Pairs


@dataclass(slots=True)
class Alive(Job):
    """The node is alive: what a killed centre's sessions are closed with.

    Answer: `taken` are sessions of this node whose gateway has come in at another since.
    """

    wall_ns: int
    taken: tuple[int, ...] = ()


@dataclass(slots=True)
class Connections(Job):
    """A sample of this node's sessions; `opened` since the process started."""

    at_ns: int
    active: int
    opened: int


@dataclass(frozen=True, slots=True)
class FoundIncident:
    """A row of `incident`. `settled`: the verdict stands, it may be counted."""

    identity: str
    started_ns: int
    ended_ns: int | None
    cause: str
    confidence: str
    quiet: bool
    lost: int
    pending: int
    body: str
    settled: bool


@dataclass(frozen=True, slots=True)
class FoundLoss:
    """A row of `loss`."""

    gateway: str
    session: int
    incident: str
    lost_ns: int
    returned_ns: int | None
    cause: str
    pending: bool
    body: str
    settled: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What counts from now on: a loss, an incident, or the gap of a gateway that came back."""

    cause: str = ""
    incident: bool = False
    gap_s: float | None = None


@dataclass(slots=True)
class Incidents(Job):
    """Part of what the analysis found. `gone`: identities that are none any more; `settled` is
    the answer."""

    incidents: Sequence[FoundIncident] = ()
    losses: Sequence[FoundLoss] = ()
    gone: Sequence[str] = ()
    gone_losses: Sequence[tuple[str, int]] = ()
    marks: Sequence[tuple[str, int]] = ()
    settled: list[Settled] = field(default_factory=list)


@dataclass(slots=True)
class Purge(Job):
    """One small step of retention. With `stream`: strips before tick `before`; else rows of
    `table` received before `before` (ns), or epochs whose agent has forgotten them before.
    `deleted` is the answer."""

    table: str
    stream: int
    before: int
    limit: int
    deleted: int = 0


@dataclass(slots=True)
class RestartLog(Job):
    """Finish the checkpoint between two transactions, so that the log starts again."""
