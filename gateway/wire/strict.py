"""Reading MessagePack from a stranger: every element has a type and a limit.

Owns the checks that `codec` and `rows` share. Whatever the bytes, the only error that leaves here
is `RemoteProtocolError`; memory is bounded by `MAX_ARRAY` elements per level and the library's 1024
levels. Arrays come as lists, maps as tuples of pairs in the order sent.
"""

from typing import cast

import msgpack

from gateway.errors import RemoteProtocolError
from gateway.event import Scalar
from gateway.wire.limits import MAX_ARRAY, MAX_INTERVALS, MAX_PAIRS, MAX_SEQ, MAX_TEXT

BAD_DATA = 1007
"""Close code: the message is not what its type says (RFC 6455 §7.4.1)."""
TOO_BIG = 1009
"""Close code: a limit of size is exceeded."""


def unpack(data: bytes | memoryview, what: str) -> list[object]:
    """Decode one MessagePack array with nothing behind it.

    Raises: RemoteProtocolError.
    """
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            object_pairs_hook=tuple,
            max_array_len=MAX_ARRAY,
            max_map_len=MAX_PAIRS,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        detail = str(error)[:100] or type(error).__name__
        raise RemoteProtocolError(f"{what}: not MessagePack: {detail}", BAD_DATA) from None
    if type(value) is not list:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of an array", BAD_DATA)
    return value


def integer(value: object, what: str, low: int = 0, high: int = MAX_SEQ) -> int:
    """Return `value` if it is an integer in [low, high] (a bool is none)."""
    if type(value) is not int:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of an integer", BAD_DATA)
    if not low <= value <= high:
        raise RemoteProtocolError(f"{what}: {value} is not in {low}..{high}", BAD_DATA)
    return value


def number(value: object, what: str, high: float) -> float:
    """Return `value` as a float if it is a number in [0, high]."""
    if type(value) is not float and type(value) is not int:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of a number", BAD_DATA)
    if not 0 <= value <= high:
        raise RemoteProtocolError(f"{what}: {value} is not in 0..{high}", BAD_DATA)
    return float(value)


def text(value: object, what: str, limit: int = MAX_TEXT) -> str:
    """Return `value` if it is a text of at most `limit` bytes of UTF-8."""
    if type(value) is not str:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of a text", BAD_DATA)
    if len(value) > limit or len(value.encode()) > limit:
        raise RemoteProtocolError(f"{what}: text longer than {limit} bytes", TOO_BIG)
    return value


def binary(value: object, what: str, low: int, high: int) -> bytes:
    """Return `value` if it is a binary of `low` to `high` bytes."""
    if type(value) is not bytes:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of a binary", BAD_DATA)
    if not low <= len(value) <= high:
        raise RemoteProtocolError(
            f"{what}: binary of {len(value)} bytes, allowed {low}..{high}", TOO_BIG
        )
    return value


def boolean(value: object, what: str) -> bool:
    """Return `value` if it is a bool."""
    if type(value) is not bool:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of a bool", BAD_DATA)
    return value


def array(value: object, what: str, low: int, high: int) -> list[object]:
    """Return `value` if it is an array of `low` to `high` elements."""
    if type(value) is not list:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of an array", BAD_DATA)
    if len(value) < low:
        raise RemoteProtocolError(f"{what}: {len(value)} elements, at least {low} needed", BAD_DATA)
    if len(value) > high:
        raise RemoteProtocolError(f"{what}: {len(value)} elements, limit {high}", TOO_BIG)
    return value


def pairs(value: object, what: str) -> tuple[tuple[str, Scalar], ...]:
    """Return a map of at most `MAX_PAIRS` texts to scalars as pairs; a key stands once."""
    if type(value) is not tuple:
        raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of a map", BAD_DATA)
    entries = cast(tuple[tuple[object, object], ...], value)
    result = tuple((text(key, f"{what} key"), _scalar(item, what)) for key, item in entries)
    if len(dict(result)) != len(result):
        raise RemoteProtocolError(f"{what}: a key stands twice", BAD_DATA)
    return result


def _scalar(value: object, what: str) -> Scalar:
    if type(value) is str:
        return text(value, what)
    if value is None or type(value) is bool or type(value) is int or type(value) is float:
        return value
    raise RemoteProtocolError(f"{what}: {type(value).__name__} instead of a scalar", BAD_DATA)


def intervals(value: object, what: str, low: int = 0) -> tuple[tuple[int, int], ...]:
    """Return ascending, disjoint inclusive intervals of seqs from 1."""
    result = []
    previous = 0
    for item in array(value, what, low, MAX_INTERVALS):
        pair = array(item, what, 2, MAX_ARRAY)
        first = integer(pair[0], what, previous + 1)
        previous = integer(pair[1], what, first)
        result.append((first, previous))
    return tuple(result)
