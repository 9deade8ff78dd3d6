"""Certificates as they are read without OpenSSL's judgement, against another reader's word."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.process.certificate import first_in, parse, shown_by
from tests.cli.pki import make_pki
from tests.system import skip


def der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(("begin", "end"), [(-1, 90), (-60, -2), (-1, 365 * 40)])
def test_what_the_certificate_says(tmp_path: Path, begin: float, end: float) -> None:
    """Names, addresses, issuer and dates (UTCTime and, from 2050 on, GeneralizedTime)."""
    names = ("centre.example.net", "10.0.0.1", "::1")
    pki = make_pki(tmp_path, names, begin, end, issuer="Ä CA")
    peer = x509.load_pem_x509_certificate(pki.certificate_file.read_bytes())
    found = parse(der(pki.certificate_file))
    assert (found.subject, found.issuer, found.names) == (names[0], "Ä CA", names)
    assert (found.not_before, found.not_after) == (
        peer.not_valid_before_utc,
        peer.not_valid_after_utc,
    )
    assert parse(der(pki.ca_file)).names == ()


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_authority_of_this_system_can_be_read() -> None:
    """Certificates of the wild, where there are any: dates and names as another reader has them."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if not bundle.is_file():
        skip("this system has no bundle of authorities")
    for peer in x509.load_pem_x509_certificates(bundle.read_bytes()):
        found = parse(peer.public_bytes(Encoding.DER))
        assert found.not_after == peer.not_valid_after_utc
        assert found.subject or not peer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    """What is no certificate is said to be none."""
    with pytest.raises(ValueError, match=r"\w"):
        parse(data)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One good certificate."""
    return der(make_pki(tmp_path_factory.mktemp("pki")).certificate_file)


@given(data=st.data())
def test_a_damaged_certificate(good: bytes, data: st.DataObject) -> None:
    """A changed byte gives another certificate or none, never another error."""
    at = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255))
    try:
        parse(good[:at] + bytes([value]) + good[at + 1 :])
        parse(good[:at])
    except ValueError:
        return


def test_nobody_shows_one() -> None:
    """No server, no certificate, no exception."""
    assert shown_by(("127.0.0.1", 1), "127.0.0.1", 1.0) is None


def test_the_first_certificate_of_a_file_is_the_servers(tmp_path: Path) -> None:
    """A PEM file holds the server's own certificate first, then its chain, perhaps its key."""
    pki = make_pki(tmp_path, ("a.example",), -1, 90)
    own, authority = pki.certificate_file.read_bytes(), pki.ca_file.read_bytes()
    assert first_in(b"# a comment\n" + own + authority) == parse(der(pki.certificate_file))
    empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    for damaged in (b"", b"no PEM", empty, own[: len(own) // 2]):
        with pytest.raises(ValueError):
            first_in(damaged)
