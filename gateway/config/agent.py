"""Settings of the agent: what its one TOML file says, checked and complete.

Owns the settings' types and their reading (`parse`); the buses are in `bus`. Every key, its unit,
range and default stands in `config/README.md`. Never reads files: text in, settings out.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from gateway.config.bus import BusSettings, DeviceSettings, PointSettings, parse_buses
from gateway.config.document import Document, Section, SectionMaker
from gateway.config.host import HostSettings, parse_host
from gateway.config.problems import Parsed, Problems, shown
from gateway.config.profile import Profile
from gateway.config.serial import Formats, SerialSettings, parse_serials
from gateway.serial.builtin import BUILT_IN

__all__ = [
    "AgentSettings",
    "BusSettings",
    "DeviceSettings",
    "MetricsSettings",
    "PointSettings",
    "SpoolSettings",
    "UplinkSettings",
    "is_loopback",
    "parse",
]

MIB = 1024 * 1024
_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
_ABSOLUTE = r"/.*"
_LABEL = r"[a-z][a-z0-9_]{0,31}"
MAX_LABELS = 16


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
class MetricsSettings:
    """`[metrics]`: the agent's loopback listener; `listen` empty turns it off."""

    listen: str = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The whole file. `revision` is the first 12 hex digits of the SHA-256 of its bytes.

    `control`: path of the control socket, "" for none, ``None`` for the usual place.
    """

    gateway_id: str
    uplink: UplinkSettings
    spool: SpoolSettings = SpoolSettings()
    buses: tuple[BusSettings, ...] = ()
    serials: tuple[SerialSettings, ...] = ()
    host: HostSettings = field(default_factory=HostSettings)
    metrics: MetricsSettings = MetricsSettings()
    labels: tuple[tuple[str, str], ...] = ()
    log_level: str = "info"
    revision: str = ""
    state_directory: str = field(default="/var/lib/gateway")
    control: str | None = None

    @property
    def units(self) -> tuple[BusSettings | SerialSettings, ...]:
        """Return everything that has a port and a thread of its own."""
        return (*self.buses, *self.serials)


def parse(
    text: str,
    name: str,
    profiles: Mapping[str, Profile | None],
    make: SectionMaker | None = None,
    formats: Formats = BUILT_IN,
) -> Parsed[AgentSettings]:
    """Read the agent's file. `name` is what messages call it; a profile that is ``None`` is there
    but has problems of its own; `make` makes the sections; `formats` are those of serial
    sources."""
    problems = Problems()
    root = Document.read(text, name, problems, make)
    if problems.problems:
        return problems.parsed(AgentSettings("", UplinkSettings("")))
    gateway = root.section("gateway", required=True)
    plain = AgentSettings("", UplinkSettings(""))
    buses = parse_buses(root, profiles)
    serials = parse_serials(root, formats, buses)
    settings = AgentSettings(
        gateway_id=gateway.text(
            "id",
            "",
            required=root.has_table("gateway"),
            pattern=_ID,
            expected="a name of letters, digits, _ . - (at most 128), the one the centre knows",
        ),
        labels=_labels(root.section("labels")),
        log_level=gateway.text(
            "log_level", plain.log_level, choices=("debug", "info", "warning", "error")
        ),
        state_directory=gateway.text(
            "state_directory",
            plain.state_directory,
            pattern=_ABSOLUTE,
            expected="an absolute path",
        ),
        control=gateway.text(
            "control", None, pattern=r"|/.{1,100}", expected='an absolute path, or "" for none'
        ),
        uplink=_uplink(root.section("uplink", required=True), root.has_table("uplink")),
        spool=_spool(root.section("spool")),
        buses=buses,
        serials=serials,
        host=parse_host(root.section("host"), buses, serials),
        metrics=_metrics(root.section("metrics")),
        revision=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12],
    )
    gateway.close()
    for key, header in (("device", "[[bus.device]]"), ("point", "[[bus.device.point]]")):
        if key in root:
            root.note_asked(key)
            root.problem(key, "it stands alone", f"write {header}, below what it belongs to")
    root.close()
    if "bus" not in root and "serial" not in root:
        root.warning("", "there is no [[bus]]", "nothing is read until one is added")
    return problems.parsed(settings)


def _labels(section: Section) -> tuple[tuple[str, str], ...]:
    labels = []
    section.free_keys(_LABEL, MAX_LABELS)
    for key in section.values:
        value = section.text(key, "", longest=128)
        if not re.fullmatch(_LABEL, key):
            section.problem(key, "not a label", "lower-case letters, digits and _ (at most 32)")
        labels.append((key, value))
    if len(labels) > MAX_LABELS:
        section.problem("", f"found {len(labels)} labels", f"give at most {MAX_LABELS}")
    return tuple(labels)


def _uplink(section: Section, present: bool) -> UplinkSettings:
    plain = UplinkSettings("")

    def path(key: str) -> str | None:
        return section.text(key, None, pattern=r".+", expected="the path of a file")

    def seconds(key: str, default: float, low: float, high: float) -> float:
        return section.number(key, default, low=low, high=high, unit="seconds")

    uplink = UplinkSettings(
        url=_url(section, present),
        token_file=path("token_file"),
        ca_file=path("ca_file"),
        certificate_file=path("certificate_file"),
        key_file=path("key_file"),
        proxy=section.text(
            "proxy",
            None,
            pattern=r"https?://[^\s/]+/?",
            expected='"http://host:port" of an HTTP proxy',
            secret=True,
        ),
        batch_s=seconds("batch_s", plain.batch_s, 0.0, 60.0),
        compression=section.text("compression", plain.compression, choices=("none", "deflate")),
        heartbeat_s=seconds("heartbeat_s", plain.heartbeat_s, 1.0, 3600.0),
        heartbeat_timeout_s=seconds("heartbeat_timeout_s", plain.heartbeat_timeout_s, 1.0, 300.0),
        connect_timeout_s=seconds("connect_timeout_s", plain.connect_timeout_s, 1.0, 300.0),
        backoff_initial_s=seconds("backoff_initial_s", plain.backoff_initial_s, 0.05, 3600.0),
        backoff_max_s=seconds("backoff_max_s", plain.backoff_max_s, 0.05, 86400.0),
    )
    section.close()
    if (uplink.certificate_file is None) != (uplink.key_file is None):
        given = "key_file" if uplink.certificate_file is None else "certificate_file"
        section.problem(given, "given alone", "a client certificate needs both files")
    if uplink.backoff_max_s < uplink.backoff_initial_s:
        found = f"found {uplink.backoff_max_s:g}"
        cure = f"at least backoff_initial_s ({uplink.backoff_initial_s:g})"
        section.problem("backoff_max_s", found, cure)
    return uplink


def _url(section: Section, present: bool) -> str:
    url = section.text(
        "url", "", required=present, expected='"wss://centre.example.net/gateway"', longest=2048
    )
    if not url:
        return url
    parts = _split(url)
    if parts is None or not parts.hostname or parts.scheme not in ("ws", "wss"):
        section.problem("url", f"found {shown(url)}", 'give "wss://host/path" (or wss://host:port)')
    elif parts.username or parts.password:
        section.problem("url", "it holds a user or password", "put the token into token_file")
    elif parts.query or parts.fragment:
        section.problem("url", f"found {shown(url)}", "leave out what follows ? or #")
    elif parts.scheme == "ws" and not is_loopback(parts.hostname):
        cure = "use wss://: without TLS only this machine itself (localhost) can be reached"
        section.problem("url", f"found {shown(url)}", cure)
    return url


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL, or ``None`` if it is not one (a port that is no number)."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Say whether a host name or address literal is this machine itself."""
    return host == "localhost" or host == "::1" or bool(re.fullmatch(r"127(\.[0-9]{1,3}){3}", host))


def _spool(section: Section) -> SpoolSettings:
    plain = SpoolSettings()
    spool = SpoolSettings(
        directory=section.text(
            "directory", plain.directory, pattern=_ABSOLUTE, expected="an absolute path"
        ),
        max_bytes=section.integer("max_bytes", plain.max_bytes, low=0, high=2**44, unit="bytes"),
        keep_free_bytes=section.integer(
            "keep_free_bytes", plain.keep_free_bytes, low=0, high=2**44, unit="bytes"
        ),
        segment_bytes=section.integer(
            "segment_bytes", plain.segment_bytes, low=64 * 1024, high=64 * MIB, unit="bytes"
        ),
        commit_s=section.number("commit_s", plain.commit_s, low=0.05, high=60.0, unit="seconds"),
        policy=section.text("policy", plain.policy, choices=("drop_oldest", "drop_newest")),
    )
    section.close()
    if 0 < spool.max_bytes < 4 * spool.segment_bytes:
        cure = f"0 (by the free space) or at least 4 segments ({4 * spool.segment_bytes} bytes)"
        section.problem("max_bytes", f"found {spool.max_bytes}", cure)
    return spool


def _metrics(section: Section) -> MetricsSettings:
    expected = '"127.0.0.1:9464" (address:port), or "" for no listener'
    listen = section.text(
        "listen",
        MetricsSettings().listen,
        pattern=r"|(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}",
        expected=expected,
    )
    section.close()
    host, _, port = listen.rpartition(":")
    if listen and int(port) > 65535:
        section.problem("listen", f"found {shown(listen)}", f"give {expected}")
    elif listen and not is_loopback(host.strip("[]")):
        found = f"{listen} is open to the network"
        section.warning("listen", found, "use 127.0.0.1 unless a scraper must come from outside")
    return MetricsSettings(listen)
