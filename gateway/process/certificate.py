"""What a server's certificate says: whose it is, who signed it, from when to when, for which names.

Owns reading these five facts from DER, also of a certificate that does not verify (Python's own
`getpeercert` says nothing of those). Judges nothing: trust is OpenSSL's business.

Source: RFC 5280 §4.1, §4.2.1.6; ITU-T X.690 (DER).
"""

import contextlib
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_DER = 64 * 1024
_COMMON_NAME, _ORGANISATION = bytes.fromhex("550403"), bytes.fromhex("55040a")
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_SEQUENCE, _OID, _OCTETS = 0x30, 0x06, 0x04
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_UTC_TIME = 0x17
_DNS, _ADDRESS = 0x82, 0x87


@dataclass(frozen=True, slots=True)
class Certificate:
    """Times are UTC. `names`: DNS names and addresses it is for."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...] = ()


def shown_by(address: tuple[str, int], name: str, timeout_s: float) -> Certificate | None:
    """Return the certificate that a server shows, verified or not; ``None``: it shows none.

    For diagnosis only: nothing is sent over this connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, ValueError):
        with socket.create_connection(address, timeout=timeout_s) as plain:
            plain.settimeout(timeout_s)
            with context.wrap_socket(plain, server_hostname=name) as secure:
                der = secure.getpeercert(binary_form=True)
        return None if der is None else parse(der)
    return None


def first_in(pem: bytes) -> Certificate:
    """Read the first certificate of a PEM file: the server's own. Raises: ValueError."""
    found = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL)
    if found is None:
        raise ValueError("no certificate in PEM form")
    return parse(ssl.PEM_cert_to_DER_cert(found.group().decode("ascii", "replace")))


def parse(der: bytes) -> Certificate:
    """Read a certificate. Raises: ValueError for what is none."""
    if len(der) > MAX_DER:
        raise ValueError(f"a certificate of {len(der)} bytes")
    fields = list(_children(_only(_only(der, _SEQUENCE), _SEQUENCE)))
    if fields and fields[0][0] == _VERSION:
        fields = fields[1:]
    if len(fields) < 6:
        raise ValueError("not a certificate")
    # serial, algorithm, issuer, validity, subject, key, …
    dates = [_time(tag, value) for tag, value in _children(fields[3][1])]
    if len(dates) != 2:
        raise ValueError("not a certificate: no validity")
    extensions = next((value for tag, value in fields[6:] if tag == _EXTENSIONS), b"")
    return Certificate(
        _name(fields[4][1]), _name(fields[2][1]), dates[0], dates[1], tuple(_alt_names(extensions))
    )


def _children(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, content) of each element in `data`. Raises: ValueError."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut short")
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4 or at + count > len(data):
                raise ValueError("a length that DER does not have")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("cut short")
        yield tag, data[at : at + size]
        at += size


def _only(data: bytes, wanted: int) -> bytes:
    """Return the content of the first element, which must be of that tag."""
    for tag, value in _children(data):
        if tag == wanted:
            return value
        break
    raise ValueError("not a certificate")


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii", "replace")
    if tag == _UTC_TIME:  # RFC 5280 §4.1.2.5.1: 50 to 99 are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    if not re.fullmatch(r"\d{14}Z", text):
        raise ValueError(f"not a time: {text[:20]!r}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _name(data: bytes) -> str:
    """Return the common name, or the organisation."""
    found: dict[bytes, str] = {}
    for _, group in _children(data):
        for _, pair in _children(group):
            parts = list(_children(pair))
            if len(parts) == 2 and parts[0][0] == _OID:
                found[parts[0][1]] = _printable(parts[1][1])
    return found.get(_COMMON_NAME) or found.get(_ORGANISATION) or ""


def _alt_names(extensions: bytes) -> Iterator[str]:
    for _, listed in _children(extensions):
        for _, extension in _children(listed):
            parts = list(_children(extension))
            if not parts or parts[0] != (_OID, _SUBJECT_ALT_NAME) or parts[-1][0] != _OCTETS:
                continue
            for tag, value in _children(_only(parts[-1][1], _SEQUENCE)):
                if tag == _DNS:
                    yield _printable(value)
                elif tag == _ADDRESS and len(value) in (4, 16):
                    yield str(ipaddress.ip_address(value))


def _printable(value: bytes) -> str:
    text = value.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:128]
