"""What the observers saw, as values: everything the analysis is given.

Owns the input's types only. Times are what each observer's own clock said: wall times ending in
`_ns` are the centre's (UTC ns), source times are ns of the gateway's CLOCK_BOOTTIME in its boot.
`timeline` puts them on one clock. No type here says what a bench injected.
"""

from dataclasses import dataclass

from gateway.event import Scalar

Pairs = tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """`ws_active_connections` at one instant, summed over the nodes of one series.

    `opened_total`: `ws_connection_total` then; it shows a dip that came and went between two
    samples. ``None``: not known.
    """

    at_ns: int
    active: int
    opened_total: int | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """One instant on both clocks of a gateway. `source`: 3 PTP, 2 NTP, 1 RTC, 0 none.
    `error_us` -1: unknown."""

    boottime_ns: int
    wall_ns: int
    source: int
    error_us: int


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of a gateway. `boot_id` in hex.

    `first_ns`: when the centre first heard of it. `offset_ns`: the least (received wall time minus
    boottime) over its `Hello`s and heartbeats: the centre's clock, late by one message's way;
    ``None``: it never spoke to the centre while it ran.
    """

    boot_id: str
    first_ns: int
    offset_ns: int | None = None
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One session as a centre node recorded it.

    `side` and `cause` as in `centre.ending` (``""`` while open). `node`: the centre process.
    `proxy`: the address the connection came from if that is a trusted proxy, else ``""``.
    `ended`: how the agent saw the session *before* this one end, told in this session's `Hello`
    (`agent.faults` fields), `last_session` that session's number (0: none). `facts`: the rest of
    `Hello`: ``label.<name>`` grouping keys, ``config_revision``, ``reboot`` class and evidence,
    ``host = none`` of a client that watches no host.
    `tcp`: TCP_INFO at the end. `alive_until_ns`: the source time of the last record that the store
    has of the run of the daemon (its epoch) which held this session; ``None``: not known.
    """

    number: int
    node: str
    boot_id: str
    proxy: str
    remote: str
    opened_ns: int
    closed_ns: int | None
    side: str = ""
    cause: str = ""
    code: int | None = None
    reason: str = ""
    last_message_age_s: float | None = None
    last_pong_age_s: float | None = None
    round_trip_s: float | None = None
    round_trip_min_s: float | None = None
    round_trip_max_s: float | None = None
    messages_in: int = 0
    messages_out: int = 0
    path_dead: bool | None = None
    tcp: Pairs = ()
    software: str = ""
    last_session: int = 0
    ended: Pairs = ()
    facts: Pairs = ()
    alive_until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One event a gateway recorded. `source_time_ns` counts from the start of `boot_id`."""

    boot_id: str
    source_time_ns: int
    received_ns: int
    kind: str
    fields: Pairs = ()


@dataclass(frozen=True, slots=True)
class Look:
    """The host at one instant, from a trace or an aggregate. ``None``: not known, never good.

    `undervoltage`: ``True`` while the alarm says so. `carrier`, `dbm`: of the interface with the
    default route, which is `interface` (empty: not known). `span_s`: an aggregate speaks for so
    long before; 0: for the instant.
    """

    boot_id: str
    source_time_ns: int
    volts: float | None = None
    undervoltage: bool | None = None
    dbm: float | None = None
    carrier: bool | None = None
    interface: str = ""
    span_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GatewayEvidence:
    """All that is known of one gateway in the time looked at. The order of the tuples means
    nothing: every one may hold duplicates and come in any order."""

    gateway: str
    sessions: tuple[Session, ...] = ()
    boots: tuple[Boot, ...] = ()
    events: tuple[Seen, ...] = ()
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """An event of a centre node itself: ``centre_started``, ``centre_stopping``,
    ``sessions_lost``, ``identity_refused`` … `gateway`: whom it concerns, ``""`` the node."""

    node: str
    at_ns: int
    kind: str
    gateway: str = ""
    fields: Pairs = ()
