"""Bodies of `Data`: compressed when it pays, decompressed with a bomb guard.

Owns the encodings of `docs/protocol.md` §Compression. zstd is there when the `zstandard` package
is; zlib always. A zstd frame must state its content size, which is checked before anything is
decompressed.
"""

import importlib
import zlib
from collections.abc import Callable
from types import ModuleType

from gateway.errors import RemoteProtocolError
from gateway.wire.limits import MAX_BODY
from gateway.wire.message import Encoding


def optional(name: str) -> ModuleType | None:
    """Return a module if it is installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_ZSTD = optional("zstandard")
ZLIB_LEVEL = 6
ZSTD_LEVEL = 3
ZSTD_SMALL_LEVEL = 12
"""For bodies up to `ZSTD_SMALL`: at that size the level makes 14 % of difference and costs no more
than zlib. Bodies are that small when the link is slow, so there is time (`tests/bench/wire.py`)."""
ZSTD_SMALL = 16 * 1024
ZSTD_WINDOW = 1 << 21
"""A decoder need not offer more; bodies are at most 1 MiB."""


def available(zstd: ModuleType | None = _ZSTD) -> tuple[int, ...]:
    """Return the encodings this installation can read and write, best first."""
    return (Encoding.ZLIB,) if zstd is None else (Encoding.ZSTD, Encoding.ZLIB)


def compressor(encoding: int) -> Callable[[bytes], bytes] | None:
    """Return the function that compresses a body, or ``None`` for RAW and unknown encodings.

    Not for two threads at once.
    """
    if encoding == Encoding.ZLIB:
        return lambda body: zlib.compress(body, ZLIB_LEVEL)
    if encoding == Encoding.ZSTD and _ZSTD is not None:
        small = _ZSTD.ZstdCompressor(level=ZSTD_SMALL_LEVEL).compress
        large = _ZSTD.ZstdCompressor(level=ZSTD_LEVEL).compress

        def compress(body: bytes) -> bytes:
            packed: bytes = small(body) if len(body) <= ZSTD_SMALL else large(body)
            return packed

        return compress
    return None


def decompress(encoding: int, body: bytes) -> bytes:
    """Return the records of a body. Raises: RemoteProtocolError, also past `MAX_BODY`."""
    if encoding == Encoding.RAW:
        return body
    if encoding == Encoding.ZLIB:
        return _inflate(body)
    if encoding == Encoding.ZSTD and _ZSTD is not None:
        return _unzstd(_ZSTD, body)
    raise RemoteProtocolError(f"body encoding {encoding} was not agreed", 1002)


def _inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise RemoteProtocolError(f"zlib body: {error}", 1007) from None
    if len(data) > MAX_BODY:
        raise RemoteProtocolError(f"zlib body holds more than {MAX_BODY} bytes", 1009)
    if not inflater.eof:
        raise RemoteProtocolError("zlib body: cut short", 1007)
    if inflater.unused_data:
        raise RemoteProtocolError("zlib body: bytes behind its end", 1007)
    return data


def _unzstd(zstd: ModuleType, body: bytes) -> bytes:
    try:
        size = zstd.get_frame_parameters(body).content_size
        if size > MAX_BODY:  # also "unknown", which the library gives as 2**64 - 1
            raise RemoteProtocolError(f"zstd body states no size up to {MAX_BODY} bytes", 1009)
        reader = zstd.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        data: bytes = reader.decompress(body, max_output_size=MAX_BODY, allow_extra_data=False)
    except zstd.ZstdError as error:
        raise RemoteProtocolError(f"zstd body: {error}", 1007) from None
    return data
