"""Certificates made on the spot: one authority and one server, for a demo or a test.

Owns what goes into them. Python 3.13 verifies strictly (RFC 5280, `VERIFY_X509_STRICT`), hence
basicConstraints and keyUsage marked critical and both key identifiers. Not for production: the
authority's key is thrown away, and a certificate lasts two days.
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=2)
SKEW = datetime.timedelta(hours=1)
"""How far back a certificate is valid, for a clock that is behind."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the files are: what the agent trusts, what the centre shows."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


def make_certificates(directory: Path, names: tuple[str, ...]) -> CertificateFiles:
    """Make an authority and a server certificate for `names` (host names and IP addresses)."""
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge-gateway demo authority")])
    ca = _builder(ca_name, ca_name, ca_key.public_key(), ca_key.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(_key_usage(authority=True), critical=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    server = _builder(subject, ca_name, server_key.public_key(), ca_key.public_key())
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = server.add_extension(_key_usage(authority=False), critical=True)
    server = server.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    server = server.add_extension(alternatives, critical=False)
    files = CertificateFiles(directory / "ca.pem", directory / "centre.pem", directory / "key.pem")
    files.ca_file.write_bytes(_pem(ca.sign(ca_key, hashes.SHA256())))
    files.certificate_file.write_bytes(_pem(server.sign(ca_key, hashes.SHA256())))
    files.key_file.touch(mode=0o600)
    files.key_file.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    """Return what both certificates have: names, validity, key identifiers."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - SKEW).not_valid_after(now + LIFETIME)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
