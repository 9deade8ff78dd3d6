"""Schemas as a centre keeps them in memory: one object per digest, however many gateways use it.

Owns the table that shares them; a schema that no session refers to any more leaves by itself. The
store, not this table, remembers schemas for good.
"""

from dataclasses import dataclass
from weakref import WeakValueDictionary

from gateway.errors import RemoteProtocolError
from gateway.reading import Schema
from gateway.wire import rows


@dataclass(frozen=True, slots=True, weakref_slot=True)
class KnownSchema:
    """A schema with its encoding and digest. Build it with `SchemaTable.intern`."""

    digest: bytes
    body: bytes
    schema: Schema


class SchemaTable:
    """Interns schemas by digest. One per process; every `Receiver` shares it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, KnownSchema] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def intern(self, body: bytes, digest: bytes | None = None) -> KnownSchema:
        """Return the one object for `body`.

        Raises: RemoteProtocolError when the body is no schema, or `digest` is given and not its.
        """
        actual = rows.schema_digest(body)
        if digest is not None and digest != actual:
            raise RemoteProtocolError(
                f"schema digest {digest.hex()}: the body's is {actual.hex()}", 1007
            )
        known = self._known.get(actual)
        if known is None:
            known = KnownSchema(actual, body, rows.decode_schema(body))
            self._known[actual] = known
        return known
