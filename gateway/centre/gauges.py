"""What stands now, asked for at each scrape: gauges of the process, and of each gateway if wished.

Owns their names and how they are counted together; keeps nothing. Counts of gateways are over those
connected to this process; a gateway whose supply or radio is not known counts as neither good nor
bad.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.centre.admin import GatewaySample
from gateway.centre.analyst import Analyst
from gateway.centre.door import Door
from gateway.centre.server import Server
from gateway.centre.store.fleet import STRONG_DBM, WEAK_DBM
from gateway.centre.store.keeper import Keeper
from gateway.centre.store.writer import Writer

Values = dict[str, tuple[str, float]]


class Gauges:
    """One per process. `told` returns (when the certificate ends or 0, sessions found lost)."""

    def __init__(
        self,
        server: Server,
        door: Door,
        writer: Writer,
        keeper: Keeper,
        analyst: Analyst,
        told: Callable[[], tuple[float, int]],
    ) -> None:
        self._server = server
        self._door = door
        self._writer = writer
        self._keeper = keeper
        self._analyst = analyst
        self._told = told

    def values(self) -> Values:
        """Return name → (help, value)."""
        store, door = self._writer, self._door
        expires_s, lost_at_start = self._told()
        values: Values = {
            "ws_active_connections": (
                "Sessions after Welcome and before close",
                self._server.active,
            ),
            "ws_open_connections": ("Open TCP connections, sessions or not", door.links),
            "ws_handshakes_in_progress": ("Connections on their way in", door.handshakes),
            "centre_draining": ("1 while this centre stops", float(door.draining)),
            "centre_sessions_lost_at_start": (
                "Sessions that a killed centre had left open, found at this start",
                lost_at_start,
            ),
            "centre_store_queue_bytes": ("Received and not yet committed", store.queued),
            "centre_store_writable": ("1 while the store can write", float(not store.trouble)),
            "centre_store_bytes": ("Size of the store's file", _size(store.path)),
            "centre_store_log_bytes": (
                "Size of the store's log",
                _size(store.path.with_name(store.path.name + "-wal")),
            ),
            "centre_retention_deleted": (
                "Strips and rows deleted by retention since the start",
                self._keeper.deleted,
            ),
        }
        if expires_s:
            values["centre_certificate_expiry_time_seconds"] = (
                "When the certificate that gateways are shown ends",
                expires_s,
            )
        return values | self._health() | self._states()

    def _health(self) -> Values:
        """Count the connected gateways that are not well, as the store's writer saw them last."""
        low = radio = records = 0
        latest = self._writer.latest
        for session in self._server.sessions.values():
            seen = latest.seen(session.pk) if session.number else None
            if seen is not None:
                low += seen.undervoltage is True
                radio += seen.dbm is not None and not WEAK_DBM <= seen.dbm <= STRONG_DBM
                records += 0 if seen.backlog is None else seen.backlog.records
        return {
            "centre_gateways_undervoltage": ("Connected gateways whose supply is low", low),
            "centre_gateways_radio_out_of_range": (
                "Connected gateways whose radio level is below -90 dBm or above -30 dBm",
                radio,
            ),
            "centre_backlog_records": (
                "Records waiting at the connected gateways, as of their last heartbeat",
                records,
            ),
        }

    def _states(self) -> Values:
        states = self._analyst.states
        working: Values = {
            "centre_analysis_working": (
                "0 after a look for incidents that failed, until one succeeds",
                float(not self._analyst.trouble),
            )
        }
        if not states:
            return working
        return working | {
            "centre_gateways_known": ("Gateways that ever came in", sum(states.values())),
            "centre_gateways_lost": (
                "Known gateways without a session at any process of this store",
                states["lost"],
            ),
            "centre_analysis_seconds": (
                "How long the last analysis for incidents took",
                self._analyst.took_s,
            ),
        }

    def per_gateway(self) -> Iterator[GatewaySample]:
        """Yield what /metrics/gateways shows."""
        clock = self._server.clock
        wall_s, now = clock.wall_ns() / 1e9, clock.now()
        for name, session in self._server.sessions.items():
            if session.number:
                link = session.link
                yield (
                    name,
                    {
                        "centre_gateway_connected_since_seconds": wall_s - now + session.opened,
                        "centre_gateway_last_message_seconds": wall_s - now + link.heard,
                        "centre_gateway_round_trip_seconds": link.pulse.last_s,
                        "centre_gateway_received_messages": link.messages_in,
                    },
                )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
