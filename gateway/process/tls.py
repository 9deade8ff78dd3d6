"""TLS contexts of both daemons: TLS 1.2 or newer, verification always on.

Owns what is allowed on the wire's outside (RFC 9325 §3.1.1, §4.2); there is no switch to turn
verification off. Certificates and keys come from files; a key's text never reaches a message.
"""

import ssl
from pathlib import Path

from gateway.errors import ConfigError
from gateway.process.files import check_secret


def client_context(
    ca_file: Path | None = None,
    certificate_file: Path | None = None,
    key_file: Path | None = None,
) -> ssl.SSLContext:
    """Build the agent's context. `ca_file` ``None``: the system's certificate authorities.

    `key_file` ``None``: the key is in `certificate_file`. Raises: ConfigError.
    """
    try:
        context = ssl.create_default_context(
            ssl.Purpose.SERVER_AUTH, cafile=None if ca_file is None else str(ca_file)
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(_trouble("uplink.ca_file", ca_file, error)) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        secret = check_secret(key_file or certificate_file)
        if secret.fault is not None and not secret.missing:
            raise ConfigError(f"uplink.key_file = {str(secret.path)!r}: {secret.fault}")
        _load_chain(context, "uplink.certificate_file", certificate_file, key_file)
    return context


def server_context(
    certificate_file: Path, key_file: Path | None = None, client_ca_file: Path | None = None
) -> ssl.SSLContext:
    """Build the centre's context. With `client_ca_file` a client may show a certificate, and one
    that does not verify ends the handshake; whether one is needed is the server's question.

    Raises: ConfigError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, "certificate_file", certificate_file, key_file)
    if client_ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(client_ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(_trouble("client_ca_file", client_ca_file, error)) from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _load_chain(
    context: ssl.SSLContext, key: str, certificate_file: Path, key_file: Path | None
) -> None:
    try:
        # A callable password: without one OpenSSL asks on the terminal and a daemon hangs.
        context.load_cert_chain(
            str(certificate_file), None if key_file is None else str(key_file), _no_password
        )
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(_trouble(key, certificate_file, error)) from error


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password, readable by its owner")


def _trouble(key: str, path: Path | None, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return (
        f"{key} = {str(path)!r}: cannot be used as PEM: {reason}; "
        "check that the files exist, are readable by this user and belong together"
    )
