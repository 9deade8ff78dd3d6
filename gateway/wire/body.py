"""Bodies of `Data`: compressed when it pays, decompressed with a bomb guard.

Owns the encodings of `docs/protocol.md` §Compression. zstd is there when the `zstandard` package
is; zlib always. A zstd frame must state its content size, which is checked before anything is
decompressed.
"""

import importlib
import importlib.util
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


WORTH_BYTES = 2048
"""A shorter body is sent as it is: an agent without a real backlog never loads a compressor (zstd
takes 1 MiB)."""
ZLIB_LEVEL = 6
ZSTD_LEVEL = 3
ZSTD_SMALL_LEVEL = 12
"""For bodies up to `ZSTD_SMALL`: at that size the level makes 14 % of difference and costs no more
than zlib. Bodies are that small when the link is slow, so there is time (`tests/bench/wire.py`)."""
ZSTD_SMALL = 16 * 1024
ZSTD_WINDOW = 1 << 21
"""A decoder need not offer more; bodies are at most 1 MiB."""


def available(zstd: str = "zstandard") -> tuple[int, ...]:
    """Return the encodings this installation can read and write, best first."""
    return (Encoding.ZLIB,) if optional(zstd) is None else (Encoding.ZSTD, Encoding.ZLIB)


def writable() -> tuple[int, ...]:
    """Return the encodings this installation has, best first, without loading any."""
    found = importlib.util.find_spec("zstandard") is not None
    return (Encoding.ZSTD, Encoding.ZLIB) if found else (Encoding.ZLIB,)


def compressor(encoding: int) -> Callable[[bytes], bytes] | None:
    """Return the function that compresses a body, or ``None`` for RAW and unknown encodings.

    It returns a body as it is when that is not worth it, or when a library that is there cannot be
    loaded. Not for two threads at once.
    """
    if encoding == Encoding.ZLIB:
        return lambda body: body if len(body) < WORTH_BYTES else zlib.compress(body, ZLIB_LEVEL)
    return _zstd_compressor() if encoding == Encoding.ZSTD else None


def _zstd_compressor() -> Callable[[bytes], bytes]:
    """Load the library with the first body that is worth it."""
    by_size: list[Callable[[bytes], bytes]] = []

    def compress(body: bytes) -> bytes:
        if len(body) < WORTH_BYTES:
            return body
        if not by_size:
            zstd = optional("zstandard")
            levels = (ZSTD_SMALL_LEVEL, ZSTD_LEVEL)
            by_size.extend(
                _as_it_is if zstd is None else zstd.ZstdCompressor(level=level).compress
                for level in levels
            )
        return by_size[len(body) > ZSTD_SMALL](body)

    return compress


def _as_it_is(body: bytes) -> bytes:
    return body


def decompress(encoding: int, body: bytes) -> bytes:
    """Return the records of a body. Raises: RemoteProtocolError, also past `MAX_BODY`."""
    if encoding == Encoding.RAW:
        return body
    if encoding == Encoding.ZLIB:
        return _inflate(body)
    if encoding == Encoding.ZSTD and (zstd := optional("zstandard")) is not None:
        return _unzstd(zstd, body)
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
