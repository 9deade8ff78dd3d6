"""Settings of the agent: what its one TOML file says, checked and complete.

Owns the settings' types; parsing is below (`parse`). Every key, its unit, range and default stands
in
`config/README.md`.
"""

from dataclasses import dataclass, field

from gateway.modbus.point import PointSpec


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """`[spool]`. `max_bytes` 0 means min(1 GiB, 25 % of the free space). `policy` when full."""

    directory: str = "/var/lib/gateway/spool"
    max_bytes: int = 0
    keep_free_bytes: int = 200 * 1024 * 1024
    segment_bytes: int = 1024 * 1024
    commit_s: float = 1.0
    policy: str = "drop_oldest"


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """`[uplink]`. Paths are absolute or relative to the config file; ``None``: not used."""

    url: str
    token_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    proxy: str | None = None
    batch_s: float = 0.0
    compression: str = "none"
    heartbeat_s: float = 30.0
    heartbeat_timeout_s: float = 20.0
    connect_timeout_s: float = 20.0
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class PointSettings:
    """A point to poll: what to read and how often."""

    spec: PointSpec
    poll_interval_s: float


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """`[[bus.device]]` with its profile applied.

    `holes`: (table function code, first, last) address ranges that must never be read (marked by
    the profile).
    `max_registers`: longest read the device takes. `shape_step`: registers by which a read may be
    lengthened so that two requests differ in shape (2 on word-aligned meters, 0 forbids it).
    """

    name: str
    unit_id: int
    points: tuple[PointSettings, ...]
    profile: str | None = None
    timeout_s: float | None = None
    retries: int = 1
    max_registers: int = 125
    holes: tuple[tuple[int, int, int], ...] = ()
    shape_step: int = 1


@dataclass(frozen=True, slots=True)
class BusSettings:
    """`[[bus]]`: one RS-485 pair. `strict_end`: devices pause inside frames, take no credit for
    early ends."""

    name: str
    port: str
    baud: int = 19200
    parity: str = "even"
    stop_bits: int = 1
    strict_end: bool = False
    devices: tuple[DeviceSettings, ...] = ()

    @property
    def character_s(self) -> float:
        """Seconds one character takes: start, 8 data, parity, stop bits."""
        return (9 + (self.parity != "none") + self.stop_bits) / self.baud


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`[metrics]`: the agent's loopback listener; `listen` empty turns it off."""

    listen: str = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The whole file. `revision` is the first 12 hex digits of the SHA-256 of its bytes."""

    gateway_id: str
    uplink: UplinkSettings
    spool: SpoolSettings = SpoolSettings()
    buses: tuple[BusSettings, ...] = ()
    metrics: MetricsSettings = MetricsSettings()
    labels: tuple[tuple[str, str], ...] = ()
    log_level: str = "info"
    revision: str = ""
    state_directory: str = field(default="/var/lib/gateway")
