"""The centre as a process: TLS, certificates, reload, SIGTERM, kill -9."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from gateway.centre.store import layout
from gateway.centre.tokens import add_token
from tests.waiting import PATIENCE_S, until


class Authority:
    """A certificate authority for one test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(*(False,) * 5, True, True, False, False)
        builder = self._builder(self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        self.certificate = builder.add_extension(usage, True).sign(self.key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
        )

    def issue(self, common_name: str, path: Path, *, server: bool) -> None:
        """Write certificate and key of `common_name` into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            self._builder(name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), False)
            .sign(self.key, hashes.SHA256())
        )
        text = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(text)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Process:
    """`gateway centre run` in a folder."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.folder = folder
        self.port, self.admin = free_port(), free_port()
        self.authority = Authority(folder, "authority")
        self.authority.issue("localhost", folder / "server.pem", server=True)
        self.config = folder / "centre.toml"
        self.config.write_text(
            f"""
[centre]
listen = "127.0.0.1:{self.port}"
node = "one"
workers = {workers}
[tls]
certificate_file = "server.pem"
client_ca_file = "authority.pem"
[store]
path = "store.sqlite"
[admin]
listen = "127.0.0.1:{self.admin}"
[web]
listen = ""
[drain]
timeout_s = 3
"""
        )
        self.token = add_token(folder / "tokens", "site-1", 0)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gateway.cli.main", "centre", "run"]
        self.process = subprocess.Popen([*command, "--config", str(self.config)])
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                url = f"http://127.0.0.1:{self.admin}/-/ready"
                with urllib.request.urlopen(url, timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                assert self.process.poll() is None, "the centre ended"
                time.sleep(0.05)
        raise AssertionError(f"the centre was not ready in {PATIENCE_S:g} s")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(15)

    async def connect(
        self, gateway: str = "site-1", client: Path | None = None
    ) -> ClientConnection:
        context = ssl.create_default_context(cafile=str(self.authority.file))
        headers = {}
        if client is None:
            headers["Authorization"] = f"Bearer {self.token}"
        else:
            context.load_cert_chain(client)
        return await connect(
            f"wss://localhost:{self.port}/gateway/{gateway}",
            subprotocols=["gateway.v1"],  # type: ignore[list-item]
            ssl=context,
            additional_headers=headers,
            proxy=None,
            compression=None,
        )


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    made.start()
    yield made
    assert made.process is not None
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def served_serial(port: int) -> int:
    """Return the serial number of the certificate the port shows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw) as secure:
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


async def test_a_client_certificate_is_a_credential(process: Process) -> None:
    """The certificate's name must be the path's; no token is needed then."""
    mine = process.folder / "site-7.pem"
    process.authority.issue("site-7", mine, server=False)
    socket_ = await process.connect("site-7", mine)
    await socket_.close()
    with pytest.raises(InvalidStatus) as caught:
        await process.connect("site-8", mine)
    assert caught.value.response.status_code == 403
    other = Authority(process.folder, "stranger")
    other.issue("site-7", process.folder / "forged.pem", server=False)
    with pytest.raises((OSError, ConnectionClosed, InvalidMessage)):
        forged = await process.connect("site-7", process.folder / "forged.pem")
        await forged.recv()


async def test_sighup_serves_the_new_certificate_and_keeps_sessions(process: Process) -> None:
    """A renewed certificate needs no restart; a broken one is not taken."""
    open_ = await process.connect()
    before = served_serial(process.port)
    process.authority.issue("localhost", process.folder / "server.pem", server=True)
    assert process.process is not None
    process.process.send_signal(signal.SIGHUP)
    await until(lambda: served_serial(process.port) != before)
    renewed = served_serial(process.port)
    (process.folder / "server.pem").write_text("broken")
    process.process.send_signal(signal.SIGHUP)
    await asyncio.sleep(0.3)
    assert served_serial(process.port) == renewed
    await open_.ping()
    await open_.close()


async def test_sigterm_closes_1001_and_leaves_a_clean_store(process: Process) -> None:
    """Exit status 0, Close 1001, no log left behind, the stop is an event."""
    open_ = await process.connect()
    assert process.process is not None
    process.process.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(10):
            await open_.recv()
    assert open_.close_code in (1001, 1006)
    assert await asyncio.to_thread(process.process.wait, 15) == 0
    db = layout.open_reader(process.folder / "store.sqlite")
    kinds = [row[0] for row in db.execute("SELECT kind FROM event ORDER BY id")]
    db.close()
    assert kinds == ["centre_started", "centre_stopping"]


def test_it_starts_again_after_kill_minus_nine(process: Process) -> None:
    """No lock, pid file or half-written log stands in the way."""
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    process.start()
    assert process.stop() == 0


async def test_workers_share_port_and_store(tmp_path: Path) -> None:
    """With `workers` each process takes connections; one SIGTERM stops them all."""
    several = Process(tmp_path, workers=2)
    several.start()
    try:
        links = [await several.connect() for _ in range(12)]
        assert several.process is not None
        listing = Path(f"/proc/{several.process.pid}/task/{several.process.pid}/children")
        assert len(listing.read_text().split()) == 2
        for link in links:
            await link.close()
        assert await asyncio.to_thread(several.stop) == 0
    finally:
        assert several.process is not None
        if several.process.poll() is None:
            os.kill(several.process.pid, signal.SIGKILL)
