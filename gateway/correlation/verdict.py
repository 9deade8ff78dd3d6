"""What the analysis says: causes, proofs, losses, incidents. Values only.

Owns the closed sets of causes; both are labels of metrics and rows of `docs/operations.md`.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.correlation.evidence import Pairs
from gateway.host.reboot import Confidence


class Cause(StrEnum):
    """Why a gateway was lost: one each, in the order in which they are tried."""

    CENTRE_DRAINED = "centre_drained"
    """The centre said goodbye: a deploy or a stop on purpose."""
    CENTRE_KILLED = "centre_killed"
    """The centre's process died with its sessions."""
    CENTRE_ERROR = "centre_error"
    """The centre closed it: 1011, its store, an internal error."""
    CENTRE_REFUSED = "centre_refused"
    """The centre closed it on purpose: revoked, identity, protocol, too big."""
    REPLACED = "replaced"
    """The same gateway came in again; no gap of its own."""
    AGENT_STOPPED = "agent_stopped"
    """The daemon was stopped or restarted on purpose."""
    CONFIG_CHANGED = "config_changed"
    """A reload of the config restarted the uplink."""
    ORDERLY_REBOOT = "orderly_reboot"
    """Reboot, power-off or kexec on purpose."""
    BROWN_OUT = "brown_out"
    """The supply sagged and the gateway reset."""
    POWER_CUT = "power_cut"
    """The supply was gone."""
    WATCHDOG = "watchdog"
    """The hardware watchdog reset it."""
    KERNEL_PANIC = "kernel_panic"
    UNCLEAN_REBOOT = "unclean_reboot"
    """It rebooted unasked and the evidence says no more."""
    AGENT_CRASHED = "agent_crashed"
    """The daemon died (killed, out of memory, a bug); the kernel went on."""
    LINK_LOST = "link_lost"
    """The host's carrier, adapter or default route went away."""
    RADIO = "radio"
    """The radio faded or was disconnected."""
    PROXY_IDLE = "proxy_idle"
    """A proxy's idle time-out: a constant age of the connection or of its last message."""
    PROXY_RELOADED = "proxy_reloaded"
    """A proxy closed its connections in order and came back at once."""
    PROXY_FAILED = "proxy_failed"
    """A proxy died."""
    RESET_IN_PATH = "reset_in_path"
    """A box between the two reset the connection (firewall, NAT)."""
    PATH_DEAD = "path_dead"
    """Bytes vanished without a word: half-open, a NAT's time-out, a dropped route."""
    UNKNOWN = "unknown"
    """The evidence does not say."""


QUIET = frozenset(
    {
        Cause.CENTRE_DRAINED,
        Cause.REPLACED,
        Cause.AGENT_STOPPED,
        Cause.CONFIG_CHANGED,
        Cause.ORDERLY_REBOOT,
        Cause.PROXY_RELOADED,
    }
)
"""On purpose: named, not alarmed."""


class HeldBy(StrEnum):
    """Why a lost gateway was not back sooner."""

    NOTHING = "nothing"
    """It was back within its backoff."""
    DNS = "dns"
    CLOCK = "clock"
    CERTIFICATE = "certificate"
    TLS = "tls"
    REFUSED = "refused"
    NO_ROUTE = "no_route"
    UPGRADE = "upgrade"
    """A proxy answered in the centre's place: 502, 504, 426, 200."""
    CREDENTIALS = "credentials"
    OVERLOAD = "overload"
    TIMEOUT = "timeout"
    """Connecting timed out."""
    DOWN = "down"
    """The gateway itself was off, or its daemon was."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Proof:
    """One line of evidence. `at_ns`: UTC, ``None`` when it cannot be dated; `error_ns`: how far it
    may be off. `observer`: ``agent``, ``centre`` or ``host``. `supports`: whether it decided the
    cause or only stands beside it."""

    at_ns: int | None
    error_ns: int
    observer: str
    text: str
    supports: bool = True


@dataclass(frozen=True, slots=True)
class Loss:
    """One gateway's loss of its session.

    `age_s`: how old the session was. `pending`: the gateway has not come back yet, so that its own
    evidence is missing; the verdict may improve. `labels`: its grouping keys.
    """

    gateway: str
    session: int
    node: str
    proxy: str
    software: str
    labels: Pairs
    opened_ns: int
    lost_ns: int
    returned_ns: int | None
    cause: Cause
    confidence: Confidence
    held_by: HeldBy
    pending: bool
    proofs: tuple[Proof, ...] = ()

    @property
    def age_s(self) -> float:
        """Return how old the session was."""
        return (self.lost_ns - self.opened_ns) / 1e9


class GroupKind(StrEnum):
    """What the gateways of an incident have in common."""

    SITE = "site"
    FEEDER = "feeder"
    OPERATOR = "operator"
    ACCESS_POINT = "access_point"
    LABEL = "label"
    PROXY = "proxy"
    NODE = "node"
    AGE = "age"
    SOFTWARE = "software"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Group:
    """`lost` of the `of` gateways connected then with `kind` = `value` fell. `value` of a label is
    ``name=value``, of an age its seconds."""

    kind: GroupKind
    value: str
    lost: int
    of: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A fall of `ws_active_connections` beyond the usual churn. `recovered_ns` ``None``: not yet.
    `hidden`: it came and went between two samples; only `ws_connection_total` shows it."""

    started_ns: int
    bottom_ns: int
    recovered_ns: int | None
    before: int
    bottom: int
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """Losses with one cause in common. `quiet`: named, not alarmed (drain, deploy, reload).

    `identity` stays the same while the report improves. `drop`: the fall of the series it is part
    of, ``None`` if the series showed none.
    """

    identity: str
    started_ns: int
    ended_ns: int | None
    cause: Cause
    confidence: Confidence
    quiet: bool
    losses: tuple[Loss, ...]
    groups: tuple[Group, ...]
    drop: Drop | None
