"""Settings of the centre: what its one TOML file says, checked and complete.

Owns the settings' types and their reading (`parse`). Every key, its unit, range and default stands
in `config/centre.md`. Never reads files: text in, settings out.
"""

import hashlib
from dataclasses import dataclass

from gateway.config.document import Document, Section, SectionMaker
from gateway.config.problems import Parsed, Problems, shown

MIB = 1024 * 1024
_HOST_PORT = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`[tls]`. `client_ca_file`: who signs the gateways' certificates; ``None``: tokens only."""

    certificate_file: str
    key_file: str | None = None
    client_ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """`[link]`: the connections of the gateways."""

    max_connections: int = 25_000
    max_handshakes: int = 8192
    max_handshakes_per_address: int = 1024
    handshake_timeout_s: float = 10.0
    heartbeat_s: float = 30.0
    heartbeat_timeout_s: float = 20.0
    max_message_bytes: int = 256 * 1024
    window_bytes: int = MIB
    compression: str = "none"
    coalesce_s: float = 0.0015
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`[store]`. Retention 0: without bound. `queue_bytes`: received and not yet committed."""

    path: str = "/var/lib/gateway-centre/store.sqlite"
    retention_days: float = 400.0
    retention_bytes: int = 0
    queue_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """`[admin]`: metrics, health and API. `listen` empty turns it off."""

    listen: str = "127.0.0.1:9465"
    gateway_metrics: bool = False


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`[web]`: the page. `listen` empty turns it off. `users_file` ``None``: no login, which only a
    loopback address may do without. `hosts`: names by which browsers reach it through a proxy."""

    listen: str = "127.0.0.1:9466"
    users_file: str | None = None
    hosts: tuple[str, ...] = ()
    certificate_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """`[drain]`: how the centre stops. Gateways come back spread over `retry_after_s`."""

    timeout_s: float = 10.0
    retry_after_s: float = 30.0


@dataclass(frozen=True, slots=True)
class CentreSettings:
    """The whole file. Paths are absolute or relative to the file. `node` empty: the host's name.
    `revision` is the first 12 hex digits of the SHA-256 of the file's bytes."""

    listen: str = "0.0.0.0:8443"
    path: str = "/gateway"
    node: str = ""
    workers: int = 1
    tokens_file: str = "tokens"
    log_level: str = "info"
    tls: TlsSettings | None = None
    link: LinkSettings = LinkSettings()
    store: StoreSettings = StoreSettings()
    admin: AdminSettings = AdminSettings()
    web: WebSettings = WebSettings()
    drain: DrainSettings = DrainSettings()
    revision: str = ""


def parse(text: str, name: str, make: SectionMaker | None = None) -> Parsed[CentreSettings]:
    """Read the centre's file. `name` is what messages call it; `make` makes the sections."""
    problems = Problems()
    root = Document.read(text, name, problems, make)
    if problems.problems:
        return problems.parsed(CentreSettings())
    centre = root.section("centre")
    plain = CentreSettings()
    settings = CentreSettings(
        listen=_listen(centre, "listen", plain.listen),
        path=centre.text(
            "path", plain.path, pattern=r"/[A-Za-z0-9_./-]*[A-Za-z0-9_-]", expected='"/gateway"'
        ),
        node=centre.text("node", plain.node, longest=64),
        workers=centre.integer("workers", plain.workers, low=1, high=64),
        tokens_file=centre.text(
            "tokens_file", plain.tokens_file, pattern=".+", expected="the path of a file"
        ),
        log_level=centre.text(
            "log_level", plain.log_level, choices=("debug", "info", "warning", "error")
        ),
        tls=_tls(root.section("tls")) if "tls" in root else None,
        link=_link(root.section("link")),
        store=_store(root.section("store")),
        admin=_admin(root.section("admin")),
        web=_web(root.section("web")),
        drain=_drain(root.section("drain")),
        revision=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12],
    )
    centre.close()
    root.close()
    if settings.tls is None and not is_loopback(settings.listen):
        root.warning(
            "tls",
            f"missing, and {settings.listen} is open to the network",
            "add [tls] unless a proxy in front ends TLS (then listen where only it can reach)",
        )
    return problems.parsed(settings)


def _listen(section: Section, key: str, default: str, *, off: bool = False) -> str:
    expected = f'"{default}" (address:port)' + (', or "" for none' if off else "")
    listen = section.text(
        key, default, pattern=("|" if off else "") + _HOST_PORT, expected=expected
    )
    if listen and int(listen.rpartition(":")[2]) > 65535:
        section.problem(key, f"found {shown(listen)}", f"give {expected}")
    return listen


def is_loopback(listen: str) -> bool:
    """Tell whether only this machine reaches an address."""
    host = listen.rpartition(":")[0].strip("[]")
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _tls(section: Section) -> TlsSettings:
    def file(key: str) -> str | None:
        return section.text(key, None, pattern=".+", expected="the path of a file")

    certificate = section.text(
        "certificate_file", "", required=True, pattern=".+", expected="the path of a PEM file"
    )
    tls = TlsSettings(certificate, file("key_file"), file("client_ca_file"))
    section.close()
    return tls


def _link(section: Section) -> LinkSettings:
    plain = LinkSettings()
    proxies = section.texts("trusted_proxies", 'a list of addresses, ["10.0.0.5"]', most=64)
    link = LinkSettings(
        max_connections=section.integer(
            "max_connections", plain.max_connections, low=1, high=1_000_000
        ),
        max_handshakes=section.integer(
            "max_handshakes", plain.max_handshakes, low=1, high=1_000_000
        ),
        max_handshakes_per_address=section.integer(
            "max_handshakes_per_address",
            plain.max_handshakes_per_address,
            low=1,
            high=1_000_000,
        ),
        handshake_timeout_s=section.number(
            "handshake_timeout_s", plain.handshake_timeout_s, low=1.0, high=120.0, unit="seconds"
        ),
        heartbeat_s=section.number(
            "heartbeat_s", plain.heartbeat_s, low=1.0, high=3600.0, unit="seconds"
        ),
        heartbeat_timeout_s=section.number(
            "heartbeat_timeout_s", plain.heartbeat_timeout_s, low=1.0, high=600.0, unit="seconds"
        ),
        max_message_bytes=section.integer(
            "max_message_bytes", plain.max_message_bytes, low=64 * 1024, high=MIB, unit="bytes"
        ),
        window_bytes=section.integer(
            "window_bytes", plain.window_bytes, low=16 * 1024, high=64 * MIB, unit="bytes"
        ),
        compression=section.text("compression", plain.compression, choices=("none", "deflate")),
        coalesce_s=section.number(
            "coalesce_s", plain.coalesce_s, low=0.0, high=0.01, unit="seconds"
        ),
        trusted_proxies=proxies or (),
    )
    section.close()
    return link


def _store(section: Section) -> StoreSettings:
    plain = StoreSettings()
    store = StoreSettings(
        path=section.text("path", plain.path, pattern=".+", expected="the path of a file"),
        retention_days=section.number(
            "retention_days", plain.retention_days, low=0.0, high=36_500.0, unit="days"
        ),
        retention_bytes=section.integer(
            "retention_bytes", plain.retention_bytes, low=0, high=1 << 50, unit="bytes"
        ),
        queue_bytes=section.integer(
            "queue_bytes", plain.queue_bytes, low=MIB, high=1 << 34, unit="bytes"
        ),
    )
    section.close()
    if 0 < store.retention_bytes < 16 * MIB:
        section.problem(
            "retention_bytes", f"found {store.retention_bytes}", f"0 or at least {16 * MIB} bytes"
        )
    return store


def _admin(section: Section) -> AdminSettings:
    plain = AdminSettings()
    admin = AdminSettings(
        listen=_listen(section, "listen", plain.listen, off=True),
        gateway_metrics=section.flag("gateway_metrics", plain.gateway_metrics),
    )
    section.close()
    if admin.listen and not is_loopback(admin.listen):
        section.warning(
            "listen",
            f"{admin.listen} is open to the network, and the API asks for no password",
            "use 127.0.0.1 behind a proxy that asks who it is",
        )
    return admin


def _web(section: Section) -> WebSettings:
    plain = WebSettings()

    def file(key: str) -> str | None:
        return section.text(key, None, pattern=".+", expected="the path of a file")

    hosts = section.texts("hosts", 'a list of names, ["centre.example.net"]', most=16)
    web = WebSettings(
        listen=_listen(section, "listen", plain.listen, off=True),
        users_file=file("users_file"),
        hosts=tuple(host.lower() for host in hosts or ()),
        certificate_file=file("certificate_file"),
        key_file=file("key_file"),
    )
    section.close()
    if web.key_file is not None and web.certificate_file is None:
        section.problem("key_file", "given without certificate_file", "give both, or neither")
    if web.listen and not is_loopback(web.listen):
        if web.users_file is None:
            section.problem(
                "listen",
                f"found {shown(web.listen)}: open to the network, and nobody has to log in",
                "give users_file (`gateway centre passwd NAME` makes its lines), or listen on"
                " 127.0.0.1",
            )
        elif web.certificate_file is None:
            section.warning(
                "certificate_file",
                f"missing, and {web.listen} is open to the network: passwords travel in clear",
                "give it, or listen on 127.0.0.1 behind a proxy that ends TLS",
            )
    return web


def _drain(section: Section) -> DrainSettings:
    plain = DrainSettings()
    drain = DrainSettings(
        timeout_s=section.number("timeout_s", plain.timeout_s, low=0.0, high=300.0, unit="seconds"),
        retry_after_s=section.number(
            "retry_after_s", plain.retry_after_s, low=0.0, high=3600.0, unit="seconds"
        ),
    )
    section.close()
    return drain
