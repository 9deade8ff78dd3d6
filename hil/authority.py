"""A certificate authority that stays, so that a server's certificate can be made out of date.

Owns keys and dates. Names, usages and identifiers are as in `gateway.cli.certificates`, whose
authority throws its key away.
"""

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs for one bench. `ca_file` is what the gateways trust."""

    def __init__(self, directory: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge-gateway bench")])
        self._server_key = ec.generate_private_key(ec.SECP256R1())
        self.ca_file = directory / "ca.pem"
        now = datetime.datetime.now(datetime.UTC)
        own = self._builder(self._name, self._key.public_key(), now - 9 * DAY, now + 9 * DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(_usage(authority=True), critical=True)
        self.ca_file.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def write(self, path: Path, names: tuple[str, ...], *, expired: bool = False) -> None:
        """Write a server's certificate and key for `names` as one PEM file, replacing it."""
        now = datetime.datetime.now(datetime.UTC)
        until = now - DAY if expired else now + 7 * DAY
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._builder(subject, self._server_key.public_key(), now - 8 * DAY, until)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(_usage(authority=False), critical=True)
        made = made.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        key = self._server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(_pem(made.sign(self._key, hashes.SHA256())) + key)
        os.replace(fresh, path)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        since: datetime.datetime,
        until: datetime.datetime,
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(self._name, subject, key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(since).not_valid_after(until)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key), critical=False
        )
        return builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
            critical=False,
        )


def _usage(*, authority: bool) -> x509.KeyUsage:
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


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
