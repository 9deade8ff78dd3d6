"""Pins that the certificates made on the spot pass the strictest verification Python has."""

import ssl
import stat
from pathlib import Path

from gateway.cli.certificates import make_certificates


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Run a TLS handshake in memory; raises what the client's verification raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting


def test_strict_verification(tmp_path: Path) -> None:
    """A client with VERIFY_X509_STRICT accepts the server by name and by address."""
    files = make_certificates(tmp_path, ("localhost", "127.0.0.1"))
    client = ssl.create_default_context(cafile=str(files.ca_file))
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate_file, files.key_file)
    _handshake(client, server, "localhost")
    _handshake(client, server, "127.0.0.1")


def test_key_is_private(tmp_path: Path) -> None:
    """Only the owner reads the key."""
    files = make_certificates(tmp_path, ("localhost",))
    assert stat.S_IMODE(files.key_file.stat().st_mode) == 0o600
