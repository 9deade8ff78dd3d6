"""Events: changes of state worth telling the centre, spooled like readings.

The kinds are a closed set; each is described in `docs/operations.md`.
"""

from dataclasses import dataclass
from enum import StrEnum

Scalar = str | int | float | bool | None

MAX_FIELDS = 32
"""Fields of one event; more is our bug."""
MAX_TEXT = 512
"""Characters kept of one field's text; longer is cut when the event is made."""


class EventKind(StrEnum):
    """What happened. `TROUBLE` lists the kinds that are flushed to disk at once."""

    AGENT_STARTED = "agent_started"
    AGENT_STOPPING = "agent_stopping"
    CONFIG_CHANGED = "config_changed"
    CONFIG_APPLIED = "config_applied"
    CONFIG_REJECTED = "config_rejected"
    PORT_LOST = "port_lost"
    PORT_RETURNED = "port_returned"
    DEVICE_DOWN = "device_down"
    DEVICE_UP = "device_up"
    BLOCK_SPLIT = "block_split"
    BLOCK_DOWN = "block_down"
    BLOCK_UP = "block_up"
    SESSION_OPENED = "session_opened"
    SESSION_ENDED = "session_ended"
    CONNECT_FAILED = "connect_failed"
    CLOCK_STEPPED = "clock_stepped"
    SPOOL_FULL = "spool_full"
    SPOOL_DAMAGED = "spool_damaged"
    SPOOL_WRITE_FAILED = "spool_write_failed"
    TASK_FAILED = "task_failed"
    POINT_WRITTEN = "point_written"
    HOST_SOURCES = "host_sources"
    SUPPLY_LOW = "supply_low"
    SUPPLY_RECOVERED = "supply_recovered"
    CARRIER_LOST = "carrier_lost"
    CARRIER_RETURNED = "carrier_returned"
    RADIO_LOST = "radio_lost"
    RADIO_RETURNED = "radio_returned"
    ROUTE_CHANGED = "route_changed"
    TRACE = "trace"
    BOOT_CLASSIFIED = "boot_classified"
    BOOT_REVISED = "boot_revised"


TROUBLE = frozenset(
    {
        EventKind.AGENT_STOPPING,
        EventKind.PORT_LOST,
        EventKind.SESSION_ENDED,
        EventKind.CLOCK_STEPPED,
        EventKind.SPOOL_DAMAGED,
        EventKind.TASK_FAILED,
        EventKind.SUPPLY_LOW,
        EventKind.CARRIER_LOST,
        EventKind.RADIO_LOST,
        EventKind.ROUTE_CHANGED,
        EventKind.TRACE,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One change of state. `source_time_ns` is CLOCK_BOOTTIME in ns; `fields` keep their order."""

    kind: EventKind
    source_time_ns: int
    fields: tuple[tuple[str, Scalar], ...] = ()

    @classmethod
    def make(cls, kind: EventKind, source_time_ns: int, /, **fields: Scalar) -> "Event":
        """Build an event; text longer than `MAX_TEXT` is cut, so that one error cannot fill a
        record."""
        cut = tuple(
            (name, value[:MAX_TEXT] if isinstance(value, str) else value)
            for name, value in fields.items()
        )
        return cls(kind, source_time_ns, cut[:MAX_FIELDS])
