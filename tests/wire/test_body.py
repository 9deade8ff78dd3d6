"""Pins compression of bodies and the bomb guard."""

import importlib
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.wire import body
from gateway.wire.limits import MAX_BODY
from gateway.wire.message import Encoding


@given(
    data=st.one_of(st.binary(max_size=5000), st.just(bytes(range(256)) * 100)),
    encoding=st.sampled_from([Encoding.ZLIB, Encoding.ZSTD]),
)
def test_round_trip(data: bytes, encoding: Encoding) -> None:
    """What was compressed comes back, and RAW is the body itself."""
    compress = body.compressor(encoding)
    assert compress is not None
    packed = compress(data)
    assert (packed if len(data) < body.WORTH_BYTES else body.decompress(encoding, packed)) == data
    assert body.decompress(Encoding.RAW, data) == data


def test_raw_and_unknown_have_no_compressor() -> None:
    """There is nothing to do for RAW, and nothing known of 9."""
    assert body.compressor(Encoding.RAW) is None
    assert body.compressor(9) is None
    with pytest.raises(RemoteProtocolError, match="not agreed"):
        body.decompress(9, b"x")


@pytest.mark.parametrize("encoding", [Encoding.ZLIB, Encoding.ZSTD])
def test_the_largest_body_passes_and_one_byte_more_does_not(encoding: Encoding) -> None:
    """The limit is exactly `MAX_BODY`."""
    compress = body.compressor(encoding)
    assert compress is not None
    assert len(body.decompress(encoding, compress(bytes(MAX_BODY)))) == MAX_BODY
    with pytest.raises(RemoteProtocolError) as caught:
        body.decompress(encoding, compress(bytes(MAX_BODY + 1)))
    assert caught.value.close_code == 1009


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (Encoding.ZLIB, b"nonsense"),
        (Encoding.ZLIB, zlib.compress(b"x" * 100)[:-3]),
        (Encoding.ZLIB, zlib.compress(b"x") + b"y"),
        (Encoding.ZSTD, b"nonsense"),
        (Encoding.ZSTD, zstandard.compress(b"x" * 100)[:-3]),
        (Encoding.ZSTD, zstandard.compress(b"x") + b"y"),
        (Encoding.ZSTD, b""),
    ],
)
def test_damaged_bodies(encoding: Encoding, data: bytes) -> None:
    """Nonsense, a cut stream and bytes behind the end are refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        body.decompress(encoding, data)
    assert caught.value.close_code == 1007


def test_zstd_must_state_its_size() -> None:
    """Without a stated size nothing is decompressed."""
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"x")
    with pytest.raises(RemoteProtocolError, match="states no size"):
        body.decompress(Encoding.ZSTD, frame)


def test_without_zstandard_there_is_zlib() -> None:
    """The gateway's smallest installation has zlib only."""
    assert body.optional("no_such_module_at_all") is None
    assert body.optional("zstandard") is importlib.import_module("zstandard")
    assert body.available("no_such_module_at_all") == (Encoding.ZLIB,)
    assert body.available() == body.writable() == (Encoding.ZSTD, Encoding.ZLIB)
