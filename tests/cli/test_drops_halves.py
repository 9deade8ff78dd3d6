"""Tests of the second process of a large fleet's report."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.centre.store.evidence_reader import Evidence
from gateway.cli.drops_halves import other_half
from gateway.cli.drops_source import Asked
from gateway.correlation.analysis import analyse, conclude, gather
from gateway.errors import StoreError
from tests import drops_history


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A told day of two nodes."""
    day = drops_history.play(tmp_path_factory.mktemp("halves"))
    for node in day.nodes:
        node.close()
    from_ns, to_ns = drops_history.span()
    return Asked(day.stores, from_ns, to_ns, to_ns)


@pytest.mark.parametrize("proofs_of", [None, ()])
def test_two_halves_make_the_same_report(asked: Asked, proofs_of: tuple[str, ...] | None) -> None:
    """What two processes find is what one finds."""
    span = asked.from_ns, asked.to_ns
    with Evidence(asked.stores, *span) as evidence:
        nodes, series = evidence.nodes(), evidence.series()
        whole = analyse(evidence.gateways(), nodes, series, *span, asked.now_ns, proofs_of)
    with other_half(asked, proofs_of, worth=1) as (own, second):
        assert own is not None and 0 < len(own) < whole.gateways
        with Evidence(asked.stores, *span) as evidence:
            first = gather(evidence.gateways(own), nodes, *span, asked.now_ns, proofs_of)
        parts = [first, *second()]
    assert [part.gateways for part in parts] == [8, 8]
    assert conclude(parts, series, *span) == whole
    assert whole.incidents


def test_a_small_fleet_needs_one_process(asked: Asked) -> None:
    """Below the bound everything is this process's."""
    with other_half(asked, None) as (own, second):
        assert own is None
        assert list(second()) == []


def test_what_stops_the_other_half_stops_the_report(asked: Asked, tmp_path: Path) -> None:
    """A store that is no store any more is an error of the whole, never half a report."""
    copy = tmp_path / "a.sqlite"
    shutil.copy(asked.stores[0], copy)
    with sqlite3.connect(copy) as db:
        db.execute("DROP TABLE session")
    db.close()
    broken = Asked((copy,), asked.from_ns, asked.to_ns, asked.now_ns)
    with other_half(broken, None, worth=1) as (_, second), pytest.raises(StoreError):
        second()
