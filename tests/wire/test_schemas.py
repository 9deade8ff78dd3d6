"""Pins that schemas are shared by digest and forgotten when nobody uses them."""

import gc

import pytest

from gateway.errors import RemoteProtocolError
from gateway.wire import rows
from gateway.wire.schemas import SchemaTable
from tests.wire.peers import BODY, SCHEMA


def test_the_same_body_is_the_same_object() -> None:
    """Ten thousand gateways with one schema keep it once."""
    table = SchemaTable()
    first = table.intern(BODY)
    assert table.intern(bytes(bytearray(BODY)), rows.schema_digest(BODY)) is first
    assert first.schema == SCHEMA
    assert len(table) == 1


def test_an_unused_schema_leaves() -> None:
    """The table keeps nothing alive by itself."""
    table = SchemaTable()
    known = table.intern(BODY)
    del known
    gc.collect()
    assert len(table) == 0


def test_a_wrong_digest_is_refused() -> None:
    """The digest must be the body's."""
    with pytest.raises(RemoteProtocolError, match="digest"):
        SchemaTable().intern(BODY, b"12345678")
